"""Every state times every method and attribute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import (
    CLOSE_IT,
    UNDEFINED,
    Scenario,
    Step,
    after,
    blob,
    call,
    fn,
    get,
    put,
    scenario,
    state,
    ws,
)

#: What is done, and then `state` is traced.
ACTIONS: dict[str, list[Step]] = {
    "send-text": [call("a.send", "h\u00e9llo")],
    "send-empty": [call("a.send", "")],
    "send-buffer": [call("a.send", {"bytes": "00ff10"})],
    "send-blob": [call("a.send", blob("bl", "ob"))],
    "send-nothing": [call("a.send")],
    "send-undefined": [call("a.send", UNDEFINED)],
    "close": [call("a.close")],
    "close-twice": [call("a.close"), call("a.close", 3000, "second")],
    "close-1000": [call("a.close", 1000)],
    "close-reason": [call("a.close", 4999, "r\u00e9ason")],
    "close-longest-reason": [call("a.close", 3000, "\u00e9" * 61 + "x")],
    "close-long-reason": [call("a.close", 3000, "\u00e9" * 62)],
    "close-undefined": [call("a.close", UNDEFINED, UNDEFINED)],
    "close-reason-alone": [call("a.close", UNDEFINED, "alone")],
    "close-empty-reason-alone": [call("a.close", UNDEFINED, "")],
    "close-no-reason": [call("a.close", 3001, UNDEFINED)],
    "close-null-reason": [call("a.close", 3001, None)],
    "close-number-reason": [call("a.close", 3001, 1.5)],
    "close-surrogate": [call("a.close", 3001, {"utf16": [0xD800]})],
    "close-long-reason-of-surrogates": [call("a.close", 3001, {"utf16": [0xD800] * 42})],
    "set-binaryType": [
        put("a.binaryType", "arraybuffer"),
        state(),
        put("a.binaryType", "blob"),
        state(),
        put("a.binaryType", "ArrayBuffer"),
        put("a.binaryType", ""),
        put("a.binaryType", None),
        put("a.binaryType", 1),
    ],
    "handlers": [
        get("a.onopen"),
        put("a.onopen", fn("f")),
        get("a.onopen"),
        put("a.onopen", 1),
        get("a.onopen"),
        put("a.onclose", fn("g")),
        put("a.onmessage", fn("g")),
        put("a.onerror", None),
        get("a.onclose"),
        get("a.onmessage"),
        get("a.onerror"),
        put("a.onclose", UNDEFINED),
        get("a.onclose"),
    ],
    "read-only": [
        put(f"a.{member}", 1)
        for member in ("url", "readyState", "bufferedAmount", "extensions", "protocol")
    ],
    "to-string": [get("a.CLOSED"), get("WebSocket.CLOSED"), put("a.CLOSED", 7), get("a.CLOSED")],
}

#: Codes with which `close` is called in each state.
CODES: dict[str, Any] = {
    **{str(code): code for code in (0, 1, 999, 1001, 1005, 1006, 1015, 2999, 3000, 4999, 5000)},
    "65536": 65536,
    "66536": 66536,
    "negative": -1,
    "half": 2999.5,
    "half-to-even": 1000.5,
    "nearly-3000": 2999.51,
    "null": None,
    "true": True,
    "text-1000": "1000",
    "text-spaces": " 3000\n",
    "text-hex": "0xbb8",
    "text-exponent": "3e3",
    "text-empty": "",
    "text-word": "normal",
    "nan": {"number": "NaN"},
    "infinity": {"number": "Infinity"},
    "minus-infinity": {"number": "-Infinity"},
    "list": [],
    "object": {"object": {}},
}


def _in_state(steps: list[Step]) -> Iterator[tuple[str, list[Step]]]:
    """The scripts that do `steps` in each state."""
    steps = [*steps, state()]
    yield "connecting", [ws(open=[CLOSE_IT]), *steps]
    yield "open", [ws(open=[*steps, CLOSE_IT])]
    yield "closing", [ws(open=[CLOSE_IT, *steps])]
    yield "closed", [ws(open=[CLOSE_IT], close=steps)]
    yield "closed-later", [ws(open=[CLOSE_IT], close=[after(*steps)])]
    yield "aborted", [ws(), CLOSE_IT, *steps]
    yield "failed", [ws("{refused}/", error=steps, close=[state()])]


def scenarios() -> Iterator[Scenario]:
    for action, steps in ACTIONS.items():
        for when, script in _in_state(steps):
            aborts = when == "aborted" or (when == "connecting" and action.startswith("close"))
            yield scenario("states", f"{action}-when-{when}", script, aborts=aborts)
    for name, code in CODES.items():
        for when, steps in {
            "connecting": [ws(open=[CLOSE_IT]), call("a.close", code), state()],
            "open": [ws(open=[call("a.close", code), state(), CLOSE_IT])],
            "closed": [ws(open=[CLOSE_IT], close=[call("a.close", code), state()])],
        }.items():
            aborts = when == "connecting"
            yield scenario("states", f"close-code-{name}-when-{when}", steps, aborts=aborts)
