"""permessage-deflate through `WebSocket`, on real sockets.

What a server may answer is tried with `webapi.testing`. That we and the servers which we did not
write understand one another is in `test_deflate_matrix.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import zlib
from itertools import pairwise
from typing import Any

import pytest
from logged import logged

from webapi import WebSocket
from webapi.protocol import frames
from webapi.protocol.deflate import THRESHOLD, Inflater
from webapi.protocol.receiver import Receiver
from webapi.testing import Peer, Server

KIB, MIB = 1024, 1024 * 1024
RSV1 = 4

DEADLINE = 45.0


async def accept_and_wait(peer: Peer) -> None:
    await peer.wait_end()


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def answering(*headers: str, then: Any = accept_and_wait) -> Server:
    """A server that accepts with these header lines."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.accept(*headers)
        await then(peer)

    return Server(script, handshake=False)


def extension(value: str) -> str:
    return f"Sec-WebSocket-Extensions: {value}"


# -- the offer and its answer ----------------------------------------------------------------------


def test_it_is_offered_as_browsers_do_and_may_be_declined(record: Any) -> None:
    with Server(accept_and_wait) as server:
        ws = WebSocket(server.url)
        record(ws).wait("open")
        assert server.peers[0].head.all("sec-websocket-extensions") == [
            "permessage-deflate; client_max_window_bits"
        ]
        assert ws.extensions == ""
        assert ws._connection.sender.deflater is ws._connection.receiver.inflater is None


def test_compression_false_offers_nothing(record: Any) -> None:
    with Server(accept_and_wait) as server:
        ws = WebSocket(server.url, compression=False)
        record(ws).wait("open")
        assert server.peers[0].head.all("sec-websocket-extensions") == []
        assert ws.extensions == ""


ACCEPTED = [
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
    "permessage-deflate; client_max_window_bits=15",
    'permessage-deflate;server_max_window_bits="10"',
]


@pytest.mark.parametrize("value", ACCEPTED)
def test_extensions_shows_what_is_in_use(value: str, record: Any) -> None:
    async def send(peer: Peer) -> None:
        await peer.send_frame(frames.TEXT, deflated(b"hello"), rsv=RSV1)
        await peer.wait_end()

    with answering(extension(value), then=send) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("message")
        assert ws.extensions == value
        assert recorder.data == ["hello"]
        ws.close()


REFUSED = {
    "unknown extension": (["foo"], "'foo'"),
    "second extension": (["permessage-deflate, foo"], "second extension"),
    "two lines": (["permessage-deflate", "permessage-deflate"], "second extension"),
    "unknown parameter": (["permessage-deflate; foo=1"], "'foo'"),
    "parameter twice": (
        ["permessage-deflate; client_max_window_bits=9; client_max_window_bits=9"], "twice"),
    "window of 7": (["permessage-deflate; server_max_window_bits=7"], "not 8 to 15"),
    "window of 16": (["permessage-deflate; client_max_window_bits=16"], "not 8 to 15"),
    "leading zero": (["permessage-deflate; client_max_window_bits=08"], "not 8 to 15"),
    "no value": (["permessage-deflate; client_max_window_bits"], "not 8 to 15"),
    "flag with a value": (["permessage-deflate; server_no_context_takeover=1"], "has a value"),
    "empty": ([""], "Sec-WebSocket-Extensions"),
    "malformed": (["permessage-deflate;"], "Sec-WebSocket-Extensions"),
}  # fmt: skip


def assert_refused(server: Server, record: Any, caplog: Any, why: str, **options: Any) -> None:
    with caplog.at_level(logging.WARNING, "webapi"):
        ws = WebSocket(server.url, **options)
        recorder = record(ws)
        close = recorder.wait("close")
    assert recorder.types == ["error", "close"]
    assert recorder.states == [3, 3]
    assert (close.code, close.reason, close.wasClean) == (1006, "", False)
    assert ws.extensions == ""
    [line] = logged(caplog, server.url)
    assert server.url in line
    assert why in line
    assert "\n" not in line


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_answer_fails_the_connection(
    name: str, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    values, why = REFUSED[name]
    with answering(*map(extension, values)) as server:
        assert_refused(server, record, caplog, why)


@pytest.mark.parametrize("value", ["permessage-deflate", "foo", ""])
def test_an_answer_to_no_offer_fails_the_connection(
    value: str, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(extension(value)) as server:
        assert_refused(server, record, caplog, "none was asked for", compression=False)


# -- what goes over the wire -----------------------------------------------------------------------


def test_short_messages_and_control_frames_are_not_compressed(record: Any) -> None:
    wire: list[bytes] = []

    async def keep(peer: Peer) -> None:
        await peer.ping(b"a" * 125)
        await peer.send("go")
        receiver = Receiver(masked=True)
        receiver.inflater = Inflater(15, True)
        while not receiver.finished:
            wire.append(await peer.reader.read(64 * KIB))
            receiver.feed(wire[-1])
        await peer.send_close()

    with answering(extension("permessage-deflate"), then=keep) as server:
        ws = WebSocket(server.url)
        ws.onmessage = lambda _: (
            ws.send("x" * (THRESHOLD - 1)),
            ws.send("x" * THRESHOLD),
            ws.close(1000),
        )
        record(ws).wait("close")
    sent = b"".join(wire)
    firsts, at = [], 0
    while at < len(sent):
        size = sent[at + 1] & 0x7F
        extended = 2 if size == 126 else 0
        if extended:
            size = int.from_bytes(sent[at + 2 : at + 4], "big")
        firsts.append(sent[at])
        at += 2 + extended + 4 + size
    assert firsts == [0x8A, 0x81, 0xC1, 0x88]


def test_compressed_messages_in_fragments_with_pings_between(record: Any) -> None:
    pongs: list[bytes] = []

    async def script(peer: Peer) -> None:
        data = deflated("größe 😀".encode() * 500)
        for at in range(0, len(data), 7):
            opcode = frames.CONTINUATION if at else frames.TEXT
            await peer.send_frame(
                opcode, data[at : at + 7], fin=at + 7 >= len(data), rsv=0 if at else RSV1
            )
            if not at:
                await peer.ping(b"between")
                pongs.append(await peer.receive_pong())
        await peer.send("plain")
        await peer.send_frame(frames.BINARY, b"\0", rsv=RSV1)
        await peer.close()

    with answering(extension("permessage-deflate"), then=script) as server:
        ws = WebSocket(server.url)
        ws.binaryType = "arraybuffer"
        recorder = record(ws)
        close = recorder.wait("close")
    assert recorder.data == ["größe 😀" * 500, "plain", b""]
    assert pongs == [b"between"]
    assert (close.code, close.wasClean) == (1000, True)


FAILURES = {
    "broken DEFLATE data": (b"\x07\x07", RSV1, 1007, "broken"),
    "RSV2": (deflated(b"x"), 2, 1002, "reserved bit"),
    "RSV3": (deflated(b"x"), RSV1 | 1, 1002, "reserved bit"),
    "invalid UTF-8": (deflated(b"\xff"), RSV1, 1007, "UTF-8"),
    "bomb": (deflated(bytes(8 * MIB)), RSV1, 1009, "max_message_size"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_the_connection(
    name: str, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    data, rsv, code, why = FAILURES[name]
    answers: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.send_frame(frames.TEXT, deflated(b"before"), rsv=RSV1)
        await peer.send_frame(frames.TEXT, data, rsv=rsv)
        answers.append(await peer.receive_any())
        await peer.wait_end()

    with answering(extension("permessage-deflate"), then=script) as server:
        with caplog.at_level(logging.WARNING, "webapi"):
            recorder = record(WebSocket(server.url, max_message_size=MIB))
            close = recorder.wait("close")
        server.wait_scripts()
    assert recorder.types == ["open", "message", "error", "close"]
    assert recorder.data == ["before"]
    assert close.code == 1006
    assert answers == [frames.Close(code, "")]
    [line] = logged(caplog, server.url)
    assert why in line


def test_rsv1_without_the_extension_fails_the_connection(record: Any) -> None:
    answers: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.send_frame(frames.TEXT, deflated(b"x"), rsv=RSV1)
        answers.append(await peer.receive_any())

    with Server(script) as server:
        recorder = record(WebSocket(server.url))
        recorder.wait("close")
        server.wait_scripts()
    assert recorder.types == ["open", "error", "close"]
    assert answers == [frames.Close(1002, "")]


def test_buffered_amount_counts_what_the_application_gave_and_falls_to_0(record: Any) -> None:
    """The server reads only when told: hexadecimal digits, so that half of each stays."""
    go = threading.Event()
    received: list[int] = []
    message = random.Random(1).randbytes(4 * MIB).hex()
    total = 2 * len(message) + 10

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.get_running_loop().run_in_executor(None, go.wait, DEADLINE)
        peer.writer.transport.resume_reading()
        peer._receiver.inflater = Inflater(15, True)
        for _ in range(3):
            received.append(len(await peer.receive()))
        await peer.close()

    with answering(extension("permessage-deflate"), then=script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("open")
        ws.send(message)
        ws.send(message)
        ws.send("0123456789")
        seen = [ws.bufferedAmount]
        go.set()
        while not any(type == "close" for type in recorder.types):
            seen.append(ws.bufferedAmount)
            time.sleep(0.001)
    assert received == [len(message), len(message), 10]
    assert seen[0] <= total
    assert all(before >= after for before, after in pairwise(seen))
    assert seen[-1] == ws.bufferedAmount == 0


def test_buffered_amount_is_exact_before_anything_is_sent(record: Any) -> None:
    with answering(extension("permessage-deflate")) as server:
        ws = WebSocket(server.url)
        amounts: list[int] = []

        def onopen(_: object) -> None:
            for message in ("x" * 5000, "é" * 1000, bytes(300_000), "tiny"):
                ws.send(message)
                amounts.append(ws.bufferedAmount)

        ws.onopen = onopen
        record(ws).wait("open")
    assert amounts == [5000, 7000, 307_000, 307_004]


@pytest.mark.parametrize("end", ["the loop's", "close()", "a fault of the server's"])
def test_a_long_message_leaves_whole_before_the_end(end: str) -> None:
    """It is compressed in several turns, and then there are no more."""
    message = b'{"key": "value", "n": 12345}, ' * 700_000
    answers: list[Any] = []

    async def script(peer: Peer) -> None:
        peer._receiver.inflater = Inflater(15, True)
        await peer.send("go")
        if end == "a fault of the server's":
            await peer.send_frame(frames.TEXT, b"x", rsv=7)
        answers.extend([await peer.receive_any(), await peer.receive_any()])
        await peer.wait_end()

    async def main(url: str) -> None:
        ws = WebSocket(url)
        told = asyncio.Event()
        ws.onmessage = lambda event: (ws.send(message), told.set())
        await asyncio.wait_for(told.wait(), DEADLINE)
        if end == "close()":
            ws.close(3000)

    with answering(extension("permessage-deflate"), then=script) as server:
        asyncio.run(main(server.url))
        server.wait_scripts()
    code = {"the loop's": 1001, "close()": 3000}.get(end, 1002)
    assert answers == [message, frames.Close(code, "")]


def test_an_idle_connection_has_no_context(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.send("x" * 1000)  # not compressed
        await peer.wait_end()

    with answering(extension("permessage-deflate"), then=script) as server:
        ws = WebSocket(server.url)
        ws.onopen = lambda _: ws.send("short")
        record(ws).wait("message")
        connection = ws._connection
        assert connection.sender.deflater._stream is None
        assert connection.receiver.inflater._stream is None
