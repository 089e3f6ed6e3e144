"""Streams of frames for the property tests, and a reader that reads as `net/connection.py` does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st

from webapi.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    Ping,
    Pong,
    close_body,
)
from webapi.protocol.receiver import Message, Receiver

KEY = b"\x37\xfa\x21\x3d"

# Around every border of RFC 6455 §5.2's three forms of a length.
BORDER_SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 1023, 1024, 1025, 65534, 65535, 65536, 65537)
LONG_SIZES = (100_000, 131_072, 262_144, 300_000)

# One to four bytes in UTF-8, and the first and last code points of each length.
CHARACTERS = "a\x00\x7f\x80é߿ࠀ€\ud7ff\ue000\uffff\U00010000😀\U0010ffff"


def reference_mask(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 §5.3's algorithm as it stands there: a byte at a time."""
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))


def encode(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    key: bytes | None = None,
    rsv: int = 0,
    length_bytes: int | None = None,
    announced: int | None = None,
) -> bytes:
    """Return a frame by RFC 6455 §5.2, written without the code that is tested.

    Args:
        opcode: 0 to 15.
        payload: unmasked.
        fin: the FIN bit.
        key: the masking key, or None.
        rsv: the reserved bits, RSV1 being 4.
        length_bytes: 0, 2 or 8 bytes of extended length, where not the fewest.
        announced: a length other than the payload's.
    """
    size = len(payload) if announced is None else announced
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size, 2: 126, 8: 127}[length_bytes]
    first = fin << 7 | rsv << 4 | opcode
    head = bytes([first, (key is not None) << 7 | short])
    if length_bytes:
        head += size.to_bytes(length_bytes, "big")
    if key is None:
        return head + payload
    if len(payload) < 2048:
        return head + key + reference_mask(payload, key)
    long_key = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(long_key, "big")
    return head + key + masked.to_bytes(len(payload), "big")


@dataclass
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True


@dataclass
class Stream:
    """Frames, and the messages that they are."""

    frames: list[Frame] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def wire(self, keys: Iterable[bytes] | None = None) -> bytes:
        """Return the bytes, masked where `keys` are given."""
        key_of = iter(keys) if keys is not None else None
        return b"".join(
            encode(
                frame.opcode,
                frame.payload,
                fin=frame.fin,
                key=None if key_of is None else next(key_of),
            )
            for frame in self.frames
        )

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{frame.opcode:#x}{'' if frame.fin else '+'}[{len(frame.payload)}]"
            for frame in self.frames
        )
        return f"Stream({shown})"


def pattern(size: int, seed: int) -> bytes:
    """Return `size` bytes, no two neighbours alike, so that a shifted piece shows."""
    period = bytes((index * 7 + seed) & 0xFF for index in range(251))
    return (period * (size // 251 + 1))[:size]


def text_of(size: int, characters: str) -> str:
    """Return a text whose UTF-8 is `size` bytes long, of `characters` as far as they fit."""
    unit = characters.encode()
    return (characters * (size // len(unit)) if unit else "") + "z" * (size % max(len(unit), 1))


def sizes(long: bool) -> st.SearchStrategy[int]:
    small = st.integers(0, 40)
    if not long:
        return small
    return st.one_of(small, st.sampled_from(BORDER_SIZES), st.sampled_from(LONG_SIZES))


@st.composite
def control_frames(draw: st.DrawFn) -> tuple[Frame, Message]:
    body = pattern(draw(st.sampled_from((0, 1, 4, 125))), draw(st.integers(0, 255)))
    if draw(st.booleans()):
        return Frame(PING, body), Ping(body)
    return Frame(PONG, body), Pong(body)


@st.composite
def streams(draw: st.DrawFn, *, long: bool = True, close: bool = True) -> Stream:
    """Any legal stream: fragmented messages, empty fragments, control frames between."""
    stream = Stream()
    budget = 600_000

    def maybe_control() -> None:
        if draw(st.integers(0, 3)) == 0:
            control, message = draw(control_frames())
            stream.frames.append(control)
            stream.messages.append(message)

    for _ in range(draw(st.integers(0, 5))):
        maybe_control()
        size = draw(sizes(long))
        if size > budget:
            size = 3
        budget -= size
        if draw(st.booleans()):
            characters = draw(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4))
            text = text_of(size, characters)
            opcode, payload, message = TEXT, text.encode(), text
        else:
            payload = pattern(size, draw(st.integers(0, 255)))
            opcode, message = BINARY, payload
        # Cut anywhere: also within a code point, and at one place twice (an empty fragment).
        cuts = sorted(draw(st.lists(st.integers(0, size), max_size=4)))
        bounds = [0, *cuts, size]
        for index, (start, stop) in enumerate(pairwise(bounds)):
            fin = index == len(bounds) - 2
            stream.frames.append(
                Frame(opcode if index == 0 else CONTINUATION, payload[start:stop], fin)
            )
            if not fin:
                maybe_control()
        stream.messages.append(message)
    maybe_control()
    if close and draw(st.booleans()):
        code = draw(st.sampled_from((None, 1000, 1001, 1011, 3000, 4999)))
        reason = draw(st.sampled_from(("", "bye", "schön 😀"))) if code else ""
        stream.frames.append(Frame(CLOSE, close_body(code, reason.encode())))
        stream.messages.append(Close(code, reason))
    return stream


def read(
    receiver: Receiver, wire: bytes, cuts: Iterable[int] = (), read_size: int = 256 * 1024
) -> list[Message]:
    """Read `wire` as `net/connection.py` does, a read ending at each of `cuts` at the latest."""
    messages: list[Message] = []
    for start, stop in _pieces(len(wire), cuts, read_size):
        at = start
        while at < stop:  # one piece that has arrived; a short buffer takes it in several reads
            buffer = receiver.buffer()
            if buffer is None:
                messages += receiver.feed(wire[at:stop])
                break
            count = min(len(buffer), stop - at)
            buffer[:count] = wire[at : at + count]
            del buffer
            messages += receiver.filled(count)
            at += count
    return messages


def feed(receiver: Receiver, wire: bytes, cuts: Iterable[int] = ()) -> list[Message]:
    """Read `wire` through `feed()` alone."""
    messages: list[Message] = []
    for start, stop in _pieces(len(wire), cuts, len(wire) or 1):
        messages += receiver.feed(wire[start:stop])
    return messages


def _pieces(size: int, cuts: Iterable[int], longest: int) -> Iterable[tuple[int, int]]:
    bounds = sorted({0, size, *(cut for cut in cuts if 0 < cut < size)})
    for start, stop in pairwise(bounds):
        for at in range(start, stop, longest):
            yield at, min(at + longest, stop)
