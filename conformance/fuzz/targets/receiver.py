"""The receiver: whatever comes, wherever the reads cut it, it says the same, and nothing breaks.

The input's first byte chooses the role, the inflater and the limit; then come the cuts (see
``take_cuts``) and the wire's bytes. They are read once as a connection reads them, cut there, and
once a byte at a time; both must give the same messages and fail with the same code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from webapi.protocol import deflate, receiver
from webapi.protocol.deflate import Inflater
from webapi.protocol.frames import Close, Failure, Ping, Pong, is_valid_close_code
from webapi.protocol.receiver import Message, Receiver

from . import pieces, take_cuts

INFLATERS = (None, (15, True), (15, False), (9, True))
LIMITS = (0, 100, 5_000, 128 * 1024)

# Short inputs shall reach what long messages do.
SCALED_DOWN = (
    (
        receiver,
        {
            "LONG_FRAME": 64,
            "_FIRST_BUFFER": 48,
            "_READ": 32,
            "_MANY_PARTS": 4,
            "_SMALL_PART": 8,
            "_LONG_TEXT": 24,
            "_STR": 60,
            "_spare": [],  # its own: these buffers are smaller
        },
    ),
    (deflate, {"_STEP": 256, "_AFTER_FINAL": 16}),
)


@contextlib.contextmanager
def scaled_down() -> Iterator[None]:
    """Have the protocol's inner sizes small."""
    before = [(module, {n: getattr(module, n) for n in small}) for module, small in SCALED_DOWN]
    for module, small in SCALED_DOWN:
        vars(module).update(small)
    try:
        yield
    finally:
        for module, sizes in before:
            vars(module).update(sizes)


def test_one_input(data: bytes) -> None:
    """Read the input in both ways, and compare."""
    choice = data[0] if data else 0
    cuts, wire = take_cuts(data[1:])
    with scaled_down():
        batched = _read(_receiver(choice), pieces(wire, cuts), buffers=choice & 32 != 0)
        single = _read(_receiver(choice), (wire[at : at + 1] for at in range(len(wire))))
    _check(batched, LIMITS[choice >> 3 & 3])
    assert _same(batched, single, inflated=choice & 6 != 0), (batched, single)


def _receiver(choice: int) -> Receiver:
    made = Receiver(masked=choice & 1 != 0, max_message_size=LIMITS[choice >> 3 & 3])
    inflater = INFLATERS[choice >> 1 & 3]
    if inflater is not None:
        made.inflater = Inflater(*inflater)
    return made


def _read(made: Receiver, parts: Iterable[bytes], buffers: bool = False) -> list[Message]:
    messages: list[Message] = []
    for part in parts:
        rest = part
        while buffers and rest and (buffer := made.buffer()) is not None:
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            del buffer
            messages += made.filled(count)
            rest = rest[count:]
        if rest:
            messages += made.feed(rest)
    messages += made.decode_now()  # as a connection does when nothing more comes
    if messages and isinstance(messages[-1], (Close, Failure)):
        assert made.finished
        assert made.feed(b"\x81\x00") == []
    return messages


def _check(messages: list[Message], limit: int) -> None:
    for index, message in enumerate(messages):
        if isinstance(message, (Close, Failure)):
            assert index == len(messages) - 1, "something came after the end"
            assert message.code is None or is_valid_close_code(message.code)
        elif isinstance(message, (Ping, Pong)):
            assert len(message.payload) <= 125
        else:
            octets = message.encode() if isinstance(message, str) else message
            assert len(octets) <= limit


def _same(some: list[Message], others: list[Message], inflated: bool) -> bool:
    """Whether two readings agree: in all but the wording of a failure.

    What a read inflates comes in chunks; whether its size or its content is wrong first depends on
    where they end.
    """
    if len(some) != len(others):
        return False
    for one, other in zip(some, others, strict=True):
        if isinstance(one, Failure) and isinstance(other, Failure):
            if one.code != other.code and not (inflated and {one.code, other.code} == {1007, 1009}):
                return False
        elif one != other:
            return False
    return True
