"""What both parts of the opening handshake raise."""

from __future__ import annotations

__all__ = ["InvalidHandshake", "shown"]


class InvalidHandshake(Exception):
    """The peer's part of the opening handshake breaks a rule; the message says which."""


def shown(value: str, longest: int = 100) -> str:
    """Return `value` in quotes for a message; of a long one its beginning.

    A message is a line of the log, and a head may have 64 KiB.
    """
    return repr(value) if len(value) <= longest else f"{value[:longest]!r}..."
