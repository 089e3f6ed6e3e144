"""The streams that are read: generated from a seed, and the fuzzer's corpus.

Most frames are legal, and most streams have one fault, so that readers get to it; some have bytes
changed at random. The same seed gives the same streams.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..fuzz.targets import take_cuts
from ..fuzz.targets.receiver import INFLATERS, LIMITS
from .readers import Stream

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "receiver"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 4
HUGE = (1 << 63) - 1

TEXTS = ("", "a", "hello", "größe", "日本", "😀", "\ud7ff\ue000", "a\x00b", "x" * 130, "é" * 300)
BAD_UTF8 = (
    b"\xff", b"a\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80",
    b"\xf0\x80\x80\x80", b"ok\xce\xba\xe1\xbd", b"\xed\xa0",
)  # fmt: skip
CODES = (
    *range(998, 1018), 1100, 1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535, 0, 1,
)  # fmt: skip
SIZES = (0, 1, 2, 90, 100, 101, 125, 126, 127, 200, 1000, 4999, 5000, 5001, 65535, 65536, 70000)
GENERATED_LIMITS = (100, 5_000, 128 * 1024)


def encode(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    length_bytes: int | None = None,
    announced: int | None = None,
) -> bytes:
    """Return a frame, however wrong."""
    size = len(payload) if announced is None else announced
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes((fin << 7 | rsv << 4 | opcode, (key is not None) << 7 | short))
    if length_bytes:
        head += size.to_bytes(length_bytes, "big")
    if key is None:
        return head + payload
    long_key = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(long_key, "big")
    return head + key + masked.to_bytes(len(payload), "big")


class Generator:
    """Makes one stream after the other."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def stream(self) -> Stream:
        """Return the next one."""
        chance = self.chance
        self.masked = chance.random() < 0.2
        inflater = chance.choice((None, *INFLATERS))
        bits, takeover = inflater or (None, True)
        self.deflating = bits is not None
        self.bits, self.takeover = bits or 15, takeover
        self.compressor = self._new_compressor()
        # Half of the streams have one fault, at a message chosen beforehand.
        count = chance.randrange(1, 5)
        faulty = chance.randrange(count) if chance.random() < 0.5 else -1
        wire = b"".join(
            self._fault() if index == faulty else self._legal() for index in range(count)
        )
        if chance.random() < 0.3:
            wire += self._close(chance.choice((None, 1000, 3000)), chance.choice(TEXTS[:6]))
            wire += self._legal()
        roll = chance.random()
        if roll < 0.1 and wire:
            wire = wire[: chance.randrange(len(wire))]
        elif roll < 0.25 and wire:
            wire = self._mutated(wire)
        return Stream(wire, self.masked, chance.choice(GENERATED_LIMITS), bits, takeover)

    # -- what is legal -----------------------------------------------------------------------

    def _frame(self, opcode: int, payload: bytes, **options: object) -> bytes:
        key = self.chance.randbytes(4) if self.masked else None
        return encode(opcode, payload, **{"key": key, **options})  # type: ignore[arg-type]

    def _close(self, code: int | None, reason: str) -> bytes:
        return self._frame(
            CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        )

    def _new_compressor(self) -> object:
        return zlib.compressobj(6, zlib.DEFLATED, -self.bits)

    def _deflated(self, data: bytes) -> bytes:
        if not self.takeover:
            self.compressor = self._new_compressor()
        compressor = self.compressor
        done = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)  # type: ignore[attr-defined]
        return bytes(done[:-4])

    def _payload(self) -> tuple[int, bytes]:
        if self.chance.random() < 0.5:
            return TEXT, self.chance.choice(TEXTS).encode()
        size = self.chance.choice(SIZES)
        kind = self.chance.random()
        return BINARY, bytes(size) if kind < 0.5 else self.chance.randbytes(size)

    def _control(self) -> bytes:
        size = self.chance.choice((0, 1, 5, 125))
        return self._frame(self.chance.choice((PING, PONG)), self.chance.randbytes(size))

    def _legal(self, opcode: int | None = None, payload: bytes = b"", rsv: int = 0) -> bytes:
        """Return a message in fragments, or a control frame."""
        chance = self.chance
        if opcode is None:
            if chance.random() < 0.2:
                return self._control()
            opcode, payload = self._payload()
            if self.deflating and chance.random() < 0.7:
                payload, rsv = self._deflated(payload), RSV1
        count = chance.choice((1, 1, 1, 2, 3))
        cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(count - 1))
        frames = []
        for index, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
            if index and chance.random() < 0.2:
                frames.append(self._control())
            frames.append(
                self._frame(
                    CONTINUATION if index else opcode,
                    payload[start:stop],
                    fin=index == count - 1,
                    rsv=0 if index else rsv,
                )
            )
        return b"".join(frames)

    # -- what is not, or where readers may differ ------------------------------------------------

    def _fault(self) -> bytes:
        chance = self.chance
        faults = [
            self._bad_header, self._bad_length, self._bad_close, self._bad_order, self._bad_text,
            self._close_within_a_message,
        ]  # fmt: skip
        if self.deflating:
            faults += [self._bad_deflate, self._final_block, self._bomb]
        return chance.choice(faults)()

    def _bad_header(self) -> bytes:
        chance = self.chance
        kind = chance.randrange(5)
        if kind == 0:
            return self._frame(chance.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), b"x")
        if kind == 1:
            opcode = chance.choice((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
            return self._frame(opcode, b"x" * chance.choice((0, 2)), rsv=chance.randrange(1, 8))
        if kind == 2:
            return self._frame(chance.choice((CLOSE, PING, PONG)), b"", fin=False)
        if kind == 3:
            return encode(TEXT, b"hello", key=None if self.masked else b"\1\2\3\4")
        return self._frame(chance.choice((CLOSE, PING, PONG)), bytes(chance.choice((126, 200))))

    def _bad_length(self) -> bytes:
        chance = self.chance
        if chance.random() < 0.6:
            size, length_bytes = chance.choice(((5, 2), (125, 2), (5, 8), (126, 8), (65535, 8)))
            return self._frame(
                chance.choice((TEXT, BINARY)), bytes(size), length_bytes=length_bytes
            )
        return self._frame(
            chance.choice((TEXT, BINARY)),
            bytes(chance.choice((0, 50))),
            announced=chance.choice((101, 5001, 128 * 1024 + 1, HUGE, HUGE + 1, 2 * HUGE + 1)),
        )

    def _bad_close(self) -> bytes:
        chance = self.chance
        kind = chance.randrange(4)
        if kind == 0:
            return self._frame(CLOSE, b"\x03")
        if kind == 1:
            return self._frame(CLOSE, b"\x03\xe8" + chance.choice(BAD_UTF8))
        return self._close(chance.choice(CODES), chance.choice(TEXTS[:6]))

    def _bad_order(self) -> bytes:
        if self.chance.random() < 0.5:
            return self._frame(CONTINUATION, b"x", fin=self.chance.random() < 0.5)
        return self._frame(TEXT, b"x", fin=False) + self._frame(TEXT, b"y")

    def _bad_text(self) -> bytes:
        chance = self.chance
        payload = b"ok" * chance.randrange(3) + chance.choice(BAD_UTF8)
        payload += b"more" * chance.randrange(2)
        if self.deflating and chance.random() < 0.5:
            return self._legal(TEXT, self._deflated(payload), RSV1)
        return self._legal(TEXT, payload)

    def _close_within_a_message(self) -> bytes:
        first = self._frame(self.chance.choice((TEXT, BINARY)), b"unfinished", fin=False)
        return first + self._close(self.chance.choice((None, 1000)), "")

    def _bad_deflate(self) -> bytes:
        chance = self.chance
        data = self._deflated(self._payload()[1])
        kind = chance.randrange(3)
        if kind == 0:
            data = self._mutated(data) if data else data
        elif kind == 1:
            data = data[: chance.randrange(len(data) + 1)]
        else:
            data = chance.randbytes(chance.randrange(20))
        return self._legal(chance.choice((TEXT, BINARY)), data, RSV1)

    def _final_block(self) -> bytes:
        opcode, payload = self._payload()
        tail = self.chance.choice((b"", b"\0", self._deflated(b"more")))
        deflate = zlib.compressobj(wbits=-self.bits)
        data = deflate.compress(payload) + deflate.flush() + tail
        return self._legal(opcode, data, RSV1) + self._legal()

    def _bomb(self) -> bytes:
        size = self.chance.choice((101, 5001, 128 * 1024 + 1, 300_000))
        return self._legal(BINARY, self._deflated(bytes(size)), RSV1)

    def _mutated(self, wire: bytes) -> bytes:
        chance = self.chance
        changed = bytearray(wire)
        for _ in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(changed))
            changed[at] = chance.choice((changed[at] ^ 1 << chance.randrange(8), 0, 0xFF))
        return bytes(changed)


def generated(count: int, seed: int) -> Iterator[Stream]:
    """Yield `count` streams."""
    generator = Generator(seed)
    for _ in range(count):
        yield generator.stream()


def corpus(folder: Path = CORPUS) -> Iterator[Stream]:
    """Yield the fuzzer's inputs, read as its receiver target reads them, and with other limits."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        data = file.read_bytes()
        choice = data[0] if data else 0
        _, wire = take_cuts(data[1:])
        bits, takeover = INFLATERS[choice >> 1 & 3] or (None, True)
        for limit in {LIMITS[choice >> 3 & 3], 5_000, 128 * 1024} - {0}:
            yield Stream(wire, choice & 1 != 0, limit, bits, takeover)
