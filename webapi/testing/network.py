"""Network conditions, as a browser's developer tools have them, between a page and its servers.

A connection under conditions goes through a relay on the servers' loop, which holds what comes for
as long as the conditions say.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from webapi.net.exchange import send_all
from webapi.net.opening import OpeningFailed
from webapi.testing.streams import receive, reset, tcp_pair
from webapi.testing.threads import servers_loop

__all__ = ["Conditions", "drop", "insert_relay"]

_CHUNK = 16 * 1024


class Conditions:
    """What the network is like now. Times are in seconds, the throughput in bytes a second."""

    def __init__(self) -> None:
        self.offline = False
        self.latency = 0.0
        self.throughput: float | None = None
        self._lock = threading.Lock()
        self._online: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def set(self, offline: bool, latency: float, throughput: float | None) -> None:
        """Change them; call it from any thread.

        Raises:
            ValueError: a figure is negative, or the throughput 0.
        """
        if latency < 0:
            raise ValueError(f"latency is {latency!r}, where seconds, 0 or more, are expected")
        if throughput is not None and throughput <= 0:
            raise ValueError(f"throughput is {throughput!r}, where bytes a second are expected")
        with self._lock:
            self.offline, self.latency, self.throughput = offline, latency, throughput
            waiting = list(self._online.items()) if not offline else []
            if not offline:
                self._online.clear()
        for event, loop in waiting:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    def check_online(self) -> None:
        """Let no connection be made where there is no network.

        Raises:
            OpeningFailed: there is none.
        """
        if self.offline:
            raise OpeningFailed("the network is offline: page.emulate(offline=True)")

    async def until_online(self) -> None:
        """Return when the network is there."""
        while True:
            with self._lock:
                if not self.offline:
                    return
                event = asyncio.Event()
                self._online[event] = asyncio.get_running_loop()
            await event.wait()


class _Relay:
    """Carries bytes both ways between `inner`, the page's side, and `outer`, the network's."""

    def __init__(self, inner: socket.socket, outer: socket.socket, conditions: Conditions) -> None:
        self.inner, self.outer, self.conditions = inner, outer, conditions

    async def run(self) -> None:
        ways = [
            asyncio.ensure_future(self._carry(self.inner, self.outer)),
            asyncio.ensure_future(self._carry(self.outer, self.inner)),
        ]
        whole = False
        try:
            await asyncio.gather(*ways)
            whole = True
        except OSError:
            pass  # one broke: so does the other
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)  # they must not watch a socket that is closed
            for sock in (self.inner, self.outer):
                sock.close() if whole else reset(sock)

    async def _carry(self, source: socket.socket, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def deliver() -> None:
            free = 0.0  # when the line is free again
            while True:
                due, data = await queue.get()
                await self._sleep_until(due)
                await self.conditions.until_online()
                throughput = self.conditions.throughput
                if data and throughput is not None:
                    free = max(free, loop.time()) + len(data) / throughput
                    await self._sleep_until(free)
                if not data:
                    with suppress(OSError):
                        target.shutdown(socket.SHUT_WR)
                    return
                await send_all(target, data)

        delivering = loop.create_task(deliver())
        try:
            while True:
                data = await receive(source, _CHUNK)
                await queue.put((loop.time() + self.conditions.latency, data))
                if not data:
                    break
            await delivering
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])

    async def _sleep_until(self, due: float) -> None:
        left = due - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)


_relays: set[asyncio.Future[Any]] = set()


def relayed(outer: socket.socket, conditions: Conditions) -> socket.socket:
    """Return a socket that leads to `outer` through a relay; `outer` is the relay's now."""
    client, inner = tcp_pair()

    def start() -> None:
        task = asyncio.ensure_future(_Relay(inner, outer, conditions).run())
        _relays.add(task)
        task.add_done_callback(_relays.discard)

    servers_loop().call_soon_threadsafe(start)
    return client


def insert_relay(ws: Any, conditions: Conditions) -> None:
    """Have what an open socket sends and receives go through a relay from now on."""

    def insert() -> None:
        connection = ws._connection
        if connection.sock is not None:
            connection.replace_socket(lambda sock: relayed(sock, conditions))

    with suppress(RuntimeError):  # its loop is closed
        ws._page.queue_task(insert)


def drop(ws: Any) -> None:
    """Break a socket's TCP connection, as a network that fails does."""
    dropped = "the test dropped the connection"

    def lose() -> None:
        connection = ws._connection
        if connection.sock is None:
            connection.abort(dropped)
            return
        with suppress(OSError):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection._on_lost(ConnectionResetError(dropped))

    with suppress(RuntimeError):
        ws._page.queue_task(lose)
