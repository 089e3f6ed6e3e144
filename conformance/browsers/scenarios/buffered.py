"""`bufferedAmount` through a task, and after the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import (
    ACCEPT,
    CLOSE_IT,
    GO,
    GONE_ON,
    RESET,
    WAIT,
    Scenario,
    Step,
    after,
    blob,
    call,
    expect,
    frame,
    scenario,
    state,
    write,
    ws,
)

KINDS: dict[str, list[Any]] = {
    "ascii": ["hello"],
    "wide": ["h\u00e9\u20ac\U0001f600"],
    "lone-surrogate": [{"utf16": [0xD800]}],
    "empty": ["", {"bytes": ""}, blob()],
    "buffer": [{"bytes": "000102"}],
    "view": [{"view": "Uint8Array", "bytes": "00010203", "offset": 1, "length": 2}],
    "blob": [blob("blob")],
    "all": ["a", {"bytes": "0001"}, blob("ccc"), "dddd"],
    "long": [{"repeat": ["x", 100000]}],
    "huge": [{"repeat": ["x", 5000000]}],
    "number": [12345],
}


def _sends(values: list[Any]) -> list[Step]:
    return [step for value in values for step in (call("a.send", value), state())]


def scenarios() -> Iterator[Scenario]:
    for name, values in KINDS.items():
        steps = _sends(values)
        yield scenario("buffered", f"{name}-when-open", [ws(open=[*steps, CLOSE_IT, state()])])
        yield scenario("buffered", f"{name}-when-closing", [ws(open=[CLOSE_IT, *steps])])
        yield scenario("buffered", f"{name}-when-closed", [ws(open=[CLOSE_IT], close=steps)])
        yield scenario("buffered", f"{name}-when-connecting", [ws(open=[CLOSE_IT]), *steps])
        yield scenario("buffered", f"{name}-when-failed", [ws("{refused}/", close=steps)])
    yield scenario(
        "buffered",
        "before-and-after-close",
        [ws(open=[*_sends(["abc"]), CLOSE_IT, *_sends(["de"])], close=_sends(["f"]))],
    )
    yield scenario(
        "buffered",
        "grows-after-close-for-good",
        [ws(open=[CLOSE_IT], close=[*_sends(["abc"]), after(state(), *_sends(["d"]))])],
    )
    yield scenario(
        "buffered",
        "what-the-failure-cut-off",
        [ws(open=[GO], error=_sends(["in error"]), close=_sends(["in close"]))],
        ACCEPT,
        GONE_ON,
        write(frame(3)),
        WAIT,
    )
    yield scenario(
        "buffered",
        "what-the-reset-cut-off",
        [ws(open=[call("a.send", "x")], close=_sends(["in close"]))],
        ACCEPT,
        expect("text"),
        RESET,
    )
    yield scenario(
        "buffered",
        "in-two-tasks-of-closing",
        [ws(open=[CLOSE_IT, *_sends(["ab"]), after(state())])],
    )
    yield scenario(
        "buffered",
        "of-two-sockets",
        [
            ws("{ws}/a", name="a", open=[CLOSE_IT, *_sends(["ab"])]),
            state("a"),
            ws("{refused}/", name="b", close=[call("b.send", "xyz"), state("b"), state("a")]),
            state("b"),
        ][:2],
    )
