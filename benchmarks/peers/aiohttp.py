"""PyPI `aiohttp`, its client."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from benchmarks.peers import Figures, Task, Usage, clock, latencies, main


class Client:
    """A session and one connection."""

    def __init__(self, task: Task, compress: int = 0) -> None:
        self.task, self.compress = task, compress

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        self.session = session(self.task)
        return await connect(self.session, self.task, self.compress)

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()


def session(task: Task) -> aiohttp.ClientSession:
    """Make a session without a limit of connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=task.context() or True)
    )


async def connect(
    session: aiohttp.ClientSession, task: Task, compress: int = 0
) -> aiohttp.ClientWebSocketResponse:
    """Connect without what the workload is not about."""
    return await session.ws_connect(task.url, max_msg_size=0, compress=compress, autoping=True)


async def flood(task: Task) -> Figures:
    """Take `count` messages."""
    received = 0
    async with Client(task) as ws:
        start = clock()
        async for message in ws:
            message.data  # noqa: B018
            received += 1
            if received == task.count:
                return {"seconds": clock() - start}
    raise EOFError


async def echo(task: Task, compress: int = 0) -> Figures:
    """Send what comes back, `in_flight` at a time, until `count` have come."""
    received, payload = 0, task.payload
    async with Client(task, compress) as ws:
        start = clock()
        for _ in range(task.in_flight):
            await ws.send_str(payload)
        async for message in ws:
            received += 1
            if received >= task.count:
                return {"seconds": clock() - start}
            await ws.send_str(message.data)
    raise EOFError


async def deflate(task: Task) -> Figures:
    """Echo with permessage-deflate."""
    return await echo(task, 15)


async def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    trips, payload = [], task.payload
    async with Client(task) as ws:
        start = before = clock()
        for _ in range(task.count):
            await ws.send_str(payload)
            (await ws.receive()).data  # noqa: B018
            after = clock()
            trips.append(after - before)
            before = after
    return {"seconds": after - start, **latencies(trips)}


async def upload(task: Task) -> Figures:
    """Send `count` binary messages; wait for `done`."""
    data = task.data
    async with Client(task) as ws:
        start = clock()
        for _ in range(task.count):
            await ws.send_bytes(data)
        await ws.receive()
        return {"seconds": clock() - start}


async def many(task: Task) -> Figures:
    """Hold `sockets` open, each with one echo an `interval`; until `count` have come."""
    usage, payload = Usage(), task.payload
    trips: list[float] = []
    done, begin, limit = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(200)
    opened, client = asyncio.Semaphore(0), session(task)

    async def hold(number: int) -> None:
        async with limit:
            ws = await connect(client, task)
        opened.release()
        await begin.wait()
        await asyncio.sleep(task.interval * number / task.sockets)
        while True:
            sent = clock()
            await ws.send_str(payload)
            await ws.receive()
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
    figures: dict[str, Any] = {**usage.figures(len(trips)), **latencies(trips)}
    for holder in holders:
        holder.cancel()
    await client.close()
    return figures


async def opening(task: Task) -> Figures:
    """Make `count` connections, `in_flight` handshakes at a time, and hold them."""
    limit, client, sockets = asyncio.Semaphore(task.in_flight), session(task), []

    async def open_one() -> None:
        async with limit:
            sockets.append(await connect(client, task))

    start = clock()
    if task.in_flight == 1:
        for _ in range(task.count):
            await open_one()
    else:
        await asyncio.gather(*[open_one() for _ in range(task.count)])
    return {"seconds": clock() - start}


if __name__ == "__main__":
    main(__name__)
