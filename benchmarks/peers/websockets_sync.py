"""PyPI `websockets`, its blocking client, which has a thread of its own for each connection."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websockets_connect

from benchmarks.peers import Figures, Task, clock, latencies, main


def connect(task: Task, compression: str | None = None) -> ClientConnection:
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


def flood(task: Task) -> Figures:
    """Take `count` messages."""
    with connect(task) as ws:
        start = clock()
        for _ in range(task.count):
            ws.recv()
        return {"seconds": clock() - start}


def echo(task: Task, compression: str | None = None) -> Figures:
    """Send what comes back, `in_flight` at a time, until `count` have come."""
    payload = task.payload
    with connect(task, compression) as ws:
        start = clock()
        for _ in range(task.in_flight):
            ws.send(payload)
        for _ in range(task.count - 1):
            ws.send(ws.recv())
        ws.recv()
        return {"seconds": clock() - start}


def deflate(task: Task) -> Figures:
    """Echo with permessage-deflate."""
    return echo(task, "deflate")


def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    payload, trips = task.payload, []
    with connect(task) as ws:
        start = before = clock()
        for _ in range(task.count):
            ws.send(payload)
            ws.recv()
            after = clock()
            trips.append(after - before)
            before = after
    return {"seconds": after - start, **latencies(trips)}


def upload(task: Task) -> Figures:
    """Send `count` binary messages; wait for `done`."""
    data = task.data
    with connect(task) as ws:
        start = clock()
        for _ in range(task.count):
            ws.send(data)
        ws.recv()
        return {"seconds": clock() - start}


def opening(task: Task) -> Figures:
    """Make `count` connections, `in_flight` handshakes at a time, a thread each, and hold them."""
    sockets = []

    def open_one(_: int) -> None:
        sockets.append(connect(task))

    start = clock()
    if task.in_flight == 1:
        for number in range(task.count):
            open_one(number)
    else:
        with ThreadPoolExecutor(task.in_flight) as threads:
            list(threads.map(open_one, range(task.count)))
    return {"seconds": clock() - start}


def foreign(task: Task) -> Figures:
    """Send from the main thread while another receives, `in_flight` at a time."""
    payload, allowed = task.payload, threading.Semaphore(task.in_flight)
    sent: list[float] = []
    trips: list[float] = []
    with connect(task) as ws:

        def receive() -> None:
            for _ in range(task.count):
                ws.recv()
                trips.append(clock() - sent[len(trips)])
                allowed.release()

        receiver = threading.Thread(target=receive)
        receiver.start()
        start = clock()
        for _ in range(task.count):
            allowed.acquire()
            sent.append(clock())
            ws.send(payload)
        receiver.join()
        return {"seconds": clock() - start, **latencies(trips)}


if __name__ == "__main__":
    main(__name__)
