"""Stacks for failure messages: where a user's code did something, without the frames of ours."""

from __future__ import annotations

import sys
import traceback
from types import FrameType, TracebackType
from typing import Final

__all__ = ["Where", "format_fault", "users_stack", "where"]

Where = traceback.StackSummary

_RUNNERS: Final = (
    "_pytest",
    "pluggy",
    "pytest_asyncio",
    "anyio",
    "unittest",
    "asyncio",
    "threading",
)
_OURS: Final = ("webapi", "pyee", "concurrent")
_FRAMES: Final = 3


def where() -> Where:
    """Return the innermost frames of the user's own code, the last call last."""
    frames: list[tuple[FrameType, int]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(frames) < _FRAMES:
        module = _module(frame)
        if module in _RUNNERS and frames:
            break  # beyond is who runs the test
        if module not in _RUNNERS and module not in _OURS:
            frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return Where.extract(iter(frames[::-1]), lookup_lines=False)


def format_fault(error: BaseException) -> str:
    """Return a fault with its stack, from the user's first frame on."""
    return "".join(traceback.format_exception(type(error), error, users_stack(error)))


def users_stack(error: BaseException) -> TracebackType | None:
    """Return the part of an error's stack that begins with the user's code; None without such."""
    found: TracebackType | None = error.__traceback__
    while found is not None and _module(found.tb_frame) in (*_RUNNERS, *_OURS):
        found = found.tb_next
    return found


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
