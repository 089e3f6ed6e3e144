"""Where exceptions in listeners are reported, made visible."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

DEADLINE = 45.0


class Reports:
    """What `threading.excepthook` was told."""

    def __init__(self) -> None:
        self.exceptions: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self._changed = threading.Condition()

    def hook(self, args: Any) -> None:
        with self._changed:
            self.exceptions.append(args.exc_value)
            self.threads.append(args.thread)
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.exceptions) >= count, DEADLINE)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    """Take the place of `threading.excepthook`."""
    reports = Reports()
    monkeypatch.setattr(threading, "excepthook", reports.hook)
    return reports


@pytest.fixture
def run_on_loop() -> Callable[..., list[dict[str, Any]]]:
    """Run a coroutine function on a loop of its own; return what its handler was told."""

    def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> list[dict[str, Any]]:
        contexts: list[dict[str, Any]] = []

        async def within() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: contexts.append(context))
            await asyncio.wait_for(main(), DEADLINE)

        asyncio.run(within())
        return contexts

    return run
