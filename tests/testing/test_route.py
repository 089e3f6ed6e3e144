"""`page.route`, network conditions, and ASGI applications without a server."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from webapi.testing import Failed, Page, ScriptPeer, WebSocketServer
from webapi.testing.route import compile_pattern

API = "wss://api.example.com"
Run = Callable[..., str]


def opened(page: Page, url: str) -> Any:
    tap = page.tap(page.WebSocket(url))
    tap.wait_for("open")
    return tap


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (f"{API}/**", [f"{API}/", f"{API}/a/b?c"], ["wss://other.example.com/"]),
        ("**/feed", [f"{API}/feed", "ws://h/a/feed"], [f"{API}/feeds"]),
        (f"{API}/*/x", [f"{API}/a/x"], [f"{API}/a/b/x"]),
        ("ws{,s}://h/{a,b}", ["ws://h/a", "wss://h/b"], ["ws://h/c"]),
        ("/ws?a=1", ["ws://page.example/ws?a=1"], ["ws://page.example/wsxa=1", "ws://h/ws?a=1"]),
        (re.compile("feed$"), [f"{API}/feed"], [f"{API}/feed/"]),
        (lambda url: "x" in url, ["ws://x/"], ["ws://y/"]),
    ],
)
def test_patterns(pattern: Any, yes: list[str], no: list[str]) -> None:
    fits = compile_pattern(pattern, "http://page.example/room")
    assert [fits(url) for url in yes + no] == [True] * len(yes) + [False] * len(no)


def test_a_pattern_of_another_type() -> None:
    with pytest.raises(TypeError, match="5 is no glob"):
        Page().route(5)  # type: ignore[arg-type]


# -- handlers


def test_hard_coded_url(page: Page) -> None:
    route = page.route("wss://api.example.com/**")

    @route.handle
    def handler(peer: ScriptPeer) -> None:
        peer.send(peer.receive().upper())

    ws = page.WebSocket("wss://api.example.com/feed?x=1", ["v2", "v1"])
    tap = page.tap(ws)
    tap.wait_for("open")
    assert (ws.protocol, ws.url) == ("v2", "wss://api.example.com/feed?x=1")
    ws.send("hello")
    tap.wait_for_message(text="HELLO")
    assert tap.wait_for("close").wasClean
    [peer] = route.peers
    assert (peer.path, peer.query, peer.headers["host"]) == ("/feed", {"x": "1"}, "api.example.com")
    assert peer.headers["origin"] == page.origin


@pytest.mark.asyncio
async def test_an_async_handler_on_the_tests_loop(page: Page) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()

    @page.route("ws://a.example/").handle
    async def handler(peer: ScriptPeer) -> None:
        async for data in peer:
            got.put_nowait(data)

    ws = page.WebSocket("ws://a.example/")
    ws.onopen = lambda event: ws.send("x")
    assert await asyncio.wait_for(got.get(), 20) == "x"
    page.may_leave_open = True  # the handler is at work when the test ends


def test_the_last_route_serves_and_one_without_a_handler_keeps_open(page: Page) -> None:
    page.route("**").refuse(500)
    silent = page.route(f"{API}/**")
    tap = opened(page, API)
    tap.none_for(0.01)
    [peer] = silent.wait_for_connections(1)
    peer.send("from the test")
    tap.wait_for_message(text="from the test")
    peer.close(4002)
    assert tap.wait_for("close").code == 4002
    refused = page.tap(page.WebSocket("ws://other.example/"))
    assert refused.wait_for("close").code == 1006
    assert "500 Internal Server Error" in str(refused.timeline)
    with pytest.raises(Failed, match="1 of 2 connections"):
        silent.wait_for_connections(2, timeout=0.01)


def test_the_test_may_speak_for_the_server(page: Page) -> None:
    route = page.route("wss://api.example.com/**")
    tap = page.tap(page.WebSocket("wss://api.example.com/feed"))
    tap.wait_for("open")
    tap.ws.send("from the page")
    [peer] = route.wait_for_connections(1)
    assert peer.receive(timeout=20) == "from the page"
    peer.send("from the test")
    tap.wait_for_message(text="from the test")
    peer.close(4000)
    assert tap.wait_for("close").code == 4000


def test_an_intercepted_connection_can_be_reset(page: Page) -> None:
    page.route(API).handle(lambda peer: None)
    page.route(f"{API}/reset").handle(lambda peer: peer.reset())
    tap = page.tap(page.WebSocket(f"{API}/reset"))
    tap.wait_for("close")
    assert [event.type for event in tap.events] == ["open", "error", "close"]


def test_offline_refuses_what_has_no_route(new_page: Callable[..., Page], ws_server: Any) -> None:
    page = new_page(offline=True)
    page.route(API + "/x").handle(lambda peer: peer.send("x"))
    tap = page.tap(page.WebSocket(ws_server.url))
    with pytest.raises(Failed) as caught:
        tap.wait_for("open")
    assert "no route fits" in str(caught.value)
    assert "routes: 'wss://api.example.com/x'" in str(caught.value)
    tap = page.tap(page.WebSocket(API + "/x"))
    tap.wait_for_message(text="x")
    tap.wait_for("close")


@pytest.mark.websocket_page("https://app.example/", offline=True)
def test_the_marker_makes_the_page(page: Page, webapi_page: Page) -> None:
    assert page.offline
    assert webapi_page is page
    assert page.origin == "https://app.example"


# -- the real server behind


def echo_server(ws_server: WebSocketServer) -> str:
    @ws_server.route("/echo", subprotocols=["v1"])
    def echo(peer: ScriptPeer) -> None:
        for data in peer:
            if data == "end":
                peer.close(4003, "ended")
            else:
                peer.send(data)

    return ws_server.url + "/echo"


@pytest.mark.parametrize("secure", [False, True])
def test_both_directions_may_be_edited(page: Page, ws_server: Any, secure: bool) -> None:
    url = echo_server(ws_server)
    relay = page.route(API).connect_to_server(ws_server.secure_url + "/echo" if secure else url)

    @relay.outgoing
    def outgoing(message: str) -> Any:
        return None if message == "secret" else message.lower()

    @relay.incoming
    async def incoming(message: str) -> Any:
        return [message, message + "!"]

    tap = page.tap(page.WebSocket(API, "v1"))
    tap.wait_for("open")
    assert tap.ws.protocol == "v1"
    tap.ws.send("secret")
    tap.ws.send("HELLO")
    tap.wait_for_message(text="hello!")
    assert tap.received == ["hello", "hello!"]
    tap.ws.send("end")
    close = tap.wait_for("close")
    assert (close.code, close.reason, close.wasClean) == (4003, "ended", True)
    assert ws_server.peers[0].received == ["hello", "end"]


def test_the_pages_close_reaches_the_server(page: Page, ws_server: WebSocketServer) -> None:
    url = echo_server(ws_server)
    page.route("**/echo").connect_to_server()
    tap = opened(page, url)
    tap.ws.close(3001, "bye")
    assert tap.wait_for("close").wasClean
    [peer] = ws_server.wait_for_connections(1)
    assert peer.wait_closed() == (3001, "bye")


def test_the_servers_reset_reaches_the_page(page: Page, ws_server: WebSocketServer) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.send("open")
        peer.receive()
        peer.reset()

    page.route(API).connect_to_server(ws_server.url)
    tap = page.tap(page.WebSocket(API))
    tap.wait_for_message(text="open")
    tap.ws.send("x")
    assert tap.wait_for("close").code == 1006
    assert [event.type for event in tap.events][-2:] == ["error", "close"]


def test_a_handler_may_speak_to_the_server(page: Page, ws_server: WebSocketServer) -> None:
    url = echo_server(ws_server)

    @page.route("**/echo").handle
    def handler(peer: ScriptPeer) -> None:
        server = peer.connect_to_server()
        server.send(peer.receive() + " by way of a handler")
        peer.send(server.receive())

    tap = opened(page, url)
    tap.ws.send("x")
    tap.wait_for_message(text="x by way of a handler")
    tap.wait_for("close")


def test_a_server_that_is_not_there(page: Page, closed_port: int) -> None:
    page.route("**").connect_to_server()
    tap = page.tap(page.WebSocket(f"ws://127.0.0.1:{closed_port}/"))
    tap.wait_for("close")
    assert "502 Bad Gateway" in str(tap.timeline)


def test_what_a_handler_raises_fails_the_test(run: Run) -> None:
    text = run(
        """
        def test_it(page):
            @page.route("wss://api.example.com/**").handle
            def handler(peer):
                assert peer.receive() == "right"
            ws = page.WebSocket("wss://api.example.com/")
            ws.onopen = lambda event: ws.send("wrong")
            page.tap(ws).wait_for("close")
        """,
        failed=1,
    )
    assert '>       assert peer.receive() == "right"' in text


# -- network conditions


def test_drop_connections(page: Page, ws_server: WebSocketServer) -> None:
    url = echo_server(ws_server)
    tap = opened(page, url)
    [peer] = ws_server.wait_for_connections(1)
    assert page.drop_connections() == 1
    assert tap.wait_for("close").code == 1006
    assert [event.type for event in tap.events] == ["open", "error", "close"]
    assert peer.wait_closed() is None
    assert "reset" in str(peer.timeline).lower()
    assert page.drop_connections() == 0


def test_offline_holds_what_is_open_and_refuses_the_rest(page: Page, ws_server: Any) -> None:
    url = echo_server(ws_server)
    tap = opened(page, url)
    page.emulate(offline=True)
    tap.ws.send("held")
    with pytest.raises(Failed):
        tap.wait_for_message(timeout=0.1)
    refused = page.tap(page.WebSocket(url))
    refused.wait_for("close")
    assert "the network is offline" in str(refused.timeline)
    page.emulate()
    tap.wait_for_message(text="held")
    tap.ws.close()
    assert tap.wait_for("close").wasClean


@pytest.mark.parametrize("secure", [False, True])
def test_latency_and_throughput(page: Page, ws_server: Any, secure: bool) -> None:
    echo_server(ws_server)
    url = (ws_server.secure_url if secure else ws_server.url) + "/echo"
    first = opened(page, url)
    page.emulate(latency=0.05)
    started = time.monotonic()
    second = opened(page, url)
    assert time.monotonic() - started >= 0.1  # the handshake's request and response
    for tap in (first, second):
        started = time.monotonic()
        tap.ws.send("x")
        tap.wait_for_message()
        assert time.monotonic() - started >= 0.1
    page.emulate(throughput=100_000)
    started = time.monotonic()
    second.ws.send("x" * 10_000)
    second.wait_for_message()
    assert time.monotonic() - started >= 0.2
    first.ws.close()
    second.ws.close()
    assert first.wait_for("close").wasClean
    assert second.wait_for("close").wasClean


def test_a_handshake_takes_no_longer_than_open_timeout(page: Page, ws_server: Any) -> None:
    url = echo_server(ws_server)
    page.emulate(latency=0.6)
    request = page.tap(page.WebSocket(url, open_timeout=0.1))
    response = page.tap(page.WebSocket(url, open_timeout=1.1))
    for tap, seconds in ((request, "0.1"), (response, "1.1")):
        assert tap.wait_for("close").code == 1006
        assert f"took longer than open_timeout, {seconds} s" in str(tap.timeline)


def test_a_handshake_on_its_way_can_be_closed_or_cut(page: Page, ws_server: Any) -> None:
    url = echo_server(ws_server)
    page.emulate(latency=2)
    closed = page.tap(page.WebSocket(url))
    ws_server.wait_for_connections(1)  # the response is on its way
    closed.ws.close()
    assert closed.wait_for("close").code == 1006
    assert [event.type for event in closed.events] == ["error", "close"]
    cut = page.tap(page.WebSocket(url))
    peer = ws_server.wait_for_connections(2)[1]
    page.emulate(offline=True)
    assert cut.wait_for("close").code == 1006
    assert "the network is offline" in str(cut.timeline)
    page.emulate()
    peer.wait_closed(timeout=20)


def test_bad_conditions(page: Page) -> None:
    with pytest.raises(ValueError, match="latency is -1"):
        page.emulate(latency=-1)
    with pytest.raises(ValueError, match="throughput is 0"):
        page.emulate(throughput=0)


# -- ASGI


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["greeting"] = "hello"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        ENDED.append(True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert (await receive())["type"] == "websocket.connect"
    headers = dict(scope["headers"])
    if scope["path"] == "/refused":
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/response":
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"set-cookie", b"seen=1")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": b"log in"})
        return
    if scope["path"] == "/broken":
        raise LookupError("in the application")
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    await send({"type": "websocket.send", "text": scope["state"]["greeting"]})
    await send({"type": "websocket.send", "text": headers[b"cookie"].decode()})
    await send({"type": "websocket.send", "bytes": headers[b"origin"]})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"][::-1]})
    DISCONNECTED.append((event["code"], event["reason"]))


ENDED: list[bool] = []
DISCONNECTED: list[tuple[int, str]] = []


def test_an_asgi_app_in_process(new_page: Callable[..., Page]) -> None:
    ENDED.clear()
    DISCONNECTED.clear()
    page = new_page("http://app.example/", cookies={"session": "7"}, offline=True)
    page.route("/ws/{a,b}").to_asgi(app)
    tap = page.tap(page.WebSocket("/ws/a?x=1", "chat"))
    tap.wait_for_message(text="hello")
    tap.wait_for_message(text="session=7")
    tap.wait_for_message(data=b"http://app.example")
    assert tap.ws.protocol == "chat"
    tap.ws.send("abc")
    tap.wait_for_message(text="cba")
    tap.ws.close(3000, "done")
    assert tap.wait_for("close").wasClean
    page.finish()
    assert ENDED == [True]
    assert DISCONNECTED == [(3000, "done")]


@pytest.mark.asyncio
async def test_an_asgi_app_on_the_tests_loop(new_page: Callable[..., Page]) -> None:
    page = new_page("http://app.example/", cookies={"session": "7"})
    loops = []

    async def where(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        await app(scope, receive, send)

    page.route("/ws").to_asgi(where)
    tap = page.tap(page.WebSocket("/ws"))
    await tap.wait_for_message(text="hello")
    assert set(loops) == {asyncio.get_running_loop()}
    page.may_leave_open = True


def test_asgi_refusals(new_page: Callable[..., Page]) -> None:
    page = new_page("http://app.example/")
    page.route("/**").to_asgi(app)
    for path, status in (("/refused", "403 Forbidden"), ("/response", "401 Unauthorized")):
        tap = page.tap(page.WebSocket(path))
        tap.wait_for("close")
        assert status in str(tap.timeline)
    assert page.document.cookie == "seen=1"


def test_what_an_asgi_app_raises_fails_the_test(run: Run) -> None:
    text = run(
        """
        import pytest

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                raise NotImplementedError
            raise LookupError("in the application")

        def test_plain(page):
            page.route("ws://app.example/").to_asgi(app)
            page.tap(page.WebSocket("ws://app.example/")).wait_for("close")

        @pytest.mark.asyncio
        async def test_async(page):
            page.route("ws://app.example/").to_asgi(app)
            await page.tap(page.WebSocket("ws://app.example/")).wait_for("close")
        """,
        failed=2,
    )
    assert text.count('>       raise LookupError("in the application")') == 2


def test_a_shutdown_that_fails_fails_the_test(run: Run) -> None:
    text = run(
        """
        import asyncio
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        def app_that(ends):
            async def app(scope, receive, send):
                await receive()
                if scope["type"] == "lifespan":
                    await send({"type": "lifespan.startup.complete"})
                    assert await receive() == {"type": "lifespan.shutdown"}
                    await ends(send)
                else:
                    await send({"type": "websocket.accept"})
                    await receive()
            return app

        async def says(send):
            await send({"type": "lifespan.shutdown.failed", "message": "no db"})

        async def raises(send):
            await asyncio.sleep(0)
            raise LookupError("at the shutdown")

        async def both(send):
            await says(send)
            await raises(send)

        async def complete(send):
            await send({"type": "lifespan.shutdown.complete"})

        ENDS = pytest.mark.parametrize("ends", [says, raises, both, complete])

        @ENDS
        def test_plain(page, ends):
            page.route("/").to_asgi(app_that(ends))
            tap = page.tap(page.WebSocket("/"))
            tap.wait_for("open")
            tap.ws.close()
            tap.wait_for("close")

        async def steps(page, ends):
            page.route("/").to_asgi(app_that(ends))
            await page.tap(page.WebSocket("/")).wait_for("open")
            page.may_leave_open = True

        @ENDS
        @pytest.mark.asyncio
        async def test_asyncio(page, ends):
            await steps(page, ends)

        @ENDS
        @pytest.mark.anyio
        async def test_anyio(page, ends):
            await steps(page, ends)
        """,
        failed=9,
        passed=3,
    )
    assert text.count("\nthe application's shutdown failed: no db") == 3
    assert text.count('>       raise LookupError("at the shutdown")') == 6
