"""What is collected, and what that sends: https://websockets.spec.whatwg.org/#garbage-collection"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from lifetime_server import DEADLINE, LifetimeServer

from webapi import WebSocket
from webapi.html import background


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_collected(reference: weakref.ref[Any]) -> None:
    def collected() -> bool:
        gc.collect()
        return reference() is None

    wait_until(collected)


def in_the_loop(steps: Callable[[], object]) -> None:
    """Run `steps` on the background loop, and wait for it."""
    done = threading.Event()

    def run() -> None:
        try:
            steps()
        finally:
            done.set()

    background.background().queue_task(run)
    assert done.wait(DEADLINE)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A server that takes TCP connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(DEADLINE)
        yield listening


def open_socket(url: str) -> WebSocket:
    ws = WebSocket(url)
    wait_until(lambda: ws.readyState == WebSocket.OPEN)
    return ws


def test_open_socket_without_listeners_is_collected_and_closes_without_a_code(
    lifetime_server: LifetimeServer, name: str
) -> None:
    ws = open_socket(lifetime_server.url("echo", name))
    reference = weakref.ref(ws)
    del ws
    wait_collected(reference)
    assert lifetime_server.wait_over(name)[0].code == 1005


def test_what_a_dropped_socket_sent_leaves_first(
    lifetime_server: LifetimeServer, name: str
) -> None:
    ws = open_socket(lifetime_server.url("echo", name))
    for n in range(100):
        ws.send(str(n))
    reference = weakref.ref(ws)
    del ws
    wait_collected(reference)
    (visit,) = lifetime_server.wait_over(name)
    assert visit.messages == [str(n) for n in range(100)]
    assert visit.code == 1005


def test_socket_whose_only_listener_can_no_longer_fire_is_collected(
    lifetime_server: LifetimeServer, name: str
) -> None:
    opened = threading.Event()

    def make() -> weakref.ref[WebSocket]:
        ws = WebSocket(lifetime_server.url("echo", name))
        ws.onopen = lambda event: opened.set()
        return weakref.ref(ws)

    reference = make()
    assert opened.wait(DEADLINE)
    wait_collected(reference)
    assert lifetime_server.wait_over(name)[0].code == 1005


@pytest.mark.parametrize("type", ["message", "error", "close"])
def test_socket_with_a_listener_that_can_fire_is_not_collected(
    lifetime_server: LifetimeServer, name: str, type: str
) -> None:
    opened, fired = threading.Event(), threading.Event()

    def make() -> weakref.ref[WebSocket]:
        ws = WebSocket(lifetime_server.url("echo", name))
        ws.onopen = lambda event: opened.set()
        ws.addEventListener(type, lambda event: fired.set())
        return weakref.ref(ws)

    reference = make()
    assert opened.wait(DEADLINE)
    for _ in range(3):
        in_the_loop(gc.collect)
        gc.collect()
    ws = reference()
    assert ws is not None
    assert ws.readyState == WebSocket.OPEN
    ws.send("hello")  # the echo fires `message`
    if type == "close":
        ws.close()
    if type != "error":
        assert fired.wait(DEADLINE)


def test_removing_its_listeners_lets_a_socket_be_collected(
    lifetime_server: LifetimeServer, name: str
) -> None:
    ws = open_socket(lifetime_server.url("echo", name))
    reference = weakref.ref(ws)

    def listener(event: object) -> None: ...

    ws.addEventListener("message", listener)
    ws.onclose = listener
    ws.removeEventListener("message", listener)
    ws.onclose = None
    del ws
    wait_collected(reference)
    assert lifetime_server.wait_over(name)[0].code == 1005


def test_once_listener_holds_a_socket_until_it_fired(
    lifetime_server: LifetimeServer, name: str
) -> None:
    got = threading.Event()

    def make() -> weakref.ref[WebSocket]:
        ws = WebSocket(lifetime_server.url("greet", name))
        ws.addEventListener("message", lambda event: got.set(), once=True)
        return weakref.ref(ws)

    reference = make()
    assert got.wait(DEADLINE)
    wait_collected(reference)
    assert lifetime_server.wait_over(name)[0].code == 1005


def test_closed_socket_is_collected_with_its_listeners(
    lifetime_server: LifetimeServer, name: str
) -> None:
    closed = threading.Event()

    def make() -> weakref.ref[WebSocket]:
        ws = WebSocket(lifetime_server.url("leave", name))
        ws.onopen = ws.onmessage = ws.onerror = lambda event: ws
        ws.onclose = lambda event: (ws, closed.set())
        return weakref.ref(ws)

    reference = make()
    assert closed.wait(DEADLINE)
    wait_collected(reference)


def test_failed_socket_is_collected_with_its_listeners(closed_port: int) -> None:
    closed = threading.Event()

    def make() -> weakref.ref[WebSocket]:
        ws = WebSocket(f"ws://127.0.0.1:{closed_port}/")
        ws.onclose = lambda event: (ws, closed.set())
        return weakref.ref(ws)

    reference = make()
    assert closed.wait(DEADLINE)
    wait_collected(reference)


def test_connecting_socket_without_listeners_is_collected_and_aborted(
    listening: socket.socket,
) -> None:
    ws = WebSocket(f"ws://127.0.0.1:{listening.getsockname()[1]}/")
    server_side, _ = listening.accept()
    with server_side:
        server_side.settimeout(DEADLINE)
        assert server_side.recv(65536).startswith(b"GET / HTTP/1.1\r\n")
        reference = weakref.ref(ws)
        del ws
        wait_collected(reference)
        assert server_side.recv(1) == b""  # the connection is ended


def test_socket_dropped_before_it_connects_opens_no_connection(listening: socket.socket) -> None:
    holding = threading.Event()
    background.background().queue_task(holding.wait, DEADLINE)
    ws = WebSocket(f"ws://127.0.0.1:{listening.getsockname()[1]}/")
    reference = weakref.ref(ws)
    del ws
    gc.collect()
    assert reference() is None
    holding.set()
    in_the_loop(lambda: None)
    wait_until(lambda: not background.background().connections)


def test_connecting_socket_with_a_listener_is_kept(listening: socket.socket) -> None:
    closed: list[int] = []

    def make() -> weakref.ref[WebSocket]:
        ws = WebSocket(f"ws://127.0.0.1:{listening.getsockname()[1]}/")
        ws.onclose = lambda event: closed.append(event.code)
        return weakref.ref(ws)

    reference = make()
    server_side, _ = listening.accept()
    gc.collect()
    assert reference() is not None
    server_side.close()
    wait_until(lambda: closed == [1006])
    wait_collected(reference)


def test_dropped_on_its_own_loop(lifetime_server: LifetimeServer, name: str) -> None:
    async def main() -> None:
        ws = WebSocket(lifetime_server.url("echo", name))
        opened = asyncio.Event()
        ws.addEventListener("open", lambda event: opened.set(), once=True)
        await asyncio.wait_for(opened.wait(), DEADLINE)
        reference = weakref.ref(ws)
        await asyncio.sleep(0)
        del ws
        gc.collect()
        assert reference() is None
        deadline = time.monotonic() + DEADLINE
        while not lifetime_server.visits(name)[0].over:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    asyncio.run(main())
    assert lifetime_server.visits(name)[0].code == 1005


def test_listener_that_drops_the_last_reference(lifetime_server: LifetimeServer, name: str) -> None:
    held: dict[str, WebSocket] = {}
    held["ws"] = WebSocket(lifetime_server.url("greet", name))
    reference = weakref.ref(held["ws"])
    dropped = threading.Event()

    def onmessage(event: Any) -> None:
        held.pop("ws").onmessage = None
        dropped.set()

    held["ws"].onmessage = onmessage
    assert dropped.wait(DEADLINE)
    del onmessage
    wait_collected(reference)
    assert lifetime_server.wait_over(name)[0].code == 1005


@pytest.mark.parametrize("ending", ["close", "collect", "server", "abort"])
def test_nothing_leaks_after_200_sockets(
    lifetime_server: LifetimeServer, name: str, listening: socket.socket, ending: str
) -> None:
    me = psutil.Process()
    page = background.background()

    def connections() -> int:
        """Descriptors of this process that are connected to, or made for, our servers."""
        ports = {lifetime_server.port, listening.getsockname()[1]}
        return sum(bool(c.raddr) and c.raddr.port in ports for c in me.net_connections("tcp"))

    def alive() -> int:
        gc.collect()
        return sum(type(thing) is WebSocket for thing in gc.get_objects())

    wait_until(lambda: not page.connections)
    threads = {thread.ident for thread in threading.enumerate()}
    tasks = len(asyncio.all_tasks(page.loop))
    descriptors, sockets_before = me.num_fds(), alive()
    kind = {"server": "leave"}.get(ending, "echo")
    url = lifetime_server.url(kind, name)
    if ending == "abort":
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"

    def use_50_sockets() -> None:
        sockets = [WebSocket(url, max_connecting=50) for _ in range(50)]
        events: list[str] = []
        if ending != "collect":
            for ws in sockets:
                ws.onclose = lambda event: events.append(event.type)
        if ending in ("close", "collect"):
            wait_until(lambda: all(ws.readyState == 1 for ws in sockets))
        if ending in ("close", "abort"):
            for ws in sockets:
                ws.close()
        if ending != "collect":
            wait_until(lambda: len(events) == 50)

    for _ in range(4):
        use_50_sockets()
        gc.collect()
    if ending != "abort":
        lifetime_server.wait_over(name, 200)
    wait_until(lambda: not page.connections)
    wait_until(lambda: connections() == 0)
    wait_until(lambda: alive() <= sockets_before)
    wait_until(lambda: len(asyncio.all_tasks(page.loop)) <= tasks)
    wait_until(lambda: me.num_fds() <= descriptors)
    assert {thread.ident for thread in threading.enumerate()} <= threads
    assert not page.kept_alive
    assert os.getpid() == me.pid
