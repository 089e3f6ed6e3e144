"""A page's rules for its sockets: mixed content, credentials, and cookies on real servers."""

from __future__ import annotations

import asyncio
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import websocket
from logged import logged
from servers import server_context_for, websockets_echo

from webapi import DOMException, WebSocket, Window
from webapi.fetch import is_trustworthy_host
from webapi.net import dial
from webapi.testing import Peer, Server

SECURE = "https://app.example/"


async def until_end(peer: Peer) -> None:
    await peer.wait_end()


@pytest.fixture
def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """All names under `.test` are this machine, for the resolver only."""
    look_up = dial._look_up

    async def find(host: str, port: int) -> Any:
        return await look_up("127.0.0.1" if host.endswith(".test") else host, port)

    monkeypatch.setattr(dial, "_look_up", find)


# -- mixed content ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["ws://api.example/", "http://api.example/", "ws://0.0.0.0/", "ws://10.0.0.1:8080/x"]
)
def test_a_secure_page_may_not_connect_insecurely(url: str) -> None:
    # as Chromium 156 and Firefox 153 do (asked; of 0.0.0.0, Firefox only)
    with pytest.raises(DOMException, match="secure") as caught:
        Window(SECURE).WebSocket(url)
    assert caught.value.name == "SecurityError"


@pytest.mark.parametrize(
    ("page", "url"),
    [
        (SECURE, "wss://api.example/"),
        (SECURE, "ws://127.0.0.1:9/"),
        (SECURE, "ws://127.8.8.8:9/"),
        (SECURE, "ws://localhost:9/"),
        (SECURE, "ws://a.b.localhost:9/"),
        (SECURE, "ws://[::1]:9/"),
        ("http://app.example/", "ws://api.example/"),
        ("http://localhost/", "ws://api.example/"),
        ("about:blank", "ws://api.example/"),
    ],
)
def test_what_is_no_mixed_content(page: str, url: str) -> None:
    Window(page).WebSocket(url).close()


def test_a_blob_of_a_secure_page_is_secure() -> None:
    window = Window("blob:https://app.example/9115d58c")
    assert window.origin == "https://app.example"
    with pytest.raises(DOMException, match="may not connect"):
        window.WebSocket("ws://other.example/")


def test_errors_come_in_the_standards_order() -> None:
    with pytest.raises(DOMException) as caught:
        Window(SECURE).WebSocket("ws://api.example/", ["a", "a"])
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "localhost.", "127.1.2.3", "::1"])
def test_trustworthy_hosts(name: str) -> None:
    assert is_trustworthy_host(name)


@pytest.mark.parametrize(
    "name", ["", "localhost.example", "128.0.0.1", "::2", "mylocalhost", "0.0.0.0"]
)
def test_other_hosts(name: str) -> None:
    assert not is_trustworthy_host(name)


# -- credentials -----------------------------------------------------------------------------------


def test_credentials_reach_a_server_that_asks_for_them(
    websockets_server: Any, record: Any, caplog: Any
) -> None:
    from websockets.asyncio.server import basic_auth

    url = websockets_server(
        websockets_echo, process_request=basic_auth(credentials=("user", "p@ss"))
    )
    with caplog.at_level(logging.WARNING, "webapi"):
        record(WebSocket(url.replace("//", "//user:p%40ss@"))).wait("open")
        record(WebSocket(url.replace("//", "//user:wrong@"))).wait("close")
    [line] = logged(caplog, url)
    assert "401 Unauthorized" in line
    assert "wrong" not in line
    assert "user" not in line


# -- cookies ---------------------------------------------------------------------------------------


def cookie_server(*cookies: str, status: str | None = None, **options: Any) -> Server:
    """A server that sets cookies in its response's head."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        lines = [f"Set-Cookie: {cookie}" for cookie in cookies]
        if status is None:
            await peer.accept(*lines)
            await peer.wait_end()
        else:
            await peer.reject(status, *lines)

    return Server(script, handshake=False, **options)


def connect(window: Window, url: str, record: Any) -> Any:
    recorder = record(window.WebSocket(url))
    assert recorder.wait("open")
    return recorder.ws


def cookies_of(server: Server, number: int = -1) -> list[str]:
    return server.peers[number].head.all("cookie")


def test_all_cookies_of_a_response_are_stored_and_sent(record: Any) -> None:
    with (
        cookie_server("a=1; Path=/", "b=2, c=3; HttpOnly; Path=/", "d=4; Path=/x") as server,
        Window(f"http://127.0.0.1:{server.port}/") as window,
    ):
        connect(window, "/", record)
        assert cookies_of(server) == []
        connect(window, "/x/y", record)
        assert cookies_of(server) == ["d=4; a=1; b=2, c=3"]
        assert window.document.cookie == "a=1"
        assert sorted(cookie.name for cookie in window.cookies) == ["a", "b", "d"]


@pytest.mark.parametrize("status", ["401 Unauthorized", "302 Found", "500 Oops"])
def test_cookies_of_a_failed_handshake_are_stored(status: str, record: Any) -> None:
    with (
        cookie_server("a=1", status=status) as server,
        Window(f"http://127.0.0.1:{server.port}/") as window,
    ):
        record(window.WebSocket("/")).wait("close")
        assert window.document.cookie == "a=1"


def test_a_refusal_in_http_1_0_is_one_too(record: Any, caplog: Any) -> None:
    """As of Python's own `http.server`, a real one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403, "Log in")
            self.send_header("Set-Cookie", "a=1")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with (
        HTTPServer(("127.0.0.1", 0), Handler) as server,
        Window(f"http://127.0.0.1:{server.server_port}/") as window,
    ):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        window.devtools.record()
        recorder = record(window.WebSocket("/"))
        recorder.wait("close")
        server.shutdown()
        thread.join()
        assert window.document.cookie == "a=1"
        [entry] = window.devtools.har()["log"]["entries"]
        [line] = logged(caplog, recorder.ws.url)
    assert (entry["response"]["status"], entry["response"]["httpVersion"]) == (403, "HTTP/1.0")
    assert "the server answered 'HTTP/1.0 403 Log in', which cannot upgrade" in line


def test_a_head_full_of_cookies_is_taken_in_several_turns(record: Any) -> None:
    lines = [f"c{n}=1; Path=/" for n in range(2000)]

    async def main(window: Window) -> set[str]:
        ws, done = window.WebSocket("/"), asyncio.Event()
        ws.onopen = ws.onclose = lambda event: done.set()
        latest = set()
        while not done.is_set():
            latest.add(window.document.cookie.rpartition("; ")[2])
            await asyncio.sleep(0)
        assert ws.readyState == WebSocket.OPEN
        return latest

    with (
        cookie_server(*lines) as server,
        Window(f"http://127.0.0.1:{server.port}/") as window,
    ):
        assert len(asyncio.run(main(window))) >= 2000 // 256
        assert window.document.cookie.endswith("c1999=1")


def test_a_blob_page_is_of_its_origins_site(record: Any) -> None:
    with cookie_server("a=1; SameSite=Strict") as server:
        origin = f"http://127.0.0.1:{server.port}"
        with Window(f"blob:{origin}/9115d58c-bcda-ff47-86e5-083e9a215304") as window:
            for _ in range(2):
                connect(window, f"ws://127.0.0.1:{server.port}/", record)
            assert cookies_of(server) == ["a=1"]


def test_scripts_read_and_write_cookies(record: Any) -> None:
    with (
        cookie_server("secret=1; HttpOnly") as server,
        Window(f"http://127.0.0.1:{server.port}/page", cookies={"sid": "7"}) as window,
    ):
        document = window.document
        assert window.location.href == document.URL
        assert document.location is window.location
        document.cookie = "a=\u00fc; Path=/"
        document.cookie = "b=2; Max-Age=60"
        document.cookie = "c=3; HttpOnly"
        assert document.cookie == "sid=7; a=\u00fc; b=2"
        connect(window, "/", record)
        assert cookies_of(server) == ["sid=7; a=\u00c3\u00bc; b=2"]
        document.cookie = "secret=2"
        document.cookie = "sid=; Path=/; Max-Age=0"
        connect(window, "/", record)
        assert cookies_of(server) == ["a=\u00c3\u00bc; b=2; secret=1"]


@pytest.mark.parametrize("page", ["about:blank", "file:///page.html", "data:text/html,x"])
def test_a_page_without_a_host_has_no_cookies(page: str, record: Any) -> None:
    with cookie_server("a=1") as server, Window(page) as window:
        window.document.cookie = "b=2"
        connect(window, server.url, record)
        connect(window, server.url, record)
        assert cookies_of(server) == []
        assert window.document.cookie == ""


def test_secure_cookies_on_this_machine(record: Any) -> None:
    # as Chromium and Firefox do (asked): what this machine sends can be trusted
    with (
        cookie_server("a=1; Secure", "__Host-b=2; Secure; Path=/") as server,
        Window(f"http://localhost:{server.port}/") as window,
    ):
        connect(window, "/", record)
        connect(window, "/", record)
        assert cookies_of(server) == ["a=1; __Host-b=2"]


def test_ws_and_wss_and_same_site(
    test_names: None, authority: Any, client_context: Any, record: Any
) -> None:
    cookies = (
        "plain=1", "secure=1; Secure", "none=1; Secure; SameSite=None", "strict=1; SameSite=Strict",
        "wide=1; Domain=site.test",
    )  # fmt: skip
    context = server_context_for(authority, "*.site.test", "other.test")
    with (
        cookie_server(*cookies, ssl_context=context) as tls,
        cookie_server(*cookies) as plain,
        Window("https://app.site.test/", ssl_context=client_context) as secure,
        Window("http://app.site.test/", ssl_context=client_context) as insecure,
    ):
        for _ in range(2):
            connect(secure, f"wss://app.site.test:{tls.port}/", record)
        assert cookies_of(tls) == ["plain=1; secure=1; none=1; strict=1; wide=1"]
        connect(secure, f"wss://api.site.test:{tls.port}/", record)
        assert cookies_of(tls) == ["wide=1"]
        for _ in range(2):  # another site: only what is meant for all comes and goes
            connect(secure, f"wss://other.test:{tls.port}/", record)
        assert cookies_of(tls) == ["none=1"]

        for _ in range(2):
            connect(insecure, f"ws://app.site.test:{plain.port}/", record)
        assert cookies_of(plain) == ["plain=1; strict=1; wide=1"]
        for _ in range(2):  # another scheme is another site
            connect(insecure, f"wss://app.site.test:{tls.port}/", record)
        assert cookies_of(tls) == ["none=1"]
        connect(insecure, f"ws://app.site.test:{plain.port}/", record)
        assert cookies_of(plain) == ["plain=1; strict=1; wide=1"]


def test_a_given_cookie_header_stands_in_for_the_jar(record: Any) -> None:
    with (
        cookie_server() as server,
        Window(f"http://127.0.0.1:{server.port}/", cookies={"a": "1"}) as window,
    ):
        record(window.WebSocket("/", headers={"Cookie": "mine=2"})).wait("open")
        assert cookies_of(server) == ["mine=2"]


def test_nothing_leaks_between_windows_or_into_websocket_clients_jar(record: Any) -> None:
    before = dict(websocket._handshake.CookieJar.jar)
    with cookie_server("a=1") as server:
        base = f"http://127.0.0.1:{server.port}/"
        with Window(base) as one, Window(base) as other:
            connect(one, "/", record)
            connect(other, "/", record)
            assert cookies_of(server) == []
            connect(one, "/", record)
            assert cookies_of(server) == ["a=1"]
        record(WebSocket(server.url)).wait("open")
        assert cookies_of(server) == []
    assert websocket._handshake.CookieJar.jar == before


def test_a_jar_is_shared_both_ways_with_requests_and_httpx(
    aiohttp_server: Any, record: Any
) -> None:
    import httpx
    import requests
    from aiohttp import web

    seen: list[dict[str, str]] = []

    async def login(request: web.Request) -> web.Response:
        seen.append(dict(request.cookies))
        response = web.Response(text="welcome")
        response.set_cookie("sid", "7", httponly=True, samesite="Lax")
        return response

    async def socket(request: web.Request) -> web.WebSocketResponse:
        seen.append(dict(request.cookies))
        socket = web.WebSocketResponse()
        socket.set_cookie("seen", "1")
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    base = aiohttp_server(None, routes={"/login": login, "/ws": socket})
    for host in ("127.0.0.1", "localhost"):
        origin = base.replace("ws:", "http:").replace("127.0.0.1", host)
        with requests.Session() as session, httpx.Client(trust_env=False) as client:
            session.trust_env = False
            for http in (session, client):
                seen.clear()
                http.get(origin + "login")
                with Window(origin, cookies=http.cookies) as window:
                    connect(window, "/ws", record)
                    assert window.document.cookie == "seen=1"
                http.get(origin + "login")
                assert seen == [{}, {"sid": "7"}, {"sid": "7", "seen": "1"}]
