"""Events constructed and dispatched by hand: arguments of all types, legacy methods, constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import UNDEFINED, Scenario, Step, Value, blob, call, fn, get, new, obj, put, scenario

EVENT = ("type", "target", "bubbles", "cancelable", "composed", "defaultPrevented", "returnValue")
MORE = {
    "Event": (),
    "MessageEvent": ("data", "origin", "lastEventId", "source", "ports"),
    "CloseEvent": ("wasClean", "code", "reason"),
}

NOT_A_NUMBER: Value = {"number": "NaN"}

#: Arguments behind the type.
ARGUMENTS: dict[str, dict[str, list[Value]]] = {
    "Event": {
        "nothing": [],
        "undefined": [UNDEFINED],
        "null": [None],
        "empty": [obj()],
        "all": [obj(bubbles=True, cancelable=True, composed=True)],
        "truthy": [obj(bubbles=1, cancelable="x", composed=obj())],
        "falsy": [obj(bubbles=0, cancelable="", composed=None)],
        "nan": [obj(bubbles=NOT_A_NUMBER, cancelable=NOT_A_NUMBER, composed=NOT_A_NUMBER)],
        "unknown": [obj(detail=1, target="x")],
        "number": [1],
        "text": ["x"],
        "true": [True],
    },
    "MessageEvent": {
        "nothing": [],
        "all": [obj(data="d", origin="o", lastEventId="l", source=None, ports=[], bubbles=True)],
        "data-null": [obj(data=None)],
        "data-undefined": [obj(data=UNDEFINED)],
        "data-number": [obj(data=1.5)],
        "data-list": [obj(data=[1, "a", None])],
        "data-blob": [obj(data=blob("x", type="t/u"))],
        "data-buffer": [obj(data={"bytes": "0001"})],
        "origin-number": [obj(origin=1)],
        "origin-null": [obj(origin=None)],
        "origin-surrogate": [obj(origin={"utf16": [0xD800]})],
        "origin-undefined": [obj(origin=UNDEFINED)],
        "id-number": [obj(lastEventId=7)],
        "id-surrogate": [obj(lastEventId={"utf16": [0xD800]})],
        "source-null": [obj(source=None)],
        "source-text": [obj(source="x")],
        "source-object": [obj(source=obj())],
        "ports-null": [obj(ports=None)],
        "ports-text": [obj(ports="x")],
        "ports-number": [obj(ports=1)],
        "ports-of-numbers": [obj(ports=[1])],
        "ports-undefined": [obj(ports=UNDEFINED)],
        "not-a-dictionary": ["x"],
    },
    "CloseEvent": {
        "nothing": [],
        "all": [obj(wasClean=True, code=4000, reason="r\u00e9", cancelable=True)],
        "truthy": [obj(wasClean="x")],
        "nan": [obj(wasClean=NOT_A_NUMBER)],
        "reason-null": [obj(reason=None)],
        "reason-number": [obj(reason=1e21)],
        "reason-surrogate": [obj(reason={"utf16": [0xDC00]})],
        "reason-long": [obj(reason={"repeat": ["x", 1000]})],
        "undefined-members": [obj(code=UNDEFINED, reason=UNDEFINED, wasClean=UNDEFINED)],
        "not-a-dictionary": [7],
        **{
            f"code-{name}": [obj(code=value)]
            for name, value in {
                "65535": 65535,
                "65536": 65536,
                "negative": -1,
                "fraction": 1.9,
                "negative-fraction": -0.5,
                "null": None,
                "true": True,
                "text": "12",
                "text-word": "x",
                "text-empty": "",
                "text-space": " 7 ",
                "text-hex": "0x10",
                "nan": NOT_A_NUMBER,
                "infinity": {"number": "Infinity"},
                "huge": 1e20,
                "list": [],
                "object": obj(),
            }.items()
        },
    },
}

TYPES: dict[str, Value] = {
    "empty": "",
    "null": None,
    "undefined": UNDEFINED,
    "number": 1.5,
    "true": True,
    "nan": NOT_A_NUMBER,
    "surrogate": {"utf16": [0xD800]},
    "list": [],
    "object": obj(),
}


def read(interface: str, name: str = "e") -> list[Step]:
    """Read all attributes."""
    return [get(f"{name}.{member}") for member in (*EVENT, *MORE[interface])]


def scenarios() -> Iterator[Scenario]:
    for interface, cases in ARGUMENTS.items():
        for name, arguments in cases.items():
            yield scenario(
                "events",
                f"{interface}-{name}",
                [new(interface, "x", *arguments, name="e"), *_if_made(interface, arguments)],
            )
        for name, type in TYPES.items():
            script = [new(interface, type, name="e")]
            script += [get("e.type")] if name not in ("object", "list") else []
            yield scenario("events", f"{interface}-type-{name}", script)
        yield scenario("events", f"{interface}-no-arguments", [new(interface, name="e")])
    yield from _members()
    yield from _legacy()


#: What makes the constructor throw; of the others the attributes are read.
def _if_made(interface: str, arguments: list[Value]) -> list[Step]:
    bad: tuple[Any, ...] = (1, 7, "x", True)
    if any(argument in bad and not isinstance(argument, dict) for argument in arguments):
        return []
    members = arguments[0].get("object", {}) if arguments and arguments[0] else {}
    if isinstance(members.get("source"), (str, dict)) or (
        "ports" in members and members["ports"] not in ([], UNDEFINED)
    ):
        return []
    return read(interface) if members.get("code") != [] and members.get("code") != obj() else []


def _members() -> Iterator[Scenario]:
    constants = ("NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE")
    yield scenario(
        "events",
        "constants",
        [
            new("Event", "x", name="e"),
            *(get(f"{owner}.{name}") for owner in ("Event", "e") for name in constants),
        ],
    )
    yield scenario(
        "events",
        "read-only",
        [
            new("CloseEvent", "x", name="e"),
            *(
                put(f"e.{name}", 1)
                for name in (*EVENT[:-1], *MORE["CloseEvent"], "isTrusted", "eventPhase")
            ),
            *read("CloseEvent"),
        ],
    )
    yield scenario(
        "events",
        "prevent-outside-of-dispatch",
        [
            new("Event", "x", obj(cancelable=True), name="e"),
            call("e.preventDefault"),
            *read("Event"),
            new("EventTarget", name="t"),
            call("t.addEventListener", "x", fn("f")),
            call("t.dispatchEvent", {"ref": "e"}),
        ],
    )
    for interface in MORE:
        yield scenario(
            "events",
            f"{interface}-is-dispatched",
            [
                new("EventTarget", name="t"),
                call("t.addEventListener", "x", fn("f")),
                new(interface, "x", obj(bubbles=True, cancelable=True), name="e"),
                call("t.dispatchEvent", {"ref": "e"}),
                call("t.dispatchEvent", {"ref": "e"}),
            ],
        )


def _legacy() -> Iterator[Scenario]:
    event = new("Event", "x", obj(cancelable=True, composed=True), name="e")
    target = new("EventTarget", name="t")
    init = call("e.initEvent", "y", True, False)
    yield scenario("events", "initEvent", [event, init, *read("Event"), get("e.composed")])
    yield scenario(
        "events", "initEvent-defaults", [event, call("e.initEvent", "y"), *read("Event")]
    )
    yield scenario("events", "initEvent-no-arguments", [event, call("e.initEvent"), *read("Event")])
    yield scenario(
        "events", "initEvent-types", [event, call("e.initEvent", None, 1, ""), *read("Event")]
    )
    yield scenario(
        "events",
        "initEvent-forgets",
        [
            target,
            event,
            call("t.addEventListener", "x", fn("f", call("event.preventDefault"))),
            call("t.dispatchEvent", {"ref": "e"}),
            call("e.stopPropagation"),
            init,
            *read("Event"),
            get("e.cancelBubble"),
            get("e.isTrusted"),
        ],
    )
    yield scenario(
        "events",
        "initEvent-during-dispatch",
        [
            target,
            event,
            call("t.addEventListener", "x", fn("f", call("event.initEvent", "y", True, True))),
            call("t.dispatchEvent", {"ref": "e"}),
            *read("Event"),
        ],
    )
    message = new("MessageEvent", "x", obj(data="d", origin="o"), name="e")
    for name, arguments in {
        "all": ["y", True, True, "data", "origin", "id", None, []],
        "defaults": ["y"],
        "undefined": ["y", UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED],
        "no-arguments": [],
        "types": [1, 1, 0, 5, 6, 7],
        "bad-source": ["y", True, True, "data", "origin", "id", 1],
        "bad-ports": ["y", True, True, "data", "origin", "id", None, 1],
    }.items():
        yield scenario(
            "events",
            f"initMessageEvent-{name}",
            [message, call("e.initMessageEvent", *arguments), *read("MessageEvent")],
        )
    yield scenario(
        "events",
        "initMessageEvent-during-dispatch",
        [
            target,
            message,
            call("t.addEventListener", "x", fn("f", call("event.initMessageEvent", "y"))),
            call("t.dispatchEvent", {"ref": "e"}),
            *read("MessageEvent"),
        ],
    )
