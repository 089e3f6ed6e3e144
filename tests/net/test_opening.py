"""The opening handshake: what a server may answer, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import psutil
import pytest
from logged import logged
from servers import server_context_for, websockets_echo

from webapi import WebSocket, Window
from webapi.net import dial
from webapi.protocol.handshake import MAX_HEAD_SIZE, accept_value
from webapi.testing import Peer, Server

DEADLINE = 20.0

OK = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"
)


SILENCE = 2
"""Seconds of `open_timeout`, where a test says which step of the opening then took too long.

All steps before that one must be done within them, also on a machine that stands still meanwhile.
"""


def answer(template: bytes) -> Any:
    """Return a script that answers with `template`, the right key's value for ACCEPT."""

    async def script(peer: Peer) -> None:
        head = await peer.read_head()
        accept = accept_value(head.all("sec-websocket-key")[0]).encode()
        other_case = accept.swapcase()
        await peer.send_raw(template.replace(b"OTHER", other_case).replace(b"ACCEPT", accept))
        await peer.wait_end()

    return script


def without(line: bytes) -> bytes:
    return OK.replace(line + b"\r\n", b"")


def plus(line: bytes) -> bytes:
    return OK[:-2] + line + b"\r\n\r\n"


REFUSED = {
    "200": OK.replace(b"101 Switching Protocols", b"200 OK"),
    "301 is not followed": b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1/\r\n\r\n",
    "401": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 9999999\r\n\r\nsome",
    "500": b"HTTP/1.1 500 Oops\r\n\r\n",
    "garbage": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "binary garbage": bytes(range(128, 256)),
    "a status line without a code": b"HTTP/1.1\r\n\r\n",
    "HTTP/1.0": OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2": OK.replace(b"HTTP/1.1", b"HTTP/2"),
    "no Upgrade": without(b"Upgrade: websocket"),
    "another Upgrade": OK.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "Upgrade twice": plus(b"Upgrade: websocket"),
    "no Connection": without(b"Connection: Upgrade"),
    "another Connection": OK.replace(b"Connection: Upgrade", b"Connection: close"),
    "no Accept": without(b"Sec-WebSocket-Accept: ACCEPT"),
    "a wrong Accept": OK.replace(b"ACCEPT", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    "Accept right but for case": OK.replace(b"ACCEPT", b"OTHER"),
    "Accept twice": plus(b"Sec-WebSocket-Accept: ACCEPT"),
    "an unasked subprotocol": plus(b"Sec-WebSocket-Protocol: chat"),
    "an unasked extension": plus(b"Sec-WebSocket-Extensions: x-foo"),
    "a NUL": plus(b"X: a\0b"),
    "a space before the first header": OK.replace(b"\r\nUpgrade", b"\r\n Upgrade", 1),
    "Accept with a space before its colon": OK.replace(b"Accept:", b"Accept :"),
    "five bytes before": b"\r\n\r\n\n" + OK,
}
ACCEPTED = {
    "as it should": OK,
    "case of the values": OK.replace(b"websocket", b"WebSocket").replace(
        b": Upgrade", b": UPGRADE"
    ),
    "case of the names": OK.replace(b"Upgrade:", b"uPGRADE:"),
    "a list in Connection": OK.replace(b": Upgrade", b": keep-alive, Upgrade"),
    "Connection twice": plus(b"Connection: keep-alive"),
    "spaces around Accept": OK.replace(b"ACCEPT", b" \t ACCEPT \t"),
    "no reason phrase": OK.replace(b"101 Switching Protocols", b"101"),
    "line feeds alone": OK.replace(b"\r\n", b"\n"),
    "a folded line": plus(b"X: a\r\n b"),
    "an interim response before": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    "a space before a colon": plus(b"X : 1"),
    "a space before the first line": OK.replace(b"\r\n", b"\r\n X: 1\r\n", 1),
    "empty lines before": b"\r\n\r\n" + OK,
    "a Content-Length": plus(b"Content-Length: 5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_answers(name: str, record: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "webapi"):
        with Server(answer(REFUSED[name]), handshake=False) as server:
            ws = WebSocket(server.url)
            recorder = record(ws)
            event = recorder.wait("close")
            server.wait_scripts()  # our end of the connection is closed
    assert (event.code, event.reason, event.wasClean) == (1006, "", False)
    assert recorder.types == ["error", "close"]
    assert recorder.states == [WebSocket.CLOSED] * 2
    [line] = logged(caplog, ws.url)
    assert ws.url in line
    assert "\n" not in line


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_answers(name: str, record: Any) -> None:
    with Server(answer(ACCEPTED[name]), handshake=False) as server:
        recorder = record(WebSocket(server.url))
        recorder.wait("open")


@pytest.mark.parametrize(
    ("asked", "lines", "protocol"),
    [
        (["chat"], [], None),
        (["chat"], ["Chat"], None),
        (["chat"], [""], None),
        (["chat", "b"], ["chat, b"], None),
        (["chat", "b"], ["chat", "b"], None),
        (["chat", "b"], ["b"], "b"),
        ([], [""], None),
    ],
)
def test_subprotocols(
    asked: list[str], lines: list[str], protocol: str | None, record: Any
) -> None:
    head = OK[:-2] + b"".join(f"Sec-WebSocket-Protocol: {x}\r\n".encode() for x in lines) + b"\r\n"
    with Server(answer(head), handshake=False) as server:
        ws = WebSocket(server.url, asked)
        recorder = record(ws)
        if protocol is None:
            recorder.wait("close")
            assert recorder.types == ["error", "close"]
        else:
            recorder.wait("open")
            assert ws.protocol == protocol


def fails(url: str, record: Any, caplog: pytest.LogCaptureFixture, **options: Any) -> str:
    with caplog.at_level(logging.WARNING, "webapi"):
        recorder = record(WebSocket(url, **options))
        event = recorder.wait("close")
    assert recorder.types == ["error", "close"]
    assert (event.code, event.wasClean) == (1006, False)
    [line] = logged(caplog, recorder.ws.url)
    return line


def test_a_refused_connection(closed_port: int, record: Any, caplog: Any) -> None:
    line = fails(f"ws://127.0.0.1:{closed_port}/", record, caplog)
    assert f"cannot connect to 127.0.0.1:{closed_port}: Connection refused" in line


def test_a_name_that_does_not_resolve(record: Any, caplog: Any) -> None:
    assert "'no.such.invalid' does not resolve" in fails("ws://no.such.invalid/", record, caplog)


def test_credentials_are_not_logged(closed_port: int, record: Any, caplog: Any) -> None:
    assert "secret" not in fails(f"ws://user:secret@127.0.0.1:{closed_port}/", record, caplog)


@pytest.mark.parametrize("userinfo", ["user:s3cret@", "s3cret@", ":s3cret@", "a%40b:s3%2Fcret@"])
def test_credentials_are_not_shown(userinfo: str) -> None:
    with Window(f"http://{userinfo}127.0.0.1:1/a@b?c@d") as window:  # a bad port: no network
        ws = window.WebSocket("/e@f")
        assert repr(window) == "<Window http://127.0.0.1:1/a@b?c@d>"
        assert repr(window.location) == "<Location http://127.0.0.1:1/a@b?c@d>"
        assert repr(ws).startswith("<WebSocket ws://127.0.0.1:1/e@f C")
        assert ws.url == f"ws://{userinfo}127.0.0.1:1/e@f"


@pytest.mark.parametrize("port", [1, 22, 25, 6000, 6667, 10080])
def test_a_bad_port_fails_in_a_later_task(port: int, record: Any, caplog: Any) -> None:
    assert f"port {port} is blocked" in fails(f"ws://127.0.0.1:{port}/", record, caplog)


def test_a_server_that_says_nothing(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        url = f"ws://user:s3cret@127.0.0.1:{server.port}/?s3cret"
        line = fails(url, record, caplog, open_timeout=SILENCE)
        where = f"127.0.0.1:{server.port}"
        assert line.endswith(f"open_timeout, {SILENCE} s: waiting for the response from {where}")
        server.wait_scripts()


def test_a_server_that_stops_within_the_head(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK[:40])
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        line = fails(server.url, record, caplog, open_timeout=SILENCE)
        where = f"127.0.0.1:{server.port}"
        assert line.endswith(
            f"{SILENCE} s: waiting for the response from {where}, of which 68 bytes came"
        )


def test_a_name_whose_lookup_takes_too_long(
    record: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_up(host: str, port: int) -> Any:
        await asyncio.sleep(10)

    monkeypatch.setattr(dial, "_look_up", look_up)
    line = fails("ws://slow.test/", record, caplog, open_timeout=0.2)
    assert line.endswith("0.2 s: looking up the name slow.test")


def test_a_server_that_ends_within_the_head(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(OK[:40])

    with Server(script, handshake=False) as server:
        assert "within the head, after 40 bytes" in fails(server.url, record, caplog)


def test_a_server_that_resets_within_the_head(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(OK[:40])
        peer.reset()

    with Server(script, handshake=False) as server:
        fails(server.url, record, caplog)


def test_an_endless_header(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(b"HTTP/1.1 101 x\r\nX: ")
        while True:
            await peer.send_raw(b"x" * 10_000)

    with Server(script, handshake=False) as server:
        assert f"longer than {MAX_HEAD_SIZE} bytes" in fails(server.url, record, caplog)


def test_endless_interim_responses(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        while True:
            await peer.send_raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)

    with Server(script, handshake=False) as server:
        assert f"longer than {MAX_HEAD_SIZE} bytes" in fails(server.url, record, caplog)


def test_a_dribbling_header_ends_at_the_deadline(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        for byte in OK * 100:
            await peer.send_raw(bytes([byte]))
            await asyncio.sleep(0.005)

    with Server(script, handshake=False) as server:
        line = fails(server.url, record, caplog, open_timeout=0.3)
        assert "open_timeout" in line


# -- wss ------------------------------------------------------------------------------------------


def test_wss_with_a_trusted_certificate(
    websockets_server: Any, server_context: Any, client_context: Any, record: Any
) -> None:
    url = websockets_server(websockets_echo, ssl=server_context)
    ws = WebSocket(url, ssl_context=client_context)
    ws.binaryType = "arraybuffer"
    recorder = record(ws)
    recorder.wait("open")
    sent: list[Any] = ["a", "é" * 40000, os.urandom(3_000_000), *map(str, range(2000))]
    for item in sent:
        ws.send(item)
    recorder.wait("message", len(sent))
    assert recorder.data == sent
    assert recorder.events[1].origin == url[:-1]
    ws.close(1000)
    assert recorder.wait("close").wasClean


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(
    version: ssl.TLSVersion,
    websockets_server: Any,
    authority: Any,
    client_context: Any,
    record: Any,
) -> None:
    context = server_context_for(authority, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    ws = WebSocket(websockets_server(websockets_echo, ssl=context), ssl_context=client_context)
    record(ws).wait("open")


def certificate(authority: Any, kind: str) -> ssl.SSLContext:
    if kind == "expired":
        yesterday = datetime.now(timezone.utc) - timedelta(days=1)
        return server_context_for(authority, "127.0.0.1", not_after=yesterday)
    if kind == "wrong host":
        return server_context_for(authority, "other.example")
    import trustme

    return server_context_for(trustme.CA(), "127.0.0.1")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("expired", "certificate has expired"),
        ("wrong host", "IP address mismatch"),
        ("unknown authority", "unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate(
    kind: str, words: str, authority: Any, client_context: Any, record: Any, caplog: Any
) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script, ssl_context=certificate(authority, kind)) as server:
        line = fails(server.url, record, caplog, ssl_context=client_context)
    assert "the certificate of '127.0.0.1' is not trusted" in line
    assert words in line


def test_the_systems_trust_is_the_default(server_context: Any, record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script, ssl_context=server_context) as server:
        assert "not trusted" in fails(server.url, record, caplog)
    assert dial.default_ssl_context().check_hostname


def test_plain_tcp_on_a_wss_port(record: Any, caplog: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Server(script, handshake=False) as server:
        line = fails(server.url.replace("ws:", "wss:"), record, caplog)
    assert "the TLS handshake failed" in line
    assert f"(from 127.0.0.1:{server.port})" in line


def test_a_tls_server_that_says_nothing(record: Any, caplog: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        line = fails(f"wss://{where}/", record, caplog, open_timeout=SILENCE)
        assert line.endswith(f"{SILENCE} s: the TLS handshake with {where}")


# -- addresses, turns and numbers ------------------------------------------------------------------


def test_localhost_needs_no_resolver(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script) as server:
        for host in ("localhost", "a.b.localhost", "LOCALHOST", "localhost.", "a.localhost."):
            record(WebSocket(f"ws://{host}:{server.port}/")).wait("open")


def test_ipv6(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_end()

    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip(
            "no IPv6 loopback here: enable it with `sysctl net.ipv6.conf.lo.disable_ipv6=0`"
        )
    with Server(script, host="::1") as server:
        record(WebSocket(f"ws://[::1]:{server.port}/")).wait("open")
        assert server.peers[0].head.all("host") == [f"[::1]:{server.port}"]
        # The name has two addresses; the first refuses, the second is tried.
        record(WebSocket(f"ws://localhost:{server.port}/")).wait("open")


class Gate:
    """A script that accepts no handshake before it is told to, and counts those under way."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, asyncio.Event, asyncio.AbstractEventLoop]] = []
        self.changed = threading.Condition()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_head()
        go = asyncio.Event()
        with self.changed:
            self.waiting.append((peer.path, go, asyncio.get_running_loop()))
            self.changed.notify_all()
        await go.wait()
        await peer.accept()
        await peer.wait_end()

    def wait(self, count: int) -> list[str]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.waiting) >= count, DEADLINE)
            return [path for path, _, _ in self.waiting]

    def open(self, index: int) -> None:
        _, go, loop = self.waiting[index]
        loop.call_soon_threadsafe(go.set)


def test_one_connects_to_a_host_and_port_at_a_time_in_order(record: Any) -> None:
    gate, other_gate = Gate(), Gate()
    with Server(gate, handshake=False) as server, Server(other_gate, handshake=False) as other:
        recorders = [record(WebSocket(f"{server.url}{number}")) for number in range(4)]
        gate.wait(1)
        # Another port does not wait, nor does another name for the same address help.
        elsewhere = WebSocket(other.url)
        other_gate.wait(1)
        assert elsewhere.readyState == WebSocket.CONNECTING
        alias = record(WebSocket(f"ws://localhost:{server.port}/alias"))
        for number in range(4):
            assert gate.wait(number + 1) == [f"/{n}" for n in range(number + 1)]
            gate.open(number)
            recorders[number].wait("open")
        gate.wait(5)
        gate.open(4)
        alias.wait("open")


def test_a_failed_or_closed_one_gives_its_turn_on(record: Any, caplog: Any) -> None:
    gate = Gate()
    with Server(gate, handshake=False) as server:
        first = WebSocket(server.url + "first", open_timeout=SILENCE)
        second, third = WebSocket(server.url + "second"), WebSocket(server.url + "third")
        fourth = record(WebSocket(server.url + "fourth"))
        gate.wait(1)
        third.close()  # while it waits in the line
        assert record(first).wait("close").code == 1006
        gate.wait(2)
        second.close()
        assert gate.wait(3) == ["/first", "/second", "/fourth"]
        gate.open(2)
        fourth.wait("open")


def test_max_connecting_and_threads(record: Any) -> None:
    """Two hundred handshakes under way cost no thread."""
    gate = Gate()
    before = psutil.Process().num_threads()
    with Server(gate, handshake=False) as server:
        sockets = [WebSocket(server.url, max_connecting=200) for _ in range(200)]
        gate.wait(200)
        assert psutil.Process().num_threads() <= before + 2  # the server's and ours
        for number in range(200):
            gate.open(number)
        for ws in sockets:
            record(ws)
        deadline = time.monotonic() + DEADLINE
        while any(ws.readyState == 0 for ws in sockets) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert {ws.readyState for ws in sockets} == {WebSocket.OPEN}


def test_nothing_leaks(record: Any) -> None:
    """After sockets that failed in every way, no file descriptor, thread or task is left."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        if peer.path.endswith("0"):
            peer.reset()
        elif peer.path.endswith("1"):
            await peer.reject("404 Not Found")
        elif peer.path.endswith("2"):
            await peer.accept()
            await peer.close()
        else:
            await peer.wait_end()

    with Server(script, handshake=False) as server:
        record(WebSocket(server.url + "2")).wait("close")
        page = WebSocket(server.url + "2")._page
        process = psutil.Process()
        threads, fds = process.num_threads(), process.num_fds()
        recorders = [record(WebSocket(f"{server.url}{n % 3}")) for n in range(60)]
        recorders += [
            record(WebSocket(f"{server.url}3", open_timeout=0.05, max_connecting=20))
            for _ in range(20)
        ]
        for recorder in recorders:
            recorder.wait("close")
        server.wait_scripts()

        def left() -> tuple[bool, bool, int]:
            tasks = asyncio.run_coroutine_threadsafe(_count_tasks(), page.loop).result(DEADLINE)
            return process.num_fds() > fds, process.num_threads() > threads, tasks

        # the last ones may still be at their last step
        deadline = time.monotonic() + DEADLINE
        while left() != (False, False, 1) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left() == (False, False, 1)  # the task that counts


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())
