"""What servers' and proxies' handshakes share: sending, reading an HTTP head, and the step."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

from webapi.net.dial import Address, shown, until_readable, until_writable
from webapi.net.raw_socket import TRY_AGAIN
from webapi.protocol.handshake import MAX_HEAD_SIZE, InvalidHandshake, head_end, head_start

__all__ = ["Progress", "read_head", "send_all"]

# What comes behind the head in one read is compressed already: see COMPRESSED_READ_SIZE in
# `webapi.net.connection`.
_READ_SIZE: Final = 16 * 1024


class Progress:
    """What an opening handshake is at, for the log's line if that takes too long.

    Words are made of it only then: `python -m benchmarks opening-1` counts each step.
    """

    __slots__ = ("received", "way", "what", "where")

    def __init__(self) -> None:
        self.what = ""
        self.where: str | Sequence[Address] = ""
        self.way: Any = None  # the proxy
        self.received = 0  # bytes of an answer that is not whole

    def at(self, what: str, where: str | Sequence[Address]) -> None:
        """Note that a step begins, and with whom: addresses may come and go."""
        self.what, self.where, self.received = what, where, 0

    def __str__(self) -> str:
        where = self.where
        if not isinstance(where, str):
            where = " or ".join(shown(sockaddr) for _, sockaddr in where)
        way = "" if self.way is None else f" ({self.way})"
        came = f", of which {self.received} bytes came" if self.received else ""
        return f"{self.what} {where}{way}{came}"


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send `data`.

    Raises:
        OSError: the connection broke.
    """
    while data:
        try:
            data = data[sock.send(data) :]
        except ssl.SSLWantReadError:
            await until_readable(sock)
        except TRY_AGAIN:
            await until_writable(sock)


async def _receive(sock: socket.socket, size: int) -> bytes:
    while True:
        try:
            return sock.recv(size)
        except ssl.SSLWantWriteError:
            await until_writable(sock)
        except TRY_AGAIN:
            await until_readable(sock)


async def read_head(
    sock: socket.socket,
    progress: Progress,
    data: bytes = b"",
    spent: int = 0,
    who: str = "the server",
) -> tuple[bytes, bytes]:
    """Read the bytes of a response's head whole; return them, and what came behind them.

    Args:
        sock: where from.
        progress: is told how much came.
        data: what was read already.
        spent: how many bytes of `MAX_HEAD_SIZE` went to interim responses.
        who: who it is from, for the reasons.

    Raises:
        InvalidHandshake: it is too long, cut off, or cannot become one.
        OSError: the connection broke.
    """
    searched = 0
    while True:
        # refuses what cannot become a head as soon as that shows
        start = head_start(data, who) if data else -1
        if start > 0:
            data, spent, searched = data[start:], spent + start, 0
        end = head_end(data, searched) if start >= 0 else -1
        if (end if end >= 0 else len(data)) + spent > MAX_HEAD_SIZE:
            raise InvalidHandshake(f"the response's head is longer than {MAX_HEAD_SIZE} bytes")
        if end >= 0:
            return data[:end], data[end:]
        searched = len(data)
        progress.received = spent + searched
        chunk = await _receive(sock, _READ_SIZE)
        if not chunk:
            raise InvalidHandshake(_cut_off(data, who))
        data += chunk


def _cut_off(data: bytes, who: str) -> str:
    if not data:
        return f"{who} closed the connection without an answer"
    return f"{who} closed the connection within the head, after {len(data)} bytes"
