"""Proxies: real ones - tinyproxy, microsocks, Dante, pproxy - and scripted ones that fail."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from logged import logged
from servers import server_context_for, websockets_echo

from webapi import WebSocket, Window
from webapi.net.proxy import parse_proxy, proxy_of_environment
from webapi.testing import Peer, Server

DEADLINE = 45.0
SILENCE = 2
"""Seconds of `open_timeout`; all steps before the one that takes too long are done by then."""


@pytest.fixture(autouse=True)
def no_proxies_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def needs(program: str, package: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"needs {program}: apt-get install {package}")
    return path


class RealProxy:
    """A proxy's process on a port of its own.

    Args:
        command: makes the command for a port.
        log: a file for what it writes.
    """

    def __init__(self, command: Callable[[int], list[str]], log: Path) -> None:
        for _ in range(3):  # another process may take the port before this one does
            self.port = free_port()
            with log.open("wb") as file:
                self.process = subprocess.Popen(
                    command(self.port), stdout=file, stderr=subprocess.STDOUT
                )
            if self._is_listening():
                return
            self.stop()
        pytest.fail(f"{self.process.args} did not start: {log.read_text()}")

    def _is_listening(self) -> bool:
        process = psutil.Process(self.process.pid)
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(psutil.Error):
                own = [process, *process.children(recursive=True)]
                connections = [one for each in own for one in each.net_connections("tcp")]
                if any(
                    one.status == "LISTEN" and one.laddr.port == self.port for one in connections
                ):
                    return True
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)


StartProxy = Callable[..., str]


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Start a real proxy of a kind, and return its URL: with a user where one is asked for."""
    running: list[RealProxy] = []

    def start(kind: str, user: str = "") -> str:
        proxy = RealProxy(
            lambda port: COMMANDS[kind](port, user, tmp_path), tmp_path / f"{kind}.log"
        )
        running.append(proxy)
        scheme = {"tinyproxy": "http", "pproxy http": "http", "pproxy socks4": "socks4"}
        scheme["tiny-proxy socks4a"] = "socks4a"
        credentials = f"{user}:s3cret@" if user else ""
        return f"{scheme.get(kind, 'socks5h')}://{credentials}127.0.0.1:{proxy.port}"

    yield start
    for proxy in running:
        proxy.stop()


def tinyproxy(port: int, user: str, home: Path) -> list[str]:
    program = needs("tinyproxy", "tinyproxy-bin")
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "Allow 127.0.0.1"]
    lines += [f"BasicAuth {user} s3cret"] if user else []
    (home / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
    return [program, "-d", "-c", str(home / "tinyproxy.conf")]


def microsocks(port: int, user: str, _: Path) -> list[str]:
    program = needs("microsocks", "microsocks")
    return [program, "-i", "127.0.0.1", "-p", str(port)] + (
        ["-u", user, "-P", "s3cret"] if user else []
    )


def dante(port: int, user: str, home: Path) -> list[str]:
    program = needs("danted", "dante-server")
    assert not user
    (home / "danted.conf").write_text(
        f"logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: lo\n"
        "clientmethod: none\nsocksmethod: none\n"
        "client pass { from: 0/0 to: 0/0 }\nsocks pass { from: 0/0 to: 0/0 }\n"
    )
    return [program, "-f", str(home / "danted.conf")]


def pproxy(scheme: str) -> Callable[[int, str, Path], list[str]]:
    def command(port: int, user: str, _: Path) -> list[str]:
        pytest.importorskip("pproxy", reason="needs pproxy: pip install pproxy")
        listen = f"{scheme}://127.0.0.1:{port}" + (f"#{user}:s3cret" if user else "")
        code = "import asyncio, sys; sys.modules['uvloop'] = None; "
        code += "asyncio.set_event_loop(asyncio.new_event_loop()); "
        code += "from pproxy.server import main; sys.exit(main())"
        return [sys.executable, "-c", code, "-l", listen, "-v"]

    return command


TINY_PROXY = """
import anyio, tiny_proxy
async def main():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port={port})
    await listener.serve(tiny_proxy.Socks4ProxyHandler().handle)
anyio.run(main)
"""


def tiny_proxy(port: int, user: str, _: Path) -> list[str]:
    pytest.importorskip("tiny_proxy", reason="needs tiny-proxy: pip install tiny-proxy")
    assert not user
    return [sys.executable, "-c", TINY_PROXY.format(port=port)]


COMMANDS = {
    "tinyproxy": tinyproxy,
    "microsocks": microsocks,
    "dante": dante,
    "pproxy http": pproxy("http"),
    "pproxy socks4": pproxy("socks4"),
    "pproxy socks5": pproxy("socks5"),
    "tiny-proxy socks4a": tiny_proxy,
}
KINDS = list(COMMANDS)


def talk(recorder: Any) -> None:
    recorder.wait("open")
    for message in ("hello", "x" * 300_000):
        recorder.ws.send(message)
    recorder.wait("message", 2)
    assert recorder.data == ["hello", "x" * 300_000]
    recorder.ws.close(1000)
    assert recorder.wait("close").wasClean


def fails(url: str, record: Any, caplog: Any, **options: Any) -> str:
    with caplog.at_level(logging.WARNING, "webapi"):
        recorder = record(WebSocket(url, **options))
        recorder.wait("close")
    assert recorder.types == ["error", "close"]
    [line] = logged(caplog, recorder.ws.url)
    assert "s3cret" not in line
    return line


# -- through real ones -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_ws_through_a_real_proxy(
    kind: str, start_proxy: StartProxy, echo_url: str, record: Any
) -> None:
    talk(record(WebSocket(echo_url, proxy=start_proxy(kind))))


@pytest.mark.parametrize("kind", ["tinyproxy", "microsocks"])
def test_a_message_does_not_wait_for_the_servers_ack(
    kind: str, start_proxy: StartProxy, echo_url: str, record: Any
) -> None:
    recorder = record(WebSocket(echo_url, proxy=start_proxy(kind)))
    recorder.wait("open")
    sock = recorder.ws._connection.sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_socks_is_socks5h(start_proxy: StartProxy, echo_url: str, record: Any) -> None:
    url = echo_url.replace("127.0.0.1", "localhost")
    talk(record(WebSocket(url, proxy=start_proxy("microsocks").replace("socks5h", "socks"))))


@pytest.mark.parametrize("kind", KINDS)
def test_wss_through_a_real_proxy(
    kind: str, start_proxy: StartProxy, websockets_server: Any, authority: Any,
    client_context: Any, record: Any,
) -> None:  # fmt: skip
    context = server_context_for(authority, "localhost")
    url = websockets_server(websockets_echo, ssl=context).replace("127.0.0.1", "localhost")
    talk(record(WebSocket(url, proxy=start_proxy(kind), ssl_context=client_context)))


@pytest.mark.parametrize("kind", ["tinyproxy", "microsocks", "pproxy http", "pproxy socks5"])
def test_authentication(
    kind: str, start_proxy: StartProxy, echo_url: str, record: Any, caplog: Any
) -> None:
    url = start_proxy(kind, "user")
    # the wrong one first: pproxy remembers who was right
    line = fails(echo_url, record, caplog, proxy=url.replace("user", "other"))
    talk(record(WebSocket(echo_url, proxy=url)))
    assert f"127.0.0.1:{url.rpartition(':')[2]}" in line
    if kind == "tinyproxy":
        assert "407 Proxy Authentication Required" in line or "401" in line


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a"])
def test_who_resolves_the_name(
    scheme: str, start_proxy: StartProxy, echo_url: str, record: Any, monkeypatch: Any, caplog: Any
) -> None:
    from webapi.net import dial

    looked_up: list[str] = []
    look_up = dial._look_up

    async def find(host: str, port: int) -> Any:
        looked_up.append(host)
        return await look_up("127.0.0.1", port)

    monkeypatch.setattr(dial, "_look_up", find)
    kind = "microsocks" if "5" in scheme else "tiny-proxy socks4a"
    url = f"{scheme}://{start_proxy(kind).partition('://')[2]}"
    target = echo_url.replace("127.0.0.1", "only-here.test")
    if scheme in ("socks5", "socks4"):
        talk(record(WebSocket(target, proxy=url)))
        assert looked_up == ["only-here.test"]
    elif scheme == "socks5h":
        fails(target, record, caplog, proxy=url)
        assert looked_up == []
    else:
        talk(record(WebSocket(echo_url.replace("127.0.0.1", "localhost"), proxy=url)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_refuses_behind_the_proxy(
    kind: str, start_proxy: StartProxy, closed_port: int, record: Any, caplog: Any
) -> None:
    url = start_proxy(kind)
    line = fails(f"ws://127.0.0.1:{closed_port}/", record, caplog, proxy=url)
    assert "proxy" in line or "the server closed" in line or "broke" in line


@pytest.mark.stress
def test_two_windows_with_their_own_cookies_and_proxies_never_mix(
    websockets_server: Any, record: Any, tmp_path: Path
) -> None:
    """Each window's proxy (microsocks) connects from an address of its own; the server sees it."""
    program = needs("microsocks", "microsocks")

    async def tell(connection: Any) -> None:
        headers = connection.request.headers
        seen = [headers.get(name) for name in ("Cookie", "Origin", "User-Agent", "X-Window")]
        await connection.send("|".join([connection.remote_address[0], *map(str, seen)]))
        await connection.wait_closed()

    def set_cookie(connection: Any, request: Any, response: Any) -> None:
        response.headers["Set-Cookie"] = f"seen={request.headers['X-Window']}; Path=/"

    url = websockets_server(tell, process_response=set_cookie)
    mixed: list[str] = []
    counts = {"1": 0, "2": 0}
    lock = threading.Lock()

    def visit(window: Window, number: str, recorders: Any) -> None:
        address, origin = f"127.0.0.{int(number) + 1}", f"http://page{number}.example"
        expected = f"{address}|id={number}|{origin}|agent{number}|{number}"
        for _ in range(40):
            recorder = recorders(window.WebSocket(url, max_connecting=8))
            data = recorder.wait("message").data
            with lock:
                counts[number] += 1
                if data != expected:
                    mixed.append(data)
            recorder.ws.close()
            recorder.wait("close")

    proxies, windows, threads = [], [], []
    for number in ("1", "2"):
        bind = f"127.0.0.{int(number) + 1}"
        proxies.append(
            RealProxy(
                lambda port, bind=bind: [  # type: ignore[misc]
                    program, "-i", "127.0.0.1", "-p", str(port), "-b", bind
                ],
                tmp_path / f"microsocks{number}.log",
            )
        )  # fmt: skip
        # one site for the cookies, and pages of their own
        jar = Window("http://127.0.0.1/", cookies={"id": number}).cookies
        for cookie in jar:
            cookie._rest["SameSite"] = "None"  # type: ignore[attr-defined]
        windows.append(
            Window(
                f"http://page{number}.example/",
                cookies=jar,
                proxy=f"socks5h://127.0.0.1:{proxies[-1].port}",
                user_agent=f"agent{number}",
                headers={"X-Window": number},
            )
        )
    try:
        for window, number in zip(windows, ("1", "2"), strict=True):
            for _ in range(4):
                threads.append(threading.Thread(target=visit, args=(window, number, record)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert not mixed
        assert counts == {"1": 160, "2": 160}
        # the server's cookie, of another site, was not taken
        assert [len(window.cookies) for window in windows] == [1, 1]
    finally:
        for window in windows:
            window.close()
        for proxy in proxies:
            proxy.stop()


# -- which one -------------------------------------------------------------------------------------

ELSEWHERE = "app.example"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://a:1"}, "http://a:1"),
        ({"https_proxy": "http://b:2", "HTTP_PROXY": "http://a:1"}, "http://b:2"),
        ({"ALL_PROXY": "http://c:3", "HTTP_PROXY": "http://a:1"}, "http://a:1"),
        ({"ALL_PROXY": "socks5h://c:3", "HTTPS_PROXY": "http://a:1"}, "socks5h://c:3"),
        ({"ALL_PROXY": "socks://c:3/", "HTTPS_PROXY": "http://a:1"}, "socks5h://c:3"),
        ({"all_proxy": "http://c:3"}, "http://c:3"),
        ({"HTTP_PROXY": "a:1"}, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1", "NO_PROXY": "app.example"}, None),
        ({"HTTP_PROXY": "http://a:1", "NO_PROXY": ".example"}, None),
        ({"HTTP_PROXY": "http://a:1", "no_proxy": "*"}, None),
        ({"HTTP_PROXY": "http://a:1", "NO_PROXY": "other.example"}, "http://a:1"),
        ({"HTTP_PROXY": ""}, None),
    ],
)
def test_the_environments_proxy(
    environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_of_environment(ELSEWHERE, 80)
    assert found == (None if proxy is None else parse_proxy(proxy))
    for this_machine in ("localhost", "127.0.0.1", "::1", "a.localhost"):
        assert proxy_of_environment(this_machine, 80) is None


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        (
            "app.example",
            {"app.example:80", "app.example:81", "app.example.:80", "a.app.example:80"},
        ),
        (
            ".app.example.",
            {"app.example:80", "app.example:81", "app.example.:80", "a.app.example:80"},
        ),
        ("*.app.example", {"a.app.example:80"}),
        ("other, APP.example:81", {"app.example:81"}),
        ("other app.example:80", {"app.example:80", "app.example.:80", "a.app.example:80"}),
        ("10.0.0.0/8", {"10.1.2.3:80"}),
        ("10.1.2.3", {"10.1.2.3:80"}),
        ("10.1.2.3:81", set()),
        ("1.2.3", set()),
        ("fd00::1", {"fd00::1:80"}),
        ("[fd00::1]", {"fd00::1:80"}),
        ("[fd00::1]:80", {"fd00::1:80"}),
        ("[fd00::1]:81", set()),
        ("fd00::/8", {"fd00::1:80"}),
        ("pp.example, , . [] :80 ]", set()),
        ("other,*", None),
    ],
)
def test_no_proxy(no_proxy: str, direct: set[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://a:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    every = {
        "app.example:80", "app.example:81", "app.example.:80", "a.app.example:80", "10.1.2.3:80",
        "fd00::1:80", "11.1.2.3:80", "xapp.example:80",
    }  # fmt: skip
    found = {
        server
        for server in every
        if proxy_of_environment(server.rpartition(":")[0], int(server.rpartition(":")[2])) is None
    }
    assert found == (every if direct is None else direct)


def test_the_environment_is_honoured_and_overridden(
    start_proxy: StartProxy,
    record: Any,
    monkeypatch: pytest.MonkeyPatch,
    echo_url: str,
    closed_port: int,
    caplog: Any,
) -> None:
    proxy = start_proxy("pproxy http")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    # no name of this machine's to us, but to the kernel: the proxy connects to itself
    url = echo_url.replace("127.0.0.1", "0.0.0.0")
    talk(record(WebSocket(url)))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
    talk(record(WebSocket(url, proxy=proxy)))
    talk(record(WebSocket(url, proxy=None)))
    assert "Connection refused (the proxy http://127.0.0.1:" in fails(url, record, caplog)
    caplog.clear()
    with Window("http://app.example", proxy=None) as window:
        talk(record(window.WebSocket(url)))
    monkeypatch.setenv("NO_PROXY", "0.0.0.0")
    talk(record(WebSocket(url)))
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "gopher://x:1")
    assert "it is from the environment" in fails(url, record, caplog)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://h", ("http", "h", 80, "", "")),
        ("HTTP://H:3128/", ("http", "h", 3128, "", "")),
        ("h:3128", ("http", "h", 3128, "", "")),
        ("socks5://u:p%40ss@h", ("socks5", "h", 1080, "u", "p@ss")),
        ("socks5h://[::1]:80", ("socks5h", "::1", 80, "", "")),
        ("socks4a://u@h:1", ("socks4a", "h", 1, "u", "")),
        ("socks://u:p%40ss@h:1/", ("socks5h", "h", 1, "u", "p@ss")),
        ("SOCKS://h", ("socks5h", "h", 1080, "", "")),
    ],
)
def test_proxy_urls(text: str, parts: tuple[Any, ...]) -> None:
    assert tuple(parse_proxy(text)) == parts
    assert "p@ss" not in str(parse_proxy(text))


@pytest.mark.parametrize(
    "text", ["", "https://h:1", "ftp://h", "http://", "http://h:x", "http://h/path", "http://a b"]
)
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="the proxy"):
        WebSocket("ws://app.example/", proxy=text)
    with pytest.raises(ValueError, match="the proxy"):
        Window("http://app.example/", proxy=text)


@pytest.mark.parametrize(
    "text",
    [
        "socks5://s3cret@h", "socks5h://:s3cret@h", "socks5h://s3cret:\xe9@h", "socks4://s3cret%00@h",
        f"socks5://u:{'s3cret' * 50}@h", "socks://s3cret@h",
    ],
)  # fmt: skip
def test_credentials_that_socks_could_not_send(text: str) -> None:
    with pytest.raises(ValueError, match="proxy 'socks") as raised:
        parse_proxy(text)
    assert "s3cret" not in str(raised.value)
    parse_proxy(re.sub("^socks[45]?h?", "http", text))


def test_a_proxy_is_a_string() -> None:
    with pytest.raises(TypeError, match="proxy is 3128"):
        WebSocket("ws://app.example/", proxy=3128)  # type: ignore[arg-type]


def test_socks_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'webapi\[socks\]'"):
        parse_proxy("socks5://h")
    parse_proxy("http://h")


# -- ones that fail --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered '403 Forbidden' to CONNECT app.example:80"),
        (b"HTTP/1.1 407 Who?\r\nContent-Length: 5\r\n\r\nhello", "407 Who?"),
        (b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 101 x\r\n\r\n", "sent something before"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "2000 OK"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200", "within the head"),
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "longer than"),
    ],
)
def test_odd_answers_of_an_http_proxy(answer: bytes, words: str, record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(answer)
        await peer.end_sending()
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        proxy = f"http://user:s3cret@127.0.0.1:{server.port}"
        line = fails("ws://app.example/", record, caplog, proxy=proxy)
        assert words in line
        assert f"http://127.0.0.1:{server.port}" in line or "longer" in line
        head = server.peers[0].head
        assert head.start_line == "CONNECT app.example:80 HTTP/1.1"
        assert head.all("host") == ["app.example:80"]
        credentials = base64.b64encode(b"user:s3cret").decode()
        assert head.all("proxy-authorization") == [f"Basic {credentials}"]
        server.wait_scripts()


@pytest.mark.parametrize("scheme", ["socks4", "socks5h", "http"])
def test_a_proxy_that_says_nothing(scheme: str, record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        proxy = f"{scheme}://127.0.0.1:{server.port}"
        line = fails("ws://127.0.0.1/", record, caplog, proxy=proxy, open_timeout=SILENCE)
        where = f"127.0.0.1:{server.port}"
        step = (
            f"waiting for the answer to CONNECT 127.0.0.1:80 from {where}"
            if scheme == "http"
            else f"connecting by way of {where} to 127.0.0.1:80"
        )
        assert line.endswith(f"{SILENCE} s: {step} (the proxy {proxy})")
        server.wait_scripts()


@pytest.mark.parametrize("at", ["answer", "tls", "response"])
def test_where_an_http_proxy_took_too_long(
    at: str, record: Any, caplog: Any, client_context: Any
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(b"HTTP/1.1 200")
        if at != "answer":
            await asyncio.sleep(0.05)  # in two reads
            await peer.send_raw(b" OK\r\n\r\n")
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        where = f"127.0.0.1:{server.port}"
        proxy = f"http://user:s3cret@{where}"
        url = f"{'wss' if at == 'tls' else 'ws'}://app.example/"
        line = fails(url, record, caplog, proxy=proxy, open_timeout=SILENCE)
        step = {
            "answer": f"waiting for the answer to CONNECT app.example:80 from {where}",
            "tls": f"the TLS handshake with {where}",
            "response": f"waiting for the response from {where}",
        }[at]
        came = ", of which 12 bytes came" if at == "answer" else ""
        assert line.endswith(f"{SILENCE} s: {step} (the proxy http://{where}){came}")
        server.wait_scripts()


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
def test_the_next_address_is_tried_by_way_of_a_proxy(
    scheme: str, start_proxy: StartProxy, record: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from webapi.net import dial

    async def find(host: str, port: int) -> Any:
        return [(socket.AF_INET, (f"127.0.0.{n}", port)) for n in (2, 3, 1)]

    async def script(peer: Peer) -> None:
        async for message in peer:
            await peer.send(message)

    monkeypatch.setattr(dial, "_look_up", find)
    url = start_proxy("microsocks" if scheme == "socks5" else "tiny-proxy socks4a")
    proxy = f"{scheme}://{url.partition('://')[2]}"
    with Server(script) as server:
        talk(record(WebSocket(f"ws://many.test:{server.port}/", proxy=proxy)))


def test_no_address_can_be_connected_to_by_way_of_a_proxy(
    start_proxy: StartProxy, closed_port: int, record: Any, caplog: Any
) -> None:
    proxy = start_proxy("microsocks").replace("socks5h", "socks5")
    line = fails(f"ws://localhost:{closed_port}/", record, caplog, proxy=proxy)
    assert f"cannot connect to 127.0.0.1:{closed_port}: " in line
    assert f"; [::1]:{closed_port}: " in line
    assert line.endswith(f"(the proxy {proxy})")


def test_a_proxy_that_refuses_us_is_asked_once(
    start_proxy: StartProxy, closed_port: int, record: Any, caplog: Any
) -> None:
    proxy = start_proxy("microsocks", "user").replace("socks5h", "socks5").replace("user", "other")
    line = fails(f"ws://localhost:{closed_port}/", record, caplog, proxy=proxy)
    assert f"did not connect to 127.0.0.1:{closed_port}: " in line
    assert "::1" not in line


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
@pytest.mark.parametrize(
    "answer", [b"", b"\0", b"\x05\xff", b"HTTP/1.1 400 x\r\n\r\n", b"\x05\0\x05\x02\0\x01"]
)
def test_odd_answers_of_a_socks_proxy(scheme: str, answer: bytes, record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(3)
        await peer.send_raw(answer)
        await peer.end_sending()
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        line = fails("ws://127.0.0.1/", record, caplog, proxy=f"{scheme}://127.0.0.1:{server.port}")
        assert f"the proxy {scheme}://127.0.0.1:{server.port} did not connect" in line
        server.wait_scripts()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_is_not_there(scheme: str, closed_port: int, record: Any, caplog: Any) -> None:
    proxy = f"{scheme}://127.0.0.1:{closed_port}"
    line = fails("ws://127.0.0.1/", record, caplog, proxy=proxy)
    assert (
        f"cannot connect to 127.0.0.1:{closed_port}: Connection refused (the proxy {proxy})" in line
    )


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..example"])
def test_a_name_that_only_the_proxy_takes(name: str, record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(b"HTTP/1.1 200 OK\r\n\r\n")
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        proxy = f"http://127.0.0.1:{server.port}"
        line = fails(f"wss://{name}/", record, caplog, proxy=proxy)
        assert f"the TLS handshake failed: {name!r} is no name that TLS could ask for" in line
        assert not any(entry.exc_info for entry in caplog.records)
        server.wait_scripts()


def test_nothing_of_the_page_goes_to_the_proxy(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reject("403 Forbidden", "Set-Cookie: a=1")

    with Server(script, handshake=False) as server:
        page = Window(
            "http://app.example/", cookies={"sid": "7"}, headers={"X-Secret": "1"},
            proxy=f"http://127.0.0.1:{server.port}",
        )  # fmt: skip
        with page as window:
            record(window.WebSocket("ws://u:p@app.example/")).wait("close")
            assert [name for name, _ in server.peers[0].head.headers] == ["host"]
            assert window.document.cookie == "sid=7"
