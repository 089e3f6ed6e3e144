"""PyPI `websocket-client`, its blocking `WebSocket`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import websocket

from benchmarks.peers import Figures, Task, clock, latencies, main


def connect(task: Task) -> websocket.WebSocket:
    """Connect; as its documentation has it for speed: `wsaccel` masks, and no UTF-8 is checked."""
    options = {"ca_certs": task.authority} if task.url.startswith("wss:") else {}
    return websocket.create_connection(
        task.url, sslopt=options, enable_multithread=False, skip_utf8_validation=True
    )


def flood(task: Task) -> Figures:
    """Take `count` messages."""
    ws = connect(task)
    start = clock()
    for _ in range(task.count):
        ws.recv()
    return {"seconds": clock() - start}


def echo(task: Task) -> Figures:
    """Send what comes back, `in_flight` at a time, until `count` have come."""
    ws, payload = connect(task), task.payload
    start = clock()
    for _ in range(task.in_flight):
        ws.send(payload)
    for _ in range(task.count - 1):
        ws.send(ws.recv())
    ws.recv()
    return {"seconds": clock() - start}


def latency(task: Task) -> Figures:
    """Make `count` round trips, one after the other."""
    ws, payload, trips = connect(task), task.payload, []
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
    ws, data = connect(task), task.data
    start = clock()
    for _ in range(task.count):
        ws.send_binary(data)
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
    import threading

    options = {"ca_certs": task.authority} if task.url.startswith("wss:") else {}
    ws = websocket.create_connection(task.url, sslopt=options, skip_utf8_validation=True)
    payload, allowed = task.payload, threading.Semaphore(task.in_flight)
    sent: list[float] = []
    trips: list[float] = []

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
