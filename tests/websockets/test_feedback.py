"""Feedback from the protocol: which events, in which order, with which state."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from logged import logged

from webapi import WebSocket
from webapi.net import connection
from webapi.protocol import frames
from webapi.testing import Peer, Server
from webapi.websockets import feedback

CLOSE_1000 = bytes([0x88, 2, 0x03, 0xE8])


def text(payload: bytes) -> bytes:
    return bytes([0x81, len(payload)]) + payload


def trace(script: Any, record: Any, **handlers: Any) -> Any:
    """Run `script` on the server and return the recorder after the close."""
    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        for name, handler in handlers.items():
            ws.addEventListener(name, lambda event, handler=handler: handler(ws, event))
        recorder.wait("close")
        server.wait_scripts()
        assert not server.errors
        return recorder


def summary(recorder: Any) -> tuple[list[str], int, str, bool]:
    event = recorder.events[-1]
    return recorder.types, event.code, event.reason, event.wasClean


def test_messages_before_the_close_frame_come_before_close(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.send_raw(text(b"a") + text(b"b") + CLOSE_1000 + text(b"late"))
        await peer.receive_any()

    recorder = trace(script, record)
    assert summary(recorder) == (["open", "message", "message", "close"], 1000, "", True)
    assert recorder.data == ["a", "b"]
    assert recorder.states == [1, 1, 1, 3]


def test_messages_right_behind_the_head_come_after_open(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send_raw(peer.acceptance() + text(b"a") + text(b"b") + CLOSE_1000)
        await peer.receive_any()

    with Server(script, handshake=False) as server:
        recorder = record(WebSocket(server.url))
        recorder.wait("close")
    assert summary(recorder) == (["open", "message", "message", "close"], 1000, "", True)


def test_no_message_comes_after_close_was_called(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.send_raw(text(b"a") + text(b"b") + text(b"c"))
        await peer.receive_any()
        await peer.send_raw(text(b"d"))
        await peer.answer_close()

    recorder = trace(script, record, message=lambda ws, event: ws.close(4000, "enough"))
    assert summary(recorder) == (["open", "message", "close"], 4000, "enough", True)
    assert recorder.data == ["a"]


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "bye"), (1001, ""), (1011, "é"), (3000, ""), (4999, "x" * 123)]
)
def test_the_servers_close_is_echoed(code: int, reason: str, record: Any) -> None:
    answers: list[Any] = []

    async def script(peer: Peer) -> None:
        answers.append(await peer.close(code, reason))

    states: list[int] = []
    recorder = trace(script, record, close=lambda ws, event: states.append(ws.readyState))
    assert summary(recorder) == (["open", "close"], code, reason, True)
    assert answers == [frames.Close(code, reason)]
    assert states == [WebSocket.CLOSED]


def test_a_close_without_a_code_is_1005_and_answered_without(record: Any) -> None:
    answers: list[Any] = []

    async def script(peer: Peer) -> None:
        answers.append(await peer.close(None))

    assert summary(trace(script, record)) == (["open", "close"], 1005, "", True)
    assert answers == [frames.Close(None, "")]


def test_the_state_is_closing_between_the_servers_close_and_the_end(record: Any) -> None:
    go = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.send_close(1000)
        await peer.receive_any()
        await asyncio.get_running_loop().run_in_executor(None, go.wait)

    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("open")
        deadline = time.monotonic() + 20
        while ws.readyState == WebSocket.OPEN and time.monotonic() < deadline:
            time.sleep(0.001)
        assert ws.readyState == WebSocket.CLOSING
        assert recorder.types == ["open"]
        ws.send("dropped")
        assert ws.bufferedAmount == 7
        go.set()
        assert recorder.wait("close").wasClean


def test_crossing_closes_have_the_servers_code(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send_close(4001, "server")
        await peer.receive_any()

    def onopen(ws: Any, event: Any) -> None:
        ws.send("x")
        ws.close(4000, "client")

    assert summary(trace(script, record, open=onopen)) == (["open", "close"], 4001, "server", True)


def test_an_end_without_a_close_frame_is_1006_without_error(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.send_raw(text(b"a"))

    assert summary(trace(script, record)) == (["open", "message", "close"], 1006, "", False)


def test_an_end_in_mid_frame_is_1006_without_error(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.send_raw(bytes([0x81, 100]) + b"half")

    assert summary(trace(script, record)) == (["open", "close"], 1006, "", False)


@pytest.mark.parametrize("head", [b"", bytes([0x81, 100]) + b"half"])
def test_a_reset_is_error_then_close_1006(head: bytes, record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send_raw(head)
        peer.reset()

    recorder = trace(script, record, open=lambda ws, event: ws.send("x"))
    assert summary(recorder) == (["open", "error", "close"], 1006, "", False)
    assert recorder.states == [1, 3, 3]


FAILURES = {
    "a reserved bit": (bytes([0xC1, 1, 65]), 1002),
    "a reserved opcode": (bytes([0x83, 0]), 1002),
    "a masked frame": (bytes([0x81, 0x81, 1, 2, 3, 4, 65]), 1002),
    "a fragmented ping": (bytes([0x09, 0]), 1002),
    "a long ping": (bytes([0x89, 126, 0, 126]) + bytes(126), 1002),
    "a stray continuation": (bytes([0x80, 0]), 1002),
    "a message within a message": (bytes([0x01, 1, 65, 0x81, 1, 65]), 1002),
    "invalid UTF-8": (bytes([0x81, 2, 0xC3, 0x28]), 1007),
    "invalid UTF-8 in an unfinished frame": (bytes([0x81, 100, 0xFF]), 1007),
    "a surrogate in an unfinished message": (bytes([0x01, 3, 0xED, 0xA0, 0x80]), 1007),
    "a length in too many bytes": (bytes([0x81, 126, 0, 1, 65]), 1002),
    "a one-byte close body": (bytes([0x88, 1, 3]), 1002),
    "close code 1005": (bytes([0x88, 2]) + (1005).to_bytes(2, "big"), 1002),
    "close code 5000": (bytes([0x88, 2]) + (5000).to_bytes(2, "big"), 1002),
    "invalid UTF-8 in a reason": (bytes([0x88, 3, 3, 0xE8, 0xFF]), 1007),
    "2**62 bytes": (bytes([0x82, 127]) + (1 << 62).to_bytes(8, "big"), 1009),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_broken_protocol_fails_the_connection(
    name: str, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    data, code = FAILURES[name]
    answers: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.send_raw(text(b"before") + data)
        answers.append(await peer.receive_any())
        await peer.send_raw(text(b"after"))
        await peer.wait_end()  # the client ends it, though the server goes on

    with caplog.at_level(logging.WARNING, "webapi"):
        recorder = trace(script, record)
    assert summary(recorder) == (["open", "message", "error", "close"], 1006, "", False)
    assert recorder.data == ["before"]
    assert recorder.states == [1, 1, 3, 3]
    assert answers == [frames.Close(code, "")]
    [line] = logged(caplog, recorder.ws.url)
    assert recorder.ws.url in line
    assert "\n" not in line


@pytest.mark.parametrize("fault", ["refused", "reset", "the write breaks"])
def test_a_listener_sees_neither_the_reason_nor_our_task(
    fault: str, closed_port: int, record: Any
) -> None:
    """ "Failure reasons never visible to the page": not as the exception at hand, either."""
    seen: list[Any] = []

    def look(event: Any) -> None:
        seen.append((sys.exc_info()[1], asyncio.current_task()))

    async def script(peer: Peer) -> None:
        await peer.receive_any()
        peer.reset()

    with Server(script) as server:
        url = f"ws://127.0.0.1:{closed_port}/" if fault == "refused" else server.url
        ws = WebSocket(url)
        ws.onerror = ws.onclose = look
        recorder = record(ws)
        if fault != "refused":
            recorder.wait("open")
            ws.send("x" * (1 if fault == "reset" else 10_000_000))
        recorder.wait("close")
    assert recorder.types[-2:] == ["error", "close"]
    assert seen == [(None, None)] * 2


def test_max_message_size_is_checked_over_all_fragments(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.send("x" * 100)
        await peer.send_frame(frames.TEXT, b"x" * 60, fin=False)
        await peer.send_frame(frames.CONTINUATION, b"x" * 41)
        assert (await peer.receive_any()) == frames.Close(1009, "")
        await peer.wait_end()

    with Server(script) as server:
        recorder = record(WebSocket(server.url, max_message_size=100))
        recorder.wait("close")
        assert recorder.data == ["x" * 100]
        assert recorder.types == ["open", "message", "error", "close"]
        server.wait_scripts()
        assert not server.errors


def test_pings_are_answered_in_order_between_messages(record: Any) -> None:
    pongs: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.send_frame(frames.PONG, b"unsolicited")
        await peer.send_frame(frames.TEXT, b"frag", fin=False)
        for number in range(10):
            await peer.ping(b"%d" % number)
        await peer.send_frame(frames.CONTINUATION, b"ment")
        for _ in range(10):
            pongs.append(await peer.receive_pong())
        await peer.close()

    recorder = trace(script, record)
    assert pongs == [b"%d" % number for number in range(10)]
    assert recorder.data == ["fragment"]


def test_many_pings_do_not_pile_up_pongs(record: Any) -> None:
    done = threading.Event()

    async def script(peer: Peer) -> None:
        peer.writer.write(bytes([0x89, 2, 65, 66]) * 200_000)  # and reads nothing meanwhile
        await peer.writer.drain()
        await peer.ping(b"last")
        while (await peer.receive_pong()) != b"last":
            pass
        done.set()
        await peer.close()

    trace(script, record)
    assert done.is_set()


# -- the closing handshake's limits ---------------------------------------------------------------


def test_a_server_that_never_answers_close(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.2)

    async def script(peer: Peer) -> None:
        await peer.wait_end()

    recorder = trace(script, record, open=lambda ws, event: ws.close(1000))
    assert summary(recorder) == (["open", "close"], 1006, "", False)
    assert recorder.ws.readyState == WebSocket.CLOSED


@pytest.mark.parametrize("by_client", [True, False])
def test_a_server_that_never_ends_tcp(
    by_client: bool, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "END_TIMEOUT", 0.2)

    async def script(peer: Peer) -> None:
        if by_client:
            await peer.receive_any()
        await peer.send_close(1000, "x")
        await peer.wait_end()

    handlers = {"open": lambda ws, event: ws.close(1000)} if by_client else {}
    assert summary(trace(script, record, **handlers)) == (["open", "close"], 1000, "x", True)


def test_a_server_that_never_reads_cannot_hold_a_closing_socket(
    record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.2)
    go = threading.Event()

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.get_running_loop().run_in_executor(None, go.wait)

    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("open")
        for _ in range(40):
            ws.send(bytes(1024 * 1024))
        before = ws.bufferedAmount
        ws.close()
        event = recorder.wait("close")
        go.set()
    assert (event.code, event.wasClean) == (1006, False)
    assert 0 < ws.bufferedAmount <= before


def test_the_close_frame_leaves_behind_the_data(record: Any) -> None:
    got: list[Any] = []

    async def script(peer: Peer) -> None:
        while not isinstance(message := await peer.receive_any(), frames.Close):
            got.append(message)
        await peer.answer_close()

    def onopen(ws: Any, event: Any) -> None:
        for number in range(5):
            ws.send(str(number))
        ws.send(bytes(3_000_000))
        ws.close()

    recorder = trace(script, record, open=onopen)
    assert got == [*map(str, range(5)), bytes(3_000_000)]
    assert recorder.ws.bufferedAmount == 0


# -- handlers -------------------------------------------------------------------------------------


def test_a_handler_that_raises_stops_nothing(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))

    async def script(peer: Peer) -> None:
        await peer.send("a")
        await peer.send("b")
        await peer.close()

    with Server(script) as server:
        ws = WebSocket(server.url)

        def onmessage(event: Any) -> None:
            raise ValueError(event.data)

        ws.onmessage = onmessage
        recorder = record(ws)
        recorder.wait("close")
    assert recorder.data == ["a", "b"]
    assert [str(error) for error in reported] == ["a", "b"]


def keep_nothing(kept: list[Any], event: Any) -> None:
    kept.append(event.data)


def keep_event(kept: list[Any], event: Any) -> None:
    kept.append(event)


def keep_weakly(kept: list[Any], event: Any) -> None:
    if kept and kept[-1][0]() is event:
        kept.append("the same event twice")
    kept.append((weakref.ref(event), event.data))


def keep_in_exception(kept: list[Any], event: Any) -> None:
    kept.append(event)
    raise ValueError(event.data)


async def keep_in_coroutine(kept: list[Any], event: Any) -> None:
    await asyncio.sleep(0.001)
    kept.append(event.data)


@pytest.mark.parametrize("listeners", [1, 2])
@pytest.mark.parametrize(
    "keep", [keep_nothing, keep_event, keep_weakly, keep_in_exception, keep_in_coroutine]
)
def test_each_message_has_an_event_of_its_own_as_far_as_anybody_can_tell(
    keep: Any, listeners: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come in one read, where an event that nobody kept is used again."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    expected = [str(number) for number in range(500)]
    done = threading.Event()
    kept: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.send_raw(b"".join(text(word.encode()) for word in expected) + CLOSE_1000)
        await peer.receive_any()

    with Server(script) as server:
        ws = WebSocket(server.url)
        ws.onmessage = lambda event: keep(kept, event)
        if listeners > 1:
            ws.addEventListener("message", lambda event: None)
        ws.onclose = lambda event: done.set()
        assert done.wait(20)
    deadline = time.monotonic() + 20
    while len(kept) < len(expected) and time.monotonic() < deadline:  # coroutines go on for a while
        time.sleep(0.005)
    if keep is keep_weakly:
        assert [entry[1] for entry in kept] == expected
    elif keep in (keep_event, keep_in_exception):
        assert [event.data for event in kept] == expected
        assert {event.eventPhase for event in kept} == {0}
    else:
        assert sorted(kept, key=int) == expected


def test_a_lone_handler_that_raises_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    done = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.send("a")
        await peer.close()

    with Server(script) as server:
        ws = WebSocket(server.url)
        ws.onmessage = lambda event: 1 / 0
        ws.onclose = lambda event: done.set()
        assert done.wait(20)
    assert [type(error) for error in reported] == [ZeroDivisionError]


def test_a_slow_handler_is_the_back_pressure(record: Any) -> None:
    """What is not read stays in the kernel: the server cannot send without bound."""
    sent = [0]
    blocked, go = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        while sent[0] < 400:
            await peer.send(bytes(256 * 1024))
            sent[0] += 1

    with Server(script) as server:
        ws = WebSocket(server.url)

        def onmessage(event: Any) -> None:
            blocked.set()
            assert go.wait(40)

        ws.onmessage = onmessage
        assert blocked.wait(20)
        before = -1
        deadline = time.monotonic() + 20
        while before != sent[0] and time.monotonic() < deadline:  # until it sends no more
            before = sent[0]
            time.sleep(0.1)
        assert sent[0] < 200
        recorder = record(ws)
        go.set()
        recorder.wait("close")
        assert sent[0] == 400


def test_a_flood_does_not_starve_other_sockets(echo_url: str, record: Any) -> None:
    stop = threading.Event()

    async def flood(peer: Peer) -> None:
        block = text(b"x" * 32) * 5000
        while not stop.is_set():
            await peer.send_raw(block)

    with Server(flood) as server:
        flooded, other = WebSocket(server.url), WebSocket(echo_url)
        flooded.onmessage = lambda event: None
        recorder = record(other)
        recorder.wait("open")
        for number in range(20):
            other.send(str(number))
            recorder.wait("message", number + 1)
        stop.set()
        assert recorder.data == [str(number) for number in range(20)]


def test_a_handler_may_make_sockets(echo_url: str) -> None:
    threads: list[int] = []
    done = threading.Event()

    def onopen(event: Any) -> None:
        threads.append(threading.get_ident())
        second = WebSocket(echo_url)

        def onsecond(event: Any) -> None:
            threads.append(threading.get_ident())
            done.set()

        second.onopen = onsecond

    ws = WebSocket(echo_url)
    ws.onopen = onopen
    assert done.wait(20)
    assert threads[0] == threads[1] != threading.get_ident()


def test_async_handlers_start_in_order_and_may_wait(echo_url: str) -> None:
    async def main() -> list[str]:
        ws = WebSocket(echo_url)
        seen: list[str] = []
        done = asyncio.Event()

        async def onmessage(event: Any) -> None:
            seen.append(f"start {event.data}")
            await asyncio.sleep(0.01)
            seen.append(f"end {event.data}")
            if len(seen) == 4:
                done.set()

        def onopen(event: Any) -> None:
            ws.send("1")
            ws.send("2")

        ws.onmessage, ws.onopen = onmessage, onopen
        await asyncio.wait_for(done.wait(), 20)
        return seen

    assert asyncio.run(main()) == ["start 1", "start 2", "end 1", "end 2"]


def test_a_slow_handler_ends_the_turn_of_its_socket_soon(
    echo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn is 5 ms, and looks at the clock before it took many messages."""
    now = 0.0

    def count_taken(seconds: float) -> int:
        nonlocal now
        taken = 0

        def onmessage(event: Any) -> None:
            nonlocal now, taken
            now += seconds
            taken += 1

        ws.onmessage = onmessage
        assert ws._receive(["x"] * 1000, 0) == taken
        return taken

    async def main() -> None:
        nonlocal ws
        ws = WebSocket(echo_url)
        ws.onopen = lambda event: opened.set()
        await opened.wait()
        with monkeypatch.context() as patch:
            patch.setattr(feedback, "time", SimpleNamespace(perf_counter=lambda: now))
            assert count_taken(0.006) == 1
            assert count_taken(0.004) == 3
            assert count_taken(0.001) == 7
            assert count_taken(0.0004) == 15
            assert count_taken(0.000001) == 1000
        ws.close()

    ws: Any = None
    opened = asyncio.Event()
    asyncio.run(main())
