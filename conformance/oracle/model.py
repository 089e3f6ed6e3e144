"""A slow reader by the RFCs' text, which can also read as a peer is known to.

By itself it must say what `webapi`'s receiver says, of whose code it has nothing. As a peer it must
say what that peer says; then the first peculiarity that came into play, `played[0]`, is why the two
differ. So a difference is explained by its cause, and not by what it looks like.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5 and https://www.rfc-editor.org/rfc/rfc7692
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from typing import Any

from .readers import Stream, Verdict

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
TAIL = b"\x00\x00\xff\xff"
STEP = 64 * 1024

# When a reader sees what is wrong with a frame: at its first two bytes, behind its length, behind
# the first of its payload, when it is whole; or never.
FIRST, LENGTH, PAYLOAD, WHOLE, NEVER = range(5)
SEEN: dict[str, dict[str, int]] = {
    "": {"opcode": FIRST, "rsv": FIRST, "mask": FIRST, "control": FIRST, "order": FIRST,
         "length": LENGTH},
    "websockets": {"opcode": FIRST, "mask": FIRST, "rsv": WHOLE, "control": WHOLE, "order": WHOLE,
                   "length": NEVER},
    "wsproto": {"opcode": FIRST, "control": FIRST, "length": LENGTH, "rsv": LENGTH, "mask": LENGTH,
                "order": PAYLOAD},
}  # fmt: skip


class _End(Exception):
    """Reading is over: an `end` and a code, as in `Verdict`."""


def read(stream: Stream, peer: str = "") -> tuple[Verdict, list[str]]:
    """Return what is made of a stream, and which peculiarities came into play, in order.

    Args:
        stream: what is read.
        peer: as whom; "" is nobody, but by the RFCs.
    """
    model = {"": _Model, "websockets": _Websockets, "wsproto": _Wsproto}[peer](stream)
    end: tuple[Any, ...] = ("open", None)
    try:
        while model.frame():
            pass
    except _End as over:
        end = over.args
    return Verdict(tuple(model.messages), *end), model.played


class _Model:
    """Reads by the RFCs; what peers do in another way are methods of their own."""

    peer = ""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.wire, self.at = stream, stream.wire, 0
        self.messages: list[Any] = []
        self.played: list[str] = []
        self.seen = SEEN[self.peer]
        self.faults: list[str] = []  # of the frame
        self.opcode: int | None = None  # of the unfinished message
        self.data = b""  # what it has so far, inflated
        self.compressed = False
        self.nothing_fed = True  # to the inflater, of this message
        self.inflater: Any = None

    def fail(self, code: int = 1002) -> None:
        raise _End("failed", code)

    def look(self, stage: int) -> None:
        """Fail by what is seen at this stage of the frame."""
        for fault in self.faults:
            if self.seen[fault] == stage:
                self.fail()
            elif SEEN[""][fault] == stage:
                self.played.append("late" if self.seen[fault] != NEVER else fault)

    # -- a frame -----------------------------------------------------------------------------

    def frame(self) -> bool:
        """Read one; False where its bytes have not all come."""
        head = self.wire[self.at : self.at + 2]
        if len(head) < 2:
            return False
        fin, rsv, opcode = head[0] >> 7, head[0] >> 4 & 7, head[0] & 15
        masked, short = head[1] >> 7, head[1] & 127
        self.faults = self.header_faults(fin, rsv, opcode, masked, short)
        self.look(FIRST)
        extended = {126: 2, 127: 8}.get(short, 0)
        start = self.at + 2 + extended
        if len(self.wire) < start:
            return False
        size = int.from_bytes(self.wire[start - extended : start], "big") if extended else short
        fewest = 0 if size < 126 else 2 if size < 65536 else 8
        if extended != fewest or size >= 1 << 63:
            self.faults.append("length")
        self.look_at_length(opcode, rsv, size)
        key = self.wire[start : start + 4 * masked]
        start += 4 * masked
        if len(self.wire) < start:
            return False
        payload = self.wire[start : start + size]
        self.at = start + size
        if masked:
            payload = bytes(octet ^ key[i & 3] for i, octet in enumerate(payload))
        return self.payload(opcode, fin, rsv, size, payload)

    def header_faults(self, fin: int, rsv: int, opcode: int, masked: int, short: int) -> list[str]:
        faults = []
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            faults.append("opcode")
        if rsv & 3 or (rsv and (self.stream.window_bits is None or opcode not in (TEXT, BINARY))):
            faults.append("rsv")
        if masked != self.stream.masked:
            faults.append("mask")
        if opcode >= CLOSE and (not fin or short > 125):
            faults.append("control")
        if opcode < CLOSE and (opcode == CONTINUATION) is not (self.opcode is not None):
            faults.append("order")
        return faults

    def look_at_length(self, opcode: int, rsv: int, size: int) -> None:
        self.look(LENGTH)
        if self.too_long(opcode, rsv, size):
            self.fail(1009)

    def too_long(self, opcode: int, rsv: int, size: int) -> bool:
        """Tell whether the header alone shows that the message is: not where it is compressed."""
        if opcode >= CLOSE or rsv & 4 or (opcode == CONTINUATION and self.compressed):
            return False
        return len(self.data) + size > self.stream.limit

    def payload(self, opcode: int, fin: int, rsv: int, size: int, payload: bytes) -> bool:
        whole = len(payload) == size
        if opcode >= CLOSE:
            if whole:
                self.control(opcode, payload)
            return whole
        self.begin(opcode, rsv)
        if payload:
            for part in self.inflate(payload) if self.compressed else [payload]:
                self.add(part)
        if whole and fin:
            for part in self.end_inflating() if self.compressed else []:
                self.add(part)
            self.end_message()
        return whole

    # -- messages ----------------------------------------------------------------------------

    def begin(self, opcode: int, rsv: int) -> None:
        if opcode != CONTINUATION:
            self.opcode, self.data, self.compressed = opcode, b"", rsv & 4 != 0

    def add(self, part: bytes) -> None:
        self.data += part
        if len(self.data) > self.stream.limit:
            self.fail(1009)
        if self.opcode == TEXT and not _may_be_utf8(self.data):
            self.fail(1007)

    def end_message(self) -> None:
        try:
            self.messages.append(self.data.decode() if self.opcode == TEXT else self.data)
        except UnicodeDecodeError:
            self.fail(1007)
        self.opcode, self.data, self.compressed = None, b"", False

    def control(self, opcode: int, payload: bytes) -> None:
        if opcode != CLOSE:
            self.messages.append(("ping" if opcode == PING else "pong", payload))
            return
        if not payload:
            raise _End("closed", None)
        code = int.from_bytes(payload[:2], "big")
        valid = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
        if len(payload) == 1 or not valid:
            self.fail()
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            self.fail(1007)
        raise _End("closed", code)

    # -- DEFLATE -----------------------------------------------------------------------------

    def new_inflater(self) -> Any:
        return zlib.decompressobj(-max(self.stream.window_bits or 15, 9))

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """RFC 7692 §7.2.2, and §7.2.3.4: what follows a block with BFINAL is a new stream."""
        while data:
            self.inflater = self.inflater or self.new_inflater()
            try:
                out = self.inflater.decompress(data, STEP)
                yield out
                while len(out) == STEP and not self.inflater.eof:
                    out = self.inflater.decompress(self.inflater.unconsumed_tail, STEP)
                    yield out
            except zlib.error:
                self.fail(1007)
            data = self.inflater.unconsumed_tail
            if self.inflater.eof:
                data, self.inflater = self.inflater.unused_data, None

    def note_nothing(self, data: bytes, final: bool) -> None:
        """Note a compressed message that ends without a byte of DEFLATE's."""
        self.nothing_fed = self.nothing_fed and not data
        if final:
            if self.nothing_fed:
                self.played.append("nothing-compressed")
            self.nothing_fed = True

    def end_inflating(self) -> Iterator[bytes]:
        if self.inflater is not None:
            yield from self.inflate(TAIL)
        if not self.stream.takeover:
            self.inflater = None


class _Websockets(_Model):
    """PyPI `websockets`: `frames.py`, `protocol.py`, `extensions/permessage_deflate.py`."""

    peer = "websockets"

    def look_at_length(self, opcode: int, rsv: int, size: int) -> None:
        if "control" in self.faults and "length" in self.faults and size <= 125:
            # It counts what came. (If FIN is missing, too, it is told of the length all the same.)
            self.faults.remove("control")
            self.played.remove("late")
        self.look(LENGTH)
        if size > self.stream.limit - len(self.data):
            if not self.too_long(opcode, rsv, size):
                self.played.append("wire-size")
            self.fail(1009)

    def payload(self, opcode: int, fin: int, rsv: int, size: int, payload: bytes) -> bool:
        if len(payload) < size:
            if opcode < CLOSE:
                self.played.append("late")
            return False
        if opcode >= CLOSE:
            self.look(WHOLE)
            self.control(opcode, payload)
            return True
        if opcode == CONTINUATION and self.compressed and rsv & 4:
            self.fail()
        if rsv & 4 and self.stream.window_bits is not None and opcode != CONTINUATION:
            if self.inflater is None or not self.stream.takeover:
                self.inflater = zlib.decompressobj(-self.stream.window_bits)
            payload = self.inflate_frame(payload, fin, len(self.data))
        elif opcode == CONTINUATION and self.compressed:
            payload = self.inflate_frame(payload, fin, len(self.data))
        self.look(WHOLE)
        self.begin(opcode, rsv)
        self.data += payload
        if self.opcode == TEXT and not _may_be_utf8(self.data) and not fin:
            self.played.append("text-when-whole")
        if fin:
            self.end_message()
        return True

    def inflate_frame(self, data: bytes, fin: int, before: int) -> bytes:
        """As `PerMessageDeflate.decode()` does."""
        most = self.stream.limit - before
        if not most:
            self.played.append("no-limit-at-its-edge")
        if self.inflater.eof:
            self.played.append("behind-bfinal")
        fed = data + TAIL if fin and len(data) < 2044 else data
        self.note_nothing(data, fin == 1)
        try:
            out: bytes = self.inflater.decompress(fed, most)
            if self.inflater.unconsumed_tail:
                self.played.append("limit-before-broken")
                self.fail(1009)
            if fin and len(data) >= 2044 and self.inflater.decompress(TAIL, 1):
                self.played.append("cut-off-deflate")
                self.fail(1009)
        except zlib.error:
            self.played.append("broken-deflate-is-1002")
            self.fail()
        if self.inflater.unused_data:
            self.played.append("behind-bfinal")
        return out

    def control(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE and len(payload) > 2:
            try:
                payload[2:].decode()
            except UnicodeDecodeError:
                self.played.append("reason-before-code")
                self.fail(1007)
        try:
            super().control(opcode, payload)
        except _End as end:
            if end.args[0] == "closed" and self.opcode is not None:
                self.played.append("close-within-a-message")
                self.fail()
            raise


class _Wsproto(_Model):
    """`wsproto`: `frame_protocol.py`, `extensions.py`."""

    peer = "wsproto"

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.inflating: bool | None = None  # its `_inbound_compressed`
        self.decoder: Any = None

    def payload(self, opcode: int, fin: int, rsv: int, size: int, payload: bytes) -> bool:
        whole = len(payload) == size
        if self.inflating is None:
            self.inflating = rsv & 4 != 0
            if self.inflating and self.inflater is None:
                self.inflater = self.new_inflater()
        if opcode >= CLOSE:
            if whole:
                if self.inflating:
                    self.played.append("control-ends-compression")
                self.inflating = None
                self.control(opcode, payload)
            return whole
        if size and not payload:
            return False
        if self.inflating:
            payload = self.inflate_frame(payload, whole and fin == 1)
        if whole and fin:
            self.inflating = None
        self.look(PAYLOAD)
        if opcode != CONTINUATION:
            self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.begin(opcode, rsv)
        self.data += payload
        if self.opcode == TEXT:
            self.check_text(payload, whole and fin == 1)
        if whole and fin:
            self.end_message()
        return whole

    def check_text(self, payload: bytes, final: bool) -> None:
        try:
            self.decoder.decode(payload, final)
        except UnicodeDecodeError:
            self.fail(1007)
        if not _may_be_utf8(self.data):
            self.played.append("late")

    def inflate_frame(self, data: bytes, final: bool) -> bytes:
        """As `PerMessageDeflate` does, in its two methods."""
        if self.inflater.eof:
            self.played.append("behind-bfinal")
        self.note_nothing(data, final)
        try:
            out: bytes = self.inflater.decompress(data)
            if final:
                out += self.inflater.decompress(TAIL)
                out += self.inflater.flush()
        except zlib.error:
            self.fail(1007)
        if self.inflater.unused_data:
            self.played.append("behind-bfinal")
        if final and not self.stream.takeover:
            self.inflater = None
        return out

    def control(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE and payload[:2] == (1014).to_bytes(2, "big"):
            self.played.append("1014")
            self.fail()
        super().control(opcode, payload)


def _may_be_utf8(data: bytes) -> bool:
    """Tell whether something could follow that makes `data` UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return False
    rest = decoder.getstate()[0]
    if not rest:
        return True
    for second in (b"\x80", b"\x8f", b"\x90", b"\x9f", b"\xa0", b"\xbf"):
        for more in range(3):
            for tail in (b"\x80" * more, second + b"\x80" * more):
                try:
                    (rest + tail).decode()
                except UnicodeDecodeError:
                    continue
                return True
    return False
