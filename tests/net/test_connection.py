"""An open connection under pressure: peers that do not read, breaks while writing, lookups."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets

from webapi import WebSocket
from webapi.net import connection
from webapi.protocol import frames
from webapi.protocol.frames import close_body
from webapi.protocol.masking import apply_mask
from webapi.protocol.sender import BATCH_SIZE, frame
from webapi.testing import Peer, Server

MIB = 1024 * 1024


@pytest.mark.parametrize("secure", [False, True])
def test_a_peer_that_reads_late_gets_all(
    secure: bool, server_context: Any, client_context: Any, record: Any
) -> None:
    go = threading.Event()
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        for _ in range(30):
            sizes.append(len(await peer.receive()))
        await peer.send("all")
        await peer.wait_end()

    with Server(script, ssl_context=server_context if secure else None) as server:
        ws = WebSocket(server.url, ssl_context=client_context if secure else None)
        recorder = record(ws)
        recorder.wait("open")
        amounts = []
        for _ in range(30):
            ws.send(bytes(MIB))
            amounts.append(ws.bufferedAmount)
        go.set()
        recorder.wait("message")
        assert sizes == [MIB] * 30
        assert max(amounts) > 10 * MIB
        assert ws.bufferedAmount == 0


def test_of_too_many_pings_the_latest_is_answered(record: Any) -> None:
    """RFC 6455 §5.5.3: pongs do not pile up while the peer reads nothing."""
    waiting = connection.MAX_WAITING_PONGS
    count = waiting + 300
    go = threading.Event()
    pongs: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.receive()
        for number in range(count):
            await peer.ping(b"%d" % number)
        await peer.send("pinged")
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        while not pongs or pongs[-1] != b"%d" % (count - 1):
            pongs.append(await peer.receive_pong())
        await peer.close()

    with Server(script) as server:
        ws = WebSocket(server.url)

        def flood(_: object) -> None:  # in one task: before any ping comes
            ws.send("go")
            for _ in range(40):
                ws.send(bytes(MIB))  # so that hardly a pong can leave

        ws.onopen = flood
        recorder = record(ws)
        recorder.wait("message")
        go.set()
        recorder.wait("close")
        server.wait_scripts()
    assert not server.errors
    # those that still left, those that waited, and the latest
    *answered, latest = [int(pong) for pong in pongs]
    assert answered == list(range(len(answered)))
    assert waiting <= len(answered) < count - 1
    assert latest == count - 1


def test_pings_are_answered_while_messages_wait_all_the_time(record: Any) -> None:
    """RFC 6455 §5.5.2, "as soon as is practical": a pong overtakes what waits, without end."""
    size, waiting = MIB // 4, 60
    count = connection.MAX_WAITING_PONGS * 2
    behind: list[int] = []  # how many messages came between a ping and its pong

    async def script(peer: Peer) -> None:
        pinged: dict[bytes, int] = {}
        for number in range(count):
            payload = b"%d" % number
            pinged[payload] = number
            await peer.ping(payload)
            await peer.send("more")
            while isinstance(message := await peer.receive_any(), frames.Pong):
                behind.append(number - pinged.pop(message.payload))
            assert len(message) == size
        peer.reset()

    with Server(script) as server:
        ws = WebSocket(server.url)
        ws.onmessage = lambda _: ws.send(bytes(size))
        recorder = record(ws)
        recorder.wait("open")
        for _ in range(waiting):
            ws.send(bytes(size))  # 15 MiB, more than the kernel's buffers take
        recorder.wait("close")
        server.wait_scripts()
    assert not server.errors
    assert len(behind) > count - waiting
    assert max(behind) < waiting


def test_a_failure_within_a_long_frame_puts_no_close_frame_into_it(
    record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would take it for the message's data."""
    monkeypatch.setattr(connection, "BATCHES_PER_TURN", 1)
    received = bytearray()

    async def script(peer: Peer) -> None:
        await peer.send_raw(frame(frames.TEXT, b"go") + b"\xff\xff")
        while data := await peer.reader.read(MIB):
            received.extend(data)

    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        ws.onmessage = lambda _: ws.send(bytes(8 * MIB))
        recorder.wait("close")
        server.wait_scripts()
    assert not server.errors
    assert 14 < len(received) < 8 * MIB
    assert not any(apply_mask(bytes(received[14:]), bytes(received[10:14])))


def test_the_wait_for_the_servers_close_begins_when_ours_left() -> None:
    """A long upload before it takes nothing off the server's time."""
    go = threading.Event()

    async def page() -> None:
        loop = asyncio.get_running_loop()
        came: asyncio.Future[object] = loop.create_future()

        async def script(peer: Peer) -> None:
            await asyncio.get_running_loop().run_in_executor(None, go.wait)
            while not isinstance(message := await peer.receive_any(), frames.Close):
                pass
            loop.call_soon_threadsafe(came.set_result, message)
            await peer.wait_end()

        with Server(script) as server:
            ws = WebSocket(server.url)
            opened = loop.create_future()
            ws.onopen = opened.set_result
            await opened
            ws.send(bytes(32 * MIB))
            ws.close(1000)
            while (timer := ws._connection._end_timer) is None:
                await asyncio.sleep(0)
            go.set()
            await came
            again = ws._connection._end_timer
            assert again is not None
            assert again.when() > timer.when()
            ws._connection.end()

    asyncio.run(page())


def test_a_break_while_writing_is_error_then_close_1006(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.receive()
        peer.reset()

    with Server(script) as server:
        ws = WebSocket(server.url)

        def flood(_: object) -> None:  # in one task: more than the kernel takes before the reset
            for _ in range(40):
                ws.send(bytes(MIB))

        ws.onopen = flood
        recorder = record(ws)
        recorder.wait("close")
        assert recorder.types == ["open", "error", "close"]
        assert recorder.events[-1].code == 1006
        assert ws.bufferedAmount > 0


def test_a_half_closed_peer_that_breaks_later(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.3)

    async def script(peer: Peer) -> None:
        await peer.end_sending()
        await peer.wait_end()

    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        event = recorder.wait("close")
        assert (event.code, event.wasClean) == (1006, False)


def test_a_fault_of_the_ssl_context_is_logged_with_its_traceback(
    closed_port: int, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(ssl.SSLContext):
        def wrap_socket(self, *arguments: Any, **options: Any) -> Any:
            raise LookupError("my own fault")

    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script, handshake=False) as server:
        url = server.url.replace("ws:", "wss:")
        recorder = record(WebSocket(url, ssl_context=Faulty(ssl.PROTOCOL_TLS_CLIENT)))
        assert recorder.wait("close").code == 1006
        assert recorder.types == ["error", "close"]
    assert "my own fault" in caplog.text


def test_a_name_is_looked_up_once_for_all_who_ask_at_once(record: Any) -> None:
    name = socket.gethostname()
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(name, 80)}
    except OSError:
        addresses = set()
    if "127.0.0.1" not in addresses:
        pytest.skip(f"{name} is no name of 127.0.0.1 here: add it to /etc/hosts")

    async def script(peer: Peer) -> None:
        await peer.wait_end()

    with Server(script) as server:
        recorders = [record(WebSocket(f"ws://{name}:{server.port}/")) for _ in range(30)]
        for recorder in recorders:
            recorder.wait("open")
            assert recorder.ws.url == f"ws://{name.lower()}:{server.port}/"


def frames_sent(
    script: Callable[[Peer], Awaitable[bytes]], listen: Callable[[WebSocket], None], record: Any
) -> tuple[list[tuple[int, bytes]], Any]:
    """Return opcode and payload of all that a server gets to the end of TCP, and the close event.

    Args:
        script: what the server does, and what it read doing it. A `Receiver` would be no judge: it
            reads nothing behind a Close frame.
        listen: what the page does.
    """
    raw = b""

    async def and_read_on(peer: Peer) -> None:
        nonlocal raw
        raw = await script(peer)
        raw += await peer.reader.read()

    with Server(and_read_on) as server:
        ws = WebSocket(server.url)
        listen(ws)
        event = record(ws).wait("close")
        server.wait_scripts()
    assert not server.errors
    found = []
    while raw:  # FIN, MASK, and a length of up to 125
        assert raw[0] >= 0x80
        stop = 6 + (raw[1] & 0x7F)
        found.append((raw[0] & 0x0F, apply_mask(raw[6:stop], raw[2:6])))
        raw = raw[stop:]
    return found, event


def test_close_frames_that_cross_leave_one_of_each(record: Any) -> None:
    async def script(peer: Peer) -> bytes:
        read = await peer.reader.read(1)
        await peer.send_close(4001)  # ours is behind the message, unread
        return read

    def listen(ws: WebSocket) -> None:
        # in one task, so that the server's Close cannot come between
        ws.onopen = lambda event: (ws.send("x"), ws.close(4000))

    sent, event = frames_sent(script, listen, record)
    assert sent == [(frames.TEXT, b"x"), (frames.CLOSE, close_body(4000))]
    assert (event.code, event.wasClean) == (4001, True)


def test_close_frames_of_one_turn_leave_one_of_each(record: Any) -> None:
    """`close()` is called when the server's Close frame is read already: both are queued."""

    async def script(peer: Peer) -> bytes:
        await peer.send_raw(frame(frames.TEXT, b"x") + frame(frames.CLOSE, close_body(4001)))
        return b""

    def listen(ws: WebSocket) -> None:
        ws.onmessage = lambda event: ws.close(4000)

    sent, event = frames_sent(script, listen, record)
    assert sent == [(frames.CLOSE, close_body(4000))]
    assert (event.code, event.wasClean) == (4001, True)


def test_a_long_message_is_compressed_in_several_turns(websockets_server: Any) -> None:
    """The loop goes on meanwhile, `bufferedAmount` stays, and `close()` waits for the message."""
    received: list[Any] = []

    ended = threading.Event()

    async def receive(server: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in server:
                received.append(message)
        ended.set()

    async def main() -> None:
        ws = WebSocket(url)
        opened, closed = loop_future(), loop_future()
        ws.onopen, ws.onclose = opened.set_result, closed.set_result
        await opened
        assert "permessage-deflate" in ws.extensions
        ws.send(message)
        ws.send("behind")
        ws.close(3000)
        turns = 0
        while ws.bufferedAmount == 32 * MIB + 6:
            turns += 1
            await asyncio.sleep(0)
        # closing asks for a flush of its own
        assert turns >= 32 * MIB / (2 * connection.BATCHES_PER_TURN * BATCH_SIZE)
        event = await closed
        assert (event.code, event.wasClean) == (3000, True)
        assert ws.bufferedAmount == 0

    def loop_future() -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    message = bytes(32 * MIB)
    url = websockets_server(receive, compression="deflate")
    asyncio.run(main())
    assert ended.wait(20)
    assert len(received) == 2
    all_came = received == [message, "behind"]
    assert all_came


def test_compressing_is_progress(
    websockets_server: Any, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The closing handshake's time begins anew while a message before it is compressed."""
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.03)
    timeouts: list[float] = []
    on_timeout = connection.Connection._on_timeout

    def noted(self: Any, seconds: float, progress: int) -> None:
        if self.sender._deflating is not None:
            timeouts.append(seconds)
        on_timeout(self, seconds, progress)

    async def receive(server: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in server:
                received.append(len(message))
                came.set()

    received: list[int] = []
    came = threading.Event()
    monkeypatch.setattr(connection.Connection, "_on_timeout", noted)
    recorder = record(WebSocket(websockets_server(receive, compression="deflate")))
    recorder.wait("open")
    recorder.ws.send(random.Random(1).randbytes(MIB // 2).hex() * 32)
    recorder.ws.close(3000)
    recorder.wait("close")
    assert came.wait(20)
    assert received == [32 * MIB]
    assert 0.03 in timeouts


def test_what_a_turn_compresses_does_not_grow(
    websockets_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message that comes meanwhile asks for a flush; only one of them goes on."""
    batches = 0
    send_batch = connection.Connection._send_batch

    def counted(self: Any) -> bool:
        nonlocal batches
        batches += 1
        return send_batch(self)

    async def talk(server: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await server.send("x")
                await asyncio.sleep(0)

    async def main() -> None:
        nonlocal batches
        ws = WebSocket(url)
        came = asyncio.Event()
        ws.onmessage = lambda event: came.set()
        await came.wait()
        ws.send(message)
        most = 0
        while ws.bufferedAmount == len(message):
            batches = 0
            await asyncio.sleep(0)
            most = max(most, batches)
        ws.close()
        assert most <= 2 * connection.BATCHES_PER_TURN  # behind a read, and at the turn's end

    monkeypatch.setattr(connection.Connection, "_send_batch", counted)
    message = random.Random(1).randbytes(MIB // 2).hex() * 32
    url = websockets_server(talk, compression="deflate")
    asyncio.run(main())


def test_a_message_behind_our_close_frame_waits_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may queue one at the very moment; it is lost, and costs no turns."""
    go = threading.Event()
    batches: list[object] = []
    send_batch = connection.Connection._send_batch

    def counted(self: connection.Connection) -> bool:
        batches.append(self)
        return send_batch(self)

    async def script(peer: Peer) -> None:
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        await peer.wait_end()

    async def main() -> None:
        ws, opened, closed = WebSocket(server.url), asyncio.Event(), asyncio.Event()
        ws.onopen, ws.onclose = lambda event: opened.set(), lambda event: closed.set()
        await opened.wait()
        ws.close()
        wire = ws._connection
        while not wire._close_left:
            await asyncio.sleep(0.001)
        monkeypatch.setattr(connection.Connection, "_send_batch", counted)
        wire.sender.queue.append("too late")
        wire.schedule()
        for _ in range(10):
            await asyncio.sleep(0)
        assert batches == []
        assert ws.bufferedAmount == len("too late")
        go.set()
        await closed.wait()
        assert ws.bufferedAmount == len("too late")

    with Server(script) as server:
        asyncio.run(asyncio.wait_for(main(), 15))
