"""What compression costs and saves: `python -m benchmarks deflate`.

`webapi.protocol.deflate`'s constants are chosen by it. Each figure is of one connection's context
that has seen messages like it before, as on a socket that lives: a price feed's JSON, a chat's, and
prose (Python's own documentation).
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from pydoc_data.topics import topics
from typing import Any, Final, NamedTuple

from benchmarks.footprint import idle_socket
from benchmarks.runner import Server
from webapi.protocol import deflate as chosen

__all__ = ["main"]

TAIL: Final = b"\x00\x00\xff\xff"
LEVELS: Final = (1, 2, 3, 4, 5, 6, 9)
SETTINGS: Final = tuple(
    (bits, memory) for bits in (9, 11, 12, 13, 14, 15) for memory in (4, 5, 6, 8)
)
SIZES: Final = (256, 1024, 16 * 1024, 256 * 1024)
SMALL: Final = (16, 32, 48, 64, 96, 128, 192, 256, 512)
WORK: Final = 2 * 1024 * 1024  # bytes of messages for one figure


class Cost(NamedTuple):
    """What one message costs and leaves."""

    left: float
    """Bytes that leave, for each that came."""
    deflating: float
    """Seconds."""
    inflating: float
    """Seconds."""


def prices(chance: random.Random) -> Iterator[str]:
    """Yield a price feed's records for ever."""
    while True:
        yield json.dumps(
            {
                "symbol": chance.choice(("EURUSD", "GBPUSD", "USDJPY", "BTCUSD", "XAUUSD")),
                "bid": round(chance.uniform(1, 2), 5),
                "ask": round(chance.uniform(1, 2), 5),
                "volume": chance.randrange(10**5),
                "time": f"2024-05-{chance.randrange(1, 31):02}T12:{chance.randrange(60):02}:00Z",
            }
        )


def chat(chance: random.Random) -> Iterator[str]:
    """Yield a chat's messages for ever."""
    words = sorted({word for word in " ".join(topics.values()).split() if word.isalpha()})
    common = chance.sample(words, 400)
    while True:
        chosen_words = chance.choices(common, k=chance.randrange(3, 25))
        text = " ".join(chosen_words)
        yield json.dumps({"from": f"user{chance.randrange(40)}", "text": text})


def prose(chance: random.Random) -> Iterator[str]:
    """Yield paragraphs for ever."""
    paragraphs = [part for topic in topics.values() for part in topic.split("\n\n")]
    while True:
        yield chance.choice(paragraphs)


KINDS: Final = {"prices": prices, "chat": chat, "prose": prose}


def messages(kind: str, size: int, count: int) -> list[bytes]:
    """Return `count` messages of `size` bytes, no two of them alike."""
    records = KINDS[kind](random.Random(size))
    made = []
    for _ in range(count):
        text = next(records)
        while len(text) < size:
            text += "," + next(records)
        made.append(text[:size].encode())
    return made


def cost(sent: Sequence[bytes], level: int, bits: int, memory: int, takeover: bool = True) -> Cost:
    """Send all messages through one context and out again; the second half is counted."""

    def new() -> tuple[Any, Any]:
        return zlib.compressobj(level, zlib.DEFLATED, -bits, memory), zlib.decompressobj(-bits)

    deflater, inflater = new()
    left: list[int] = []
    deflating: list[float] = []
    inflating: list[float] = []
    for message in sent:
        began = time.perf_counter()
        if not takeover:
            deflater = new()[0]
        data = (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        middle = time.perf_counter()
        if not takeover:
            inflater = new()[1]
        back = inflater.decompress(data) + inflater.decompress(TAIL)
        end = time.perf_counter()
        assert back == message
        left.append(len(data))
        deflating.append(middle - began)
        inflating.append(end - middle)
    half = len(sent) // 2
    return Cost(
        sum(left[half:]) / sum(map(len, sent[half:])),
        statistics.median(deflating[half:]),
        statistics.median(inflating[half:]),
    )


def count_for(size: int, quick: bool) -> int:
    """Return how many messages of a size make a figure."""
    return max(8, min(WORK // size, 2000) // (20 if quick else 1))


def memory_of(make: Callable[[], object]) -> float:
    """Return the KiB of Python's memory that what `make` returns holds; zlib's is in it."""
    make()
    gc.collect()
    tracemalloc.start()
    try:
        held = make()
        found = tracemalloc.get_traced_memory()[0]
        del held
    finally:
        tracemalloc.stop()
    return found / 1024


def cells(kind: str, quick: bool, level: int, bits: int, memory: int) -> str:
    """Return a line's figures, for each size."""
    made = (messages(kind, size, count_for(size, quick)) for size in SIZES)
    costs = (cost(sent, level, bits, memory) for sent in made)
    return "".join(f"{each.left:9.1%} {each.deflating * 1e6:8.1f}" for each in costs)


def heading(first: str) -> str:
    """Return the line above `cells`."""
    return f"{first:16}" + "".join(f"{size:>15,} B  " for size in SIZES)


def levels(quick: bool) -> None:
    """Print size and time by level."""
    for kind in KINDS:
        print(f"\n{heading(f'{kind}: level')}   left, µs to deflate")
        for level in LEVELS:
            mark = " *" if level == chosen.LEVEL else ""
            figures = cells(kind, quick, level, chosen.WINDOW_BITS, chosen.MEMORY_LEVEL)
            print(f"{f'{level}{mark}':16}{figures}")


def windows(quick: bool) -> None:
    """Print size, time and memory by window and memLevel."""
    for kind in KINDS:
        print(f"\n{heading(f'{kind}: bits, mem')}   left, µs to deflate; KiB of the context")
        for bits, memory in SETTINGS:
            mark = " *" if (bits, memory) == (chosen.WINDOW_BITS, chosen.MEMORY_LEVEL) else ""
            figures = cells(kind, quick, chosen.LEVEL, bits, memory)
            held = memory_of(lambda bits=bits, memory=memory: context(bits, memory))  # type: ignore[misc]
            print(f"{f'{bits:2} {memory:2}{mark}':16}{figures} {held:9.1f}")


def context(bits: int, memory: int) -> object:
    """Return a context that has compressed something."""
    stream = zlib.compressobj(chosen.LEVEL, zlib.DEFLATED, -bits, memory)
    stream.compress(messages("prices", 1024, 1)[0])
    stream.flush(zlib.Z_SYNC_FLUSH)
    return stream


def thresholds(quick: bool) -> None:
    """Print what compressing a short message saves, and what for."""
    for kind in KINDS:
        print(
            f"\n{kind}: bytes      left   saved   µs to deflate   to inflate   ns for a byte saved"
        )
        for size in SMALL:
            # cut at random, so that short messages are no prefix that repeats
            text = b",".join(messages(kind, 4096, 64))
            chance = random.Random(size)
            starts = [chance.randrange(len(text) - size) for _ in range(count_for(size, quick))]
            each = cost(
                [text[at : at + size] for at in starts],
                chosen.LEVEL, chosen.WINDOW_BITS, chosen.MEMORY_LEVEL,
            )  # fmt: skip
            saved = size * (1 - each.left)
            both = each.deflating + each.inflating
            price = f"{both * 1e9 / saved:8.0f}" if saved > 0 else "       -"
            mark = "*" if size == chosen.THRESHOLD else " "
            print(
                f"{size:13} {mark}  {each.left:7.1%} {saved:7.0f} {each.deflating * 1e6:15.1f} "
                f"{each.inflating * 1e6:12.1f} {price:>21}"
            )


def connection_memory() -> None:
    """Print what a connection holds, by what was agreed on, and a whole socket of webapi's."""
    message = messages("prices", 1024, 1)[0]
    deflate = zlib.compressobj(wbits=-15)
    compressed = deflate.compress(message) + deflate.flush()

    def used(bits: int, takeover: bool) -> object:
        deflater = chosen.Deflater(bits, takeover)
        inflater = chosen.Inflater(bits, takeover)
        deflater.deflate(message)
        for part in (*inflater.inflate(compressed[:-1]), *inflater.end()):
            del part
        return deflater, inflater

    lines = {
        "agreed on, nothing compressed yet": lambda: (
            chosen.Deflater(15, True),
            chosen.Inflater(15, True),
        ),
        **{
            f"a message each way, windows of {bits} bits": lambda bits=bits: used(bits, True)
            for bits in (15, 13, 12, 9)
        },
        "a message each way, no takeover": lambda: used(15, False),
    }
    print("\nKiB of a connection's contexts")
    for name, make in lines.items():
        print(f"  {name:48} {memory_of(make):8.1f}")
    print("\nKiB of an open, idle WebSocket, all of it")
    with Server() as server:
        for name, figure in idle_socket(server).items():
            print(f"  {name:48} {figure:8.1f}")


def main(quick: bool = False) -> None:
    """Print all tables; `*` marks what `webapi.protocol.deflate` has chosen."""
    print(
        f"* marks what is chosen: level {chosen.LEVEL}, a window of {chosen.WINDOW_BITS} bits, "
        f"memLevel {chosen.MEMORY_LEVEL}, from {chosen.THRESHOLD} bytes on. "
        f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    )
    levels(quick)
    windows(quick)
    thresholds(quick)
    connection_memory()
