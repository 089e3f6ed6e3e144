"""Frames from the server: fragments, control frames, and what is wrong with frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import (
    ACCEPT,
    CLOSE_IT,
    FIN,
    GO,
    GONE_ON,
    RESET,
    WAIT,
    Scenario,
    accept,
    binary,
    call,
    close,
    expect,
    frame,
    pause,
    ping,
    pong,
    put,
    raw,
    rest,
    scenario,
    text,
    write,
    ws,
)

# The page says when it has seen `open`: an end that comes with the head makes Firefox fail.
START = (ACCEPT, GONE_ON)
END = (write(close()), expect("close"), FIN)
SOCKET = ws(open=[GO])
EURO = "\u20ac".encode()

#: Steps of the server behind `accept`: messages that are right.
GOOD: dict[str, list[Any]] = {
    "two-fragments": [write(text("a", fin=False), rest("b"))],
    "three-fragments": [write(text("a", fin=False), rest("b", fin=False), rest("c"))],
    "empty-fragments": [write(text("", fin=False), rest("", fin=False), rest(""))],
    "last-empty": [write(text("ab", fin=False), rest(""))],
    "first-empty": [write(text("", fin=False), rest("ab"))],
    "binary-fragments": [write(binary("01", fin=False), rest({"hex": "02"}))],
    "character-cut": [
        write(frame(1, {"hex": EURO[:1].hex()}, fin=False), rest({"hex": EURO[1:].hex()}))
    ],
    "character-cut-in-three": [
        write(
            frame(1, {"hex": EURO[:1].hex()}, fin=False),
            rest({"hex": EURO[1:2].hex()}, fin=False),
            rest({"hex": EURO[2:].hex()}),
        )
    ],
    "fragments-apart": [write(text("a", fin=False)), pause(), write(rest("b"))],
    "ping-between": [write(text("a", fin=False), ping("p"), rest("b"))],
    "pong-between": [write(text("a", fin=False), pong("p"), rest("b"))],
    "many-fragments": [write(text("a", fin=False), *[rest("b", fin=False)] * 100, rest("c"))],
    "long-fragments": [
        write(
            text({"repeat": ["x", 70000]}, fin=False),
            rest({"repeat": ["y", 70000]}, fin=False),
            rest(""),
        )
    ],
    "ping": [write(ping())],
    "ping-text": [write(ping("h\u00e9"))],
    "ping-125": [write(ping({"repeat": ["x", 125]}))],
    "pings-in-order": [write(ping("1")), expect("pong"), write(ping("2")), expect("pong")],
    "pong": [write(pong())],
    "pong-unasked": [write(pong("x"))],
    "pong-125": [write(pong({"repeat": ["x", 125]}))],
    "byte-by-byte": [
        step
        for byte in bytes.fromhex("8105") + b"hello"
        for step in (write(raw(f"{byte:02x}")), pause(2))
    ],
    "header-apart": [
        write(raw("81")),
        pause(),
        write(raw("7e")),
        pause(),
        write(raw("00c8")),
        pause(),
        write(raw("78" * 100)),
        pause(),
        write(raw("79" * 100)),
    ],
    "not-shortest-16": [write(raw("817e0001" + "61"))],
    "not-shortest-64": [write(raw("817f0000000000000001" + "61"))],
    "not-shortest-64-of-16": [write(raw("817f0000000000000080" + "61" * 128))],
    "not-shortest-ping": [write(raw("897e0001" + "61"))],
}

#: Pieces that fail the connection.
BAD: dict[str, list[Any]] = {
    "rsv1": [text("x", rsv=4)],
    "rsv2": [text("x", rsv=2)],
    "rsv3": [text("x", rsv=1)],
    "rsv-ping": [ping("x", rsv=4)],
    "rsv-close": [close(1000, "", rsv=1)],
    **{f"opcode-{opcode}": [frame(opcode, "x")] for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "opcode-3-empty": [frame(3, "")],
    "masked": [text("x", masked=True)],
    "masked-empty": [text("", masked=True)],
    "masked-ping": [ping("x", masked=True)],
    "masked-close": [close(1000, "", masked=True)],
    "continuation-first": [rest("x")],
    "continuation-first-not-fin": [rest("x", fin=False)],
    "continuation-after-end": [text("a"), rest("b")],
    "text-within": [text("a", fin=False), text("b")],
    "binary-within": [text("a", fin=False), binary("00")],
    "ping-126": [ping({"repeat": ["x", 126]})],
    "pong-126": [pong({"repeat": ["x", 126]})],
    "close-126": [close(1000, {"repeat": ["x", 124]})],
    "ping-fragmented": [ping("x", fin=False)],
    "pong-fragmented": [pong("x", fin=False)],
    "close-fragmented": [close(1000, "", fin=False)],
    "length-most-significant": [raw("827f8000000000000001" + "00")],
    "length-huge": [raw("827f7fffffffffffffff" + "00")],
    "text-bad-in-fragments": [frame(1, {"hex": "e2"}, fin=False), rest({"hex": "28a1"})],
    "text-cut-at-end": [text("a", fin=False), rest({"hex": "e282"})],
    "text-bad-in-first-fragment": [frame(1, {"hex": "61ff"}, fin=False)],
    "deflate-not-negotiated": [raw("c102f248")],
}

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
DEFLATED_GOOD: dict[str, list[Any]] = {
    "one": [text("hello", deflated=True)],
    "empty": [text("", deflated=True)],
    "not-compressed": [text("hello")],
    "takeover": [text("hello hello", deflated=True), text("hello hello", deflated=True)],
    "mixed": [text("hello", deflated=True), text("plain"), text("hello", deflated=True)],
    "binary": [binary("00" * 500, deflated=True)],
    "long": [text({"repeat": ["hello ", 50000]}, deflated=True)],
    "empty-frame": [raw("c10100")],
    "rfc-example": [raw("c107f248cdc9c90700")],
    "rfc-example-fragments": [raw("4103f248cd"), raw("8004c9c90700")],
    "rfc-stored-block": [raw("c10b000500faff48656c6c6f00")],
    "rfc-final-block": [raw("c108f348cdc9c9070000")],
    "rfc-two-blocks": [raw("c10df248050000 00ffffcac9c90700".replace(" ", ""))],
    "ping-between": [raw("4103f248cd"), ping("p"), raw("8004c9c90700")],
}
DEFLATED_BAD: dict[str, list[Any]] = {
    "rsv1-on-continuation": [raw("4103f248cd"), raw("c004c9c90700")],
    "rsv1-on-ping": [ping("x", rsv=4)],
    "rsv2": [text("x", rsv=2)],
    "bad-block": [raw("c1020600")],
    "bad-data": [raw("c104ffffffff")],
    "bad-utf8": [frame(1, {"hex": "ff"}, deflated=True)],
    "bad-distance": [raw("c10402020000")],
}


def scenarios() -> Iterator[Scenario]:
    for name, steps in GOOD.items():
        script = [SOCKET, put("a.binaryType", "arraybuffer")]
        yield scenario("frames", name, script, *START, *steps, *END)
    for name, pieces in BAD.items():
        yield scenario("frames", f"bad-{name}", [SOCKET], *START, write(*pieces), WAIT)
        yield scenario(
            "frames",
            f"bad-{name}-between-messages",
            [SOCKET],
            *START,
            write(text("before"), *pieces, text("after"), close()),
            WAIT,
        )
    for name, pieces in DEFLATED_GOOD.items():
        start = (accept(DEFLATE), GONE_ON)
        yield scenario("frames", f"deflate-{name}", [SOCKET], *start, write(*pieces), *END)
    for name, pieces in DEFLATED_BAD.items():
        start = (accept(DEFLATE), GONE_ON)
        yield scenario("frames", f"deflate-bad-{name}", [SOCKET], *start, write(*pieces), WAIT)
    yield from _cut()


def _cut() -> Iterator[Scenario]:
    """The connection ends within something."""
    cuts: dict[str, list[Any]] = {
        "between-frames": [text("whole")],
        "in-header": [raw("81")],
        "in-length": [raw("817e00")],
        "in-payload": [raw("8105" + b"hel".hex())],
        "in-message": [text("a", fin=False)],
        "in-long-payload": [raw("817f0000000000100000" + "78" * 1000)],
    }
    for name, pieces in cuts.items():
        yield scenario("frames", f"end-{name}", [SOCKET], *START, write(*pieces), FIN)
        # The client says that it has read all: a reset would overtake it.
        script = [ws(message=[call("a.send", "read")])]
        yield scenario(
            "frames",
            f"reset-{name}",
            script,
            ACCEPT,
            write(text("go"), *pieces),
            expect("text"),
            RESET,
        )
    yield scenario(
        "frames",
        "close-within-message",
        [SOCKET],
        *START,
        write(text("a", fin=False), close()),
        expect("close"),
        FIN,
    )
    yield scenario(
        "frames",
        "ping-after-close",
        [SOCKET],
        *START,
        write(close(), ping("late"), text("late")),
        expect("close"),
        FIN,
    )
    yield scenario(
        "frames",
        "messages-after-our-close",
        [ws(open=[CLOSE_IT])],
        ACCEPT,
        expect("close"),
        write(text("late"), binary("00"), ping("late"), close()),
        FIN,
    )
    yield scenario(
        "frames",
        "failure-after-our-close",
        [ws(open=[CLOSE_IT])],
        ACCEPT,
        expect("close"),
        write(frame(3, "x")),
        FIN,
    )
