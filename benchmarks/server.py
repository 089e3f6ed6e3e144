"""The neutral server of the benchmarks, in a process of its own: never the bottleneck.

Run as `python -m benchmarks.server`; it prints a line of JSON with its port, its TLS port and its
certificate authority's file, and serves until its standard input ends. What a connection does, its
path says:

* `/flood?count=N&size=N&kind=ascii|unicode|binary|ticks`: sends messages, encoded before, in big
  writes, then a Close frame. `ticks` are ASCII texts of 24 to 33 bytes, no two in a row alike.
* `/echo?size=N`: sends back the frames that come. They all carry `size` bytes, below 126, and are
  unmasked many at once by NumPy.
* `/sink?count=N`: takes `count` frames of any size, then sends the text `done`.
* `/deflate?size=N&text=...`: answers each frame by the same compressed text of `size` bytes, which
  is encoded before; it agrees on permessage-deflate without context takeover on its side.
* `/drop`: takes everything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import selectors
import socket
import ssl
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import trustme

CLOSE = bytes([0x88, 2, 0x03, 0xE8])
BLOCK = 256 * 1024
WAITING = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def frame(first: int, payload: bytes) -> bytes:
    """Return an unmasked frame."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65536:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


def sample(kind: str, size: int) -> bytes:
    """Return `size` bytes of data of a kind."""
    if kind == "unicode":
        return ("añ€😀 " * (size // 11 + 1)).encode()[: size // 11 * 11]
    if kind == "json":
        rows = ",".join(
            json.dumps({"id": n, "price": n * 7919 % 10007 / 100, "symbol": "EURUSD"})
            for n in range(size // 40 + 1)
        )
        return rows.encode()[:size]
    return (bytes(48 + n % 75 for n in range(4096)) * (size // 4096 + 1))[:size]


def ticks() -> list[bytes]:
    """Return texts of 24 to 33 bytes as a price feed has them: of ten sizes, mixed."""
    texts = []
    for n in range(6000):
        price = n * 7919 % 100_000 / 10 ** (n % 4)
        texts.append(b'{"p":%r,"q":%d,"s":"%s"}' % (price, n % 13, b"EURUSD"[: n % 5 + 2]))
    return texts


def masked_frame_end(data: bytes | memoryview, at: int) -> int | None:
    """Return where the masked frame at `at` ends, or None if its header is not whole."""
    if len(data) < at + 2:
        return None
    size = data[at + 1] & 0x7F
    if size < 126:
        return at + 6 + size
    extended = 2 if size == 126 else 8
    if len(data) < at + 2 + extended:
        return None
    return at + 6 + extended + int.from_bytes(data[at + 2 : at + 2 + extended], "big")


class Connection:
    """One client's connection; `path` decides what `take` does with what comes."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.data = b""
        self.out = memoryview(b"")
        self.more: Iterator[bytes] | None = None  # what to send when `out` has gone
        self.take: Callable[[Any], None] = self.take_head
        self.only_counts = False  # then it need not copy what it reads
        self.frames = 0
        self.skip = 0  # bytes to come of a frame that is not kept
        self.options: dict[str, str] = {}
        self.events = selectors.EVENT_READ

    # -- the loop's calls

    def on_event(self, mask: int) -> None:
        """Read and write as far as it goes."""
        try:
            if mask & selectors.EVENT_WRITE:
                self.flush()
            if mask & selectors.EVENT_READ:
                while True:
                    data = self.server.buffer[: self.sock.recv_into(self.server.buffer)]
                    if not data:
                        self.close()
                        return
                    self.take(data if self.only_counts else bytes(data))
                    if not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
                        break  # TLS has decrypted more than one read takes
        except WAITING:
            pass
        except OSError:
            self.close()

    def send(self, data: bytes) -> None:
        """Send now what the kernel takes, the rest later."""
        self.out = memoryview(bytes(self.out) + data) if self.out else memoryview(data)
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        try:
            while True:
                if not self.out:
                    chunk = next(self.more, None) if self.more is not None else None
                    if chunk is None:
                        break
                    self.out = memoryview(chunk)
                self.out = self.out[self.sock.send(self.out) :]
        except WAITING:
            pass
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0)
        if events != self.events:
            self.events = events
            self.server.selector.modify(self.sock, events, self.on_event)

    def say_goodbye(self) -> None:
        """Answer a Close frame and end TCP's connection."""
        self.send(CLOSE)
        self.end()

    def end(self) -> None:
        """End TCP's connection, as a server shall first: peers wait for that up to ten seconds."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End it."""
        self.server.selector.unregister(self.sock)
        self.sock.close()

    # -- what comes

    def take_head(self, data: bytes) -> None:
        """Answer the opening handshake."""
        self.data += data
        if b"\r\n\r\n" not in self.data:
            return
        head, self.data = self.data, b""
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert key is not None
        digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        target = urlsplit(head.split(b" ", 2)[1].decode())
        self.options = {name: values[0] for name, values in parse_qs(target.query).items()}
        answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n"
        )
        name = target.path.strip("/")
        if name == "deflate" and b"permessage-deflate" in head:
            answer += (
                b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
            )
        self.take = getattr(self, f"take_{name}")
        start = getattr(self, f"start_{name}", None)
        self.send(answer + b"\r\n")
        if start is not None:
            start()

    def start_flood(self) -> None:
        """Send the messages."""
        self.more = self.server.flood(**self.options)
        self.flush()

    def take_flood(self, data: bytes) -> None:
        """Whatever comes is the client's Close frame."""
        self.end()

    def take_drop(self, data: bytes) -> None:
        """Answer a Close frame, where one comes alone."""
        if data[0] == 0x88:
            self.say_goodbye()

    def take_echo(self, data: bytes) -> None:
        """Send back the whole frames."""
        if self.data:
            data = self.data + data
        length = 6 + int(self.options["size"])
        count = len(data) // length
        self.data = data[count * length :]
        if count == 1:
            self.send(unmask_one(data[:length]))
        elif count:
            self.send(unmask_many(data[: count * length], length))
        if self.data[:1] == b"\x88":
            self.say_goodbye()

    def start_sink(self) -> None:
        """Keep nothing of what comes."""
        self.only_counts = True

    def take_sink(self, data: memoryview) -> None:
        """Count frames; after the last, say so."""
        before = self.frames
        self.count_frames(data)
        if before < int(self.options["count"]) <= self.frames:
            self.send(frame(0x81, b"done"))

    def start_deflate(self) -> None:
        """Encode the answer."""
        self.answer = deflated_frame(sample("json", int(self.options["size"])))

    def take_deflate(self, data: bytes) -> None:
        """Answer each frame by the same."""
        before = self.frames
        self.count_frames(data)
        if self.frames > before:
            self.send(self.answer * (self.frames - before))

    def count_frames(self, data: bytes | memoryview) -> None:
        """Count the frames that end in `data`, without a look at their payload."""
        at = self.skip
        if at:
            if len(data) < at:
                self.skip -= len(data)
                return
            self.skip = 0
            self.frames += 1
        elif self.data:  # a header that was cut
            data = self.data + data
        while (end := masked_frame_end(data, at)) is not None:
            if data[at] == 0x88:
                self.say_goodbye()
            if end > len(data):
                self.skip = end - len(data)
                self.data = b""
                return
            self.frames += 1
            at = end
        self.data = bytes(data[at:])


def unmask_one(data: bytes) -> bytes:
    """Return a client's short frame as a server's."""
    size = len(data) - 6
    mask = (data[2:6] * (size // 4 + 1))[:size]
    plain = int.from_bytes(data[6:], "little") ^ int.from_bytes(mask, "little")
    return bytes([data[0], size]) + plain.to_bytes(size, "little")


def unmask_many(data: bytes, length: int) -> bytes:
    """Return a client's frames, all `length` bytes long, as a server's."""
    size = length - 6
    frames = np.frombuffer(data, np.uint8).reshape(-1, length)
    out = np.empty((len(frames), 2 + size), np.uint8)
    out[:, 0] = frames[:, 0]
    out[:, 1] = size
    masks = np.tile(frames[:, 2:6], size // 4 + 1)[:, :size]
    np.bitwise_xor(frames[:, 6:], masks, out=out[:, 2:])
    return out.tobytes()


def deflated_frame(payload: bytes) -> bytes:
    """Return a compressed text frame."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
    return frame(0xC1, data[:-4])


class Server:
    """The listeners and the loop."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.buffer = memoryview(bytearray(BLOCK))
        self.folder = tempfile.TemporaryDirectory()
        self.authority = str(Path(self.folder.name) / "authority.pem")
        self.context = self.make_context()
        self.ports = [self.listen(tls=False), self.listen(tls=True)]
        self.blocks: dict[tuple[str, int], tuple[bytes, int, bytes]] = {}

    def make_context(self) -> ssl.SSLContext:
        """Make a certificate, and write its authority's."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        return context

    def listen(self, tls: bool) -> int:
        """Open a listener on a free port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=8192)
        listener.setblocking(False)
        self.selector.register(
            listener, selectors.EVENT_READ, lambda mask: self.accept(listener, tls)
        )
        return int(listener.getsockname()[1])

    def accept(self, listener: socket.socket, tls: bool) -> None:
        """Take what connections there are."""
        with_tls = self.context.wrap_socket if tls else None
        while True:
            try:
                sock, _ = listener.accept()
            except WAITING:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            if with_tls is not None:
                sock = with_tls(sock, server_side=True, do_handshake_on_connect=False)
            self.selector.register(sock, selectors.EVENT_READ, Connection(self, sock).on_event)

    def flood(self, count: str, size: str = "32", kind: str = "ascii") -> Iterator[bytes]:
        """Give `count` messages in big blocks, and a Close frame."""
        block, of, one = self.block(kind, int(size))
        left = int(count)
        while left >= of:
            yield block
            left -= of
        if kind == "ticks":
            yield b"".join(frame(0x81, text) for text in ticks()[:left]) + CLOSE
        else:
            yield one * left + CLOSE

    def block(self, kind: str, size: int) -> tuple[bytes, int, bytes]:
        """Return a block, how many messages it has, and one message."""
        if (kind, size) not in self.blocks:
            first = 0x82 if kind == "binary" else 0x81
            if kind == "ticks":
                frames = [frame(first, text) for text in ticks()]
            else:
                one = frame(first, sample(kind, size)[:size])
                frames = [one] * max(BLOCK // len(one), 1)
            self.blocks[kind, size] = b"".join(frames), len(frames), frames[0]
        return self.blocks[kind, size]

    def run(self) -> None:
        """Serve until standard input ends."""
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        while True:
            for key, mask in self.selector.select():
                if key.data is None:
                    return
                key.data(mask)


def main() -> None:
    """Print where the server is, and serve."""
    server = Server()
    words: dict[str, Any] = {"port": server.ports[0], "tls_port": server.ports[1]}
    print(json.dumps({**words, "authority": server.authority}), flush=True)
    server.run()


if __name__ == "__main__":
    main()
