"""The timeline: all that happened on one connection, in order, as a browser's frame list shows it.

timeline of ws://127.0.0.1:8765/chat
0.000  CONNECTING
0.002  → GET /chat HTTP/1.1
0.003  ← 101 Switching Protocols
0.003  OPEN
0.004  ↑ {"join": "lobby"}
0.005  ↓ {"joined": "hall"}
"""

from __future__ import annotations

import time
from typing import Any, Final

from webapi.protocol import frames
from webapi.testing.matching import shown
from webapi.testing.waiting import Board
from webapi.url import without_credentials

__all__ = ["Entry", "Timeline", "describe_close"]

_LONGEST: Final = 60
"""Entries that a failure message shows at most."""

_ARROWS: Final = {"sent": "↑", "received": "↓", "request": "→", "response": "←"}
_OPCODES: Final = {0: "Continuation", 8: "Close", 9: "Ping", 10: "Pong"}


class Entry:
    """One thing that happened.

    `kind` is "state", "request", "response", "sent", "received" (frames), "event", "failure" or
    "note"; `time` is in seconds of `time.monotonic()`.
    """

    __slots__ = ("event", "kind", "opcode", "taken", "text", "time", "value")

    def __init__(
        self,
        kind: str,
        text: str = "",
        *,
        opcode: int = -1,
        value: Any = None,
        event: Any = None,
        at: float | None = None,
    ) -> None:
        self.kind, self.text, self.opcode, self.value, self.event = kind, text, opcode, value, event
        self.time = time.monotonic() if at is None else at
        self.taken = False  # whether a wait has returned it

    @property
    def is_data(self) -> bool:
        """Whether it is a data message on the wire."""
        return self.kind in ("sent", "received") and self.opcode in (frames.TEXT, frames.BINARY)

    @property
    def is_message(self) -> bool:
        """Whether it is a `message` event."""
        return self.kind == "event" and self.event.type == "message"

    def line(self) -> str:
        """Return it in one line."""
        arrow = _ARROWS.get(self.kind, "")
        return f"{arrow} {self.text}" if arrow else self.text


class Timeline:
    """The entries of one connection, in order. `board` is told of each; its condition guards."""

    def __init__(self, board: Board, url: str = "") -> None:
        self.board = board
        self.url = url
        self.started = time.monotonic()
        self.entries: list[Entry] = []
        self.over = False
        """Whether nothing more can happen: the `close` event was dispatched."""

    def add(self, entry: Entry) -> None:
        """Append `entry`; call it from any thread."""
        with self.board.condition:
            self.entries.append(entry)
            if entry.kind == "event" and entry.event.type == "close":
                self.over = True
        self.board.changed()

    def add_frame(self, kind: str, opcode: int, payload: str | bytes) -> None:
        """Append a frame that was "sent" or "received"."""
        if opcode in (frames.TEXT, frames.BINARY):
            text = shown(payload)
        elif opcode == frames.CLOSE:
            assert isinstance(payload, bytes)
            code = int.from_bytes(payload[:2], "big") if payload else None
            text = describe_close(code, payload[2:].decode("utf-8", "replace"))
        else:
            text = f"{_OPCODES.get(opcode, f'opcode {opcode}')} {shown(payload)}".rstrip()
        self.add(Entry(kind, text, opcode=opcode, value=payload))

    def render(self, times: bool = True, limit: int | None = None) -> str:
        """Return it as text, a line for each entry; `message` events are their frames' lines."""
        with self.board.condition:
            entries = [e for e in self.entries if not e.is_message]
        left_out = len(entries) - limit if limit is not None and len(entries) > limit else 0
        lines = [f"  ... {left_out} earlier entries"] if left_out else []
        for entry in entries[left_out:]:
            at = f"{max(entry.time - self.started, 0):7.3f}  " if times else ""
            lines.append(f"  {at}{entry.line()}")
        return "\n".join(lines)

    def __str__(self) -> str:
        body = self.render(limit=_LONGEST) or "  nothing happened"
        url = without_credentials(self.url)
        return f"timeline of {url or 'the connection'} (seconds; ↑ sent, ↓ received)\n{body}"


def describe_close(code: int | None, reason: str) -> str:
    """Return a Close frame in words."""
    text = "Close" if code is None else f"Close {code}"
    return f"{text} {reason!r}" if reason else text
