"""Closing: every code and reason from both sides, crossing closes, and ends without one."""

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
    SERVE,
    Scenario,
    after,
    call,
    close,
    expect,
    fn,
    frame,
    put,
    scenario,
    state,
    text,
    write,
    ws,
)

SERVER_CODES = (
    *(0, 1, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012),
    *(1013, 1014, 1015, 1016, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535),
)

#: Bodies of the server's Close frame.
BODIES: dict[str, Any] = {
    "empty": close(None),
    "one-byte": close(None, {"hex": "03"}),
    "reason": close(1000, "bye"),
    "reason-not-ascii": close(3000, "\u20ac\U0001f600"),
    "reason-of-123": close(4000, {"repeat": ["x", 123]}),
    "reason-invalid": close(1000, {"hex": "ff"}),
    "reason-cut": close(1000, {"hex": "e282"}),
    "reason-surrogate": close(1000, {"hex": "eda080"}),
    "reason-nul": close(1000, "\0"),
    "reason-mark": close(1000, "\ufeffx"),
}

#: Arguments of our `close()`.
OURS: dict[str, list[Any]] = {
    "nothing": [],
    "1000": [1000],
    "3000": [3000],
    "4999": [4999],
    "empty-reason": [1000, ""],
    "reason": [1000, "bye"],
    "reason-not-ascii": [3333, "\u20ac\U0001f600"],
    "reason-of-123": [4000, "x" * 123],
    "reason-nul": [4000, "\0"],
    "reason-surrogate": [4000, {"utf16": [0xDC00]}],
}


def scenarios() -> Iterator[Scenario]:
    for code in SERVER_CODES:
        script = [ws(open=[GO])]
        start = (ACCEPT, GONE_ON)
        yield scenario(
            "closing",
            f"server-code-{code}",
            script,
            *start,
            write(close(code)),
            expect("close"),
            FIN,
        )
        yield scenario(
            "closing",
            f"server-code-{code}-with-reason",
            script,
            *start,
            write(close(code, "why")),
            expect("close"),
            FIN,
        )
    for name, piece in BODIES.items():
        yield scenario(
            "closing", f"server-{name}", [ws(open=[GO])], *start, write(piece), expect("close"), FIN
        )
        yield scenario(
            "closing",
            f"server-answers-{name}",
            [ws(open=[call("a.close", 3000, "ours")])],
            ACCEPT,
            expect("close"),
            write(piece),
            FIN,
        )
    for name, arguments in OURS.items():
        yield scenario("closing", f"ours-{name}", [ws(open=[call("a.close", *arguments), state()])])
        yield scenario(
            "closing",
            f"ours-{name}-in-message",
            [ws(message=[call("a.close", *arguments), state()])],
            ACCEPT,
            write(text("x")),
            SERVE,
        )
    yield from _crossing()
    yield from _without()
    yield from _handlers()


def _crossing() -> Iterator[Scenario]:
    yield scenario(
        "closing",
        "crossing",
        [ws(message=[call("a.close", 3001, "ours")])],
        ACCEPT,
        write(text("go"), close(3002, "theirs")),
        expect("close"),
        FIN,
    )
    yield scenario(
        "closing",
        "crossing-without-code",
        [ws(message=[call("a.close")])],
        ACCEPT,
        write(text("go"), close(None)),
        expect("close"),
        FIN,
    )
    yield scenario(
        "closing",
        "server-answers-another-code",
        [ws(open=[call("a.close", 3001, "ours")])],
        ACCEPT,
        expect("close"),
        write(close(3002, "theirs")),
        FIN,
    )
    yield scenario(
        "closing",
        "server-answers-without-code",
        [ws(open=[call("a.close", 3001, "ours")])],
        ACCEPT,
        expect("close"),
        write(close(None)),
        FIN,
    )
    yield scenario(
        "closing",
        "two-closes-from-server",
        [ws(open=[GO])],
        ACCEPT,
        GONE_ON,
        write(close(3001, "first"), close(3002, "second")),
        expect("close"),
        FIN,
    )
    yield scenario(
        "closing",
        "send-and-close-in-message",
        [ws(message=[call("a.send", "1"), CLOSE_IT, call("a.send", "22"), state()])],
        ACCEPT,
        write(text("go"), text("not dispatched")),
        SERVE,
    )
    yield scenario(
        "closing",
        "close-with-much-queued",
        [ws(open=[call("a.send", {"repeat": ["x", 3_000_000]}), call("a.close", 3000), state()])],
        ACCEPT,
        expect("text", "close"),
        write(close(3000)),
        FIN,
    )


def _without() -> Iterator[Scenario]:
    """TCP ends without a closing handshake, or within it."""
    yield scenario("closing", "end-without-close", [ws(open=[GO])], ACCEPT, GONE_ON, FIN)
    yield scenario(
        "closing",
        "end-instead-of-answer",
        [ws(open=[call("a.close", 3000, "x")])],
        ACCEPT,
        expect("close"),
        FIN,
    )
    yield scenario(
        "closing",
        "reset-instead-of-answer",
        [ws(open=[call("a.close", 3000, "x")])],
        ACCEPT,
        expect("close"),
        RESET,
    )
    yield scenario(
        "closing",
        "reset",
        [ws(open=[call("a.send", "x")])],
        ACCEPT,
        expect("text"),
        RESET,
    )
    yield scenario(
        "closing",
        "reset-after-handshake",
        [ws(message=[CLOSE_IT])],
        ACCEPT,
        write(text("go")),
        expect("close"),
        write(close()),
        ["pause", 50],
        RESET,
    )
    yield scenario(
        "closing",
        "failed-message-then-close",
        [ws(open=[GO], error=[state(), CLOSE_IT, call("a.send", "x"), state()])],
        ACCEPT,
        GONE_ON,
        write(frame(3)),
        expect("close"),
        FIN,
    )


def _handlers() -> Iterator[Scenario]:
    """What handlers of the end do."""
    yield scenario(
        "closing",
        "everything-in-onclose",
        [
            ws(
                open=[CLOSE_IT],
                close=[
                    state(),
                    call("a.send", "lost"),
                    call("a.close", 3000),
                    put("a.binaryType", "arraybuffer"),
                    put("a.onclose", fn("late")),
                    state(),
                ],
            )
        ],
    )
    yield scenario(
        "closing",
        "a-throw-in-each",
        [
            ws(
                open=[call("a.send", "x"), {"throw": {"error": 1}}],
                message=[CLOSE_IT, {"throw": {"error": 1, "name": "DataError"}}],
                close=[{"throw": {"error": 1}}],
            )
        ],
    )
    yield scenario(
        "closing",
        "close-in-a-later-task",
        [ws(open=[after(state(), call("a.close", 3000, "later"), state())])],
    )
    yield scenario(
        "closing",
        "close-while-connecting",
        [ws(), call("a.close", 3000, "early"), state(), call("a.close", 3001), state()],
        aborts=True,
    )
    yield scenario(
        "closing",
        "close-of-another",
        [
            ws("{ws}/a", name="a", open=[ws("{ws}/b", name="b", open=[call("a.close", 3001)])],
               close=[call("b.close", 3002)]),
        ],
        aborts=True,
    )  # fmt: skip
