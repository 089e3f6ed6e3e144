"""The scripted server: does to each connection what its scenario says, however wrong.

A connection's path names the judge, the scenario and the script: `/chromium/12/a` is served by the
script `a` of scenario 12, `/chromium/12` by the script named "". What the client sent is kept, in
the order in which it came, for the trace: the server hears what no page can see.

The steps of a script, each a list whose first item says what to do (`scenarios/words.py` makes
them): `accept`, `respond`, `write`, `expect`, `serve`, `wait`, `fin`,
`reset`, `pause`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webapi.protocol import frames
from webapi.protocol.frames import close_body
from webapi.protocol.handshake import Head, accept_value, parse_head
from webapi.protocol.sender import frame

#: What a scenario's script is where it says nothing.
DEFAULT_SCRIPT: Sequence[Any] = (("accept",), ("serve",))

#: How long, in seconds, a script may wait for the client: longer than any judge's own limits.
PATIENCE = 7.0

TAIL = b"\x00\x00\xff\xff"  # https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2
LONGEST_SHOWN = 64

Scripts = Mapping[str, Sequence[Any]]


def shown_bytes(data: bytes) -> Any:
    """Bytes as the traces show them: in hex, or where they are many by length and checksum."""
    return (
        data.hex() if len(data) <= LONGEST_SHOWN else {"length": len(data), "crc": zlib.crc32(data)}
    )


def payload(spec: Any) -> bytes:
    """The bytes that a script means: text, `{"hex": ...}` or `{"repeat": [text, times]}`."""
    if isinstance(spec, str):
        return spec.encode()
    if "hex" in spec:
        return bytes.fromhex(spec["hex"])
    text, times = spec["repeat"]
    return (bytes.fromhex(text["hex"]) if isinstance(text, dict) else text.encode()) * times


class Gone(Exception):
    """The client ended the connection."""


class _Done(Exception):
    """The closing handshake is over before the script is."""


class Connection:
    """One connection, and the script that it is served by."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = Head("", ())
        self.heard: list[Any] = []
        self.unread = 0  # index in `heard` of the first entry that no `expect` has taken
        self.message = b""  # what came of a fragmented one
        self.kind = ""
        self.close_sent = False
        self.inflate: Any = None
        self.deflate: Any = None

    async def play(self, script: Sequence[Any]) -> None:
        """Do what `script` says, and then end the connection in order."""
        try:
            with contextlib.suppress(_Done):
                for step in script:
                    await getattr(self, f"do_{step[0]}")(*step[1:])
            await self.do_fin()
        except (Gone, ConnectionError, asyncio.TimeoutError, TimeoutError):
            self.writer.transport.abort()

    # -- what a step does ------------------------------------------------------------------------

    async def do_accept(self, *headers: str) -> None:
        """Accept the connection, with more header lines."""
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: {accept}",
            *headers,
        ]
        await self.do_write({"head": lines})

    async def do_respond(self, *lines: str) -> None:
        """Answer with these lines, in which `{accept}` is the key's right answer."""
        await self.do_write({"head": list(lines)})

    async def do_write(self, *pieces: Any) -> None:
        """Send all pieces at once, in one segment where they fit."""
        self.writer.write(b"".join(self._piece(piece) for piece in pieces))
        await self.writer.drain()

    def _piece(self, piece: Any) -> bytes:
        if "head" in piece:
            head = "\r\n".join([*piece["head"], "", ""])
            if "permessage-deflate" in head:
                self.inflate = zlib.decompressobj(wbits=-15)
                self.deflate = zlib.compressobj(wbits=-15)
            return head.replace("{accept}", self._accept()).encode("latin-1")
        if "raw" in piece:
            return payload(piece["raw"])
        opcode, rsv = piece["opcode"], piece.get("rsv", 0)
        body = payload(piece.get("payload", ""))
        if opcode == frames.CLOSE:
            self.close_sent = True
        if "code" in piece:
            body = close_body(piece["code"], body)
        if piece.get("deflated"):
            body = self.deflate.compress(body) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
            body, rsv = body.removesuffix(TAIL), 4
        key = b"\x01\x02\x03\x04" if piece.get("masked") else None
        return bytes(frame(opcode, body, fin=piece.get("fin", True), rsv=rsv, masking_key=key))

    def _accept(self) -> str:
        keys = self.head.all("sec-websocket-key")
        return accept_value(keys[0]) if keys else ""

    async def do_expect(self, *kinds: str) -> None:
        """Wait for something of each of these kinds in turn; what else comes is only kept."""
        for kind in kinds:
            while True:
                while self.unread == len(self.heard):
                    await self._hear()
                self.unread += 1
                if self.heard[self.unread - 1][0] == kind:
                    break

    async def do_until(self, wanted: str) -> None:
        """Wait for the message `wanted`; answer a Close frame, and end, if one comes first."""
        while True:
            while self.unread == len(self.heard):
                await self._hear()
            kind, content, *rest = self.heard[self.unread]
            self.unread += 1
            if kind == "text" and content == wanted.encode().hex():
                return
            if kind == "close":
                await self.do_write({"opcode": frames.CLOSE, "payload": rest[0], "code": content})
                raise _Done

    async def do_serve(self) -> None:
        """Echo messages until the client closes, and answer that."""
        while True:
            while self.unread == len(self.heard):
                await self._hear(echo=True)
            self.unread += 1
            if self.heard[self.unread - 1][0] == "close":
                return

    async def do_wait(self) -> None:
        """Wait for the client to end its direction."""
        with contextlib.suppress(Gone):
            while True:
                await self._hear()

    async def do_pause(self, milliseconds: int) -> None:
        """Have the next bytes come in a segment of their own."""
        await asyncio.sleep(milliseconds / 1000)

    async def do_fin(self) -> None:
        """End our direction in order, and wait for the client's end."""
        with contextlib.suppress(OSError):
            if self.writer.can_write_eof():
                self.writer.write_eof()
        await self.do_wait()

    async def do_reset(self) -> None:
        """Break the connection."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Gone

    # -- what the client sends -------------------------------------------------------------------

    async def _hear(self, echo: bool = False) -> None:
        """Read a frame; what is whole now is heard."""
        try:
            first, data = await asyncio.wait_for(self._read_frame(), PATIENCE)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Gone from None
        opcode, fin, rsv = first & 15, bool(first & 128), first >> 4 & 7
        if opcode == frames.CLOSE:
            await self._hear_close(data, echo)
        elif opcode in (frames.PING, frames.PONG):
            self.heard.append([{frames.PING: "ping", frames.PONG: "pong"}[opcode], data.hex()])
        else:
            await self._hear_data(opcode, fin, rsv, data, echo)

    async def _read_frame(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 127
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        key = await self.reader.readexactly(4) if second & 128 else bytes(4)
        data = await self.reader.readexactly(size)
        if not second & 128:
            self.heard.append(["not masked"])
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
        return first, (int.from_bytes(data, "big") ^ mask).to_bytes(size, "big")

    async def _hear_close(self, data: bytes, echo: bool) -> None:
        code = int.from_bytes(data[:2], "big") if data else None
        self.heard.append(["close", code, data[2:].decode(errors="backslashreplace")])
        if echo and not self.close_sent:
            self.close_sent = True
            self.writer.write(bytes(frame(frames.CLOSE, data)))
            await self.writer.drain()

    async def _hear_data(self, opcode: int, fin: bool, rsv: int, data: bytes, echo: bool) -> None:
        if opcode:
            self.kind = {1: "text", 2: "binary"}.get(opcode, f"opcode {opcode}")
            self.kind += " deflated" if rsv == 4 and self.inflate else f" rsv {rsv}" if rsv else ""
            self.message = b""
        self.message += data
        if not fin:
            return
        if self.kind.endswith("deflated"):
            # Whether a judge compresses a message is its own affair.
            self.kind = self.kind.split()[0]
            self.message = self.inflate.decompress(self.message + TAIL)
        self.heard.append([self.kind, shown_bytes(self.message)])
        if echo:
            self.writer.write(bytes(frame(1 if self.kind == "text" else 2, self.message)))
            await self.writer.drain()


class ScriptedServer:
    """Listens on loopback addresses, one port each, in a thread of its own.

    Args:
        scripts: gives a scenario's scripts, by the judge's name and the scenario's number.
        slots: on how many addresses to listen. Browsers let one socket CONNECT to an address at a
            time, so that scenarios which shall not wait for one another need one each.
    """

    def __init__(self, scripts: Callable[[str, int], Scripts], slots: int) -> None:
        self.scripts = scripts
        self.slots = slots
        self.urls: list[str] = []
        self._heard: dict[tuple[str, int], list[Any]] = defaultdict(list)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_scenario: dict[tuple[str, int], set[asyncio.Task[None]]] = defaultdict(set)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    async def _listen(self) -> None:
        self._servers = []
        for slot in range(self.slots):
            server = await asyncio.start_server(
                self._connected, f"127.0.0.{slot + 1}", 0, limit=1 << 16, backlog=1024
            )
            host, port = server.sockets[0].getsockname()[:2]
            self.urls.append(f"ws://{host}:{port}")
            self._servers.append(server)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def heard(self, judge: str, number: int) -> list[Any]:
        """What the server has heard in that scenario: for each connection its script and frames.

        Waits for the connections' ends, and forgets them.
        """
        future = asyncio.run_coroutine_threadsafe(self._take_heard(judge, number), self._loop)
        return future.result()

    async def _take_heard(self, judge: str, number: int) -> list[Any]:
        tasks = self._by_scenario.pop((judge, number), ())
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)
        return self._heard.pop((judge, number), [])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(connection, task)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, connection: Connection, task: asyncio.Task[None]) -> None:
        # A browser may connect ahead of any request, and leave again.
        first = await connection.reader.readexactly(1)
        if first != b"G":  # TLS, which is not spoken here
            return
        head = parse_head(first + await connection.reader.readuntil(b"\r\n\r\n"))
        connection.head = head
        _, target, _ = head.start_line.split(" ")
        _, judge, number, *rest = target.split("/", 3)
        key = (judge, int(number.partition("?")[0]))
        name = rest[0].partition("?")[0] if rest else ""
        self._by_scenario[key].add(task)
        self._heard[key].append([_request(head, target, judge, number), connection.heard])
        scripts = self.scripts(*key)
        await connection.play(scripts.get(name, scripts.get("", DEFAULT_SCRIPT)))


def _request(head: Head, target: str, judge: str, number: str) -> dict[str, Any]:
    """What is the same in every judge's request."""
    return {
        "target": target.replace(f"/{judge}/{number.partition('?')[0]}", "", 1),
        "protocols": ", ".join(head.all("sec-websocket-protocol")),
        "version": ", ".join(head.all("sec-websocket-version")),
        "upgrade": ", ".join(head.all("upgrade")).lower(),
    }
