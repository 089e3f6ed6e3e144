"""What a hostile server may send, and what it costs us: memory and time are bounded.

Each attack is read as `net/connection.py` reads, first with Python's memory traced, then again by
the clock. The figures are bounds of the design (a piece, a read, the limit), not of this machine;
the seconds are generous.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from machine import took_too_long
from wire_streams import KEY, encode, reference_mask

from webapi.protocol.deflate import Inflater
from webapi.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    Failure,
    Ping,
)
from webapi.protocol.receiver import Message, Receiver

KIB, MIB = 1024, 1024 * 1024
RSV1 = 4

READ = 256 * KIB  # what one read of a connection takes
COMPRESSED_READ = 16 * KIB  # the same where messages may be compressed

# Under coverage each line costs ten times as much.
SCALE = 16 if sys.gettrace() else 1

INFLATER = 100 * KIB  # zlib's window, and what is around it

HUGE = (1 << 63) - 1


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def zeros(size: int) -> bytes:
    """Return `size` zeros, deflated: a thousandth of it."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [stream.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, stream.flush(zlib.Z_SYNC_FLUSH)])[:-4]


def wide(size: int) -> bytes:
    """Return ASCII of `size` bytes, but for one character."""
    return b"a" * (size - 4) + "😀".encode()


def again(unit: bytes, count: int, read: int = READ) -> Iterator[bytes]:
    """Yield `unit` so many times, in reads."""
    count //= SCALE
    per_read = max(read // len(unit), 1)
    chunk = unit * per_read
    for _ in range(count // per_read):
        yield chunk
    yield unit * (count % per_read)


def dribbled(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


def in_reads(data: bytes, read: int = READ) -> Iterator[bytes]:
    for at in range(0, len(data), read):
        yield data[at : at + read]


@dataclass
class Attack:
    """What is sent, how it must end, and what it may cost."""

    reads: Callable[[], Iterable[bytes]]
    ends: int | type[Close] | None
    """A failure's code, `Close`, or None where the connection goes on."""
    memory: int
    """Bytes at any time."""
    seconds: float = 5.0
    """Processor time, by a usual machine's clock: at least twice what it takes there."""
    kept: int = 64 * KIB
    """Bytes at the end."""
    limit: int = 128 * MIB
    masked: bool = False
    compressed: bool = False


def fragments(opcode: int, frame: bytes, count: int, key: bytes | None = None) -> Iterator[bytes]:
    yield encode(opcode, b"", fin=False, key=key)
    yield from again(frame, count)


def after_close(data: bytes, count: int) -> Iterator[bytes]:
    yield encode(CLOSE, b"\x03\xe8") + data
    yield from again(data, count)


def bomb_in_small_frames(opcode: int, size: int, step: int) -> Iterator[bytes]:
    data = zeros(size)
    frames = [
        encode(
            CONTINUATION if at else opcode,
            data[at : at + step],
            fin=at + step >= len(data),
            rsv=0 if at else RSV1,
        )
        for at in range(0, len(data), step)
    ]
    yield from in_reads(b"".join(frames), COMPRESSED_READ)


def bombs_in_a_row(size: int, count: int) -> Iterator[bytes]:
    yield from again(encode(BINARY, zeros(size), rsv=RSV1), count, COMPRESSED_READ)


PART = 100 * KIB // SCALE

ATTACKS: dict[str, Attack] = {
    # -- slow loris
    "a text a byte at a time, of 100 MiB that never come": Attack(
        lambda: [encode(TEXT, b"", announced=100 * MIB), *[b"a"] * PART],
        None, MIB + 2 * PART + 192 * KIB, kept=MIB + 2 * PART + 192 * KIB),
    "a binary a byte at a time, of 100 MiB that never come": Attack(
        lambda: [encode(BINARY, b"", announced=100 * MIB), *[b"a"] * PART],
        None, MIB + 64 * KIB, kept=MIB + 64 * KIB),
    "a compressed one a byte at a time": Attack(
        lambda: [
            encode(BINARY, b"", announced=100 * MIB, rsv=RSV1),
            *dribbled(deflated(random.Random(1).randbytes(PART))),
        ],
        None, 2 * PART + 256 * KIB, kept=2 * PART + 256 * KIB, compressed=True),
    "headers a byte at a time": Attack(
        lambda: dribbled((encode(TEXT, b"", fin=False) + encode(CONTINUATION, b"")) * 2000),
        None, 64 * KIB),
    "a masked text a byte at a time": Attack(
        lambda: [encode(TEXT, b"", announced=100 * MIB)[:1], b"\xff",
                 (100 * MIB).to_bytes(8, "big") + KEY,
                 *dribbled(reference_mask(b"a" * PART, KEY))],
        None, 2 * PART + 192 * KIB, kept=2 * PART + 192 * KIB, masked=True),
    # -- lengths
    **{
        f"2**63-1 bytes announced, opcode {opcode}": Attack(
            lambda opcode=opcode: [encode(opcode, b"x" * 1000, announced=HUGE)], 1009, 16 * KIB)
        for opcode in (TEXT, BINARY)
    },
    "2**63-1 bytes announced by a client": Attack(
        lambda: [b"\x82\xff" + HUGE.to_bytes(8, "big") + KEY + b"x" * 1000],
        1009, 16 * KIB, masked=True),
    "2**63-1 bytes announced by a continuation": Attack(
        lambda: [encode(BINARY, b"x", fin=False), encode(CONTINUATION, b"x", announced=HUGE)],
        1009, 16 * KIB),
    "2**63-1 bytes announced, compressed, and then zeros": Attack(
        lambda: [encode(BINARY, b"", announced=HUGE, rsv=RSV1), *in_reads(zeros(8 * MIB), 100)],
        1009, MIB + 512 * KIB, limit=MIB, compressed=True),
    "2**63 bytes announced": Attack(
        lambda: [encode(BINARY, b"", announced=HUGE + 1)], 1002, 16 * KIB),
    "a ping of 2**63-1 bytes": Attack(
        lambda: [encode(PING, b"", announced=HUGE, length_bytes=8)], 1002, 16 * KIB),
    # -- very many small things
    **{
        f"a million empty fragments, opcode {opcode}": Attack(
            lambda opcode=opcode: fragments(opcode, encode(CONTINUATION, b"", fin=False), 10**6),
            None, READ + 64 * KIB)
        for opcode in (TEXT, BINARY)
    },
    "a million empty fragments by a client": Attack(
        lambda: fragments(TEXT, encode(CONTINUATION, b"", fin=False, key=KEY), 10**6, KEY),
        None, READ + 64 * KIB, 10, masked=True),
    "a million empty fragments, compressed": Attack(
        lambda: [encode(TEXT, b"", fin=False, rsv=RSV1),
                 *again(encode(CONTINUATION, b"", fin=False), 10**6, COMPRESSED_READ)],
        None, 64 * KIB, compressed=True),
    # A read of 256 KiB has 131,072 of them, and each is an object while it waits.
    "a million pings": Attack(lambda: again(encode(PING, b""), 10**6), None, 24 * MIB),
    "a million pongs nobody asked for": Attack(
        lambda: again(encode(PONG, b""), 10**6), None, 24 * MIB),
    "a million pings within a fragmented message": Attack(
        lambda: fragments(TEXT, encode(PING, b"x"), 10**6), None, 24 * MIB, seconds=10),
    "short runs of messages of one size, and a ping behind each": Attack(
        lambda: again(encode(TEXT, b"") * 9 + encode(PING, b""), 50_000), None, 8 * MIB
    ),
    "the same, not ASCII": Attack(
        lambda: again(encode(TEXT, "é".encode()) * 9 + encode(PING, b""), 50_000), None, 8 * MIB
    ),
    "a million empty messages": Attack(lambda: again(encode(TEXT, b""), 10**6), None, 4 * MIB),
    "a message in fragments of a byte, beyond the limit": Attack(
        lambda: fragments(BINARY, encode(CONTINUATION, b"x", fin=False), 10**6),
        1009, MIB // 8 + 512 * KIB, limit=MIB // 8 // SCALE),
    # -- Close
    "a Close while fragments are open": Attack(
        lambda: [encode(BINARY, bytes(8 * MIB), fin=False), encode(CLOSE, b"\x03\xe8")],
        Close, 17 * MIB),
    "a Close while compressed fragments are open": Attack(
        lambda: [encode(TEXT, deflated(b"a" * MIB), fin=False, rsv=RSV1), encode(CLOSE, b"")],
        Close, 2 * MIB, compressed=True),
    "data after Close": Attack(
        lambda: after_close(encode(BINARY, bytes(60 * KIB)), 2000), Close, READ + 256 * KIB),
    "fragments after Close": Attack(
        lambda: after_close(encode(BINARY, b"x", fin=False), 10**6), Close, READ + 64 * KIB),
    "a long frame that begins with Close and goes on": Attack(
        lambda: after_close(encode(BINARY, b"", announced=HUGE) + bytes(1000), 10**4),
        Close, READ + 64 * KIB),
    # -- bombs: the limit, one step thrice (inflated, joined, decoded), a read and zlib's window
    **{
        f"a bomb in one frame, opcode {opcode}": Attack(
            lambda opcode=opcode: in_reads(
                encode(opcode, zeros(256 * MIB), rsv=RSV1), COMPRESSED_READ),
            1009, MIB + 320 * KIB, limit=MIB, compressed=True)
        for opcode in (TEXT, BINARY)
    },
    "a bomb in one frame and one read": Attack(
        lambda: [encode(BINARY, zeros(64 * MIB), rsv=RSV1)],
        1009, MIB + 512 * KIB, limit=MIB, compressed=True),
    "a bomb a byte at a time": Attack(
        lambda: dribbled(encode(BINARY, zeros(8 * MIB), rsv=RSV1)),
        1009, 2 * MIB + 320 * KIB, limit=MIB, compressed=True),
    # Small parts are joined now and then: they and what they are joined to are there at once.
    "a bomb in frames of a byte": Attack(
        lambda: bomb_in_small_frames(BINARY, 256 * MIB, 1),
        1009, 2 * MIB + 512 * KIB, limit=MIB, compressed=True),
    "a bomb of text in frames of 5 bytes": Attack(
        lambda: bomb_in_small_frames(TEXT, 256 * MIB, 5),
        1009, 2 * MIB + 512 * KIB, limit=MIB, compressed=True),
    # One character of four bytes makes a `str` of ASCII four times as large.
    **{
        f"a bomb of text with an emoji every {every} bytes": Attack(
            lambda every=every: in_reads(
                encode(TEXT, deflated(wide(every) * (32 * MIB // every)), rsv=RSV1),
                COMPRESSED_READ),
            1009, 20 * MIB + 4 * MIB, limit=16 * MIB, compressed=True)
        for every in (KIB, 64 * KIB)
    },
    "a text in fragments with an emoji in each, beyond the limit": Attack(
        lambda: fragments(TEXT, encode(CONTINUATION, wide(4 * KIB), fin=False), 10**4 * SCALE),
        1009, 20 * MIB + 6 * MIB, limit=16 * MIB),
    "a text in fragments of ASCII, one of them an emoji, beyond the limit": Attack(
        lambda: [encode(TEXT, "😀".encode(), fin=False),
                 *[encode(CONTINUATION, b"a" * 15 * KIB, fin=False)] * 1100],
        1009, 2 * 16 * MIB + MIB, limit=16 * MIB),
    "texts of the limit with an emoji": Attack(
        lambda: in_reads(
            encode(TEXT, deflated(wide(64 * KIB) * 256), rsv=RSV1), COMPRESSED_READ),
        None, 6 * 16 * MIB + 4 * MIB, limit=16 * MIB, compressed=True),
    "a bomb of empty blocks": Attack(
        lambda: [encode(BINARY, b"", fin=False, rsv=RSV1),
                 *again(encode(CONTINUATION, b"\x00\x00\x00\xff\xff" * 1000, fin=False), 4000,
                        COMPRESSED_READ)],
        None, 160 * KIB, compressed=True),
    "a bomb of final blocks": Attack(
        lambda: [encode(BINARY, b"", fin=False, rsv=RSV1),
                 *again(encode(CONTINUATION, b"\x03\x00" * 2000, fin=False), 100,
                        COMPRESSED_READ)],
        None, 160 * KIB, compressed=True),
    # Each within the limit: what one read inflates is all that is there at once.
    "many messages of the limit in a read": Attack(
        lambda: bombs_in_a_row(MIB, 200 * SCALE),
        None, 17 * MIB, limit=MIB, compressed=True, kept=MIB),
}  # fmt: skip


def receiver_for(attack: Attack) -> Receiver:
    receiver = Receiver(masked=attack.masked, max_message_size=attack.limit)
    if attack.compressed:
        receiver.inflater = Inflater(15, True)
    return receiver


def suffer(receiver: Receiver, reads: Iterable[bytes]) -> Message | None:
    """Read as a connection does; return the Close or Failure that ended it."""
    end: Message | None = None
    for data in reads:
        for message in read(receiver, data):
            assert end is None, "something came after the end"
            if isinstance(message, (Close, Failure)):
                end = message
        message = None  # the last one shall not be counted with the next read's
    return end


def read(receiver: Receiver, data: bytes) -> list[Message]:
    messages: list[Message] = []
    at = 0
    while at < len(data):
        buffer = receiver.buffer()
        if buffer is None:
            return messages + receiver.feed(data[at:] if at else data)
        count = min(len(buffer), len(data) - at)
        buffer[:count] = data[at : at + count]
        del buffer
        messages += receiver.filled(count)
        at += count
    return messages


def assert_ends(end: Any, attack: Attack) -> None:
    if attack.ends is None:
        assert end is None
    elif attack.ends is Close:
        assert isinstance(end, Close)
    else:
        assert isinstance(end, Failure)
        assert end.code == attack.ends


@pytest.mark.parametrize("name", ATTACKS)
def test_memory_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = ATTACKS[name]
    monkeypatch.setitem(globals(), "SCALE", SCALE * 4)  # tracing takes its time, too
    reads = list(attack.reads())
    receiver = receiver_for(attack)
    tracemalloc.start()
    try:
        end = suffer(receiver, reads)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert_ends(end, attack)
    assert peak < attack.memory
    assert kept < attack.kept + attack.compressed * INFLATER


@pytest.mark.parametrize("name", ATTACKS)
def test_time_is_bounded(name: str) -> None:
    attack = ATTACKS[name]
    reads = list(attack.reads())
    receiver = receiver_for(attack)
    began = time.thread_time()
    end = suffer(receiver, reads)
    assert not took_too_long(time.thread_time() - began, attack.seconds)
    assert_ends(end, attack)


def test_every_ping_of_a_million_is_told() -> None:
    """None is dropped here: what may be, the connection decides."""
    count = 10**6 // SCALE
    receiver = Receiver()
    told = sum(len(receiver.feed(data)) for data in in_reads(encode(PING, b"") * count, READ))
    assert told == count
    assert receiver.feed(encode(PING, b"last")) == [Ping(b"last")]
