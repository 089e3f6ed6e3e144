"""Several addresses of a name (RFC 8305), and TLS: names, certificates on both sides, faults."""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from logged import logged
from servers import server_context_for, websockets_echo

from webapi import WebSocket, Window
from webapi.net import dial
from webapi.testing import Peer, Server


async def until_end(peer: Peer) -> None:
    await peer.wait_end()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set what names resolve to: resolver(["127.0.0.2", "::1"])."""

    def set_addresses(*hosts: str) -> None:
        async def look_up(_: str, port: int) -> Any:
            families = [socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts]
            return [(family, (host, port)) for family, host in zip(families, hosts, strict=True)]

        monkeypatch.setattr(dial, "_look_up", look_up)

    return set_addresses


@contextmanager
def black_hole(host: str, port: int) -> Iterator[None]:
    """An address that does not answer: its queue of connections is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((host, port))
        yield


def fails(url: str, record: Any, caplog: Any, **options: Any) -> str:
    with caplog.at_level(logging.WARNING, "webapi"):
        recorder = record(WebSocket(url, **options))
        recorder.wait("close")
    assert recorder.types == ["error", "close"]
    [line] = logged(caplog, recorder.ws.url)
    return line


# -- several addresses -----------------------------------------------------------------------------


def test_the_next_address_is_tried_when_one_refuses(resolver: Any, record: Any) -> None:
    resolver("127.0.0.2", "127.0.0.3", "127.0.0.1")
    with Server(until_end) as server:
        record(WebSocket(f"ws://many.test:{server.port}/")).wait("open")


def test_all_addresses_refuse(resolver: Any, closed_port: int, record: Any, caplog: Any) -> None:
    resolver("127.0.0.2", "127.0.0.3")
    line = fails(f"ws://many.test:{closed_port}/", record, caplog)
    for host in ("127.0.0.2", "127.0.0.3"):
        assert f"{host}:{closed_port}: Connection refused" in line


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose queues can be filled")
def test_an_address_that_does_not_answer_costs_a_quarter_of_a_second(
    resolver: Any, record: Any
) -> None:
    resolver("127.0.0.2", "127.0.0.1")
    with Server(until_end) as server, black_hole("127.0.0.2", server.port):
        start = time.monotonic()
        record(WebSocket(f"ws://many.test:{server.port}/")).wait("open")
        assert 0.2 < time.monotonic() - start < 10  # half of `open_timeout`


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose queues can be filled")
def test_the_deadline_is_for_all_addresses_together(
    resolver: Any, record: Any, caplog: Any
) -> None:
    resolver("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
    with ExitStack() as stack:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            stack.enter_context(black_hole(host, port))
        start = time.monotonic()
        line = fails(f"ws://many.test:{port}/", record, caplog, open_timeout=2.5)
        # the last one refused
        those = " or ".join(f"127.0.0.{n}:{port}" for n in (2, 3, 4))
        assert line.endswith(f"open_timeout, 2.5 s: connecting to {those}")
        assert 2.4 < time.monotonic() - start < 7  # 2.5 s for each is 7.5


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose queues can be filled")
def test_nothing_is_left_of_a_race(resolver: Any, record: Any) -> None:
    """Neither sockets nor turns: the second connection waits for no one of the first."""
    import psutil

    resolver("127.0.0.2", "127.0.0.1")
    with Server(until_end) as server, black_hole("127.0.0.2", server.port):
        url = f"ws://many.test:{server.port}/"
        record(WebSocket(url)).wait("open")
        process = psutil.Process()
        before = process.num_fds()
        recorders = [record(WebSocket(url, max_connecting=5)) for _ in range(5)]
        for recorder in recorders:
            recorder.wait("open")
        deadline = time.monotonic() + 20
        while process.num_fds() > before + 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.num_fds() <= before + 10  # five sockets, and the server's ends of them


def test_families_take_turns() -> None:
    def addresses(*hosts: str) -> list[Any]:
        return [(6 if ":" in host else 4, (host, 1)) for host in hosts]

    mixed = dial._interleave(addresses("::1", "::2", "::3", "1.1.1.1", "2.2.2.2"))
    assert [address[1][0] for address in mixed] == ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]
    mixed = dial._interleave(addresses("1.1.1.1", "::1", "::2", "::3"))
    assert [address[1][0] for address in mixed] == ["1.1.1.1", "::1", "::2", "::3"]


def test_the_clock_stands_still_while_a_socket_waits_for_its_turn(record: Any) -> None:
    go = threading.Event()

    async def slow(peer: Peer) -> None:
        import asyncio

        await peer.read_head()
        if peer.path == "/slow":
            while not go.is_set():
                await asyncio.sleep(0.01)
        await peer.accept()
        await peer.wait_end()

    with Server(slow, handshake=False) as server:
        base = f"ws://localhost:{server.port}/"
        first = record(WebSocket(base + "slow"))
        second = record(WebSocket(base, open_timeout=2.0))
        assert not threading.Event().wait(2.5)  # longer than the second one may take
        assert second.types == []
        go.set()
        first.wait("open")
        second.wait("open")


# -- TLS: names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "sent"), [("a.test", "a.test"), ("A.TEST.", "a.test"), ("127.0.0.1", None)]
)
def test_server_name_indication(
    host: str, sent: str | None, authority: Any, client_context: Any, resolver: Any, record: Any
) -> None:
    names: list[str | None] = []
    context = server_context_for(authority, "a.test", "127.0.0.1")
    context.sni_callback = lambda sock, name, context: names.append(name)  # type: ignore[assignment]
    resolver("127.0.0.1")
    with Server(until_end, ssl_context=context) as server:
        ws = WebSocket(f"wss://{host}:{server.port}/", ssl_context=client_context)
        record(ws).wait("open")
    assert names == [sent]


def test_the_names_certificate_is_checked_at_each_host(
    authority: Any, client_context: Any, resolver: Any, record: Any, caplog: Any
) -> None:
    context = server_context_for(authority, "*.site.test")
    resolver("127.0.0.1")
    with Server(until_end, ssl_context=context) as server:
        for host in ("a.site.test", "b.site.test"):
            ws = WebSocket(f"wss://{host}:{server.port}/", ssl_context=client_context)
            record(ws).wait("open")
        line = fails(f"wss://site.test:{server.port}/", record, caplog, ssl_context=client_context)
    assert "the certificate of 'site.test' is not trusted: Hostname mismatch" in line


# -- TLS: certificates of clients ------------------------------------------------------------------


def client_with(authority: trustme.CA, certificate_authority: trustme.CA | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate_authority is not None:
        certificate_authority.issue_cert("client@app.example").configure_cert(context)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(
    version: ssl.TLSVersion, authority: Any, websockets_server: Any, record: Any, caplog: Any
) -> None:
    context = server_context_for(authority, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    url = websockets_server(websockets_echo, ssl=context)
    with Window("https://127.0.0.1/", ssl_context=client_with(authority, authority)) as window:
        recorder = record(window.WebSocket(url))
        recorder.wait("open")
        recorder.ws.send("x" * 100_000)
        recorder.wait("message")
    with strict_server(context) as url:
        line = fails(url, record, caplog, ssl_context=client_with(authority, None))
        if version is ssl.TLSVersion.TLSv1_3:
            assert "the server refused our certificate, or asks for one" in line
        else:  # RFC 5246 §7.4.6 has nothing better
            assert "the TLS handshake failed" in line
            assert "handshake failure" in line
        caplog.clear()
        line = fails(url, record, caplog, ssl_context=client_with(authority, trustme.CA()))
        assert "the server refused our certificate, or asks for one" in line
        assert "unknown ca" in line


@contextmanager
def strict_server(context: ssl.SSLContext) -> Iterator[str]:
    """A server on a thread: asyncio's drops the connection before its alert has left."""

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                try:
                    with context.wrap_socket(sock, server_side=True) as tls:
                        tls.recv(1000)
                except OSError:
                    sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"wss://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


# -- TLS: faults -----------------------------------------------------------------------------------


def test_a_version_that_the_server_does_not_speak(authority: Any, record: Any, caplog: Any) -> None:
    context = server_context_for(authority, "127.0.0.1")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    client = client_with(authority, None)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with strict_server(context) as url:
        line = fails(url, record, caplog, ssl_context=client)
    assert re.search(r"the TLS handshake failed: .*protocol version", line), line


def test_a_self_signed_certificate(record: Any, caplog: Any, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out",
         "c.pem", "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    with Server(until_end, ssl_context=context) as server:
        line = fails(server.url, record, caplog)
    assert "the certificate of '127.0.0.1' is not trusted: self-signed certificate" in line


def test_the_environment_may_change(
    authority: Any,
    server_context: Any,
    record: Any,
    caplog: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the default context honours, it honours also after the first `wss:` connection."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Server(until_end, ssl_context=server_context) as server:
        assert "not trusted" in fails(server.url, record, caplog)
        caplog.clear()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        record(WebSocket(server.url)).wait("open")
        keys = tmp_path / "keys.log"
        monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
        record(WebSocket(server.url)).wait("open")
        assert "CLIENT_TRAFFIC_SECRET_0" in keys.read_text()
        monkeypatch.delenv("SSLKEYLOGFILE")
        before = keys.read_text()
        record(WebSocket(server.url)).wait("open")
        assert keys.read_text() == before
        monkeypatch.delenv("SSL_CERT_FILE")
        assert "not trusted" in fails(server.url, record, caplog)
    assert dial.default_ssl_context() is dial.default_ssl_context()


def test_sslkeylogfile(authority: Any, tmp_path: Path) -> None:
    """The default context honours it, in a program of its own."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = server_context_for(authority, "127.0.0.1")
    script = """
        import sys, webapi
        def main():
            ws = webapi.WebSocket(sys.argv[1])
            ws.onopen = lambda event: ws.close()
            ws.onclose = lambda event: print(event.wasClean)
        webapi.run(main)
        """

    async def serve(peer: Peer) -> None:
        async for _ in peer:
            pass

    with Server(serve, ssl_context=context) as server:
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), server.url],
            env={
                **os.environ,
                "SSLKEYLOGFILE": str(tmp_path / "keys.log"),
                "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            },
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert ended.stdout == "True\n", ended.stderr
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "keys.log").read_text()
