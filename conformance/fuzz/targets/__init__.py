"""The targets: each a module whose ``test_one_input(data)`` raises where something is wrong.

They import nothing of the fuzzer's, so that whatever it found runs as an ordinary test too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise


def take_cuts(data: bytes) -> tuple[list[int], bytes]:
    """Split an input into where it is to be cut, and what is to be cut.

    The first byte says at how many places (0 to 7), two bytes each where.
    """
    count = data[0] & 7 if data else 0
    places = data[1 : 1 + 2 * count]
    cuts = [int.from_bytes(places[at : at + 2], "big") for at in range(0, len(places), 2)]
    return cuts, data[1 + 2 * count :]


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield ``data`` in pieces that end at ``cuts``; none is empty."""
    for start, stop in pairwise(sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})):
        yield data[start:stop]
