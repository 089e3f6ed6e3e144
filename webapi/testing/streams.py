"""Sockets in hand: a pair of connected ones, and one that reads and writes as asyncio's streams."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from typing import Any

from webapi.net.dial import until_readable, until_writable
from webapi.net.exchange import send_all

__all__ = ["SocketStream", "receive", "reset", "tcp_pair"]

_TRY_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected TCP sockets, non-blocking.

    Not `socket.socketpair()`: such a pair cannot be reset.
    """
    while True:
        with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
            client = socket.create_connection(listener.getsockname())
            server, address = listener.accept()
        if address == client.getsockname():
            break
        client.close()  # somebody else was quicker
        server.close()
    for sock in (client, server):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


def reset(sock: socket.socket) -> None:
    """Close `sock` so that its peer sees a reset."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def receive(sock: socket.socket, size: int = 65536) -> bytes:
    """Return what comes next; b"" at the end.

    Raises:
        OSError: the connection broke.
    """
    while True:
        try:
            return sock.recv(size)
        except ssl.SSLWantWriteError:
            await until_writable(sock)
        except _TRY_AGAIN:
            await until_readable(sock)


class SocketStream:
    """A non-blocking socket, TLS's too, as far as `Peer` uses a stream's reader and writer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._waiting = bytearray()
        self._lock = asyncio.Lock()

    @property
    def transport(self) -> SocketStream:
        """What `abort` is called on."""
        return self

    async def read(self, size: int) -> bytes:
        """Return what comes next; b"" at the end, and after `close`."""
        if self.sock.fileno() < 0:
            return b""
        data = await receive(self.sock, size)
        if not data:
            self.sock.close()
        return data

    def write(self, data: bytes) -> None:
        """Have `data` written by the next `drain`."""
        self._waiting += data

    async def drain(self) -> None:
        """Write what waits."""
        async with self._lock:
            data, self._waiting = bytes(self._waiting), bytearray()
            await send_all(self.sock, data)

    def write_eof(self) -> None:
        """End our direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both; whoever reads is woken, and closes the socket."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    async def wait_closed(self) -> None:
        """Return: there is nothing to wait for."""

    def abort(self) -> None:
        """End both at once; nobody may be reading."""
        self.close()
        self.sock.close()

    def get_extra_info(self, name: str) -> Any:
        """Return the socket for the name "socket"."""
        return self.sock if name == "socket" else None
