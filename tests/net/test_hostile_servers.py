"""Hostile servers on real sockets: what they cost a page is bounded, in memory and in time.

The page is an asyncio loop in this thread, so that its processor time is this thread's; the server
has a thread and blocking sockets of its own, and what it sends is made before memory is traced.
What the receiver makes of the same attacks is in `tests/protocol/test_hostile.py`; here it is the
whole way: the handshake, the reads, the answers, the close, and that the page goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import select
import socket
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from logged import logged
from machine import took_too_long

from webapi import WebSocket
from webapi.net import connection
from webapi.protocol import receiver
from webapi.protocol.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, Close, Failure, Pong
from webapi.protocol.handshake import MAX_HEAD_SIZE, accept_value, parse_head
from webapi.protocol.receiver import Receiver
from webapi.protocol.sender import frame
from webapi.testing import Peer, Server

KIB, MIB = 1024, 1024 * 1024
RSV1 = 4
HUGE = (1 << 63) - 1

DEADLINE = 120.0
# A page, its buffer for reading, a connection and its log.
PAGE = MIB
# Under coverage each line costs ten times as much.
SCALE = 16 if sys.gettrace() else 1

# -- the server ------------------------------------------------------------------------------------


class Attacker:
    """A server's end of one connection, in blocking calls."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_request(self) -> str:
        """Read the request, and return the value that accepts it."""
        while b"\r\n\r\n" not in self.received:
            self.received += self.sock.recv(4096)
        head = parse_head(bytes(self.received))
        self.received.clear()
        return accept_value(head.all("sec-websocket-key")[0])

    def accept(self, *headers: str) -> None:
        lines = (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {self.read_request()}",
            *headers,
        )
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data: bytes, times: int = 1) -> None:
        """Send `data`, so many times; ConnectionError where the client hung up."""
        for _ in range(times):
            self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """Send a byte at a time, each in a segment of its own."""
        for at in range(len(data)):
            self.sock.sendall(data[at : at + 1])

    def client_is_there(self, seconds: float) -> bool:
        """Wait so long for the client to say or end something; tell whether it did neither."""
        return not select.select([self.sock], [], [], seconds)[0]

    def read_to_the_end(self) -> list[Any]:
        """Return what the client sent until it ended the connection."""
        reader, messages = Receiver(masked=True), []
        with contextlib.suppress(ConnectionError):
            while data := self.sock.recv(256 * KIB):
                messages += reader.feed(data)
        return messages


class HostileServer:
    """Gives its one connection to `script`, in a thread.

    Args:
        script: takes the `Attacker`. When it returns, the connection is ended.
        headers: more lines of the response that accepts; None leaves the handshake to the script.
        receive_buffer: bytes that the server's kernel takes and the script does not read.
    """

    def __init__(
        self,
        script: Callable[[Attacker], object],
        headers: tuple[str, ...] | None = (),
        receive_buffer: int = 0,
    ) -> None:
        self.script, self.headers = script, headers
        self.listener = socket.socket()
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.fault: BaseException | None = None
        self.result: Any = None
        self.thread = threading.Thread(target=self._run, name="hostile server")

    def _run(self) -> None:
        try:
            sock, _ = self.listener.accept()
            with sock:
                attacker = Attacker(sock)
                if self.headers is not None:
                    attacker.accept(*self.headers)
                self.result = self.script(attacker)
        except ConnectionError:
            pass  # the client hung up, as it should
        except BaseException as error:
            self.fault = error

    def __enter__(self) -> HostileServer:
        self.thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.thread.join(DEADLINE)
        self.listener.close()
        assert not self.thread.is_alive(), "the hostile server still waits for the client"
        if self.fault is not None and kind is None:
            raise self.fault


# -- the page --------------------------------------------------------------------------------------


@dataclass
class Visit:
    """What a page saw of a server, and what it cost."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    """Types, with the data of a message (of a long one, its length), or a close's code."""
    clean: bool = False
    memory: int = 0
    """Bytes at the worst moment."""
    kept: int = 0
    """Bytes at the end, while the socket is still held."""
    seconds: float = 0.0
    """Of the processor's time, the page's thread alone."""
    elapsed: float = 0.0
    """Seconds by the clock."""

    @property
    def types(self) -> list[str]:
        return [event[0] for event in self.events]


Page = Callable[[WebSocket], object]


async def go_to(url: str, visit: Visit, page: Page | None, **options: Any) -> WebSocket:
    """Open a socket, let `page` set it up, and wait for its close event."""
    ws = WebSocket(url, **options)
    ws.binaryType = "arraybuffer"
    closed = asyncio.get_running_loop().create_future()

    def record(event: Any) -> None:
        if event.type == "message":
            shown = event.data if len(event.data) < 100 else len(event.data)
            visit.events.append(("message", shown))
        elif event.type == "close":
            visit.events.append(("close", event.code))
            visit.clean = event.wasClean
            closed.set_result(None)
        else:
            visit.events.append((event.type,))

    for type in ("open", "message", "error", "close"):
        ws.addEventListener(type, record)
    if page is not None:
        page(ws)
    await asyncio.wait_for(closed, DEADLINE)
    return ws


def suffer(url: str, page: Page | None = None, trace: bool = True, **options: Any) -> Visit:
    """Visit a server, with time and, unless `trace` is False, memory watched.

    Tracing makes what allocates very much take ten times as long.
    """
    visit = Visit()

    async def main() -> WebSocket:
        return await go_to(url, visit, page, **options)

    if trace:
        tracemalloc.start()
    try:
        began, began_clock = time.thread_time(), time.monotonic()
        ws = asyncio.run(main())
        visit.seconds = time.thread_time() - began
        visit.elapsed = time.monotonic() - began_clock
        if trace:
            gc.collect()
            visit.kept, visit.memory = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ws.readyState == WebSocket.CLOSED
    return visit


@pytest.fixture(scope="module", autouse=True)
def everything_is_imported() -> None:
    """Let what is imported late (NumPy, for masking) or kept for good count for no test."""
    data = frame(TEXT, b"x" * MIB) + frame(CLOSE, b"\x03\xe8")
    with HostileServer(
        lambda attacker: (attacker.send(data), attacker.read_to_the_end())
    ) as server:
        suffer(server.url, lambda ws: setattr(ws, "onmessage", lambda event: ws.send(event.data)))


def assert_cost(visit: Visit, memory: int, seconds: float = 10.0, kept: int = PAGE) -> None:
    assert visit.memory < memory + PAGE
    assert visit.kept < kept
    assert not took_too_long(visit.seconds, seconds)


DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate",)


def zeros(size: int) -> bytes:
    """Return `size` zeros, deflated: a thousandth of it."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [stream.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, stream.flush(zlib.Z_SYNC_FLUSH)])[:-4]


def announcing(opcode: int, size: int, *, rsv: int = 0) -> bytes:
    """Return the header of a frame of `size` bytes."""
    return bytes((0x80 | rsv << 4 | opcode, 127)) + size.to_bytes(8, "big")


# -- slow loris ------------------------------------------------------------------------------------

DRIPS = 20_000 // SCALE


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_that_comes_a_byte_at_a_time_and_never_whole(opcode: int) -> None:
    data = announcing(opcode, 100 * MIB) + b"a" * DRIPS

    with HostileServer(lambda attacker: attacker.drip(data)) as server:
        visit = suffer(server.url)
    assert visit.events == [("open",), ("close", 1006)]
    assert_cost(visit, memory=2 * MIB)


def test_frames_that_come_a_byte_at_a_time() -> None:
    """Headers, payloads, a multi-byte character: cut everywhere."""
    text = "größe 😀" * 20
    message = frame(TEXT, text.encode(), fin=False) + frame(CONTINUATION, b"!")
    count = DRIPS // len(message)
    data = message * count + frame(CLOSE, b"\x03\xe8")

    with HostileServer(
        lambda attacker: (attacker.drip(data), attacker.read_to_the_end())
    ) as server:
        visit = suffer(server.url)
    assert visit.events == [
        ("open",),
        *[("message", len(text) + 1 if len(text) >= 99 else text + "!")] * count,
        ("close", 1000),
    ]
    assert visit.clean
    assert_cost(visit, memory=0)


@pytest.mark.parametrize("secure", [False, True])
def test_a_bad_byte_at_the_end_of_a_read_that_took_all_there_was_room_for(
    secure: bool, server_context: Any, client_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text may wait for the next read to be decoded with; but not where none comes."""
    monkeypatch.setattr(receiver, "_READ", KIB)

    async def script(peer: Peer) -> None:
        await peer.send_raw(announcing(TEXT, MIB) + b"a" * (KIB - 1) + b"\xff")
        failures.append(await peer.receive_any())
        await peer.wait_end()

    failures: list[Any] = []
    with Server(script, ssl_context=server_context if secure else None) as server:
        visit = suffer(server.url, ssl_context=client_context if secure else None)
        server.wait_scripts()
    assert visit.events == [("open",), ("error",), ("close", 1006)]
    assert failures == [Close(1007, "")]


# -- lengths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_2_to_the_63_less_1_bytes_announced(opcode: int) -> None:
    """The header alone fails it, whatever follows."""

    def script(attacker: Attacker) -> list[Any]:
        attacker.send(announcing(opcode, HUGE) + b"x" * 1000)
        return attacker.read_to_the_end()

    with HostileServer(script) as server:
        visit = suffer(server.url)
    assert visit.events == [("open",), ("error",), ("close", 1006)]
    assert server.result == [Close(1009, "")]
    assert_cost(visit, memory=0, seconds=2)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_2_to_the_63_less_1_bytes_announced_to_a_page_without_a_limit(opcode: int) -> None:
    """Memory follows what came, not what was announced."""
    sent = 8 * MIB
    part = b"x" * MIB

    def script(attacker: Attacker) -> None:
        attacker.send(announcing(opcode, HUGE))
        attacker.send(part, sent // len(part))

    with HostileServer(script) as server:
        visit = suffer(server.url, max_message_size=HUGE)
    assert visit.events == [("open",), ("close", 1006)]
    assert_cost(visit, memory=3 * sent)  # a buffer that doubles is there twice while it does


# -- very many small things ------------------------------------------------------------------------

MILLION = 10**6 // SCALE

# What allocates a million times has its time watched with a million of them, and its memory, which
# is the same from a read on, with an eighth.
memory_and_time = pytest.mark.parametrize("trace", [True, False], ids=["memory", "time"])


def how_many(trace: bool) -> int:
    return MILLION // 8 if trace else MILLION


@memory_and_time
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("headers", [(), DEFLATE], ids=["plain", "compressed"])
def test_a_million_empty_fragments(opcode: int, headers: tuple[str, ...], trace: bool) -> None:
    chunk = frame(CONTINUATION, b"", fin=False) * 1000

    def script(attacker: Attacker) -> list[Any]:
        attacker.send(frame(opcode, b"", fin=False, rsv=RSV1 if headers else 0))
        attacker.send(chunk, how_many(trace) // 1000)
        deflate = zlib.compressobj(wbits=-15)
        compressed = deflate.compress(b"end") + deflate.flush()  # with BFINAL
        last = compressed if headers else b"end"
        attacker.send(frame(CONTINUATION, last) + frame(CLOSE, b"\x03\xe8"))
        return attacker.read_to_the_end()

    with HostileServer(script, headers) as server:
        visit = suffer(server.url, trace=trace)
    assert visit.events == [
        ("open",),
        ("message", "end" if opcode == TEXT else b"end"),
        ("close", 1000),
    ]
    assert_cost(visit, memory=MIB)


def test_a_message_in_fragments_of_a_byte_beyond_the_limit() -> None:
    limit = 128 * KIB // SCALE
    chunk = frame(CONTINUATION, b"x", fin=False) * 1000

    def script(attacker: Attacker) -> list[Any]:
        attacker.send(frame(BINARY, b"", fin=False))
        attacker.send(chunk, limit // 1000 + 2)
        return attacker.read_to_the_end()

    with HostileServer(script) as server:
        visit = suffer(server.url, max_message_size=limit)
    assert visit.events == [("open",), ("error",), ("close", 1006)]
    assert server.result == [Close(1009, "")]
    assert_cost(visit, memory=MIB)


# What a message shows of the sender's queue while pings pour in.
Queues = list[int]


def page_that_looks_at_its_queue(seen: Queues) -> Page:
    def setup(ws: WebSocket) -> None:
        sender = ws._connection.sender
        ws.onmessage = lambda _: seen.append(len(sender.queue) + len(sender.pongs))

    return setup


@memory_and_time
@pytest.mark.parametrize("payload", [b"", bytes(125)], ids=["empty", "125 bytes"])
def test_a_million_pings_in_one_segment_from_a_server_that_does_not_read(
    payload: bytes, trace: bool
) -> None:
    """Pongs do not pile up (RFC 6455 §5.5.3): in the end the latest ping is answered."""
    count = how_many(trace) if not payload else MILLION // 10
    ten_parts = (frame(PING, payload) * (count // 10) + frame(TEXT, b"tick")) * 10
    last = frame(PING, b"last")
    go = threading.Event()
    queues: Queues = []

    def script(attacker: Attacker) -> list[Any]:
        attacker.send(ten_parts)
        attacker.send(last + frame(TEXT, b"pinged"))
        assert go.wait(DEADLINE)
        pongs, came, reader = 0, [], Receiver(masked=True)
        while Pong(b"last") not in came[-1:]:
            came = reader.feed(attacker.sock.recv(16 * KIB))
            pongs += len(came)
        attacker.send(frame(CLOSE, b"\x03\xe8"))
        return [pongs, *attacker.read_to_the_end()]

    def page(ws: WebSocket) -> None:
        page_that_looks_at_its_queue(queues)(ws)
        ws.addEventListener("message", lambda event: event.data == "pinged" and go.set())

    with HostileServer(script, receive_buffer=4 * KIB) as server:
        visit = suffer(server.url, page, trace)
    assert visit.events == [
        ("open",), *[("message", "tick")] * 10, ("message", "pinged"), ("close", 1000),
    ]  # fmt: skip
    assert visit.clean
    pongs, *rest = server.result
    assert rest == [Close(1000, "")]
    assert pongs <= count + 1
    if payload and SCALE == 1:  # 13 MB of pongs are more than the kernel's buffers take
        assert pongs < count
    assert max(queues) <= connection.MAX_WAITING_PONGS + 1
    # A read of 256 KiB has 131,072 pings, and each is an object while it waits.
    assert_cost(visit, memory=24 * MIB)


# -- Close -----------------------------------------------------------------------------------------


def test_a_close_while_fragments_are_open() -> None:
    part = frame(BINARY, bytes(8 * MIB), fin=False)

    def script(attacker: Attacker) -> list[Any]:
        attacker.send(part)
        attacker.send(frame(CLOSE, (4000).to_bytes(2, "big")))
        return attacker.read_to_the_end()

    with HostileServer(script) as server:
        visit = suffer(server.url)
    assert visit.events == [("open",), ("close", 4000)]
    assert visit.clean
    assert server.result == [Close(4000, "")]
    assert_cost(visit, memory=17 * MIB)


@pytest.mark.parametrize("after", ["messages", "pings", "garbage", "a long frame"])
def test_data_without_end_after_close(after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read and forgotten, so that no reset overtakes our Close frame; but not for ever."""
    monkeypatch.setattr(connection, "END_TIMEOUT", 0.5)
    chunk = {
        "messages": frame(TEXT, b"late") * 40_000,
        "pings": frame(PING, b"late") * 40_000,
        "garbage": b"\xff" * 256 * KIB,
        "a long frame": announcing(BINARY, HUGE) + bytes(256 * KIB),
    }[after]

    def script(attacker: Attacker) -> None:
        attacker.send(frame(CLOSE, b"\x03\xe8") + chunk)
        while True:
            attacker.send(chunk)  # until the client hangs up

    with HostileServer(script) as server:
        visit = suffer(server.url)
    assert visit.events == [("open",), ("close", 1000)]
    assert visit.clean
    assert_cost(visit, memory=MIB)
    assert 0.5 <= visit.elapsed < 10


@pytest.mark.parametrize("by_client", [True, False])
def test_a_server_that_never_ends_tcp(by_client: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits for END_TIMEOUT without work, and ends it itself: the server sees the end."""
    monkeypatch.setattr(connection, "END_TIMEOUT", 0.5)

    def script(attacker: Attacker) -> list[Any]:
        if by_client:
            assert not attacker.client_is_there(DEADLINE)
        attacker.send(frame(CLOSE, b"\x03\xe8"))
        return attacker.read_to_the_end()

    def page(ws: WebSocket) -> None:
        if by_client:
            ws.onopen = lambda _: ws.close(1000)

    with HostileServer(script) as server:
        visit = suffer(server.url, page)
    assert visit.events == [("open",), ("close", 1000)]
    assert visit.clean
    assert server.result == [Close(1000, "")]
    assert_cost(visit, memory=0, seconds=2)
    assert 0.5 <= visit.elapsed < 10


def test_a_server_that_never_ends_tcp_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page hears of it at once; the socket lingers for END_TIMEOUT, and no longer."""
    monkeypatch.setattr(connection, "END_TIMEOUT", 0.5)
    answers: list[Any] = []

    def script(attacker: Attacker) -> None:
        attacker.send(b"\xff\xff")
        answers.extend(attacker.read_to_the_end())
        while True:  # reading came to its end; writing must, too
            attacker.send(bytes(64 * KIB))

    with HostileServer(script) as server:
        visit = suffer(server.url)
    assert visit.events == [("open",), ("error",), ("close", 1006)]
    assert answers == [Close(1002, "")]
    assert_cost(visit, memory=0)
    assert visit.elapsed < 10


def test_pings_without_end_do_not_keep_a_closing_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pongs that a server asks for, and takes slowly, are no data that it must be waited for."""
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.5)
    timeouts: list[float] = []
    on_timeout = connection.Connection._on_timeout

    def counted(self: Any, seconds: float, progress: int) -> None:
        timeouts.append(seconds)
        on_timeout(self, seconds, progress)

    monkeypatch.setattr(connection.Connection, "_on_timeout", counted)
    pings = frame(PING, bytes(125)) * 100

    def script(attacker: Attacker) -> None:
        while True:
            attacker.send(pings)
            attacker.sock.recv(KIB)

    with HostileServer(script, receive_buffer=4 * KIB) as server:
        visit = suffer(
            server.url, lambda ws: ws.addEventListener("open", lambda _: ws.close()), trace=False
        )
    assert visit.events == [("open",), ("close", 1006)]
    assert timeouts == [0.5]


# -- bombs -----------------------------------------------------------------------------------------


def bomb_in_small_frames(opcode: int, size: int, step: int) -> bytes:
    data = zeros(size)
    return b"".join(
        frame(
            CONTINUATION if at else opcode,
            data[at : at + step],
            fin=at + step >= len(data),
            rsv=0 if at else RSV1,
        )
        for at in range(0, len(data), step)
    )


BOMBS = {
    "one frame": lambda opcode: frame(opcode, zeros(256 * MIB), rsv=RSV1),
    "frames of a byte": lambda opcode: bomb_in_small_frames(opcode, 256 * MIB, 1),
    "frames of 100 bytes": lambda opcode: bomb_in_small_frames(opcode, 256 * MIB, 100),
    "2**63-1 bytes announced": lambda opcode: announcing(opcode, HUGE, rsv=RSV1) + zeros(256 * MIB),
}


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("name", BOMBS)
def test_a_compressed_bomb(name: str, opcode: int) -> None:
    """256 MiB in 256 KiB: it is cut at the limit while it inflates."""
    data = BOMBS[name](opcode)

    def script(attacker: Attacker) -> list[Any]:
        with contextlib.suppress(ConnectionError):  # what is behind the limit need not be read
            attacker.send(data)
        return attacker.read_to_the_end()

    with HostileServer(script, DEFLATE) as server:
        visit = suffer(server.url, max_message_size=4 * MIB)
    assert visit.events == [("open",), ("error",), ("close", 1006)]
    assert server.result == [Close(1009, "")]
    # the limit, the small parts with what they are joined to, and zlib's window
    assert_cost(visit, memory=9 * MIB)


def test_bombs_in_a_row_within_the_limit() -> None:
    """The page wants each message; what one read inflates is all that is there at once."""
    count = 100 // SCALE
    data = frame(BINARY, zeros(4 * MIB), rsv=RSV1) * count

    def script(attacker: Attacker) -> list[Any]:
        attacker.send(data)
        attacker.send(frame(CLOSE, b"\x03\xe8"))
        return attacker.read_to_the_end()

    with HostileServer(script, DEFLATE) as server:
        visit = suffer(server.url, max_message_size=4 * MIB)
    assert visit.events == [("open",), *[("message", 4 * MIB)] * count, ("close", 1000)]
    # DEFLATE makes up to 1032 bytes of one; besides there are a message that the last event holds,
    # and of another one its parts and what they are joined to
    assert_cost(visit, memory=1032 * connection.COMPRESSED_READ_SIZE + 12 * MIB)


# -- the opening handshake -------------------------------------------------------------------------


def assert_opening_fails(
    visit: Visit, url: str, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    assert visit.events == [("error",), ("close", 1006)]
    [line] = logged(caplog, url)
    assert why in line
    assert len(line) < 1000
    assert_cost(visit, memory=0)


ENDLESS = {
    "a header": (b"HTTP/1.1 101 Switching Protocols\r\nX: ", b"x" * 4096),
    "headers": (b"HTTP/1.1 101 Switching Protocols\r\n", b"X: y\r\n" * 1000),
    "a folded header": (b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\n", b" y\r\n" * 1000),
    "a status line": (b"HTTP/1.1 101 ", b"x" * 4096),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_head(name: str, caplog: pytest.LogCaptureFixture) -> None:
    beginning, more = ENDLESS[name]

    def script(attacker: Attacker) -> None:
        attacker.read_request()
        attacker.send(beginning)
        while True:
            attacker.send(more)

    with HostileServer(script, headers=None) as server, caplog.at_level(logging.WARNING, "webapi"):
        visit = suffer(server.url)
    assert_opening_fails(visit, server.url, caplog, f"longer than {MAX_HEAD_SIZE} bytes")


def test_a_head_of_64_kib_that_comes_a_byte_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    """Reading and searching it cost time in proportion, not by the square."""

    def script(attacker: Attacker) -> None:
        attacker.read_request()
        attacker.drip(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 2 * MAX_HEAD_SIZE)

    with HostileServer(script, headers=None) as server, caplog.at_level(logging.WARNING, "webapi"):
        visit = suffer(server.url, open_timeout=DEADLINE)
    assert_opening_fails(visit, server.url, caplog, f"longer than {MAX_HEAD_SIZE} bytes")


def test_a_dripped_head_does_not_move_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """`open_timeout` is for the whole of it, however often a byte comes."""

    def script(attacker: Attacker) -> None:
        attacker.read_request()
        attacker.send(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
        while attacker.client_is_there(0.01):
            attacker.send(b"x")

    with HostileServer(script, headers=None) as server, caplog.at_level(logging.WARNING, "webapi"):
        visit = suffer(server.url, open_timeout=0.5)
    assert_opening_fails(visit, server.url, caplog, "longer than open_timeout, 0.5 s")
    assert 0.5 <= visit.elapsed < 10


# -- a server that reads nothing -------------------------------------------------------------------


def test_a_server_that_never_reads_while_we_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is counted to the byte, is not copied, and costs no work while it waits."""
    monkeypatch.setattr(connection, "CLOSING_TIMEOUT", 0.5)
    message, count = bytes(MIB), 200
    ended = threading.Event()
    amounts: list[int] = []

    def page(ws: WebSocket) -> None:
        def onopen(_: object) -> None:
            for _ in range(count):
                ws.send(message)
                amounts.append(ws.bufferedAmount)
            ws.close(1000)

        def onclose(_: object) -> None:
            amounts.append(ws.bufferedAmount)
            ended.set()

        ws.onopen, ws.onclose = onopen, onclose

    with HostileServer(lambda _: ended.wait(DEADLINE), receive_buffer=4 * KIB) as server:
        visit = suffer(server.url, page)
    assert visit.events == [("open",), ("close", 1006)]
    assert not visit.clean
    assert amounts[:count] == [len(message) * sent for sent in range(1, count + 1)]
    assert count * len(message) // 2 < amounts[-1] <= count * len(message)
    assert_cost(visit, memory=3 * MIB, seconds=5)
    assert 0.5 <= visit.elapsed < 30


# -- the page goes on ------------------------------------------------------------------------------

FLOODS = {
    "pings": (frame(PING, b"") * 10_000, ()),
    "long pings": (frame(PING, bytes(125)) * 10_000, ()),
    "empty messages": (frame(TEXT, b"") * 10_000, ()),
    "long messages": (frame(BINARY, bytes(MIB)), ()),
    "bombs": (frame(BINARY, zeros(16 * MIB), rsv=RSV1), DEFLATE),
}


@pytest.mark.parametrize("name", FLOODS)
def test_another_socket_of_the_page_lives_on(name: str, echo_url: str) -> None:
    """A server that floods for as long as it can, and an echo beside it that must not starve.

    What counts is the page's own work between a message and its echo, not how busy the machine is.
    """
    chunk, headers = FLOODS[name]
    flooding = threading.Event()
    longest = 0.0

    def script(attacker: Attacker) -> None:
        attacker.send(chunk)
        flooding.set()
        while True:
            attacker.send(chunk)

    async def main(url: str) -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        hostile = WebSocket(url)
        hostile.onmessage = lambda _: None
        assert await asyncio.to_thread(flooding.wait, DEADLINE)
        honest = WebSocket(echo_url)
        sent, left = 0.0, 20

        def send(_: object) -> None:
            nonlocal sent
            sent = time.thread_time()
            honest.send("are you there?")

        def onmessage(event: object) -> None:
            nonlocal longest, left
            longest = max(longest, time.thread_time() - sent)
            left -= 1
            if left:
                send(event)
            else:
                done.set_result(None)

        honest.onopen, honest.onmessage = send, onmessage
        await asyncio.wait_for(done, DEADLINE)

    with HostileServer(script, headers) as server:
        asyncio.run(main(server.url))
    assert longest < 5 * SCALE, longest  # a starved one waits for good


def test_a_failure_is_no_message() -> None:
    """`read_to_the_end` would show a client that breaks the protocol."""
    assert isinstance(Receiver(masked=True).feed(b"\xff\xff")[0], Failure)
