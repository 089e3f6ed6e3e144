"""Listeners: order, options, replacing, adding and removing during dispatch, throwing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import (
    ACCEPT,
    CLOSE_IT,
    FIN,
    GO,
    GONE_ON,
    UNDEFINED,
    Scenario,
    Step,
    Value,
    call,
    close,
    fn,
    get,
    handler,
    new,
    obj,
    put,
    scenario,
    state,
    text,
    throw,
    write,
    ws,
)

TARGET = new("EventTarget", name="t")
ONCE, CAPTURE, PASSIVE = obj(once=True), obj(capture=True), obj(passive=True)


def on(listener: Value, *options: Value, target: str = "t", type: Value = "x") -> Step:
    return call(f"{target}.addEventListener", type, listener, *options)


def off(listener: Value, *options: Value, target: str = "t", type: Value = "x") -> Step:
    return call(f"{target}.removeEventListener", type, listener, *options)


def fire(name: str = "e", target: str = "t", type: Value = "x", **init: Any) -> list[Step]:
    return [new("Event", type, obj(**init), name=name), call(f"{target}.dispatchEvent", ref(name))]


def ref(name: str) -> Value:
    return {"ref": name}


STOP = call("event.stopPropagation")
STOP_NOW = call("event.stopImmediatePropagation")
PREVENT = call("event.preventDefault")

#: Scripts on a bare EventTarget.
ON_TARGET: dict[str, list[Step]] = {
    "in-order": [on(fn("f")), on(fn("g")), on(fn("h")), *fire()],
    "same-twice": [on(fn("f")), on(fn("g")), on(fn("f")), *fire()],
    "same-as-capture-too": [on(fn("f")), on(fn("f"), CAPTURE), *fire()],
    "capture-first": [on(fn("f")), on(fn("g"), True), on(fn("h")), on(fn("i"), CAPTURE), *fire()],
    "once": [on(fn("f"), ONCE), on(fn("g")), *fire(), *fire("e2")],
    "once-same-without": [on(fn("f"), ONCE), on(fn("f")), *fire(), *fire("e2")],
    "once-dispatches-again": [on(fn("f", *fire("e2")), ONCE), *fire()],
    "once-throws": [on(fn("f", throw()), ONCE), *fire(), *fire("e2")],
    "once-added-again-within": [on(fn("f", on(fn("f"))), ONCE), *fire(), *fire("e2")],
    "removed": [on(fn("f")), on(fn("g")), off(fn("f")), *fire()],
    "removed-other-capture": [on(fn("f"), True), off(fn("f")), *fire()],
    "removed-capture": [on(fn("f"), True), off(fn("f"), CAPTURE), *fire()],
    "removed-once": [on(fn("f"), ONCE), off(fn("f")), *fire()],
    "removed-never-added": [off(fn("f")), *fire()],
    "other-type": [on(fn("f"), type="y"), *fire()],
    "type-is-case-sensitive": [on(fn("f"), type="X"), *fire()],
    "empty-type": [on(fn("f"), type=""), *fire(type="")],
    "type-number": [on(fn("f"), type=1), *fire(type="1")],
    "type-null": [on(fn("f"), type=None), *fire(type="null")],
    "type-undefined": [on(fn("f"), type=UNDEFINED), *fire(type="undefined")],
    "type-surrogate": [on(fn("f"), type={"utf16": [0xD800]}), *fire(type={"utf16": [0xD800]})],
    "add-within": [on(fn("f", on(fn("g")))), *fire(), *fire("e2")],
    "add-capture-within": [on(fn("f", on(fn("g"), True))), *fire(), *fire("e2")],
    "add-bubble-within-capture": [on(fn("f", on(fn("g"))), True), *fire()],
    "remove-itself-within": [on(fn("f", off(fn("f")))), on(fn("g")), *fire(), *fire("e2")],
    "remove-next-within": [on(fn("f", off(fn("g")))), on(fn("g")), on(fn("h")), *fire()],
    "remove-earlier-within": [on(fn("f")), on(fn("g", off(fn("f")))), *fire(), *fire("e2")],
    "remove-and-add-again-within": [
        on(fn("f", off(fn("g")), on(fn("g")))),
        on(fn("g")),
        on(fn("h")),
        *fire(),
        *fire("e2"),
    ],
    "throw": [on(fn("f", throw())), on(fn("g")), *fire(), get("e.defaultPrevented")],
    "throw-dom-exception": [
        on(fn("f", {"throw": {"error": 1, "name": "AbortError"}})),
        on(fn("g")),
        *fire(),
    ],
    "stop": [on(fn("f", STOP)), on(fn("g")), *fire(), get("e.cancelBubble")],
    "stop-in-capture": [on(fn("f", STOP), True), on(fn("g"), True), on(fn("h")), *fire()],
    "stop-immediately": [on(fn("f", STOP_NOW)), on(fn("g")), *fire(), get("e.cancelBubble")],
    "stop-immediately-in-capture": [on(fn("f", STOP_NOW), True), on(fn("h")), *fire()],
    "stop-and-throw": [on(fn("f", STOP_NOW, throw())), on(fn("g")), *fire()],
    "cancelBubble": [on(fn("f", put("event.cancelBubble", True))), on(fn("g")), *fire()],
    "cancelBubble-false": [
        on(fn("f", STOP, put("event.cancelBubble", False), get("event.cancelBubble"))),
        *fire(),
    ],
    "stop-before-dispatch": [
        new("Event", "x", name="e"),
        call("e.stopPropagation"),
        on(fn("f")),
        call("t.dispatchEvent", ref("e")),
        get("e.cancelBubble"),
        call("t.dispatchEvent", ref("e")),
    ],
    "prevent": [on(fn("f", PREVENT)), on(fn("g")), *fire(cancelable=True)],
    "prevent-not-cancelable": [on(fn("f", PREVENT)), *fire()],
    "prevent-in-passive": [on(fn("f", PREVENT), PASSIVE), on(fn("g")), *fire(cancelable=True)],
    "prevent-after-passive": [
        on(fn("f"), PASSIVE),
        on(fn("g", PREVENT)),
        *fire(cancelable=True),
        get("e.returnValue"),
    ],
    "passive-false": [on(fn("f", PREVENT), obj(passive=False)), *fire(cancelable=True)],
    "returnValue": [
        on(fn("f", put("event.returnValue", True), put("event.returnValue", False))),
        *fire(cancelable=True),
        put("e.returnValue", True),
        get("e.returnValue"),
    ],
    "returns-false": [on(fn("f", returns=False)), *fire(cancelable=True)],
    "prevented-twice": [
        on(fn("f", PREVENT)),
        *fire(cancelable=True),
        call("t.dispatchEvent", ref("e")),
    ],
    "handleEvent": [on(handler("h", get("event.type"))), *fire()],
    "handleEvent-throws": [on(handler("h", throw())), on(fn("g")), *fire()],
    "handleEvent-missing": [on({"handler": "h"}), on(fn("g")), *fire()],
    "handleEvent-same-twice": [on(handler("h")), on(handler("h")), on(handler("h"), True), *fire()],
    "handleEvent-removed": [on(handler("h")), off(handler("h")), *fire()],
    "handleEvent-set-later": [
        on({"handler": "h"}),
        put("h.handleEvent", fn("f")),
        *fire(),
    ],
    "handleEvent-not-callable": [
        on({"handler": "h"}),
        put("h.handleEvent", 1),
        on(fn("g")),
        *fire(),
    ],
    "nested": [on(fn("f", *fire("e2", type="y"))), on(fn("g")), on(fn("h"), type="y"), *fire()],
    "nested-same-event": [
        on(fn("f", call("t.dispatchEvent", ref("event")))),
        on(fn("g")),
        *fire(),
    ],
    "dispatched-twice": [on(fn("f")), *fire(), call("t.dispatchEvent", ref("e"))],
    "on-another-target": [
        on(fn("f", call("u.dispatchEvent", ref("event")))),
        on(fn("g"), target="u"),
        *fire(),
        call("u.dispatchEvent", ref("e")),
        get("e.target"),
    ],
    "after-dispatch": [
        on(fn("f")),
        *fire(bubbles=True, composed=True),
        get("e.target"),
        get("e.currentTarget"),
        get("e.eventPhase"),
        call("e.composedPath"),
        get("e.srcElement"),
        get("e.isTrusted"),
    ],
    "before-dispatch": [
        new("Event", "x", name="e"),
        get("e.target"),
        get("e.currentTarget"),
        get("e.eventPhase"),
        call("e.composedPath"),
        get("e.srcElement"),
    ],
    "no-listener": [*fire(), *fire("e2", cancelable=True)],
    "callback-null": [on(None), off(None), *fire()],
    "callback-undefined": [off(UNDEFINED), *fire()],
    **{
        f"callback-{name}": [on(value), off(value), *fire()]
        for name, value in {"number": 1, "text": "f", "true": True}.items()
    },
    "no-arguments": [
        call("t.addEventListener"),
        call("t.removeEventListener"),
        call("t.dispatchEvent"),
    ],
    "one-argument": [call("t.removeEventListener", "x")],
    "dispatch-of-null": [call("t.dispatchEvent", None)],
    "dispatch-of-object": [call("t.dispatchEvent", obj(type="x"))],
    "dispatch-of-text": [call("t.dispatchEvent", "x")],
    "options-null": [on(fn("f"), None), off(fn("f"), True), *fire()],
    "options-undefined": [on(fn("f"), UNDEFINED), *fire()],
    "options-empty": [on(fn("f"), obj()), *fire()],
    "options-number": [on(fn("f"), 1), off(fn("f")), *fire()],
    "options-zero": [on(fn("f"), 0), off(fn("f"), True), *fire()],
    "options-text": [on(fn("f"), "x"), off(fn("f"), obj(capture=True)), *fire()],
    "options-empty-text": [on(fn("f"), ""), off(fn("f"), obj(capture=False)), *fire()],
    "options-truthy": [on(fn("f"), obj(once=1, capture="yes")), *fire(), *fire("e2")],
    "options-falsy": [on(fn("f"), obj(once=0, capture="", passive=None)), *fire(), *fire("e2")],
    "options-nan": [on(fn("f"), obj(once={"number": "NaN"})), *fire(), *fire("e2")],
    "options-undefined-members": [on(fn("f"), obj(once=UNDEFINED, signal=UNDEFINED)), *fire()],
    "options-unknown": [on(fn("f"), obj(twice=True)), *fire()],
    "signal-null": [on(fn("f"), obj(signal=None)), *fire()],
    "signal-text": [on(fn("f"), obj(signal="x")), *fire()],
    "signal-object": [on(fn("f"), obj(signal=obj())), *fire()],
    "signal": [
        new("AbortController", name="c"),
        on(fn("f"), obj(signal={"get": "c.signal"})),
        on(fn("g")),
        *fire(),
        call("c.abort"),
        *fire("e2"),
    ],
    "signal-aborted": [
        new("AbortController", name="c"),
        call("c.abort"),
        on(fn("f"), obj(signal={"get": "c.signal"})),
        *fire(),
    ],
    "signal-aborted-within": [
        new("AbortController", name="c"),
        on(fn("f", call("c.abort")), obj(signal={"get": "c.signal"})),
        on(fn("g"), obj(signal={"get": "c.signal"})),
        on(fn("h")),
        *fire(),
        *fire("e2"),
    ],
    "signal-of-removed-and-added-again": [
        new("AbortController", name="c"),
        on(fn("f"), obj(signal={"get": "c.signal"})),
        off(fn("f")),
        on(fn("f")),
        call("c.abort"),
        *fire(),
    ],
    "signal-second-registration": [
        new("AbortController", name="c"),
        on(fn("f")),
        on(fn("f"), obj(signal={"get": "c.signal"})),
        call("c.abort"),
        *fire(),
    ],
    "signal-and-once": [
        new("AbortController", name="c"),
        on(fn("f"), obj(signal={"get": "c.signal"}, once=True)),
        *fire(),
        call("c.abort"),
        *fire("e2"),
    ],
}

#: Scripts with a socket that is never connected: `open` and the like are dispatched by hand.
ON_SOCKET: dict[str, list[Step]] = {
    "handler-in-order": [
        on(fn("f"), target="a", type="open"),
        put("a.onopen", fn("g")),
        on(fn("h"), target="a", type="open"),
        *fire(target="a", type="open"),
    ],
    "handler-replaced-keeps-its-place": [
        put("a.onopen", fn("f")),
        on(fn("g"), target="a", type="open"),
        put("a.onopen", fn("h")),
        *fire(target="a", type="open"),
    ],
    "handler-null-loses-its-place": [
        put("a.onopen", fn("f")),
        on(fn("g"), target="a", type="open"),
        put("a.onopen", None),
        put("a.onopen", fn("h")),
        *fire(target="a", type="open"),
    ],
    "handler-number-loses-its-place": [
        put("a.onopen", fn("f")),
        on(fn("g"), target="a", type="open"),
        put("a.onopen", 5),
        get("a.onopen"),
        put("a.onopen", fn("h")),
        *fire(target="a", type="open"),
    ],
    "handler-object-keeps-its-place": [
        put("a.onopen", fn("f")),
        on(fn("g"), target="a", type="open"),
        put("a.onopen", {"handler": "o"}),
        get("a.onopen"),
        *fire(target="a", type="open"),
        put("a.onopen", fn("h")),
        *fire("e2", target="a", type="open"),
    ],
    "handler-with-handleEvent": [
        put("a.onopen", handler("o", get("event.type"))),
        *fire(target="a", type="open"),
    ],
    "handler-same-as-listener": [
        on(fn("f"), target="a", type="open"),
        put("a.onopen", fn("f")),
        *fire(target="a", type="open"),
    ],
    "handler-not-removable": [
        put("a.onopen", fn("f")),
        off(fn("f"), target="a", type="open"),
        *fire(target="a", type="open"),
    ],
    "handler-returns-false": [
        put("a.onopen", fn("f", returns=False)),
        *fire(target="a", type="open", cancelable=True),
    ],
    "handler-returns-true": [
        put("a.onopen", fn("f", returns=True)),
        *fire(target="a", type="open", cancelable=True),
    ],
    "onerror-returns-true": [
        put("a.onerror", fn("f", returns=True)),
        *fire(target="a", type="error", cancelable=True),
    ],
    "onerror-returns-false": [
        put("a.onerror", fn("f", returns=False)),
        *fire(target="a", type="error", cancelable=True),
    ],
    "handler-throws": [
        put("a.onopen", fn("f", throw())),
        on(fn("g"), target="a", type="open"),
        *fire(target="a", type="open"),
    ],
    "handler-set-within": [
        on(fn("f", put("a.onopen", fn("h"))), target="a", type="open"),
        *fire(target="a", type="open"),
        *fire("e2", target="a", type="open"),
    ],
    "handler-replaced-within": [
        on(fn("f", put("a.onopen", fn("h"))), target="a", type="open"),
        put("a.onopen", fn("g")),
        *fire(target="a", type="open"),
    ],
    "handler-replaces-itself": [
        put("a.onopen", fn("f", put("a.onopen", fn("g")))),
        *fire(target="a", type="open"),
        *fire("e2", target="a", type="open"),
    ],
    "handler-removed-within": [
        on(fn("f", put("a.onopen", None)), target="a", type="open"),
        put("a.onopen", fn("g")),
        on(fn("h"), target="a", type="open"),
        *fire(target="a", type="open"),
    ],
    "handler-for-other-type": [put("a.onmessage", fn("f")), *fire(target="a", type="open")],
    "handler-of-no-event": [
        put("a.onfoo", fn("f")),
        get("a.onfoo"),
        *fire(target="a", type="foo"),
    ],
    "handler-and-capture": [
        put("a.onopen", fn("f")),
        on(fn("g"), True, target="a", type="open"),
        *fire(target="a", type="open"),
    ],
    "handler-passed-by-event-class": [
        put("a.onmessage", fn("f")),
        put("a.onclose", fn("g")),
        *fire(target="a", type="message"),
        new("CloseEvent", "close", obj(code=3000, reason="r", wasClean=True), name="c"),
        call("a.dispatchEvent", ref("c")),
        new("MessageEvent", "message", obj(data="d"), name="m"),
        call("a.dispatchEvent", ref("m")),
        get("m.isTrusted"),
    ],
}


def scenarios() -> Iterator[Scenario]:
    for name, steps in ON_TARGET.items():
        more = [new("EventTarget", name="u")] if name == "on-another-target" else []
        yield scenario("listeners", name, [TARGET, *more, *steps])
    for name, steps in ON_SOCKET.items():
        script = [ws("{refused}/", quiet=True), *steps]
        yield scenario("listeners", f"socket-{name}", script)
    yield from _trusted()


def _trusted() -> Iterator[Scenario]:
    """The same, on events that the socket fires."""
    message = {"target": "a", "type": "message"}
    server = (
        ACCEPT,
        GONE_ON,
        write(text("1"), text("2"), text("3"), close()),
        ["expect", "close"],
        FIN,
    )
    scripts: dict[str, list[Step]] = {
        "messages": [put("a.onmessage", fn("f")), on(fn("g"), **message)],
        "once": [on(fn("f"), ONCE, **message), on(fn("g"), **message)],
        "capture": [on(fn("f"), **message), on(fn("g"), True, **message)],
        "remove-itself": [on(fn("f", off(fn("f"), **message)), **message)],
        "remove-next": [on(fn("f", off(fn("g"), **message)), **message), on(fn("g"), **message)],
        "add-within": [on(fn("f", on(fn("g"), **message)), **message)],
        "throw": [on(fn("f", throw()), **message), put("a.onmessage", fn("g", throw()))],
        "stop": [on(fn("f", STOP_NOW), **message), on(fn("g"), **message)],
        "prevent": [on(fn("f", PREVENT), **message), put("a.onmessage", fn("g", returns=False))],
        "replace": [put("a.onmessage", fn("f", put("a.onmessage", fn("g")))), state()],
        "unset-within": [put("a.onmessage", fn("f", put("a.onmessage", None)))],
        "object-handler": [put("a.onmessage", handler("o")), on(handler("p"), **message)],
        "dispatch-again": [
            on(fn("f", call("a.dispatchEvent", ref("event"))), ONCE, **message),
        ],
        "dispatch-by-hand-within": [
            on(fn("f", *fire("e", target="a", type="open")), ONCE, **message),
            put("a.onopen", fn("o")),
        ],
        "keep-and-dispatch": [
            on(fn("f", get("event.target", **{"as": "kept"})), ONCE, **message),
        ],
        "init-within": [
            on(fn("f", call("event.initEvent", "y", True, True), get("event.type")), **message)
        ],
        "signal": [
            new("AbortController", name="c"),
            on(fn("f", call("c.abort")), obj(signal={"get": "c.signal"}), **message),
            on(fn("g"), obj(signal={"get": "c.signal"}), **message),
        ],
        "wait-for-listener": [],
    }
    go = on(fn("go", GO), ONCE, target="a", type="open")
    for name, steps in scripts.items():
        yield scenario("listeners", f"trusted-{name}", [ws(quiet=True), go, *steps], *server)
    yield scenario(
        "listeners",
        "trusted-event-is-redispatched-later",
        [
            ws(open=[get("event.type"), CLOSE_IT]),
            TARGET,
            on(fn("f"), type="open"),
            on(fn("g", call("t.dispatchEvent", ref("kept"))), target="a", type="close"),
            on({"fn": "keep", "do": [{"get": "a.readyState"}]}, target="a", type="open"),
            new("Event", "open", name="kept"),
        ],
    )
