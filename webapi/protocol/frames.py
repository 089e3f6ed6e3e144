"""Frames' vocabulary: opcodes, close codes, control frames, and failing.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Close",
    "Failure",
    "Ping",
    "Pong",
    "close_body",
    "is_valid_close_code",
]

# https://www.rfc-editor.org/rfc/rfc6455#section-11.8
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS_RECEIVED: Final = 1005
ABNORMAL_CLOSURE: Final = 1006
INVALID_PAYLOAD: Final = 1007
MESSAGE_TOO_BIG: Final = 1009


class Ping(NamedTuple):
    """A Ping frame arrived."""

    payload: bytes


class Pong(NamedTuple):
    """A Pong frame arrived."""

    payload: bytes


class Close(NamedTuple):
    """A Close frame arrived; `code` is None where it had no body."""

    code: int | None
    reason: str


class Failure(NamedTuple):
    """The peer broke the protocol: fail the connection, with `code` in the Close frame.

    Spec: https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7
    """

    code: int
    reason: str


def is_valid_close_code(code: int) -> bool:
    """Tell whether a Close frame may carry `code`.

    Spec: https://www.rfc-editor.org/rfc/rfc6455#section-7.4 and IANA's registry
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_body(code: int | None, reason: bytes = b"") -> bytes:
    """Return a Close frame's body; without a code it is empty."""
    return b"" if code is None else code.to_bytes(2, "big") + reason
