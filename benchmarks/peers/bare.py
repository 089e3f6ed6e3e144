"""No client at all: bare sockets on asyncio's loop, a frame that was made before, nothing checked.

Only by `--peers bare`: what it takes, the loop and the kernel take, and no client can take less.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.peers import Figures, Task, Usage, clock, latencies, main, round_trips

_KEY = b"abcd"
_REQUEST = (
    "GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
)


def connect(task: Task) -> socket.socket:
    """Connect, and take whatever answers for the head."""
    url = urlsplit(task.url)
    sock = socket.create_connection((url.hostname, url.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(_REQUEST.format(url=url, key=key).encode())
    sock.recv(65536)
    sock.setblocking(False)
    return sock


def frame(task: Task) -> bytes:
    """Return a text message's frame; what is in it is nobody's business."""
    return b"\x81" + bytes((0x80 | len(task.payload),)) + _KEY + bytes(len(task.payload))


async def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    sock, message, done = connect(task), frame(task), asyncio.Event()
    room, times = memoryview(bytearray(65536)), []

    def read() -> None:
        sock.recv_into(room)
        times.append(clock())
        if len(times) <= task.count:
            sock.send(message)
        else:
            done.set()

    asyncio.get_running_loop().add_reader(sock.fileno(), read)
    times.append(clock())
    sock.send(message)
    await done.wait()
    return round_trips(times)


async def many(task: Task) -> Figures:
    """Hold `sockets` open, each with one echo an `interval`; until `count` have come."""
    loop, usage, message = asyncio.get_running_loop(), Usage(), frame(task)
    room, trips, done = memoryview(bytearray(65536)), list[float](), asyncio.Event()

    def hold(number: int) -> Callable[[], object]:
        sock, sent = connect(task), 0.0

        def send() -> None:
            nonlocal sent
            sent = clock()
            sock.send(message)

        def read() -> None:
            sock.recv_into(room)
            trips.append(clock() - sent)
            if len(trips) >= task.count:
                done.set()
            else:
                loop.call_later(task.interval, send)

        loop.add_reader(sock.fileno(), read)
        return lambda: loop.call_later(task.interval * number / task.sockets, send)

    starts = [hold(number) for number in range(task.sockets)]
    usage.restart()
    for start in starts:
        start()
    await done.wait()
    return {**usage.figures(len(trips)), **latencies(trips)}


if __name__ == "__main__":
    main(__name__)
