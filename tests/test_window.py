"""`Window`: https://html.spec.whatwg.org/multipage/nav-history-apis.html#the-window-object"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
import weakref
from typing import Any

import pytest
from servers import websockets_echo

import webapi
from webapi import DOMException, WebSocket, Window
from webapi.net import connection
from webapi.net.opening import Established, shake_hands
from webapi.testing import Peer, Server

PAGE = "https://app.example/room/7?x=1#part"


async def until_end(peer: Peer) -> None:
    await peer.wait_end()


# -- the page ------------------------------------------------------------------------------------


def test_location_and_origin() -> None:
    window = Window("https://user@APP.example:8443/room/../7?x=1#part")
    location = window.location
    assert str(location) == location.href == "https://user@app.example:8443/7?x=1#part"
    assert location.toString() == location.href
    assert location.protocol == "https:"
    assert location.host == "app.example:8443"
    assert location.hostname == "app.example"
    assert location.port == "8443"
    assert location.pathname == "/7"
    assert location.search == "?x=1"
    assert location.hash == "#part"
    assert window.origin == location.origin == "https://app.example:8443"
    assert repr(window) == "<Window https://app.example:8443/7?x=1#part>"
    assert repr(location) == "<Location https://app.example:8443/7?x=1#part>"
    with pytest.raises(AttributeError):
        location.href = "https://other.example/"  # type: ignore[misc]


@pytest.mark.parametrize(
    "url", ["about:blank", "data:text/html,hello", "file:///home/page.html", "app:page"]
)
def test_opaque_origins_are_null(url: str) -> None:
    assert Window(url).origin == "null"


def test_a_window_without_a_url_is_blank() -> None:
    assert Window().location.href == "about:blank"


@pytest.mark.parametrize("url", ["", "/page", "app.example", "https://", "http://a b/"])
def test_a_page_needs_an_absolute_url(url: str) -> None:
    with pytest.raises(DOMException, match="absolute URL") as caught:
        Window(url)
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"open_timeout": 0}, ValueError),
        ({"open_timeout": "1"}, TypeError),
        ({"max_message_size": None}, TypeError),
        ({"max_connecting": 1.5}, TypeError),
        ({"ssl_context": "no"}, TypeError),
        ({"headers": {"Host": "x"}}, ValueError),
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match=next(iter(options))[:6]):
        Window(PAGE, **options)


# -- its WebSocket -------------------------------------------------------------------------------


def test_the_class_is_a_real_subclass() -> None:
    window = Window(PAGE)
    Bound = window.WebSocket
    assert Bound is window.WebSocket
    assert Bound is not Window(PAGE).WebSocket
    assert issubclass(Bound, WebSocket)
    assert (Bound.__name__, Bound.__doc__) == ("WebSocket", WebSocket.__doc__)
    assert (Bound.CONNECTING, Bound.OPEN, Bound.CLOSING, Bound.CLOSED) == (0, 1, 2, 3)
    ws = Bound("ws://127.0.0.1:1/")
    assert isinstance(ws, WebSocket)
    assert isinstance(ws, Bound)
    assert not isinstance(WebSocket("ws://127.0.0.1:1/"), Bound)


@pytest.mark.parametrize(
    ("base", "url", "resolved"),
    [
        (PAGE, "/ws", "wss://app.example/ws"),
        (PAGE, "ws", "wss://app.example/room/ws"),
        (PAGE, "?a", "wss://app.example/room/7?a"),
        (PAGE, "", "wss://app.example/room/7?x=1"),
        (PAGE, "//other.example/x", "wss://other.example/x"),
        (PAGE, "wss://other.example", "wss://other.example/"),
        ("http://app.example:8080/", "/ws", "ws://app.example:8080/ws"),
        ("http://app.example:8080/", "https://h/", "wss://h/"),
    ],
)
def test_urls_are_relative_to_the_page(base: str, url: str, resolved: str) -> None:
    ws = Window(base).WebSocket(url)
    assert ws.url == resolved
    ws.close()


@pytest.mark.parametrize(
    ("base", "url"), [(PAGE, "#x"), ("about:blank", "/ws"), ("file:///a", "/ws"), (PAGE, "ftp://h")]
)
def test_urls_that_lead_nowhere(base: str, url: str) -> None:
    with pytest.raises(DOMException) as caught:
        Window(base).WebSocket(url)
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize(
    ("page", "origin"),
    [
        ("http://app.example/room", "http://app.example"),
        ("http://app.example:8080/", "http://app.example:8080"),
        ("about:blank", "null"),
        ("file:///x", "null"),
    ],
)
def test_the_origin_header_is_the_pages(page: str, origin: str, record: Any) -> None:
    with Server(until_end) as server, Window(page) as window:
        record(window.WebSocket(server.url)).wait("open")
        assert server.peers[0].head.all("origin") == [origin]


def test_options_are_the_windows_unless_the_sockets(record: Any) -> None:
    with (
        Server(until_end) as server,
        Window("http://app.example", headers={"X-A": "1", "X-B": "2"}, compression=False) as window,
    ):
        record(window.WebSocket(server.url)).wait("open")
        ws = window.WebSocket(server.url, headers=[("x-b", "3"), ("X-C", "4")], compression=True)
        record(ws).wait("open")
        record(WebSocket(server.url)).wait("open")
        first, second, third = (
            [pair for pair in peer.head.headers if pair[0].startswith("x-")]
            for peer in server.peers
        )
        assert first == [("x-a", "1"), ("x-b", "2")]
        assert second == [("x-a", "1"), ("x-b", "3"), ("x-c", "4")]
        assert third == []
        assert server.peers[0].head.all("sec-websocket-extensions") == []
        assert server.peers[1].head.all("sec-websocket-extensions") != []


def test_max_message_size_of_the_window(websockets_server: Any, record: Any) -> None:
    url = websockets_server(websockets_echo)
    with Window("http://app.example", max_message_size=10) as window:
        recorder = record(window.WebSocket(url))
        recorder.wait("open")
        recorder.ws.send("x" * 11)
        assert recorder.wait("close").code == 1006
    assert not recorder.data


def test_a_subclass_of_the_windows_class(websockets_server: Any, record: Any) -> None:
    url = websockets_server(websockets_echo)
    with Window(url.replace("ws:", "http:")) as window:

        class Chat(window.WebSocket):  # type: ignore[name-defined,misc]
            def say(self, text: str) -> None:
                self.send(text.upper())

        recorder = record(Chat("/"))
        recorder.wait("open")
        recorder.ws.say("hello")
        assert recorder.wait("message").data == "HELLO"


def test_two_windows_do_not_wait_for_one_another(record: Any) -> None:
    async def silence(peer: Peer) -> None:
        await peer.wait_end()

    with Server(silence, handshake=False) as server:
        with Window("http://a.example") as one, Window("http://b.example") as other:
            first, second = one.WebSocket(server.url), other.WebSocket(server.url)
            deadline = threading.Event()
            while len(server.peers) < 2:
                assert not deadline.wait(0.01)
            assert first.readyState == second.readyState == WebSocket.CONNECTING


# -- its end -------------------------------------------------------------------------------------


def test_close_makes_the_sockets_disappear(record: Any) -> None:
    codes: list[Any] = []
    received: list[Any] = []

    async def script(peer: Peer) -> None:
        async for message in peer:
            received.append(message)
        codes.append(peer.close_received)

    with Server(script) as server:
        window = Window("http://app.example")
        recorders = [record(window.WebSocket(server.url)) for _ in range(3)]
        other = record(WebSocket(server.url))
        for recorder in [*recorders, other]:
            recorder.wait("open")
        recorders[0].ws.send("last words")
        window.close()
        window.close()
        for recorder in recorders:
            assert recorder.ws.readyState == WebSocket.CLOSED
            recorder.ws.send("nobody hears this")
            recorder.ws.close()
        other.ws.close()
        other.wait("close")
        server.wait_scripts()
        assert sorted(close.code or 0 for close in codes) == [0, 1001, 1001, 1001]
        assert received == ["last words"]
        for recorder in recorders:
            assert recorder.types == ["open"]


async def nothing() -> None:
    pass


class SlowReader:
    """A script that reads only when it is told to, and notes what came, and how it ended."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.close: Any = None
        self.may_read = threading.Event()

    async def __call__(self, peer: Peer) -> None:
        while not self.may_read.is_set():
            await asyncio.sleep(0.005)
        async for message in peer:
            self.received.append(message)
        self.close = peer.close_received


@pytest.mark.parametrize(("count", "size"), [(1, 20_000_000), (100, 100_000)])
@pytest.mark.parametrize("closing", [False, True])
def test_what_was_sent_before_still_leaves(
    count: int, size: int, closing: bool, record: Any
) -> None:
    script = SlowReader()
    messages = [os.urandom(size) for _ in range(count)]
    with Server(script) as server:
        window = Window("http://app.example", compression=False)
        recorder = record(window.WebSocket(server.url))
        recorder.wait("open")
        for message in messages:
            recorder.ws.send(message)
        if closing:
            recorder.ws.close(3000)
        window.close()
        # the loop has seen to it, and only then does the server begin to read
        asyncio.run_coroutine_threadsafe(nothing(), recorder.ws._page.loop).result(20)
        script.may_read.set()
        server.wait_scripts()
    all_came = script.received == messages  # a diff of 20 MB takes long
    assert all_came
    assert script.close.code == (3000 if closing else 1001)
    assert recorder.types == ["open"]
    assert recorder.ws.bufferedAmount == 0


def test_a_script_ends_when_what_was_sent_before_left() -> None:
    def main() -> None:
        def say_and_go(_: Any) -> None:
            ws.send(message)
            window.close()
            script.may_read.set()

        ws = window.WebSocket(server.url)
        ws.onopen = say_and_go

    script = SlowReader()
    message = os.urandom(20_000_000)
    with Server(script) as server:
        window = Window("http://app.example", compression=False)
        webapi.run(main)
        server.wait_scripts()
    all_came = script.received == [message]
    assert all_came
    assert script.close.code == 1001


def test_data_that_cannot_leave_hold_a_script_for_the_closing_timeout_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.3)
    script = SlowReader()
    sockets: list[Any] = []

    def main() -> None:
        def say_and_go(_: Any) -> None:
            ws.send(bytes(20_000_000))
            window.close()

        ws = window.WebSocket(server.url)
        ws.onopen = say_and_go
        sockets.append(ws)

    with Server(script) as server:
        window = Window("http://app.example", compression=False)
        webapi.run(main)
        assert not script.may_read.is_set()
        assert sockets[0].bufferedAmount > 0
        assert not sockets[0]._page.kept_alive


def test_what_comes_after_the_end_is_dropped(record: Any) -> None:
    """The socket reads on, so that a server which sends first gets to the Close frame."""
    closed = threading.Event()
    codes: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.send("one")
        while not closed.is_set():
            await asyncio.sleep(0.005)
        for _ in range(100):
            await peer.send("x" * 1_000_000)
        async for _ in peer:
            pass
        codes.append(peer.close_received)

    with Server(script) as server:
        window = Window("http://app.example", compression=False)
        recorder = record(window.WebSocket(server.url))
        recorder.wait("message")
        window.close()
        closed.set()
        server.wait_scripts()
    assert codes[0].code == 1001
    assert recorder.types == ["open", "message"]


def test_a_socket_of_a_closed_window_is_collected(websockets_server: Any) -> None:
    window = Window(websockets_server(websockets_echo).replace("ws:", "http:"))
    opened = threading.Event()
    ws = window.WebSocket("/")
    ws.onopen = lambda event: opened.set()
    assert opened.wait(20)
    page, gone = ws._page, weakref.ref(ws)
    window.close()
    asyncio.run_coroutine_threadsafe(nothing(), page.loop).result(20)
    del ws
    deadline = time.monotonic() + 20
    while gone() is not None and time.monotonic() < deadline:  # its end is still under way
        gc.collect()
        time.sleep(0.005)
    assert gone() is None


def test_close_while_connecting(record: Any) -> None:
    async def silence(peer: Peer) -> None:
        await peer.wait_end()

    with Server(silence, handshake=False) as server:
        with Window("http://app.example") as window:
            recorder = record(window.WebSocket(server.url))
            waits = record(window.WebSocket(server.url))
        assert recorder.ws.readyState == waits.ws.readyState == WebSocket.CLOSED
        server.wait_scripts()
        assert recorder.types == waits.types == []


def test_no_socket_in_a_closed_window() -> None:
    window = Window(PAGE)
    window.close()
    with pytest.raises(DOMException, match="the window is closed") as caught:
        window.WebSocket("/ws")
    assert caught.value.name == "InvalidStateError"


def test_a_window_on_a_running_loop() -> None:
    codes: list[Any] = []

    async def script(peer: Peer) -> None:
        async for _ in peer:
            pass
        codes.append(peer.close_received)

    async def main() -> None:
        async with Server(script) as server:
            with Window("http://app.example") as window:
                ws = window.WebSocket(server.url)
                opened = asyncio.get_running_loop().create_future()
                ws.onopen = opened.set_result
                await opened
                assert server.peers[0].head.all("origin") == ["http://app.example"]
            while not codes:
                await asyncio.sleep(0.005)

    asyncio.run(main())
    assert codes[0].code == 1001


def test_a_closed_window_does_not_hold_a_page() -> None:
    def main() -> None:
        ws.append(window.WebSocket(server.url))
        ws[0].onopen = lambda event: window.close()
        ws[0].onclose = lambda event: None  # can no longer be called, so nothing waits for it

    ws: list[WebSocket] = []
    with Server(until_end) as server:
        window = Window("http://app.example")
        webapi.run(main)
    assert ws[0].readyState == WebSocket.CLOSED


def test_a_dropped_window_leaves_its_sockets_alone(websockets_server: Any, record: Any) -> None:
    url = websockets_server(websockets_echo)
    window = Window("http://app.example")
    gone = weakref.ref(window)
    recorder = record(window.WebSocket(url))
    del window
    gc.collect()
    assert gone() is None
    recorder.wait("open")
    recorder.ws.send("still here")
    assert recorder.wait("message").data == "still here"


# -- how its connections are made ----------------------------------------------------------------


def test_a_window_decides_how_a_connection_is_made(record: Any) -> None:
    """The seam for interception: below `WebSocket`, above the network."""
    asked: list[str] = []

    async def establish(options: Any, dialled: Any) -> Established:
        asked.append(options.url.href)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        dialled(ours)

        async def serve() -> None:
            reader, writer = await asyncio.open_connection(sock=theirs)
            peer = Peer(reader, writer)
            await peer.read_head()
            await peer.accept(protocol="chat")
            async for message in peer:
                await peer.send(f"{message} {peer.head.all('host')[0]}")
            await peer.end()

        tasks.append(asyncio.create_task(serve()))
        return await shake_hands(ours, options)  # `wss` or not: no TLS

    tasks: list[Any] = []
    with Window("https://app.example/") as window:
        window._settings.establish = establish
        recorder = record(window.WebSocket("wss://api.example/feed", "chat"))
        recorder.wait("open")
        recorder.ws.send("hello")
        assert recorder.wait("message").data == "hello api.example"
        assert recorder.ws.protocol == "chat"
        recorder.ws.close(1000)
        assert recorder.wait("close").wasClean
    assert asked == ["wss://api.example/feed"]
