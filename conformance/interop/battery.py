"""What is tried with every peer.

The servers echo every message, text as text and binary as binary, except texts that begin with
``#interop``, which are told what to do:

=============================== =================================================================
``#interop burst N``            send N texts, ``0`` to ``N-1``
``#interop fragments``          send the text ``fragmentéd`` in three frames
``#interop ping``               send a Ping; after its Pong, send the text ``pong``
``#interop close CODE REASON``  close with that code and reason
``#interop pour N``             send the text ``pouring``, then one binary message of N bytes
=============================== =================================================================

Each check makes connections of its own, on this thread's asyncio loop, and returns what there is to
record (nothing, mostly) or raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from webapi import WebSocket, Window

from .peer import SUBPROTOCOL
from .running import Running

#: The lengths that RFC 6455's three ways to write a length meet at, and a longer one.
SIZES = (0, 125, 126, 65_535, 65_536, 1_048_576)
BURST = 10_000
#: Seconds for whatever is awaited; a busy machine is no fault.
DEADLINE = 60.0
#: A Ping's opcode.
PING = 9
UNICODE = (
    "Grüße, Ελληνικά, עברית, 日本語, \U0001f642\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\x00 \x7f \u0080 \u07ff \u0800 \ufeff \uffff \U00010000 \U0010ffff",
    "é" * 40_000,
)


class CheckError(Exception):
    """The peer, or webapi, did another thing than expected."""


class Talk:
    """One connection, whose events are awaited."""

    def __init__(
        self, url: str, protocols: Sequence[str] = (), page: Window | None = None, **options: Any
    ) -> None:
        make = page.WebSocket if page else WebSocket
        self.ws = make(url, list(protocols), **options)
        self.ws.binaryType = "arraybuffer"
        self.errors = 0
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._open: asyncio.Future[Any] = loop.create_future()
        self._close: asyncio.Future[Any] = loop.create_future()
        self.ws.onopen = self._open.set_result
        self.ws.onmessage = lambda event: self.messages.put_nowait(event.data)
        self.ws.onerror = self._on_error
        self.ws.onclose = self._on_close

    def _on_error(self, _event: Any) -> None:
        self.errors += 1

    def _on_close(self, event: Any) -> None:
        self._close.set_result(event)
        if not self._open.done():
            self._open.set_exception(CheckError(f"did not open: close {event.code}"))
        self.messages.put_nowait(event)

    async def opened(self) -> None:
        """Wait until it is open."""
        await within(self._open, "no open event")

    async def closed(self) -> Any:
        """Wait for the close event."""
        return await within(asyncio.shield(self._close), "no close event")

    async def message(self) -> Any:
        """The data of the next message."""
        data = await within(self.messages.get(), "no message")
        if self._close.done() and data is self._close.result():
            raise CheckError(f"closed while waiting: {shown_close(data)}")
        return data

    async def echo(self, data: str | bytes) -> None:
        """Send something and see that it comes back, of the same type."""
        self.ws.send(data)
        back = await self.message()
        if isinstance(back, str) != isinstance(data, str):
            raise CheckError(f"{type(data).__name__} came back as {type(back).__name__}")
        if back != data:
            raise CheckError(f"{len(data)} {type(data).__name__} came back as {shown(back)}")


def shown(data: Any) -> str:
    """A message in short."""
    return f"{len(data)}: {data[:40]!r}"


def shown_close(event: Any) -> str:
    """A close event in short."""
    reason = f" {event.reason!r}" if event.reason else ""
    return f"{event.code}{reason}{'' if event.wasClean else ', not clean'}"


async def within(awaitable: Awaitable[Any], what: str, seconds: float = DEADLINE) -> Any:
    """Await with a deadline."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except asyncio.TimeoutError:
        raise CheckError(f"{what} in {seconds:g} s") from None


class Battery:
    """The checks against one running peer."""

    def __init__(self, running: Running, context: ssl.SSLContext) -> None:
        self.running = running
        self.context = context
        self.peer = running.place.peer
        self.url = f"ws://127.0.0.1:{running.place.port}{self.peer.path}"
        self.sizes_tried = SIZES if "empty" not in self.peer.lacks else SIZES[1:]
        compressed_empty = "compressed empty" not in self.peer.lacks
        self.sizes_compressed = self.sizes_tried if compressed_empty else SIZES[1:]
        self.tls_url = f"wss://127.0.0.1:{running.place.tls_port}{self.peer.path}"

    @contextlib.asynccontextmanager
    async def talk(self, url: str = "", **options: Any) -> AsyncIterator[Talk]:
        """A connection that is open, and is closed again."""
        if url == self.tls_url:
            options["ssl_context"] = self.context
        talk = Talk(url or self.url, **options)
        try:
            await talk.opened()
            yield talk
        finally:
            talk.ws.close()
            with contextlib.suppress(CheckError):
                await talk.closed()

    async def echo_binary(self, talk: Talk, data: bytes) -> None:
        """The same with a binary message, unless it is known that the peer drops those."""
        if "binary" not in self.peer.lacks:
            await talk.echo(data)

    async def ws(self) -> str:
        """It opens, and echoes."""
        async with self.talk(compression=False) as talk:
            await talk.echo("hello")
        return ""

    async def wss(self) -> str:
        """The same, and long messages, over TLS that the peer terminates."""
        async with self.talk(self.tls_url) as talk:
            for size in self.sizes_compressed if talk.ws.extensions else self.sizes_tried:
                await talk.echo("é" * (size // 2))
                await self.echo_binary(talk, bytes(size))
        return ""

    async def sizes(self) -> str:
        """Text and binary of the sizes where something changes."""
        async with self.talk(compression=False) as talk:
            for size in self.sizes_tried:
                await talk.echo("x" * size)
                await self.echo_binary(talk, bytes(range(256)) * (size // 256) + bytes(size % 256))
        if self.peer.lacks & {"empty", "binary"}:
            raise CheckError("the others came back")
        return ""

    async def unicode(self) -> str:
        """Text beyond ASCII."""
        async with self.talk() as talk:
            for text in UNICODE:
                await talk.echo(text)
        return ""

    async def burst(self) -> str:
        """Ten thousand small messages each way, in order: an echo, and the server alone."""
        async with self.talk(compression=False) as talk:
            for number in range(BURST):
                talk.ws.send(str(number))
            await self._expect_numbers(talk)
            talk.ws.send(f"#interop burst {BURST}")
            await self._expect_numbers(talk)
        return ""

    async def _expect_numbers(self, talk: Talk) -> None:
        for number in range(BURST):
            if (got := await talk.message()) != str(number):
                raise CheckError(f"message {number} of a burst was {shown(got)}")

    async def fragments(self) -> str:
        """A message in three frames."""
        async with self.talk(compression=False) as talk:
            talk.ws.send("#interop fragments")
            if (got := await talk.message()) != "fragmentéd":
                raise CheckError(f"the fragments gave {shown(got)}")
            await talk.echo("after")
        return ""

    async def ping(self) -> str:
        """A Ping of the server has its Pong."""
        async with self.talk() as talk:
            talk.ws.send("#interop ping")
            if (got := await talk.message()) != "pong":
                raise CheckError(f"after the ping came {shown(got)}")
        return ""

    async def subprotocol(self) -> str:
        """The server picks one of those offered."""
        url = self.url.removesuffix(self.peer.path) + (self.peer.subprotocol_path or self.peer.path)
        async with self.talk(url, protocols=["other.v9", SUBPROTOCOL]) as talk:
            if (got := talk.ws.protocol) != SUBPROTOCOL:
                raise CheckError(f"the subprotocol is {got!r}")
            await talk.echo("hello")
        return ""

    async def deflate(self) -> str:
        """What is negotiated of permessage-deflate, and all sizes under it."""
        async with self.talk() as talk:
            negotiated: str = talk.ws.extensions
            for size in self.sizes_compressed if negotiated else ():
                await talk.echo("xyz " * (size // 4))
                await self.echo_binary(talk, bytes(range(256)) * (size // 256) + bytes(size % 256))
        if "compressed empty" in self.peer.lacks:
            raise CheckError(f"{negotiated}; the others came back")
        return negotiated.replace("permessage-deflate", "yes", 1) if negotiated else "declined"

    async def client_close(self) -> str:
        """We close with code and reason; the server answers with the same, or says another."""
        async with self.talk() as talk:
            await talk.echo("hello")
            return await self._close(talk)

    async def _close(self, talk: Talk) -> str:
        talk.ws.close(3001, "bye, é")
        event = await talk.closed()
        if not event.wasClean:
            raise CheckError(f"close {shown_close(event)}")
        return "" if (event.code, event.reason) == (3001, "bye, é") else f"{shown_close(event)}"

    async def server_close(self) -> str:
        """The server closes with code and reason."""
        async with self.talk() as talk:
            talk.ws.send("#interop close 4001 über")
            event = await talk.closed()
            if (event.code, event.reason, event.wasClean) != (4001, "über", True):
                raise CheckError(f"close {shown_close(event)}")
        return ""

    async def oversized(self) -> str:
        """A message one byte longer than it takes, and what it says to that."""
        size = (self.peer.limit or 16 * 1024 * 1024) + 1
        async with self.talk(compression=False) as talk:
            if self.peer.limit is None:
                await talk.echo("x" * size if "binary" in self.peer.lacks else bytes(size))
                return f"takes {size} bytes"
            talk.ws.send(bytes(size))
            answer = await within(talk.messages.get(), "no answer to an oversized message")
            if isinstance(answer, (str, bytes)):
                raise CheckError(f"it took {size} bytes and answered {shown(answer)}")
            event = await talk.closed()
        return shown_close(event)

    @contextlib.asynccontextmanager
    async def idle(self) -> AsyncIterator[Callable[[], Awaitable[str]]]:
        """A connection held idle past the ping interval, from now on; then awaited."""
        page = Window(self.url.replace("ws", "http", 1))
        pings: list[Any] = []

        def on_frame(event: Any) -> None:
            if event["response"]["opcode"] == PING:
                pings.append(event)

        page.devtools.on("webSocketFrameReceived", on_frame)
        async with self.talk(page=page) as talk:
            began = time.monotonic()

            async def check() -> str:
                await asyncio.sleep(max(0.0, began + self.peer.idle_seconds - time.monotonic()))
                await talk.echo("still here")
                seen = len(pings)
                told = f"{seen or 'no'} ping{'s' * (seen != 1)}, {self.peer.idle_seconds:g} s"
                if bool(seen) is (self.peer.ping_seconds is None):
                    raise CheckError(f"{told}: it is said {'never ' * bool(seen)}to ping")
                return told

            yield check

    async def killed(self) -> str:
        """The server dies in mid-message. The last check: it is dead thereafter."""
        talk = Talk(self.url, compression=False)
        await talk.opened()
        failed: list[str] = []

        def on_pouring(_event: Any) -> None:
            talk.ws.onmessage = lambda event: failed.append(f"message {shown(event.data)}")
            # While this handler runs nothing is read, so the server cannot come to an end.
            if not wait_for_queue(self.running.place.port):
                failed.append("the long message did not begin")
            self.running.kill()

        talk.ws.onmessage = on_pouring
        talk.ws.send(f"#interop pour {self.peer.pour}")
        event = await talk.closed()
        if failed:
            raise CheckError(failed[0])
        if (event.code, event.wasClean) != (1006, False):
            raise CheckError(f"close {shown_close(event)}")
        return "1006, with an error event" if talk.errors else "1006"


class Connecting(Battery):
    """What needs no echo, for a peer that speaks a protocol of its own only."""

    @contextlib.asynccontextmanager
    async def talk(self, url: str = "", **options: Any) -> AsyncIterator[Talk]:
        """A connection as its protocol wants it."""
        options.setdefault("protocols", self.peer.protocols)
        async with super().talk(url, **options) as talk:
            yield talk

    async def ws(self) -> str:
        """It opens."""
        async with self.talk(compression=False):
            return ""

    async def wss(self) -> str:
        """The same over TLS that the peer terminates."""
        async with self.talk(self.tls_url):
            return ""

    async def subprotocol(self) -> str:
        """The server picks its own of those offered."""
        async with self.talk(protocols=["other.v9", *self.peer.protocols]) as talk:
            if (got := talk.ws.protocol) not in self.peer.protocols:
                raise CheckError(f"the subprotocol is {got!r}")
            return got

    async def deflate(self) -> str:
        """What is negotiated of permessage-deflate."""
        async with self.talk() as talk:
            negotiated: str = talk.ws.extensions
            return negotiated.replace("permessage-deflate", "yes", 1) or "declined"

    async def client_close(self) -> str:
        """We close with code and reason; the server answers with the same, or says another."""
        async with self.talk() as talk:
            return await self._close(talk)

    async def killed(self) -> str:
        """The server dies while nothing is on its way. The last check: it is dead thereafter."""
        async with self.talk(compression=False) as talk:
            self.running.kill()
            event = await talk.closed()
            if (event.code, event.wasClean) != (1006, False):
                raise CheckError(f"close {shown_close(event)}")
            return "1006"


def wait_for_queue(port: int, queued: int = 32_768, seconds: float = 30.0) -> bool:
    """Wait until the kernel keeps that many bytes from that port of the loopback for us."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for family in ("tcp", "tcp6"):
            with open(f"/proc/net/{family}") as table:
                for line in table.readlines()[1:]:
                    _, _, remote, _, queues, *_ = line.split()
                    from_port = int(remote.rpartition(":")[2], 16)
                    if from_port == port and int(queues.rpartition(":")[2], 16) >= queued:
                        return True
        time.sleep(0.005)
    return False


#: The columns, in order, and the checks behind them but for the idle one, which runs all along.
CHECKS = (
    *("ws", "wss", "sizes", "unicode", "burst", "fragments", "ping", "subprotocol", "deflate"),
    *("client_close", "server_close", "oversized", "idle", "killed"),
)

#: Those of them for a peer with a protocol of its own.
CONNECTING_CHECKS = ("ws", "wss", "subprotocol", "deflate", "client_close", "killed")
