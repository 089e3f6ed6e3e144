"""The developer tools' events, and HAR: https://chromedevtools.github.io/devtools-protocol/"""

from __future__ import annotations

import base64
import gc
import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import webapi
from webapi import DOMException, WebSocket, Window
from webapi.html.event_loop import EventLoop
from webapi.net.devtools import EVENTS, DevTools
from webapi.protocol.frames import Pong
from webapi.testing import Peer, Server

PAGE = "http://app.example/room"


class Log:
    """All events of `devtools`, in order."""

    def __init__(self, devtools: DevTools) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        for name in EVENTS:
            devtools.on(name, self._listener(name))

    def _listener(self, name: str) -> Any:
        def listener(event: dict[str, Any]) -> None:
            with self._changed:
                self.events.append((name, event))
                self._changed.notify_all()

        return listener

    @property
    def names(self) -> list[str]:
        return [name.removeprefix("webSocket") for name, _ in self.events]

    def all(self, name: str) -> list[dict[str, Any]]:
        return [event for found, event in self.events if found == f"webSocket{name}"]

    def wait(self, name: str, count: int = 1) -> dict[str, Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all(name)) >= count, 45), self.names
            return self.all(name)[count - 1]

    def frames(self, name: str) -> list[tuple[int, bool, Any]]:
        return [
            (frame["opcode"], frame["mask"], frame["payloadData"])
            for frame in (event["response"] for event in self.all(name))
        ]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_connection_from_its_creation_to_its_end(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.accept("X-One: 1", "x-one: 2", protocol="chat")
        await peer.send("h\u00e9llo")
        await peer.send(b"\0\1")
        await peer.ping(b"p")
        assert await peer.receive() == "a"
        assert await peer.receive() == b"\xff"
        await peer.send_frame(0xA, b"unasked")
        await peer.close(4000, "bye")

    before, wall = time.monotonic(), time.time()
    with Server(script, handshake=False) as server, Window(PAGE) as window:
        log = Log(window.devtools)
        ws = window.WebSocket(server.url, "chat", headers={"X-Mine": "yes"})
        ws.onopen = lambda event: (ws.send("a"), ws.send(b"\xff"))
        record(ws).wait("close")
        log.wait("Closed")
        assert not server.errors
    [created] = log.all("Created")
    assert created == {"requestId": created["requestId"], "url": ws.url}
    [request] = log.all("WillSendHandshakeRequest")
    headers = request["request"]["headers"]
    assert headers["Origin"] == "http://app.example"
    assert headers["X-Mine"] == "yes"
    assert headers["Sec-WebSocket-Protocol"] == "chat"
    assert before < request["timestamp"] < time.monotonic()
    assert wall < request["wallTime"] < time.time()
    [answer] = log.all("HandshakeResponseReceived")
    response = answer["response"]
    assert (response["status"], response["statusText"]) == (101, "Switching Protocols")
    assert response["headers"]["X-One"] == "1"
    assert response["headers"]["Upgrade"] == "websocket"
    assert response["headersText"].startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert response["requestHeaders"] == headers
    assert response["requestHeadersText"].startswith("GET / HTTP/1.1\r\nHost: ")
    assert log.frames("FrameReceived") == [
        (1, False, "h\u00e9llo"), (2, False, b64(b"\0\1")), (9, False, b64(b"p")),
        (10, False, b64(b"unasked")), (8, False, b64(b"\x0f\xa0bye")),
    ]  # fmt: skip
    sent = log.frames("FrameSent")
    assert sorted(sent[:-1]) == [(1, True, "a"), (2, True, b64(b"\xff")), (10, True, b64(b"p"))]
    assert sent[-1] == (8, True, b64(b"\x0f\xa0bye"))
    assert log.names[:3] == ["Created", "WillSendHandshakeRequest", "HandshakeResponseReceived"]
    assert log.names[-1] == "Closed"
    assert log.names.count("Closed") == 1
    assert len({event["requestId"] for _, event in log.events}) == 1
    times = [event["timestamp"] for _, event in log.events[1:]]
    assert times == sorted(times)


def test_a_message_is_one_frame_whatever_its_fragments_and_compression(
    websockets_server: Any, record: Any
) -> None:
    messages = ["x" * 1000, "y" * 3_000_000, b"z" * 700_000, "\u20ac" * 100_000, "", b""]

    async def fragments(connection: Any) -> None:
        async for message in connection:
            await connection.send(
                [message[at : at + 100_000] for at in range(0, len(message) or 1, 100_000)]
            )

    for compression in (True, False):
        url = websockets_server(fragments, compression="deflate")
        with Window(PAGE, compression=compression) as window:
            log = Log(window.devtools)
            recorder = record(window.WebSocket(url))
            recorder.wait("open")
            for message in messages:
                recorder.ws.send(message)
            recorder.wait("message", len(messages))
            expected = [m if isinstance(m, str) else b64(m) for m in messages]
            assert [data for _, _, data in log.frames("FrameSent")] == expected
            assert [data for _, _, data in log.frames("FrameReceived")] == expected


def test_lone_surrogates_show_as_they_leave(echo_url: str, record: Any) -> None:
    with Window(PAGE) as window:
        log = Log(window.devtools)
        recorder = record(window.WebSocket(echo_url))
        recorder.wait("open")
        recorder.ws.send("a\ud800b")
        recorder.wait("message")
        assert log.frames("FrameSent") == [(1, True, "a\ufffdb")]


@pytest.mark.parametrize("failure", ["refused", "404", "bad frame", "reset", "mixed-up accept"])
def test_failures(failure: str, closed_port: int, record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        if failure == "404":
            await peer.reject("404 Not Found", "X: y")
        elif failure == "mixed-up accept":
            await peer.send_raw(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n")
        else:
            await peer.accept()
            if failure == "reset":
                peer.reset()
            else:
                await peer.send_raw(b"\xff\xff")
        await peer.wait_end()

    with Server(script, handshake=False) as server, Window(PAGE) as window:
        log = Log(window.devtools)
        url = f"ws://127.0.0.1:{closed_port}/" if failure == "refused" else server.url
        record(window.WebSocket(url)).wait("close")
        log.wait("Closed")
    [error] = log.all("FrameError")
    words = {
        "refused": "Connection refused", "404": "404 Not Found", "bad frame": "reserved bit",
        "reset": "reset", "mixed-up accept": "Connection header",
    }  # fmt: skip
    assert words[failure] in error["errorMessage"]
    answers = log.all("HandshakeResponseReceived")
    assert len(answers) == (failure != "refused")
    if failure == "bad frame":
        assert log.frames("FrameSent") == [(8, True, b64(b"\x03\xea"))]
    assert log.names[-1] == "Closed"


@pytest.mark.parametrize("end", ["window.close", "abort", "unload before the connection"])
def test_other_ends(end: str, record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        if end == "window.close":
            await peer.accept()
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        window = Window(PAGE)
        log = Log(window.devtools)
        recorder = record(window.WebSocket(server.url))
        if end == "window.close":
            recorder.wait("open")
            window.close()
        elif end == "abort":
            log.wait("WillSendHandshakeRequest")
            recorder.ws.close()
        else:
            window.close()
        log.wait("Closed")
        if end == "window.close":
            assert log.frames("FrameSent") == [(8, True, b64(b"\x03\xe9"))]
        assert log.names.count("Closed") == 1


def test_an_exception_in_a_listener_changes_nothing(
    echo_url: str, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    with Window(PAGE) as window:

        @window.devtools.on("webSocketFrameSent")
        def fails(event: Any) -> None:
            raise ZeroDivisionError

        log = Log(window.devtools)
        recorder = record(window.WebSocket(echo_url))
        recorder.wait("open")
        recorder.ws.send("x")
        assert recorder.wait("message").data == "x"
        assert log.frames("FrameSent") == [(1, True, "x")]
        window.devtools.remove_listener("webSocketFrameSent", fails)  # a Close frame is to come
    assert [report.exc_type for report in reported] == [ZeroDivisionError]


def test_listeners_may_do_as_they_like(echo_url: str, record: Any) -> None:
    """Each may send, close and look: no lock is held."""
    amounts: list[int] = []
    with Window(PAGE) as window:
        recorder = record(window.WebSocket(echo_url))

        def look(event: Any) -> None:
            amounts.append(recorder.ws.bufferedAmount)
            if event["response"]["payloadData"] == "1":
                recorder.ws.send("2")
            elif event["response"]["payloadData"] == "2":
                recorder.ws.close(1000)

        recorder.wait("open")
        window.devtools.on("webSocketFrameSent", look)
        recorder.ws.send("1")
        assert recorder.wait("close").code == 1000
    assert amounts == [0, 0, 0]


def test_nobody_is_told_who_does_not_listen() -> None:
    devtools = Window(PAGE).devtools
    assert not devtools.listening
    once = devtools.once("webSocketClosed", lambda event: None)
    assert devtools.listening
    assert not devtools.frames_wanted
    devtools.on("webSocketFrameSent", print)
    assert devtools.frames_wanted
    devtools.remove_listener("webSocketFrameSent", print)
    assert not devtools.frames_wanted
    devtools.emit("webSocketClosed", {})
    assert not devtools.listening
    assert once is not None
    devtools.on("webSocketFrameSent", print)
    devtools.remove_all_listeners()
    assert not devtools.listening
    assert not devtools.frames_wanted
    with pytest.raises(ValueError, match="there is no event 'webSocketFrameSend'"):
        devtools.on("webSocketFrameSend", print)


def test_the_default_page_has_its_own(echo_url: str, record: Any) -> None:
    log = Log(webapi.devtools)
    try:
        record(WebSocket(echo_url)).wait("open")
        with Window(PAGE) as window:
            record(window.WebSocket(echo_url)).wait("open")
        assert log.names == ["Created", "WillSendHandshakeRequest", "HandshakeResponseReceived"]
    finally:
        webapi.devtools.remove_all_listeners()


# -- HAR -------------------------------------------------------------------------------------------


def test_har_opens_in_a_reader(
    echo_url: str, closed_port: int, record: Any, tmp_path: Path
) -> None:
    from haralyzer import HarParser

    with Window(PAGE, cookies={"sid": "7"}) as window:
        window.devtools.record()
        window.devtools.record()
        url = echo_url.replace("127.0.0.1", "localhost") + "chat?a=1&b="
        with Window(url.replace("ws:", "http:"), cookies={"sid": "7"}) as page:
            page.devtools.record()
            ws = page.WebSocket(url)
            # in one task: no echo comes between
            ws.onopen = lambda event: (ws.send("h\u00e9llo"), ws.send(b"\0\1"))
            recorder = record(ws)
            recorder.wait("message", 2)
            recorder.ws.close(3001, "done")
            recorder.wait("close")
            record(page.WebSocket(f"ws://127.0.0.1:{closed_port}/")).wait("close")
            har = page.devtools.har(tmp_path / "session.har", sensitive=True)
        assert window.devtools.har()["log"]["entries"] == []

    assert json.loads((tmp_path / "session.har").read_text("utf-8")) == har
    reader = HarParser(json.loads((tmp_path / "session.har").read_text("utf-8")))
    assert reader.har_data["version"] == "1.2"
    assert reader.creator["name"] == "webapi"
    [page_read] = reader.pages
    entry, failed = page_read.entries
    assert entry.url == url
    assert entry.request.method == "GET"
    assert entry.request.headers[0]["name"] == "Host"
    assert {"name": "a", "value": "1"} in entry.request.queryString
    assert entry.request.cookies == [{"name": "sid", "value": "7"}]
    for entry in har["log"]["entries"]:
        assert entry["time"] == pytest.approx(sum(max(t, 0) for t in entry["timings"].values()))
    entry = page_read.entries[0]
    assert entry.response.status == 101
    assert failed.response.status == 0

    messages = har["log"]["entries"][0]["_webSocketMessages"]
    assert [(m["type"], m["opcode"], m["data"]) for m in messages] == [
        ("send", 1, "h\u00e9llo"), ("send", 2, "AAE="), ("receive", 1, "h\u00e9llo"),
        ("receive", 2, "AAE="),
    ]  # fmt: skip
    started = datetime.fromisoformat(
        har["log"]["entries"][0]["startedDateTime"].replace("Z", "+00:00")
    ).timestamp()
    assert all(started - 0.01 < m["time"] <= time.time() for m in messages)
    closing = har["log"]["entries"][0]["_webSocketClosing"]
    assert [(c["type"], c["code"], c["reason"]) for c in closing] == [
        ("send", 3001, "done"), ("receive", 3001, "done"),
    ]  # fmt: skip
    assert har["log"]["entries"][0]["_resourceType"] == "websocket"
    [error] = har["log"]["entries"][1]["_webSocketMessages"]
    assert error["type"] == "error"
    assert "refused" in error["data"]


def test_har_needs_a_recording_and_forgets_on_request(echo_url: str, record: Any) -> None:
    with Window(PAGE) as window:
        with pytest.raises(RuntimeError, match=r"devtools.record\(\)"):
            window.devtools.har()
        window.devtools.clear()
        recorder = record(window.WebSocket(echo_url))  # older than the recording
        recorder.wait("open")
        window.devtools.record()
        recorder.ws.send("x")
        recorder.wait("message")
        record(window.WebSocket(echo_url)).wait("open")
        assert len(window.devtools.har()["log"]["entries"]) == 1
        window.devtools.clear()
        assert window.devtools.har()["log"]["entries"] == []


@pytest.mark.parametrize("status", ["401 Unauthorized", "302 Found"])
def test_har_of_a_refusal(status: str, record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reject(status, "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "Location: /login")

    with Server(script, handshake=False) as server, Window(PAGE) as window:
        window.devtools.record()
        record(window.WebSocket(server.url)).wait("close")
        [entry] = window.devtools.har(sensitive=True)["log"]["entries"]
    response = entry["response"]
    assert f"{response['status']} {response['statusText']}" == status
    assert response["redirectURL"] == "/login"
    assert [cookie["name"] for cookie in response["cookies"]] == ["a", "b"]
    assert status in response["_error"]


@pytest.mark.parametrize("given", [True, False])
def test_har_logs_nobody_in_unless_asked_to(given: bool, record: Any, tmp_path: Path) -> None:
    """As Chrome's "Export HAR (sanitized)"; whoever gets the file gets no session with it."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reject("401 Unauthorized", "Set-Cookie: fresh=s3cret")

    with Server(script, handshake=False) as server:
        page = server.url.replace("ws://", "http://user:s3cret@")
        options: dict[str, Any] = {"headers": {"cookie": "sid=s3cret"}} if given else {}
        with Window(page, cookies={"sid": "s3cret"}, **options) as window:
            window.devtools.record()
            record(window.WebSocket("/")).wait("close")
            window.devtools.har(tmp_path / "session.har")
            [entry] = window.devtools.har(sensitive=True)["log"]["entries"]
    assert "s3cret" not in (tmp_path / "session.har").read_text("utf-8")
    assert "401 Unauthorized" in (tmp_path / "session.har").read_text("utf-8")
    assert [cookie["value"] for cookie in entry["request"]["cookies"]] == ["s3cret"]
    assert [cookie["value"] for cookie in entry["response"]["cookies"]] == ["s3cret"]
    assert entry["request"]["url"].startswith("ws://user:s3cret@")


def test_what_was_never_opened_is_never_closed() -> None:
    with Window(PAGE) as window:
        told: list[Any] = []
        for name in EVENTS:
            window.devtools.on(name, told.append)
    with pytest.raises(DOMException, match="closed"):
        window.WebSocket("wss://app.example/")
    gc.collect()
    queued = threading.Event()
    EventLoop.current().queue_task(queued.set)
    assert queued.wait(20)
    assert told == []


def test_har_has_no_control_frames(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.ping(b"there?")
        assert isinstance(await peer.receive_any(), Pong)
        await peer.send("x")
        await peer.close(1000, "bye")

    with Server(script) as server, Window(PAGE) as window:
        window.devtools.record()
        record(window.WebSocket(server.url)).wait("close")
        [entry] = window.devtools.har()["log"]["entries"]
        server.wait_scripts()
    assert [(m["type"], m["data"]) for m in entry["_webSocketMessages"]] == [("receive", "x")]
    assert [(c["type"], c["reason"]) for c in entry["_webSocketClosing"]] == [
        ("receive", "bye"), ("send", "bye"),
    ]  # fmt: skip
