"""A real server, on PyPI `websockets`, that remembers how each connection ended.

The first part of a URL's path says what a connection does, the last one names it for the test:

    /echo/NAME    sends back what it gets
    /greet/NAME   says "welcome" at once, then echoes
    /leave/NAME   says "bye", and closes with 1000
    /flood/NAME   sends without end

`python lifetime_server.py` runs it as a process of its own and prints its port; `LifetimeServer`
runs it in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

DEADLINE = 80.0
"""Seconds that anything here may take; generous, for a loaded machine."""


@dataclass
class Visit:
    """One connection, as the server saw it."""

    kind: str
    name: str
    messages: list[str | bytes] = field(default_factory=list)
    size: int = 0
    code: int | None = None
    """The close code that came: 1005 for a Close frame without one, 1006 for no Close frame."""
    reason: str = ""
    over: bool = False


class LifetimeServer:
    """The server in a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._visits: list[Visit] = []
        self._started = threading.Event()
        self.port = 0
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.main()), name="lifetime server", daemon=True
        )
        self.thread.start()
        assert self._started.wait(DEADLINE)

    async def main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(
            self._handle, "127.0.0.1", 0, compression=None, max_size=None, ping_interval=None,
            close_timeout=1,
        ) as server:  # fmt: skip
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(DEADLINE)

    def url(self, kind: str, name: str, host: str = "127.0.0.1") -> str:
        return f"ws://{host}:{self.port}/{kind}/{name}"

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        _, kind, name = connection.request.path.split("/")
        visit = Visit(kind, name)
        self._change(lambda: self._visits.append(visit))
        with contextlib.suppress(ConnectionClosed):
            if kind == "greet":
                await connection.send("welcome")
            elif kind == "leave":
                await connection.send("bye")
                await connection.close(1000, "done")
            elif kind == "flood":
                # websockets 17.4 stumbles over a transport that closed within its send()
                with contextlib.suppress(AttributeError):
                    while True:
                        await connection.send("x" * 10_000)
                        await asyncio.sleep(0)  # send() alone would leave no turn for reading
            async for message in connection:
                visit.messages.append(message)
                visit.size += len(message)
                self._change()
                with contextlib.suppress(ConnectionClosed):  # what came before Close still counts
                    await connection.send(message)
        await connection.wait_closed()
        visit.code, visit.reason = connection.close_code, connection.close_reason or ""
        visit.over = True
        self._change()

    def _change(self, steps: object = None) -> None:
        with self._changed:
            if callable(steps):
                steps()
            self._changed.notify_all()

    def visits(self, name: str) -> list[Visit]:
        return [visit for visit in self._visits if visit.name == name]

    def wait_for(self, name: str, count: int = 1, timeout: float = DEADLINE) -> list[Visit]:
        """Return the visits named `name` when there are `count`."""
        with self._changed:
            ok = self._changed.wait_for(lambda: len(self.visits(name)) >= count, timeout)
        assert ok, f"{len(self.visits(name))} of {count} connections came"
        return self.visits(name)

    def wait_over(self, name: str, count: int = 1, timeout: float = DEADLINE) -> list[Visit]:
        """Return the visits named `name` when `count` of them are over."""

        def over() -> list[Visit]:
            return [visit for visit in self.visits(name) if visit.over]

        with self._changed:
            ok = self._changed.wait_for(lambda: len(over()) >= count, timeout)
        assert ok, f"{len(over())} of {count} connections ended; there are {self.visits(name)}"
        return over()

    def wait_message(self, name: str, count: int = 1, timeout: float = DEADLINE) -> list[object]:
        """Return what the visits named `name` sent when that are `count` messages."""

        def messages() -> list[object]:
            return [message for visit in self.visits(name) for message in visit.messages]

        with self._changed:
            ok = self._changed.wait_for(lambda: len(messages()) >= count, timeout)
        assert ok, f"{len(messages())} of {count} messages came"
        return messages()


async def main_has_ended() -> None:
    """For scripts: return when the main program is done, and the process waits at its end."""
    deadline = time.monotonic() + DEADLINE
    while not threading._SHUTTING_DOWN:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    server = LifetimeServer()
    print(server.port, flush=True)
    sys.stdin.read()  # until the parent ends
