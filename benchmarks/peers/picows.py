"""PyPI `picows` (Cython), on asyncio's loop or, by `picows_uvloop`, on uvloop's."""

from __future__ import annotations

import asyncio
from typing import Any

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from benchmarks.peers import Figures, Task, Usage, clock, latencies, main, round_trips


async def connect(task: Task, listener: Any) -> WSTransport:
    """Connect; picows knows no compression."""
    transport, _ = await picows.ws_connect(
        lambda: listener, task.url, ssl_context=task.context(), max_frame_size=1 << 30
    )
    return transport


async def flood(task: Task) -> Figures:
    """Take `count` messages."""
    count, received, times = task.count, 0, []
    done = asyncio.Event()
    kinds = {
        "binary": WSFrame.get_payload_as_bytes,
        "unicode": WSFrame.get_payload_as_utf8_text,
    }
    read = kinds.get(task.kind, WSFrame.get_payload_as_ascii_text)

    class Listener(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            times.append(clock())

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal received
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
                return
            read(frame)
            received += 1
            if received == count:
                times.append(clock())
                done.set()

    await connect(task, Listener())
    await done.wait()
    return {"seconds": times[1] - times[0]}


async def echo(task: Task) -> Figures:
    """Send what comes back, `in_flight` at a time, until `count` have come."""
    count, received, times, payload = task.count, 0, [], task.payload.encode()
    done = asyncio.Event()

    class Listener(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            times.append(clock())
            for _ in range(task.in_flight):
                transport.send(WSMsgType.TEXT, payload)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal received
            received += 1
            if received < count:
                transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
            elif received == count:
                times.append(clock())
                done.set()

    await connect(task, Listener())
    await done.wait()
    return {"seconds": times[1] - times[0]}


async def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    times: list[float] = []
    payload, done = task.payload.encode(), asyncio.Event()

    class Listener(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            times.append(clock())
            transport.send(WSMsgType.TEXT, payload)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            times.append(clock())
            if len(times) <= task.count:
                transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
            else:
                done.set()

    await connect(task, Listener())
    await done.wait()
    return round_trips(times)


async def upload(task: Task) -> Figures:
    """Send `count` binary messages; wait for `done`."""
    data, done = task.data, asyncio.Event()

    class Listener(WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            done.set()

        def pause_writing(self) -> None:
            may_write.clear()

        def resume_writing(self) -> None:
            may_write.set()

    may_write = asyncio.Event()
    may_write.set()
    transport = await connect(task, Listener())
    start = clock()
    for _ in range(task.count):
        if not may_write.is_set():
            await may_write.wait()
        transport.send(WSMsgType.BINARY, data)
    await done.wait()
    return {"seconds": clock() - start}


async def many(task: Task) -> Figures:
    """Hold `sockets` open, each with one echo an `interval`; until `count` have come."""
    loop, usage, payload = asyncio.get_running_loop(), Usage(), task.payload.encode()
    trips: list[float] = []
    done, limit = asyncio.Event(), asyncio.Semaphore(200)

    class Listener(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            self.transport = transport

        def send(self) -> None:
            self.sent = clock()
            self.transport.send(WSMsgType.TEXT, payload)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            frame.get_payload_as_ascii_text()
            trips.append(clock() - self.sent)
            if len(trips) >= task.count:
                done.set()
            else:
                loop.call_later(task.interval, self.send)

    async def open_one() -> Listener:
        listener = Listener()
        async with limit:
            await connect(task, listener)
        return listener

    listeners = await asyncio.gather(*[open_one() for _ in range(task.sockets)])
    usage.restart()
    for number, listener in enumerate(listeners):
        loop.call_later(task.interval * number / task.sockets, listener.send)
    await done.wait()
    return {**usage.figures(len(trips)), **latencies(trips)}


async def opening(task: Task) -> Figures:
    """Make `count` connections, `in_flight` handshakes at a time, and hold them."""
    limit, transports = asyncio.Semaphore(task.in_flight), []

    async def open_one() -> None:
        async with limit:
            transports.append(await connect(task, WSListener()))

    start = clock()
    if task.in_flight == 1:
        for _ in range(task.count):
            await open_one()
    else:
        await asyncio.gather(*[open_one() for _ in range(task.count)])
    return {"seconds": clock() - start}


if __name__ == "__main__":
    main(__name__)
