"""The server's end of a connection in the hands of a test's script.

`Core` is the wire's side: it lives on the servers' loop, reads all the time, answers pings and
Close frames, and keeps a log. `ScriptPeer` is the script's side, the same object for a real server,
for an intercepted URL, and for the way to the real server behind one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

from webapi.protocol import frames
from webapi.protocol.deflate import Deflater, Inflater, Parameters
from webapi.protocol.frames import Close, Failure, Ping, Pong, close_body
from webapi.protocol.handshake import Head
from webapi.protocol.receiver import Message, Receiver
from webapi.protocol.sender import frame, utf8
from webapi.testing.matching import Match, PredicateError, shown
from webapi.testing.server import Peer, PeerGone
from webapi.testing.threads import run_on
from webapi.testing.timeline import Entry, Timeline, describe_close
from webapi.testing.waiting import Board, Failed

__all__ = ["Core", "ScriptPeer", "until_over"]

RECEIVE_TIMEOUT: Final = 10.0
"""Seconds that a script waits for a message unless it is told otherwise."""

LAST_WORDS: Final = 0.25
"""Seconds that the end of a test waits for what clients say last."""

_DEFLATE: Final = "permessage-deflate"


Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class _Broken(PeerGone, ConnectionError):
    """Sending found the connection broken; another `ConnectionError` in a script is its own."""


class Core(Peer):
    """One connection on the servers' loop.

    Args:
        reader: where from, as `asyncio.StreamReader`.
        writer: where to, as `asyncio.StreamWriter`.
        board: who is told of each change.
        url: what it is called in its timeline.
        client: whether this is a client's end: its frames are masked.
        compression: whether permessage-deflate is accepted.
    """

    def __init__(
        self,
        reader: Any,
        writer: Any,
        board: Board,
        url: str = "",
        *,
        client: bool = False,
        compression: bool = False,
    ) -> None:
        super().__init__(reader, writer)
        self.timeline = Timeline(board, url)
        self.client = client
        self._other = "server" if client else "client"
        self.compression = compression
        self.subprotocol = ""
        self.accepted = False
        self.answered = False
        self.behind: list[Core] = []  # connections to real servers, which end with this one
        self.on_accepted: Callable[[], object] = bool
        self.close_answer: Callable[[], Awaitable[object]] | None = None
        """Answers the client's Close frame, where that is not to be echoed."""
        self.stalled = asyncio.Event()
        self.stalled.set()
        self._receiver = Receiver(masked=not client)
        self._deflater: Deflater | None = None
        self._inbox: deque[str | bytes] = deque()
        self._pongs: deque[bytes] = deque()
        self._news = asyncio.Condition()
        self.gone = ""
        self.broken = ""
        self.was_reset = False
        self.expected = ""
        """What the script waits for in `expect`, or did not get there."""
        self._pump: asyncio.Task[None] | None = None

    # -- the handshake

    async def read_head(self) -> Head:
        head = await super().read_head()
        self.timeline.add(Entry("request", head.start_line.rpartition(" ")[0], value=head))
        return head

    async def accept_with(self, *, protocol: str | None = None, headers: Headers = ()) -> None:
        """Accept the connection."""
        lines = _lines(headers)
        offers = [offer.split(";")[0].strip() for offer in self._offers()]
        deflate = self.compression and _DEFLATE in offers
        if deflate:
            lines.append(f"Sec-WebSocket-Extensions: {_DEFLATE}")
        self.answered = True
        await self.send_raw(self.acceptance(*lines, protocol=protocol))
        if deflate:
            self.use_deflate()
        self.subprotocol = protocol or ""
        self.timeline.add(Entry("response", "101 Switching Protocols"))
        self.start()
        self.on_accepted()

    def use_deflate(self, agreed: Parameters = Parameters()) -> None:  # noqa: B008
        """Compress from now on; default the parameters' defaults (RFC 7692 §7.1)."""
        self._deflater = Deflater(
            agreed.server_max_window_bits, not agreed.server_no_context_takeover
        )
        self._receiver.inflater = Inflater(
            agreed.client_max_window_bits, not agreed.client_no_context_takeover
        )

    def _offers(self) -> list[str]:
        return self.head.values("sec-websocket-extensions")

    async def reject_with(self, status: int, headers: Headers, body: bytes) -> None:
        """Refuse the connection."""
        from http import HTTPStatus

        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        self.answered = True
        self.timeline.add(Entry("response", f"{status} {phrase}"))
        with suppress(OSError):
            await self.reject(f"{status} {phrase}", *_lines(headers), body=body)
        await self._leave("it was refused")

    def start(self, received: bytes = b"") -> None:
        """Begin to read frames; `received` came with the head."""
        self.accepted = True
        self._pump = asyncio.get_running_loop().create_task(self._read_all(received))

    # -- reading

    async def _read_all(self, data: bytes) -> None:
        reason = f"the {self._other} ended the TCP connection"
        try:
            while True:
                if data:
                    for message in self._receiver.feed(data):
                        await self._take(message)
                if self.gone:
                    return
                data = await self.reader.read(65536)
                await self.stalled.wait()  # what came meanwhile counts as unread
                if not data:
                    break
        except OSError as error:
            self.was_reset = True
            reason = f"the connection broke: {error}"
        await self._leave(reason)

    async def _take(self, message: Message) -> None:
        if isinstance(message, (str, bytes, bytearray)):
            data = message if isinstance(message, str) else bytes(message)
            opcode = frames.TEXT if isinstance(data, str) else frames.BINARY
            self.timeline.add_frame("received", opcode, data)
            async with self._news:
                self._inbox.append(data)
                self._news.notify_all()
        elif isinstance(message, Ping):
            self.timeline.add_frame("received", frames.PING, message.payload)
            with suppress(OSError):
                await self.send_frame(frames.PONG, message.payload)
        elif isinstance(message, Pong):
            self.timeline.add_frame("received", frames.PONG, message.payload)
            async with self._news:
                self._pongs.append(message.payload)
                self._news.notify_all()
        elif isinstance(message, Close):
            self.close_received = message
            body = close_body(message.code, message.reason.encode())
            self.timeline.add_frame("received", frames.CLOSE, body)
            with suppress(OSError):
                await self.answer_close()
            words = describe_close(message.code, message.reason)
            await self._leave(f"the {self._other} closed it: {words}", end=not self.client)
        elif isinstance(message, Failure):
            self.broken = f"the {self._other} broke the protocol: {message.reason}"
            with suppress(OSError):
                await self.send_close(message.code)
            await self._leave(self.broken, end=True)

    async def _leave(self, reason: str, end: bool = False) -> None:
        if not self.gone:
            self.timeline.add(Entry("note", f"over: {reason}"))
        async with self._news:
            self.gone = self.gone or reason
            self._news.notify_all()
        if end:
            with suppress(OSError):
                self.writer.close()

    async def _wait(self, found: Any, timeout: float | None) -> bool:
        """Wait until `found()`; return False if the time is over."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(found), timeout)
            except (asyncio.TimeoutError, TimeoutError):
                return bool(found())
        return True

    async def next_message(self, timeout: float | None) -> str | bytes:
        """Return the next data message.

        Raises:
            PeerGone: the connection is over.
            Failed: none came within `timeout` seconds.
        """
        __tracebackhide__ = True
        if not await self._wait(lambda: self._inbox or self.gone, timeout):
            raise Failed(
                f"the script waited {timeout:g} s for a message and none came\n{self.timeline}"
            )
        if self._inbox:
            return self._inbox.popleft()
        raise PeerGone(self.gone)

    async def next_pong(self, timeout: float | None) -> bytes:
        """Return the next Pong's payload."""
        __tracebackhide__ = True
        if not await self._wait(lambda: self._pongs or self.gone, timeout):
            raise Failed(f"no pong came within {timeout:g} s\n{self.timeline}")
        if self._pongs:
            return self._pongs.popleft()
        raise PeerGone(self.gone)

    async def until_gone(self, timeout: float | None) -> Close | None:
        """Wait for the end of the connection."""
        __tracebackhide__ = True
        if not await self._wait(lambda: self.gone, timeout):
            raise Failed(f"the connection is not over after {timeout:g} s\n{self.timeline}")
        return self.close_received

    # -- writing

    def _check_open(self) -> None:
        if not self.accepted:
            raise RuntimeError("the handshake is not answered: call accept() first")
        if self.gone:
            raise PeerGone(self.gone)

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        self._check_open()
        opcode = frames.TEXT if isinstance(message, str) else frames.BINARY
        payload = utf8(message) if isinstance(message, str) else bytes(message)
        kept = message if isinstance(message, str) else payload
        self.timeline.add_frame("sent", opcode, kept)
        if self._deflater is not None:
            payload = self._deflater.deflate(payload)
            await self._send_frame(opcode, payload, rsv=4)
        else:
            await self._send_frame(opcode, payload)

    async def send_frame(
        self,
        opcode: int,
        payload: bytes | bytearray | memoryview = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = False,
    ) -> None:
        self.timeline.add_frame("sent", opcode, _readable(opcode, bytes(payload)))
        await self._send_frame(opcode, payload, fin=fin, rsv=rsv, masked=masked)

    async def _send_frame(self, opcode: int, payload: Any, **how: Any) -> None:
        masked = how.pop("masked", False) or self.client
        key = os.urandom(4) if masked else None
        await self.send_raw(frame(opcode, payload, masking_key=key, **how))

    async def send_raw(self, data: bytes) -> None:
        try:
            await super().send_raw(data)
        except OSError as error:
            raise _Broken(f"the connection broke: {error}") from None

    async def send_raw_logged(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.timeline.add(Entry("note", f"↑ raw {shown(data)}"))
        await self.send_raw(data)

    async def drip(self, data: bytes, size: int, interval: float) -> None:
        """Send bytes as they are, `size` at a time."""
        self.timeline.add(Entry("note", f"↑ drip {shown(data)}"))
        for at in range(0, len(data), size):
            await self.send_raw(data[at : at + size])
            await asyncio.sleep(interval)

    async def close_with(self, code: int | None, reason: str, timeout: float) -> Close | None:
        """Make the closing handshake, and end the connection."""
        if self.gone:
            return self.close_received
        if not self._close_sent:
            await self.send_close(code, reason)
        await self._wait(lambda: self.gone, timeout)
        await self.finish()
        return self.close_received

    async def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        self._close_sent = True
        await self.send_frame(frames.CLOSE, close_body(code, reason.encode()))

    async def answer_close(self) -> None:
        if self.close_answer is None or self._close_sent:
            await super().answer_close()
        else:
            await self.close_answer()

    async def reset_now(self) -> None:
        """Break the TCP connection."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.family.name.startswith("AF_INET"):
            self.reset()
        else:
            self.writer.transport.abort()
        await self._leave("the script reset it")

    async def end_sending(self) -> None:
        if self.writer.get_extra_info("ssl_object") is not None:
            raise RuntimeError(
                "end_sending() works on ws only: asyncio's TLS cannot end one direction alone"
            )
        with suppress(OSError):  # it is gone: that is no less
            await super().end_sending()

    async def stall(self) -> None:
        """Read nothing and answer nothing from now on."""
        self.timeline.add(Entry("note", "the script stalls: it reads and answers nothing"))
        self.stalled.clear()

    async def resume(self) -> None:
        """Take back `stall`."""
        self.stalled.set()

    async def finish(self) -> None:
        """End the TCP connection in order."""
        with suppress(OSError):
            self.writer.close()
        await self._leave("the script ended it")

    async def abandon(self) -> None:
        """End everything at once."""
        for core in self.behind:
            await core.abandon()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        with suppress(OSError):
            self.writer.transport.abort()
        await self._leave("the test is over")


def _lines(headers: Headers) -> list[str]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [f"{name}: {value}" for name, value in pairs]


def _is_open(core: Core) -> bool:
    return core.accepted and not core.gone and core.stalled.is_set()


async def until_over(cores: list[Core]) -> None:
    """Wait a moment for `cores` to end: a page that was closed just now says its last words."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LAST_WORDS
    while any(map(_is_open, cores)) and loop.time() < deadline:
        await asyncio.sleep(0.005)


def _readable(opcode: int, payload: bytes) -> str | bytes:
    return payload.decode("utf-8", "replace") if opcode == frames.TEXT else payload


class _Messages:
    """Not an asynchronous generator: of one that begins in a loop's shutdown asyncio complains."""

    def __init__(self, peer: ScriptPeer) -> None:
        self._peer = peer

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> str | bytes:
        peer = self._peer
        try:
            message: str | bytes = await peer._do(peer._core.next_message(None))
        except PeerGone:
            raise StopAsyncIteration from None
        return message


class ScriptPeer:
    """A connection, as a script has it.

    Its methods block in a plain function, and are awaited in an `async def`:

        message = peer.receive()          # def script(peer)
        message = await peer.receive()    # async def script(peer)

    When a script returns, its connection is closed with 1000; when it raises, with 1011, and the
    test fails of what it raised. A client that goes away while a script waits or sends ends the
    script quietly, by `PeerGone`, unless it waits in `expect`.
    """

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._loop = loop
        self.params: dict[str, str] = {}
        """The route's parameters."""
        self.receive_timeout: float = RECEIVE_TIMEOUT
        self._upstream: Any = None

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        __tracebackhide__ = True
        return run_on(self._loop, coroutine, self._core.timeline.board)

    # -- the request

    @property
    def path(self) -> str:
        """The request's path, without its query."""
        return self._core.path.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of repeated ones the last."""
        parsed = parse_qs(self._core.path.partition("?")[2], keep_blank_values=True)
        return {name: values[-1] for name, values in parsed.items()}

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case; repeated ones are joined by commas."""
        found: dict[str, str] = {}
        for name, value in self._core.head.headers:
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def cookies(self) -> dict[str, str]:
        """The request's cookies."""
        cookies: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            cookies.load("; ".join(self._core.head.all("cookie")))
        return {name: morsel.value for name, morsel in cookies.items()}

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client asks for."""
        return self._core.head.values("sec-websocket-protocol")

    @property
    def subprotocol(self) -> str:
        """The subprotocol that was chosen, or ""."""
        return self._core.subprotocol

    # -- what happened

    @property
    def timeline(self) -> Timeline:
        """All that happened on this connection, as this end saw it."""
        return self._core.timeline

    @property
    def received(self) -> list[str | bytes]:
        """The data of all messages that came, also those that the script did not read."""
        entries = list(self._core.timeline.entries)
        return [e.value for e in entries if e.kind == "received" and e.is_data]

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return bool(self._core.gone)

    @property
    def close_received(self) -> Close | None:
        """The client's Close frame, `code` and `reason`, or None."""
        return self._core.close_received

    # -- the handshake, where the route leaves it to the script

    def accept(
        self, *, subprotocol: str | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Accept the connection; for routes with `handshake=False`."""
        return self._do(self._core.accept_with(protocol=subprotocol, headers=headers or {}))

    def reject(
        self, status: int = 403, headers: dict[str, str] | None = None, body: str | bytes = b""
    ) -> Any:
        """Refuse the connection with an HTTP status; for routes with `handshake=False`."""
        data = body.encode() if isinstance(body, str) else body
        return self._do(self._core.reject_with(status, headers or {}, data))

    def connect_to_server(self, url: str | None = None) -> Any:
        """Connect to the real server behind an intercepted URL; return its `ScriptPeer`.

        Args:
            url: another server's URL; default the one that the page asked for.

        Raises:
            RuntimeError: this is no intercepted connection.
            OpeningFailed: the server cannot be reached, or refuses.
        """
        return self._do(self._connect_to_server(url))

    async def _connect_to_server(self, url: str | None) -> ScriptPeer:
        if self._upstream is None:
            raise RuntimeError("this is a server's connection: only page.route() has one behind it")
        server = ScriptPeer(await self._upstream.connect(url), self._loop)
        self._core.behind.append(server._core)
        return server

    # -- receiving

    def receive(self, *, timeout: float | None = None) -> Any:
        """Return the next message, a `str` or `bytes`.

        Args:
            timeout: seconds; default 10.

        Raises:
            PeerGone: the connection is over; the script may let it through.
            Failed: no message came within the time.
        """
        __tracebackhide__ = True
        return self._do(self._core.next_message(self._timeout(timeout)))

    def receive_json(self, *, timeout: float | None = None) -> Any:
        """Return the JSON value of the next message.

        Raises:
            Failed: the message is no JSON; else as `receive`.
        """
        __tracebackhide__ = True
        return self._do(self._receive_json(self._timeout(timeout)))

    async def _receive_json(self, timeout: float) -> Any:
        __tracebackhide__ = True
        data = await self._core.next_message(timeout)
        try:
            return json.loads(data)
        except ValueError as error:
            raise Failed(f"{shown(data)} is no JSON: {error}\n{self.timeline}") from None

    def expect(self, *, timeout: float | None = None, **match: Any) -> Any:
        """Return the next message, which must be as `match` says: `text=`, `data=`, `json=`, ...

        Unlike `receive`, a client that goes away, or a test that ends, before it came is a fault.

        Raises:
            Failed: another message came, or none did.
        """
        __tracebackhide__ = True
        return self._do(self._expect(Match(**match, direction="sent"), self._timeout(timeout)))

    async def _expect(self, match: Match, timeout: float) -> str | bytes:
        __tracebackhide__ = True
        what = self._core.expected = f"the script expected {match.describe()}"
        try:
            data = await self._core.next_message(timeout)
            self._core.expected = ""
        except PeerGone as gone:
            raise Failed(f"{what}, but {gone}\n{self.timeline}") from None
        except Failed:
            self._core.expected = ""
            raise Failed(f"{what}, but none came in {timeout:g} s\n{self.timeline}") from None
        try:
            fault = match.fault(data)
        except PredicateError as error:
            raise Failed(f"{what}, but {error}\n{self.timeline}") from error.__cause__
        if fault is not None:
            raise Failed(f"{what}, but {shown(data)} came: {fault}\n{self.timeline}")
        return data

    def receive_pong(self, *, timeout: float | None = None) -> Any:
        """Return the payload of the next Pong frame."""
        return self._do(self._core.next_pong(self._timeout(timeout)))

    def __iter__(self) -> Iterator[str | bytes]:
        """Iterate over messages until the connection is over, however long that takes."""
        while True:
            try:
                message = self._do(self._core.next_message(None))
            except PeerGone:
                return
            yield message

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Iterate over messages until the connection is over."""
        return _Messages(self)

    # -- sending

    def send(self, message: str | bytes | bytearray | memoryview) -> Any:
        """Send a text or binary message.

        Raises:
            PeerGone: the connection is over.
        """
        return self._do(self._core.send(message))

    def send_json(self, value: Any) -> Any:
        """Send a value as JSON, in a text message."""
        return self._do(self._core.send(json.dumps(value, ensure_ascii=False)))

    def ping(self, payload: bytes = b"") -> Any:
        """Send a Ping frame."""
        return self._do(self._core.send_frame(frames.PING, payload))

    def wait_closed(self, *, timeout: float | None = None) -> Any:
        """Return when the connection is over: the client's Close frame, or None."""
        return self._do(self._core.until_gone(self._timeout(timeout)))

    def close(
        self, code: int | None = 1000, reason: str = "", *, timeout: float | None = None
    ) -> Any:
        """Make the closing handshake; return the client's Close frame, or None.

        Args:
            code: any, also one that RFC 6455 forbids; None for an empty Close frame.
            reason: what stands behind it.
            timeout: seconds for the client's part, then TCP is ended all the same; default 10.
        """
        return self._do(self._core.close_with(code, reason, self._timeout(timeout)))

    # -- misbehaviour

    def send_raw(self, data: bytes) -> Any:
        """Send bytes as they are."""
        return self._do(self._core.send_raw_logged(data))

    def send_frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = False,
    ) -> Any:
        """Send one frame, however wrong; see `webapi.protocol.sender.frame`."""
        return self._do(self._core.send_frame(opcode, payload, fin=fin, rsv=rsv, masked=masked))

    def drip(self, data: bytes, *, size: int = 1, interval: float = 0.01) -> Any:
        """Send bytes as they are, `size` at a time, with `interval` seconds between."""
        return self._do(self._core.drip(data, size, interval))

    def reset(self) -> Any:
        """Break the TCP connection (RST), without a Close frame."""
        return self._do(self._core.reset_now())

    def end(self) -> Any:
        """End the TCP connection (FIN), without a Close frame."""
        return self._do(self._core.finish())

    def end_sending(self) -> Any:
        """End our direction of the TCP connection only; not on wss.

        Raises:
            RuntimeError: it is a wss connection: asyncio's TLS cannot do that.
        """
        return self._do(self._core.end_sending())

    def stall(self) -> Any:
        """Read nothing and answer nothing from now on: neither pings nor a Close frame."""
        return self._do(self._core.stall())

    def resume(self) -> Any:
        """Take back `stall`."""
        return self._do(self._core.resume())

    def _timeout(self, timeout: float | None) -> float:
        return self.receive_timeout if timeout is None else timeout

    def __repr__(self) -> str:
        return f"<ScriptPeer {self._core.timeline.url}{' closed' if self.closed else ''}>"
