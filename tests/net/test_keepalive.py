"""Keep-alive pings: RFC 6455 §5.5.2, and what becomes of a dead connection."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from logged import logged
from servers import websockets_echo

from webapi import WebSocket, Window
from webapi.html.event_loop import EventLoop
from webapi.net.keepalive import KeepAlive
from webapi.protocol.frames import Ping
from webapi.testing import Peer, Server
from webapi.testing.network import Conditions, insert_relay


def test_pings_are_off_and_can_be_turned_on(record: Any) -> None:
    pings: list[bytes] = []

    async def script(peer: Peer) -> None:
        while len(pings) < 3:
            message = await peer.receive_any()
            if isinstance(message, Ping):
                pings.append(message.payload)
                await peer.send_frame(0xA, message.payload)
        await peer.close()

    with Server(script) as server:
        silent = record(WebSocket(server.url))
        silent.wait("open")
        with Window("http://app.example", ping_interval=0.05) as window:
            assert record(window.WebSocket(server.url)).wait("close").code == 1000
        assert silent.types == ["open"]
    assert len(set(pings)) == 3


def test_a_real_server_answers(websockets_server: Any, record: Any) -> None:
    url = websockets_server(websockets_echo)
    recorder = record(WebSocket(url, ping_interval=0.05, ping_timeout=2))
    recorder.wait("open")
    time.sleep(2.5)  # longer than the timeout: that it stays is what is tested
    recorder.ws.send("still here")
    assert recorder.wait("message").data == "still here"
    recorder.ws.close()
    assert recorder.wait("close").wasClean


def test_a_dead_connection_fails_with_1006(record: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def script(peer: Peer) -> None:
        await asyncio.sleep(30)  # neither reads nor answers

    with caplog.at_level(logging.WARNING, "webapi"), Server(script) as server:
        start = time.monotonic()
        recorder = record(WebSocket(server.url, ping_interval=0.1, ping_timeout=0.3))
        event = recorder.wait("close")
        assert 0.3 < time.monotonic() - start < 10
    assert (event.code, event.wasClean) == (1006, False)
    assert recorder.types == ["open", "error", "close"]
    [line] = logged(caplog, server.url)
    assert "nothing came within 0.3 s of a ping (ping_timeout)" in line


def test_whatever_comes_is_a_sign_of_life(record: Any) -> None:
    """A pong stands in the line behind a long message."""

    async def script(peer: Peer) -> None:
        await peer.send_raw(b"\x82\x28")  # 40 bytes to come
        for _ in range(40):
            await peer.send_raw(b"x")
            await asyncio.sleep(0.06)
        await peer.close()

    with Server(script) as server:
        recorder = record(WebSocket(server.url, ping_interval=0.1, ping_timeout=2))
        assert recorder.wait("close").code == 1000
        assert recorder.types == ["open", "message", "close"]


def test_what_comes_through_a_relay_is_a_sign_of_life(record: Any) -> None:
    pongs = 0

    async def script(peer: Peer) -> None:
        nonlocal pongs
        while pongs < 10:
            if isinstance(message := await peer.receive_any(), Ping):
                await peer.send_frame(0xA, message.payload)
                pongs += 1
        await peer.close()

    with Server(script) as server:
        recorder = record(WebSocket(server.url, ping_interval=0.2, ping_timeout=1.5))
        recorder.wait("open")
        insert_relay(recorder.ws, Conditions())
        assert recorder.wait("close").code in (1000, 1005)
    assert recorder.types == ["open", "close"]


def test_slow_handlers_are_no_silence(record: Any) -> None:
    async def script(peer: Peer) -> None:
        for number in range(16):  # two turns of the loop: one looks at the clock every eighth
            await peer.send(str(number))
        async for _ in peer:
            pass

    with Server(script) as server:
        ws = WebSocket(server.url, ping_interval=0.05, ping_timeout=1)
        ws.onmessage = lambda event: time.sleep(0.2)
        recorder = record(ws)
        recorder.wait("message", 16)
        ws.close()
        assert recorder.wait("close").wasClean


def test_handlers_that_end_just_before_the_decision_are_no_silence() -> None:
    """What came meanwhile is not read yet."""

    class Connection:
        def __init__(self) -> None:
            self.page = EventLoop.current()
            self.reading = False
            self.given_up: list[str] = []

        def is_open(self) -> bool:
            return True

        def is_reading(self) -> bool:
            return self.reading

        def give_up(self, reason: str) -> None:
            self.given_up.append(reason)

    async def main() -> None:
        connection = Connection()
        keep_alive = KeepAlive(connection, 60, 60, lambda: None)  # type: ignore[arg-type]
        keep_alive._look(0, 60)
        connection.reading = True  # the last handler has ended
        for _ in range(4):
            await asyncio.sleep(0)
        keep_alive.stop()
        assert connection.given_up == []

    asyncio.run(main())


def test_no_pings_after_the_close_and_no_timer_is_left() -> None:
    pings: list[Any] = []

    async def script(peer: Peer) -> None:
        while peer.close_received is None:
            await peer.receive_any()
        await asyncio.sleep(0.3)
        await peer.answer_close()
        while True:
            pings.append(await peer.receive_any())

    async def main() -> None:
        async with Server(script) as server:
            ws = WebSocket(server.url, ping_interval=0.05, ping_timeout=0.1)
            closed = asyncio.get_running_loop().create_future()
            ws.onopen = lambda event: ws.close(1000)
            ws.onclose = closed.set_result
            assert (await closed).wasClean
            await asyncio.sleep(0.2)

    asyncio.run(main())
    assert pings == []


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError)])
def test_bad_values(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        WebSocket("ws://127.0.0.1/", **{name: value})
