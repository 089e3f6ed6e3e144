"""No event is lost to the thread race: sockets made outside their loop, an immediate server.

The server is PyPI `websockets`; it says "welcome" as soon as the connection is open.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent.parent
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from lifetime_server import DEADLINE, LifetimeServer  # noqa: E402

from webapi import WebSocket  # noqa: E402
from webapi.websockets import early_events  # noqa: E402


@pytest.fixture(scope="module")
def server() -> Iterator[LifetimeServer]:
    server = LifetimeServer()
    yield server
    server.stop()


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the 50 ms long enough that a loaded machine cannot miss them."""
    monkeypatch.setattr(early_events, "TICK", 2 * DEADLINE)


@pytest.mark.usefixtures("long_grace")
def test_listeners_set_after_the_socket_is_open_lose_nothing(
    server: LifetimeServer, name: str
) -> None:
    ws = WebSocket(server.url("leave", name))
    wait_until(lambda: ws.readyState == WebSocket.OPEN)  # the state is true already
    server.wait_for(name)
    events: list[str] = []
    ws.onopen = lambda event: events.append("open")
    ws.onmessage = lambda event: events.append(event.data)
    ws.onclose = lambda event: events.append(event.code)
    wait_until(lambda: len(events) == 3)
    assert events == ["open", "bye", 1000]


@pytest.mark.usefixtures("long_grace")
def test_what_comes_behind_a_waiting_event_waits_too(server: LifetimeServer, name: str) -> None:
    """A listener for a later event does not get it before the earlier one was taken."""
    ws = WebSocket(server.url("leave", name))
    events: list[object] = []
    closed = threading.Event()
    ws.onmessage = lambda event: events.append(event.data)
    ws.onclose = lambda event: (events.append(event.code), closed.set())
    wait_until(lambda: ws._early and ws._early.waiting)
    assert events == []
    ws.onopen = lambda event: events.append("open")
    assert closed.wait(DEADLINE)
    assert events == ["open", "bye", 1000]


@pytest.mark.usefixtures("long_grace")
def test_failure_waits_for_its_listeners(closed_port: int) -> None:
    ws = WebSocket(f"ws://127.0.0.1:{closed_port}/")
    wait_until(lambda: ws._early and ws._early.waiting)
    events: list[str] = []
    ws.onerror = lambda event: events.append(event.type)
    wait_until(lambda: events == ["error"])
    ws.onclose = lambda event: events.append(event.type)
    wait_until(lambda: events == ["error", "close"])
    assert ws.readyState == WebSocket.CLOSED


@pytest.mark.usefixtures("long_grace")
def test_a_waiting_socket_is_kept_though_nobody_holds_it(server: LifetimeServer, name: str) -> None:
    import weakref

    ws = WebSocket(server.url("greet", name))
    wait_until(lambda: ws._early and ws._early.waiting)
    reference = weakref.ref(ws)
    del ws
    gc.collect()
    ws = reference()  # type: ignore[assignment]
    assert ws is not None
    events: list[str] = []
    ws.onopen = lambda event: events.append("open")
    wait_until(lambda: events == ["open"])


def test_after_the_grace_an_event_without_a_listener_is_dropped(
    server: LifetimeServer, name: str
) -> None:
    began = time.monotonic()
    ws = WebSocket(server.url("greet", name))
    events: list[str] = []
    ws.onclose = lambda event: events.append("close")
    wait_until(lambda: ws.readyState == WebSocket.OPEN)
    wait_until(lambda: ws._early is None)
    assert time.monotonic() - began >= early_events.TICKS * early_events.TICK
    ws.onopen = lambda event: events.append("open")
    ws.onmessage = lambda event: events.append(event.data)
    ws.send("echo")
    wait_until(lambda: "echo" in events)
    ws.close()
    wait_until(lambda: "close" in events)
    assert "open" not in events


@pytest.mark.usefixtures("long_grace")
def test_open_is_not_fired_once_close_was_called(server: LifetimeServer, name: str) -> None:
    """In a page, a listener for `open` always finds the state OPEN."""
    ws = WebSocket(server.url("greet", name))
    wait_until(lambda: ws._early and ws._early.waiting)
    ws.close()
    events: list[str] = []
    for type in ("open", "message", "close"):
        ws.addEventListener(type, lambda event: events.append(event.type))
    wait_until(lambda: "close" in events)
    assert events == ["close"]


def test_patience_with_a_held_up_maker_begins_when_an_event_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that takes long is not counted against a maker that cannot run."""
    monkeypatch.setattr(early_events._Thread, "is_held_up", lambda thread: True)
    monkeypatch.setattr(early_events, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = time.monotonic()
        ws = WebSocket(f"ws://127.0.0.1:{listening.getsockname()[1]}/")
        connection, _ = listening.accept()
        wait_until(lambda: time.monotonic() > began + 4 * early_events.PATIENCE)
        assert ws._early
        monkeypatch.setattr(early_events, "PATIENCE", DEADLINE)
        connection.close()  # and so it fails
    wait_until(lambda: ws._early and ws._early.waiting)
    events: list[str] = []
    ws.onerror = lambda event: events.append(event.type)
    ws.onclose = lambda event: events.append(event.type)
    # the maker seems held up for good: `DEADLINE` would end the wait, and a look that says no
    monkeypatch.undo()
    wait_until(lambda: events == ["error", "close"])


def test_patience_with_a_held_up_maker_ends(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_events._Thread, "is_held_up", lambda thread: True)
    monkeypatch.setattr(early_events, "PATIENCE", 0.05)
    ws = WebSocket(f"ws://127.0.0.1:{closed_port}/")
    wait_until(lambda: ws._early is None)
    assert ws.readyState == WebSocket.CLOSED


def test_inside_a_loop_nothing_waits(
    server: LifetimeServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_events, "TICK", 1e6)

    async def main() -> None:
        ws = WebSocket(server.url("leave", name))
        assert ws._early is None
        closed = asyncio.Event()
        events: list[Any] = []
        ws.onclose = lambda event: (events.append(event.code), closed.set())
        # nobody listens to `open` and `message`, and `close` comes none the later
        await asyncio.wait_for(closed.wait(), DEADLINE)
        ws.onopen = lambda event: events.append("open")
        await asyncio.sleep(0)
        assert events == [1000]

    asyncio.run(main())


def test_inside_a_handler_nothing_waits(server: LifetimeServer, name: str) -> None:
    first = WebSocket(server.url("leave", name))
    early: list[object] = []
    first.onclose = lambda event: early.append(
        WebSocket(server.url("leave", name))._early  # it lives on this very loop
    )
    wait_until(lambda: early)
    assert early == [None]


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_10000_sockets_from_a_foreign_thread_lose_no_event(
    server: LifetimeServer, name: str
) -> None:
    """The listeners come as a user sets them, right behind the constructor, while events come."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # provoke it: a switch nearly everywhere
    url = server.url("leave", name)
    lost: list[list[object]] = []

    class Check:
        def __init__(self, closed: threading.Semaphore) -> None:
            self.events: list[object] = []
            self.closed = closed
            self.ws = WebSocket(url, max_connecting=50)
            self.ws.onopen = lambda event: self.events.append("open")
            self.ws.onmessage = lambda event: self.events.append(event.data)
            self.ws.onclose = lambda event: (self.events.append(event.code), closed.release())

    try:
        for _ in range(100):
            closed = threading.Semaphore(0)
            batch = [Check(closed) for _ in range(100)]
            for _ in batch:
                assert closed.acquire(timeout=DEADLINE), [check.events for check in batch]
            lost += [check.events for check in batch if check.events != ["open", "bye", 1000]]
    finally:
        sys.setswitchinterval(interval)
    assert lost == []


# Held up at the worst moment: the socket is open, and its events wait. A round in which the server
# was so slow that the maker had a part of its 50 ms before that says nothing, and is done again.
MAKER = """
import os, signal, sys, threading
from webapi import WebSocket
from webapi.html.event_loop import EventLoop
from webapi.websockets import early_events

early_events.PATIENCE = 60  # seconds: what is tested is that the maker gets its chance
EventLoop.background()  # its thread keeps the priority and the processors of the process
{setup}
lost = []
rounds = 0
while rounds < 50:
    events, closed = [], threading.Event()
    ws = WebSocket(sys.argv[1])
    while ws.readyState == WebSocket.CONNECTING:
        pass
    early = ws._early
    if early is None or early._ticks < early_events.TICKS:
        ws.close()
        continue
    rounds += 1
    {hold_up}
    ws.addEventListener("open", lambda event: events.append("open 1"))
    {hold_up}
    ws.addEventListener("open", lambda event: events.append("open 2"))
    ws.onmessage = lambda event: events.append(event.data)
    ws.onclose = lambda event: (events.append(event.code), closed.set())
    if not closed.wait(60) or events != ["open 1", "open 2", "bye", 1000]:
        lost.append(events)
print(lost)
"""


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    sys.platform != "linux", reason="a stopped child is seen through Linux's waitid"
)
def test_a_process_that_stands_still_for_a_while_loses_no_event(
    server: LifetimeServer, name: str
) -> None:
    """As on a machine that has too little for its guests: all threads stand still at once."""
    script = MAKER.format(setup="", hold_up="os.kill(os.getpid(), signal.SIGSTOP)")
    command = [sys.executable, "-c", script, server.url("leave", name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while status := os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT):
            if status.si_code != os.CLD_STOPPED:
                break
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            time.sleep(0.060)
            process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.read() == "[]\n"


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread its own priority")
def test_a_maker_that_hardly_gets_a_processor_loses_no_event(
    server: LifetimeServer, name: str
) -> None:
    """The maker's thread alone is starved: others with a better claim keep its processor busy."""
    alone = f"os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})"
    busy = [
        subprocess.Popen([sys.executable, "-c", f"import os\n{alone}\nwhile True: pass"])
        for _ in range(3)
    ]
    try:
        script = MAKER.format(setup=f"{alone}; os.nice(5)", hold_up="os.sched_yield()")
        command = [sys.executable, "-c", script, server.url("leave", name)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert done.stdout == "[]\n"
