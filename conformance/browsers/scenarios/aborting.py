"""AbortController and AbortSignal, as listeners use them."""

from __future__ import annotations

from collections.abc import Iterator

from .words import UNDEFINED, Scenario, Step, call, fn, get, handler, new, put, scenario

CONTROLLER: Step = new("AbortController", name="c")
SIGNAL: Step = get("c.signal", **{"as": "s"})
READ = [get("s.aborted"), get("s.reason"), call("s.throwIfAborted")]
START = [CONTROLLER, SIGNAL]


def scenarios() -> Iterator[Scenario]:
    listen = call("s.addEventListener", "abort", fn("f", get("s.aborted")))
    scripts: dict[str, list[Step]] = {
        "fresh": [*START, *READ, get("c.signal")],
        "abort": [*START, put("s.onabort", fn("h")), listen, call("c.abort"), *READ],
        "abort-twice": [*START, listen, call("c.abort", "1"), call("c.abort", "2"), *READ],
        "abort-text": [*START, call("c.abort", "why"), get("s.reason")],
        "abort-null": [*START, call("c.abort", None), get("s.aborted"), get("s.reason")],
        "abort-undefined": [*START, call("c.abort", UNDEFINED), *READ],
        "abort-exception": [*START, call("c.abort", {"error": 1, "name": "DataError"}), *READ],
        "abort-within": [
            *START,
            call("s.addEventListener", "abort", fn("f", call("c.abort"))),
            listen,
            call("c.abort"),
        ],
        "throw-within": [
            *START,
            call("s.addEventListener", "abort", fn("f", {"throw": {"error": 1}})),
            call("s.addEventListener", "abort", fn("g")),
            call("c.abort"),
        ],
        "removal-before-events": [
            *START,
            new("EventTarget", name="t"),
            call("t.addEventListener", "x", fn("g"), {"object": {"signal": {"ref": "s"}}}),
            new("Event", "x", name="e"),
            call("s.addEventListener", "abort", fn("f", call("t.dispatchEvent", {"ref": "e"}))),
            call("c.abort"),
        ],
        "onabort": [
            *START,
            get("s.onabort"),
            put("s.onabort", handler("h")),
            get("s.onabort"),
            put("s.onabort", 1),
            get("s.onabort"),
            call("c.abort"),
        ],
        "static-abort": [call("AbortSignal.abort", **{"as": "s"}), *READ],
        "static-abort-reason": [
            call("AbortSignal.abort", "why", **{"as": "s"}),
            get("s.aborted"),
            get("s.reason"),
        ],
        "any-of-none": [call("AbortSignal.any", [], **{"as": "s"}), *READ],
        "any": [
            *START,
            CONTROLLER | {"as": "d"},
            call("AbortSignal.any", [{"ref": "s"}, {"get": "d.signal"}], **{"as": "both"}),
            get("both.aborted"),
            call("both.addEventListener", "abort", fn("f", get("s.aborted"))),
            listen | {"args": ["abort", fn("g", get("both.aborted"))]},
            call("c.abort", "why"),
            get("both.reason"),
            call("d.abort", "other"),
            get("both.reason"),
        ],
        "any-aborted-already": [
            *START,
            call("c.abort", "why"),
            call("AbortSignal.any", [{"ref": "s"}], **{"as": "both"}),
            get("both.aborted"),
            get("both.reason"),
        ],
        "any-of-any": [
            *START,
            call("AbortSignal.any", [{"ref": "s"}], **{"as": "one"}),
            call("AbortSignal.any", [{"ref": "one"}], **{"as": "two"}),
            call("one.addEventListener", "abort", fn("f", get("two.aborted"))),
            call("two.addEventListener", "abort", fn("g", get("one.aborted"))),
            call("c.abort", 1),
            get("two.reason"),
        ],
        "any-bad": [
            call("AbortSignal.any", [1]),
            call("AbortSignal.any"),
            call("AbortSignal.any", 1),
        ],
        "timeout": [
            call("AbortSignal.timeout", 1, **{"as": "s"}),
            put("s.onabort", fn("f", get("s.reason"))),
            {"awaitEvent": ["s", "abort"]},
        ],
        "timeout-zero": [
            call("AbortSignal.timeout", 0, **{"as": "s"}),
            get("s.aborted"),
            {"awaitEvent": ["s", "abort"]},
            put("s.onabort", fn("f", get("s.reason"))),
        ],
        "timeout-bad": [
            call("AbortSignal.timeout"),
            call("AbortSignal.timeout", -1),
            call("AbortSignal.timeout", {"number": "NaN"}),
            call("AbortSignal.timeout", {"number": "Infinity"}),
            call("AbortSignal.timeout", "x"),
            call("AbortSignal.timeout", 9007199254740992),
        ],
        "constructor": [new("AbortSignal", name="s")],
        "read-only": [
            *START,
            put("c.signal", 1),
            put("s.aborted", True),
            put("s.reason", 1),
            *READ,
        ],
        "dispatched-by-hand": [
            *START,
            listen,
            new("Event", "abort", name="e"),
            call("s.dispatchEvent", {"ref": "e"}),
            get("s.aborted"),
        ],
    }
    for name, script in scripts.items():
        yield scenario("aborting", name, script)
