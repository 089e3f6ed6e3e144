"""A connection's socket by itself: what it takes of a batch, and how its end is waited for."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from itertools import groupby
from typing import Final

from webapi.html.event_loop import EventLoop
from webapi.protocol.sender import LONG, Piece

__all__ = ["TRY_AGAIN", "Linger", "join_short", "left_of", "send_some"]

TRY_AGAIN: Final = (
    BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError,
)  # fmt: skip
"""What a non-blocking socket raises where it can do nothing now."""


def join_short(pieces: list[Piece]) -> list[Piece]:
    """Join what is between the long pieces."""
    buffers: list[Piece] = []
    for is_long, some in groupby(pieces, lambda piece: len(piece) >= LONG):
        buffers += list(some) if is_long else [b"".join(some)]  # noqa: B031
    return buffers


def send_some(sock: socket.socket, buffers: list[Piece]) -> tuple[int, OSError | None]:
    """Send what the kernel takes; return how many, and what broke."""
    sent = 0
    try:
        if len(buffers) == 1:
            sent = sock.send(buffers[0])
        elif isinstance(sock, ssl.SSLSocket) or not hasattr(sock, "sendmsg"):  # TLS; Windows
            for buffer in buffers:
                count = sock.send(buffer)
                sent += count
                if count < len(buffer):
                    break
        else:
            sent = sock.sendmsg(buffers)
    except TRY_AGAIN:
        pass
    except OSError as error:
        return sent, error
    return sent, None


def left_of(buffers: list[Piece], sent: int) -> memoryview:
    """Return a copy of what comes after the first `sent` bytes."""
    left = []
    for buffer in buffers:
        if sent < len(buffer):
            left.append(memoryview(buffer)[sent:])
        sent = max(sent - len(buffer), 0)
    return memoryview(b"".join(left))


class Linger:
    """Reads what still comes after our last word, for a short while, before the socket is closed.

    A socket that is closed with unread data resets the connection, and the reset would overtake
    the Close frame that tells the server why.

    Args:
        page: the event loop that it happens on.
        sock: the socket; it is closed at the end.
        seconds: how long the server may take to end its side.
    """

    def __init__(self, page: EventLoop, sock: socket.socket, seconds: float) -> None:
        self.page, self.sock = page, sock
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        page.connections.add(self)
        self.timer = page.call_later(seconds, self.end)
        try:
            page.loop.add_reader(sock.fileno(), self._read)
        except OSError:  # Ctrl-C left the socket in the kernel's table and not in the selector's
            self.end()

    def _read(self) -> None:
        try:
            if self.sock.recv_into(self.page.buffer):
                return
        except TRY_AGAIN:
            return
        except (OSError, ValueError):
            pass
        self.end()

    def unload(self) -> None:
        """Go on: nothing is left to be said."""

    def end(self) -> None:
        """Close the socket at once."""
        self.timer.cancel()
        if self.sock.fileno() >= 0:
            self.page.loop.remove_reader(self.sock.fileno())
            self.sock.close()
        self.page.connections.discard(self)

    def end_with_process(self) -> None:
        """Close the socket: nothing is left to be said, and the loop does not run any more."""
        self.sock.close()

    abandon_after_fork = end_with_process
