"""A small scriptable WebSocket server, on the same `webapi.protocol` as the client.

It does by itself only what a script would not want to write: it reads the request, accepts it, and
answers pings and Close frames on `receive()`. Everything else - raw bytes, bad frames, resets,
silence - is the script's to do.

    async def echo(peer):
        async for message in peer:
            await peer.send(message)

    with Server(echo) as server:  # in a thread of its own; `async with` runs it on this loop
        ws = WebSocket(server.url)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType

from webapi.protocol import frames
from webapi.protocol.frames import Close, Failure, Ping, Pong, close_body
from webapi.protocol.handshake import MAX_HEAD_SIZE, Head, accept_value, parse_head
from webapi.protocol.receiver import DEFAULT_MAX_MESSAGE_SIZE, Message, Receiver
from webapi.protocol.sender import frame, utf8

__all__ = ["Handler", "Peer", "PeerGone", "Server"]


class PeerGone(Exception):
    """The client closed or broke the connection while the script waited for a message."""


class Peer:
    """The server's end of one connection, in the hands of a script.

    `head` is the client's request; `close` the Close frame that it sent, or None.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = Head("", ())
        self.close_received: Close | None = None
        self._close_sent = False
        self._receiver = Receiver(masked=True, max_message_size=DEFAULT_MAX_MESSAGE_SIZE)
        self._messages: list[Message] = []

    @property
    def path(self) -> str:
        """The request's target: path and query."""
        return self.head.start_line.split(" ")[1]

    # -- the handshake -----------------------------------------------------------------------

    async def read_head(self) -> Head:
        """Read the client's request."""
        self.head = parse_head(await self.reader.readuntil(b"\r\n\r\n"))
        return self.head

    async def accept(self, *headers: str, protocol: str | None = None) -> None:
        """Accept the connection, with more header lines if given."""
        await self.send_raw(self.acceptance(*headers, protocol=protocol))

    def acceptance(self, *headers: str, protocol: str | None = None) -> bytes:
        """Return the head that accepts the connection."""
        key = self.head.all("sec-websocket-key")[0]
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_value(key)}",
            *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol is not None else []),
            *headers,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def reject(self, status: str, *headers: str, body: bytes = b"") -> None:
        """Answer with `status`, for example "404 Not Found", and end the connection."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        await self.send_raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        await self.end()

    # -- sending -----------------------------------------------------------------------------

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a text or binary message."""
        if isinstance(message, str):
            await self.send_frame(frames.TEXT, utf8(message))
        else:
            await self.send_frame(frames.BINARY, message)

    async def send_frame(
        self,
        opcode: int,
        payload: bytes | bytearray | memoryview = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = False,
    ) -> None:
        """Send one frame, however wrong."""
        key = os.urandom(4) if masked else None
        await self.send_raw(frame(opcode, payload, fin=fin, rsv=rsv, masking_key=key))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def ping(self, payload: bytes = b"") -> None:
        """Send a Ping frame."""
        await self.send_frame(frames.PING, payload)

    # -- receiving ---------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """Return the next message; answer pings and a Close frame meanwhile.

        Raises:
            PeerGone: the client closed the connection, or broke it.
        """
        while True:
            message = await self.receive_any()
            if isinstance(message, str):
                return message
            if isinstance(message, (bytes, bytearray)):
                return bytes(message)
            if isinstance(message, Ping):
                await self.send_frame(frames.PONG, message.payload)
            elif isinstance(message, Close):
                await self.answer_close()
                raise PeerGone(f"the client closed: {message}")
            elif isinstance(message, Failure):
                raise PeerGone(f"the client broke the protocol: {message}")

    async def receive_any(self) -> Message:
        """Return the next message or control frame, and answer nothing.

        Raises:
            PeerGone: the TCP connection ended.
        """
        while not self._messages:
            data = await self.reader.read(256 * 1024)
            if not data:
                raise PeerGone("the client ended the TCP connection")
            self._messages = self._receiver.feed(data)
        message = self._messages.pop(0)
        if isinstance(message, Close):
            self.close_received = message
        return message

    async def receive_pong(self) -> bytes:
        """Return the next Pong's payload; other messages before it are dropped."""
        while True:
            message = await self.receive_any()
            if isinstance(message, Pong):
                return message.payload

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Iterate over messages until the client closes."""
        with contextlib.suppress(PeerGone):
            while True:
                yield await self.receive()

    # -- closing -----------------------------------------------------------------------------

    async def close(self, code: int | None = 1000, reason: str = "") -> Close | None:
        """Start the closing handshake, wait for the client's part, and end the connection."""
        await self.send_close(code, reason)
        with contextlib.suppress(PeerGone):
            while self.close_received is None:
                await self.receive_any()
        await self.end()
        return self.close_received

    async def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close frame and no more; without a code its body is empty."""
        self._close_sent = True
        await self.send_frame(frames.CLOSE, close_body(code, reason.encode()))

    async def answer_close(self) -> None:
        """Echo the Close frame that was received, unless one was sent."""
        if self.close_received is not None and not self._close_sent:
            await self.send_close(self.close_received.code, self.close_received.reason)

    async def wait_end(self) -> None:
        """Return when the client has ended the TCP connection."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass

    async def end(self) -> None:
        """End the TCP connection in order (FIN)."""
        with contextlib.suppress(OSError):
            self.writer.close()
            await self.writer.wait_closed()

    async def end_sending(self) -> None:
        """End our direction of the TCP connection only."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the TCP connection (RST)."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def stop_listening(server: asyncio.Server) -> None:
    """Close `server`, but not before those that were accepted just now are its connections.

    Before Python 3.12 a closed one forgets them.
    """
    with contextlib.suppress(NotImplementedError):  # Windows' proactor loop
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
    for _ in range(4):
        await asyncio.sleep(0)
    server.close()


Handler = Callable[[Peer], Awaitable[None]]


class Server:
    """A server on loopback that gives each connection to a script.

    Args:
        handler: the script, an `async def` that takes a `Peer`. When it returns, the connection is
            ended; an exception that it raises is kept in `errors`.
        handshake: False leaves the opening handshake to the script too.
        protocols: subprotocols to accept, in the order of preference.
        ssl_context: the context for `wss`; None for `ws`.
        host: the address to listen on; default 127.0.0.1.

    `with` runs it in a thread of its own, `async with` on the running loop. `url` tells where;
    `peers` holds all connections so far.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        handshake: bool = True,
        protocols: Sequence[str] = (),
        ssl_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.handler = handler
        self.handshake = handshake
        self.protocols = protocols
        self.ssl_context = ssl_context
        self.host = host
        self.port = 0
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """The server's URL, with the path "/"."""
        scheme = "ws" if self.ssl_context is None else "wss"
        return f"{scheme}://{self.host}:{self.port}/"

    # -- on this loop ------------------------------------------------------------------------

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(
            self._connected,
            self.host,
            self.port,
            ssl=self.ssl_context,
            limit=MAX_HEAD_SIZE,
            backlog=1024,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            # asyncio's transport has forgotten its loop once its last bytes left while it closed
            with contextlib.suppress(AttributeError):
                peer.writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await self._serve(peer)
        except (asyncio.CancelledError, ConnectionError, PeerGone, asyncio.IncompleteReadError):
            pass  # the client went, or the server does
        except Exception as error:
            self.errors.append(error)
        finally:
            writer.close()
            with self._ended:
                self._tasks.discard(task)
                self._ended.notify_all()

    async def _serve(self, peer: Peer) -> None:
        if self.handshake:
            head = await peer.read_head()
            asked = head.values("sec-websocket-protocol")
            await peer.accept(protocol=next((p for p in self.protocols if p in asked), None))
        await self.handler(peer)

    # -- in a thread -------------------------------------------------------------------------

    def __enter__(self) -> Server:
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name="webapi.testing server", daemon=True
        )
        self._thread.start()
        started.wait()
        return self

    def _run(self, started: threading.Event) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            async with self:
                started.set()
                await self._stop.wait()

        asyncio.run(main())

    def wait_scripts(self, timeout: float = 10.0) -> None:
        """Return when every script so far has; call it from another thread.

        Raises:
            TimeoutError: one did not within `timeout` seconds.
        """
        with self._ended:
            if not self._ended.wait_for(lambda: not self._tasks, timeout):
                raise TimeoutError(f"a script still runs after {timeout} s")

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
