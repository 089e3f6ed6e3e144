"""PyPI `websockets`, its asyncio client."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import connect as websockets_connect

from benchmarks.peers import Figures, Task, Usage, clock, latencies, main


def connect(task: Task, compression: str | None = None) -> Any:
    """Connect without what the workload is not about: nor is how it is closed.

    That waits behind what was not read, for ten seconds by default.
    """
    return websockets_connect(
        task.url,
        ssl=task.context(),
        compression=compression,
        max_size=None,
        ping_interval=None,
        close_timeout=0.1,
    )


async def flood(task: Task) -> Figures:
    """Take `count` messages."""
    received = 0
    async with connect(task) as ws:
        start = clock()
        async for _ in ws:
            received += 1
            if received == task.count:
                return {"seconds": clock() - start}
    raise EOFError


async def echo(task: Task, compression: str | None = None) -> Figures:
    """Send what comes back, `in_flight` at a time, until `count` have come."""
    received, payload = 0, task.payload
    async with connect(task, compression) as ws:
        start = clock()
        for _ in range(task.in_flight):
            await ws.send(payload)
        async for message in ws:
            received += 1
            if received >= task.count:
                return {"seconds": clock() - start}
            await ws.send(message)
    raise EOFError


async def deflate(task: Task) -> Figures:
    """Echo with permessage-deflate."""
    return await echo(task, "deflate")


async def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    trips, payload = [], task.payload
    async with connect(task) as ws:
        start = before = clock()
        for _ in range(task.count):
            await ws.send(payload)
            await ws.recv()
            after = clock()
            trips.append(after - before)
            before = after
    return {"seconds": after - start, **latencies(trips)}


async def upload(task: Task) -> Figures:
    """Send `count` binary messages; wait for `done`."""
    data = task.data
    async with connect(task) as ws:
        start = clock()
        for _ in range(task.count):
            await ws.send(data)
        await ws.recv()
        return {"seconds": clock() - start}


async def many(task: Task) -> Figures:
    """Hold `sockets` open, each with one echo an `interval`; until `count` have come."""
    usage, payload = Usage(), task.payload
    trips: list[float] = []
    done, begin, limit = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(200)
    opened = asyncio.Semaphore(0)

    async def hold(number: int) -> None:
        async with limit:
            ws = await connect(task)
        opened.release()
        await begin.wait()
        await asyncio.sleep(task.interval * number / task.sockets)
        while True:
            sent = clock()
            await ws.send(payload)
            await ws.recv()
            trips.append(clock() - sent)
            if len(trips) >= task.count:
                done.set()
            await asyncio.sleep(task.interval)

    holders = [asyncio.create_task(hold(number)) for number in range(task.sockets)]
    for _ in holders:
        await opened.acquire()
    usage.restart()
    begin.set()
    await done.wait()
    return {**usage.figures(len(trips)), **latencies(trips)}


async def opening(task: Task) -> Figures:
    """Make `count` connections, `in_flight` handshakes at a time, and hold them."""
    limit, sockets = asyncio.Semaphore(task.in_flight), []

    async def open_one() -> None:
        async with limit:
            sockets.append(await connect(task))

    start = clock()
    if task.in_flight == 1:
        for _ in range(task.count):
            await open_one()
    else:
        await asyncio.gather(*[open_one() for _ in range(task.count)])
    return {"seconds": clock() - start}


if __name__ == "__main__":
    main(__name__)
