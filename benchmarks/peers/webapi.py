"""`webapi` itself, as a page uses it: on the background loop, or on `webapi.run`'s."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import webapi
from benchmarks.peers import Figures, Task, Usage, clock, latencies, main, round_trips
from webapi import WebSocket


def connect(task: Task, compression: bool = False, **options: Any) -> WebSocket:
    """Make a socket; its events begin when listeners are set."""
    ws = WebSocket(task.url, compression=compression, ssl_context=task.context(), **options)
    ws.binaryType = "arraybuffer"
    return ws


def flood(task: Task) -> Figures:
    """Take `count` messages."""
    count, received, times, done = task.count, 0, [], threading.Event()

    def onmessage(event: Any) -> None:
        nonlocal received
        event.data  # noqa: B018
        received += 1
        if received == count:
            times.append(clock())

    ws = connect(task)
    ws.onopen = lambda event: times.append(clock())
    ws.onmessage = onmessage
    ws.onclose = lambda event: done.set()
    done.wait()
    return {"seconds": times[1] - times[0]}


def echo(task: Task, compression: bool = False) -> Figures:
    """Send what comes back, `in_flight` at a time, until `count` have come."""
    count, received, payload, done = task.count, 0, task.payload, threading.Event()
    times: list[float] = []
    ws = connect(task, compression)

    def onopen(event: Any) -> None:
        times.append(clock())
        for _ in range(task.in_flight):
            ws.send(payload)

    def onmessage(event: Any) -> None:
        nonlocal received
        received += 1
        if received < count:
            ws.send(event.data)
        else:
            times.append(clock())
            done.set()
            ws.close()

    ws.onopen, ws.onmessage = onopen, onmessage
    done.wait()
    return {"seconds": times[1] - times[0]}


def deflate(task: Task) -> Figures:
    """Echo with permessage-deflate."""
    return echo(task, compression=True)


def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    payload, done = task.payload, threading.Event()
    times: list[float] = []
    ws = connect(task)

    def onopen(event: Any) -> None:
        times.append(clock())
        ws.send(payload)

    def onmessage(event: Any) -> None:
        times.append(clock())
        if len(times) <= task.count:
            ws.send(event.data)
        else:
            done.set()
            ws.close()

    ws.onopen, ws.onmessage = onopen, onmessage
    done.wait()
    return round_trips(times)


def beside_a_flood(task: Task) -> Figures:
    """Make `count` round trips while another socket of the page is flooded."""
    if task.flood_url:
        flooded, came = WebSocket(task.flood_url, compression=False), threading.Event()
        flooded.binaryType = "arraybuffer"
        flooded.onmessage = lambda event: (event.data, came.set())
        came.wait()
    return latency(task)


def upload(task: Task) -> Figures:
    """Send `count` binary messages, as many as a buffer of 16 MiB lets; wait for `done`."""
    data, done, times, sent = task.data, threading.Event(), [], 0
    import numpy  # noqa: F401 - the first long message would, and imports are not what is measured

    ws = connect(task)

    def more() -> None:
        nonlocal sent
        while sent < task.count and ws.bufferedAmount < 16 << 20:
            ws.send(data)
            sent += 1
        if sent < task.count:  # as a page does it: bufferedAmount has no event
            asyncio.get_running_loop().call_later(0.001, more)

    def onopen(event: Any) -> None:
        times.append(clock())
        more()

    def onmessage(event: Any) -> None:
        times.append(clock())
        done.set()
        ws.close()

    ws.onopen, ws.onmessage = onopen, onmessage
    done.wait()
    return {"seconds": times[1] - times[0]}


async def many(task: Task) -> Figures:
    """Hold `sockets` open, each with one echo an `interval`; until `count` have come."""
    loop, usage, payload = asyncio.get_running_loop(), Usage(), task.payload
    trips: list[float] = []
    opened, done = asyncio.Semaphore(0), asyncio.Event()

    def hold(number: int) -> WebSocket:
        ws, sent = connect(task, max_connecting=200), 0.0

        def send() -> None:
            nonlocal sent
            sent = clock()
            ws.send(payload)

        def onmessage(event: Any) -> None:
            trips.append(clock() - sent)
            if len(trips) >= task.count:
                done.set()
            else:
                loop.call_later(task.interval, send)

        ws.onopen = lambda event: opened.release()
        ws.onmessage = onmessage
        starts.append(lambda: loop.call_later(task.interval * number / task.sockets, send))
        return ws

    starts: list[Any] = []
    sockets = [hold(number) for number in range(task.sockets)]
    for _ in sockets:
        await opened.acquire()
    usage.restart()
    for start in starts:
        start()
    await done.wait()
    return {**usage.figures(len(trips)), **latencies(trips)}


async def opening(task: Task) -> Figures:
    """Make `count` connections, `in_flight` handshakes at a time, and hold them."""
    opened = asyncio.Semaphore(0)
    limit = asyncio.Semaphore(task.in_flight)

    def onopen(event: Any) -> None:
        opened.release()
        limit.release()

    sockets = []
    start = clock()
    for _ in range(task.count):
        await limit.acquire()
        ws = connect(task, max_connecting=task.in_flight)
        ws.onopen = onopen
        sockets.append(ws)
    for _ in range(task.count):
        await opened.acquire()
    return {"seconds": clock() - start}


def foreign(task: Task) -> Figures:
    """Send from the main thread while the background loop receives, `in_flight` at a time."""
    payload, allowed, trips = task.payload, threading.Semaphore(task.in_flight), []
    sent: list[float] = []
    opened = threading.Event()
    ws = connect(task)

    def onmessage(event: Any) -> None:
        trips.append(clock() - sent[len(trips)])
        allowed.release()

    ws.onopen = lambda event: opened.set()
    ws.onmessage = onmessage
    opened.wait()
    start = clock()
    for _ in range(task.count):
        allowed.acquire()
        sent.append(clock())
        ws.send(payload)
    for _ in range(task.in_flight):
        allowed.acquire()
    seconds = clock() - start
    ws.close()
    return {"seconds": seconds, **latencies(trips)}


if __name__ == "__main__":
    main(__name__, lambda coroutine: webapi.run(lambda: coroutine))
