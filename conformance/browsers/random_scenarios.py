"""Random scenarios, made by hypothesis, and what to do with one that disagrees.

Only what is left to nobody's chance may be in them, so that each has one right trace: the server
sends the next thing when the page has acknowledged the last one, and it ends the connection when
nothing is on its way. They keep away from where the browsers are known to differ
(`explanations.json`): capture listeners, codes that are no integers, resets, frames behind a broken
one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .scenarios.words import (
    ACCEPT,
    CLOSE_IT,
    FIN,
    GOOD_HEAD,
    UNDEFINED,
    WAIT,
    Scenario,
    Step,
    Value,
    accept,
    blob,
    call,
    close,
    fn,
    frame,
    get,
    handler,
    new,
    obj,
    ping,
    pong,
    put,
    raw,
    respond,
    rest,
    scenario,
    state,
    text,
    throw,
    write,
    ws,
)

# -- values ----------------------------------------------------------------------------------------

characters = st.one_of(
    st.characters(max_codepoint=0x7F),
    st.characters(exclude_categories=("Cs",)),
    st.sampled_from("\0\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff\ufeff\ufffd"),
)
#: With "sync" the server asks whether all before it has been dispatched; "ack" says so. No other
#: text is one of these, or the server would go on too early: hypothesis tries a module's constants.
SYNC, ACK = "sync", "ack"

# A brace would be taken for a place's name.
texts = (
    st.text(characters, max_size=8)
    .map(lambda text: text.replace("{", "("))
    .filter(lambda text: text not in (SYNC, ACK))
)
units = st.lists(
    st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0x61, 0xD800, 0xDBFF, 0xDC00, 0xDFFF])),
    max_size=4,
)
broken_texts = st.builds(lambda units: {"utf16": units}, units)
hexes = st.binary(max_size=9).map(bytes.hex)
buffers = hexes.map(lambda digits: {"bytes": digits})
sizes = st.sampled_from([0, 1, 125, 126, 127, 1000, 65535, 65536, 70000])


@st.composite
def views(draw: Any) -> Value:
    """A view of some kind on a part of a buffer."""
    name, size = draw(
        st.sampled_from(
            [
                *[("Int8Array", 1), ("Uint8Array", 1), ("Uint8ClampedArray", 1), ("DataView", 1)],
                *[("Int16Array", 2), ("Uint16Array", 2), ("Int32Array", 4), ("Float32Array", 4)],
                *[("Float64Array", 8), ("BigInt64Array", 8)],
            ]
        )
    )
    content = draw(st.binary(min_size=16, max_size=16)).hex()
    offset = draw(st.integers(0, 16 // size)) * size
    length = draw(st.integers(0, (16 - offset) // size))
    return {"view": name, "size": size, "bytes": content, "offset": offset, "length": length}


numbers = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e-5, 1e-5),
    st.floats(1e18, 1e24),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "-0"]).map(lambda name: {"number": name}),
)
primitives = st.one_of(st.none(), st.booleans(), numbers, texts, broken_texts, st.just(UNDEFINED))
blobs = st.recursive(
    st.builds(blob, texts | buffers),
    lambda inner: st.lists(texts | broken_texts | buffers | views() | inner, max_size=3).map(
        lambda parts: blob(*parts)
    ),
    max_leaves=4,
)
data = st.one_of(
    texts,
    broken_texts,
    buffers,
    views(),
    blobs,
    numbers,
    st.sampled_from([None, True, False, UNDEFINED]),
    st.builds(lambda char, size: {"repeat": [char, size]}, st.sampled_from("x\u20ac"), sizes),
    st.builds(lambda byte, size: {"bytes": [byte, size]}, st.integers(0, 255), sizes),
)

codes = st.one_of(
    st.sampled_from([1000, 3000, 3001, 4000, 4999, 1000, 3000, 999, 1001, 1005, 2999, 5000, 0, -1]),
    st.integers(-70000, 140000),
    st.sampled_from(["1000", " 3000 ", "0xbb8", "x", "", "1e3", "+3000", "Infinity"]),
    st.sampled_from([None, True, UNDEFINED]),
)
reasons = st.one_of(
    st.just(""),
    texts,
    broken_texts,
    st.sampled_from([None, UNDEFINED, 5]),
    st.integers(118, 126).map(lambda size: {"repeat": ["x", size]}),
    st.integers(39, 43).map(lambda size: {"repeat": ["\u20ac", size]}),
)


@st.composite
def closings(draw: Any) -> Step:
    """A call of `close()`; a reason goes with a code, since the browsers differ about it alone."""
    arguments = draw(st.sampled_from([0, 1, 2, 2]))
    code = draw(codes.filter(lambda code: code != UNDEFINED) if arguments == 2 else codes)
    return call("a.close", *[code, draw(reasons)][:arguments])


# -- what a page does ------------------------------------------------------------------------------

listener_names = st.sampled_from(["f", "g", "h"])
event_types = st.sampled_from(["open", "message", "error", "close", "x"])
ATTRIBUTES = ("readyState", "extensions", "protocol", "binaryType", "url")


@st.composite
def listeners(draw: Any, depth: int) -> Value:
    """A function, or an object with handleEvent, of few names, so that they recur."""
    name = draw(listener_names)
    if draw(st.integers(0, 5)) == 0:
        return handler(f"h{name}{depth}", *draw(actions(depth - 1)))
    more = {"returns": draw(st.booleans())} if draw(st.integers(0, 4)) == 0 else {}
    return fn(f"{name}{depth}", *draw(actions(depth - 1)), **more)


@st.composite
def listening(draw: Any, depth: int) -> list[Step]:
    """Adding, removing or setting a listener."""
    kind = draw(st.sampled_from(["add", "add", "add", "remove", "set", "unset", "signal"]))
    type = draw(event_types)
    if kind == "add":
        options = draw(
            st.sampled_from(
                [[], [], [obj(once=True)], [obj(passive=True)], [False], [None], [obj(once=False)]]
            )
        )
        return [call("a.addEventListener", type, draw(listeners(depth)), *options)]
    if kind == "remove":
        return [call("a.removeEventListener", type, draw(listeners(depth)))]
    if kind == "signal":
        # The names are used for nothing else: the browsers differ about one that is added again.
        signal = {"get": "c.signal"}
        listener = fn(f"s{type}{depth}", *draw(actions(depth - 1)))
        add = call("a.addEventListener", type, listener, obj(signal=signal))
        return draw(st.sampled_from([[add], [add], [call("c.abort")]]))
    handler_type = draw(st.sampled_from(["open", "message", "error", "close"]))
    if kind == "set":
        return [put(f"a.on{handler_type}", draw(listeners(depth)))]
    return [put(f"a.on{handler_type}", draw(st.sampled_from([None, 1, "x", UNDEFINED])))]


@st.composite
def dispatching(draw: Any) -> list[Step]:
    """Dispatching an event made by hand; `close` is left to the socket."""
    interface = draw(st.sampled_from(["Event", "MessageEvent", "CloseEvent"]))
    type = draw(st.sampled_from(["open", "message", "error", "x"]))
    init = draw(st.dictionaries(st.sampled_from(["bubbles", "cancelable"]), st.booleans()))
    return [new(interface, type, obj(**init), name="e"), call("a.dispatchEvent", {"ref": "e"})]


@st.composite
def actions(draw: Any, depth: int, most: int = 3) -> list[Step]:
    """What a script or a listener does."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, most)) if depth > 0 else draw(st.integers(0, 1))):
        kind = draw(st.integers(0, 13))
        if kind <= 3:
            steps.append(call("a.send", draw(data)))
        elif kind == 4:
            steps.append(draw(closings()))
        elif kind == 5:
            steps.append(put("a.binaryType", draw(st.sampled_from(["blob", "arraybuffer", "x"]))))
        elif kind <= 9 and depth > 0:
            steps += draw(listening(depth))
        elif kind == 10:
            steps.append(get(f"a.{draw(st.sampled_from(ATTRIBUTES))}"))
        elif kind == 11 and depth > 0 and depth < 3:
            steps += draw(dispatching())
        elif kind == 12:
            steps.append(call("event.preventDefault") if depth < 3 else get("a.onmessage"))
        elif kind == 13 and depth < 3:
            steps.append(draw(st.sampled_from([throw(), call("event.stopImmediatePropagation")])))
    return steps


# -- conversations ---------------------------------------------------------------------------------


@st.composite
def messages(draw: Any) -> list[Any]:
    """The frames of one message, or a control frame."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return [draw(st.sampled_from([ping, pong]))(draw(texts.filter(lambda t: len(t) < 30)))]
    is_text = kind < 4
    content = draw(texts).encode() if is_text else draw(st.binary(max_size=12))
    if draw(st.integers(0, 7)) == 0:
        long = {"repeat": ["\u20ac", draw(st.sampled_from([42, 43, 300, 21845, 21846, 30000]))]}
        return [frame(1 if is_text else 2, long)]
    cuts = sorted(draw(st.lists(st.integers(0, min(len(content), 40)), max_size=2)))
    ends = [*cuts, len(content)]
    starts = [0, *cuts]
    pieces = [{"hex": content[start:end].hex()} for start, end in zip(starts, ends, strict=True)]
    frames = []
    for at, piece in enumerate(pieces):
        opcode = 0 if at else 1 if is_text else 2
        frames.append(frame(opcode, piece, fin=at == len(pieces) - 1))
        if at < len(pieces) - 1 and draw(st.integers(0, 4)) == 0:
            frames.append(ping("within"))
    return frames


valid_codes = st.sampled_from([None, 1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 3000, 4999])
bad_frames = st.sampled_from(
    [
        *(frame(opcode, "x") for opcode in (3, 7, 11, 15)),
        *(text("x", rsv=rsv) for rsv in (1, 2, 4)),
        *(frame(1, {"hex": payload}) for payload in ("ff", "c328", "eda080", "f4908080", "80")),
        rest("x"),
        ping({"repeat": ["x", 126]}),
        ping("x", fin=False),
        close(1000, {"hex": "ff"}),
        raw("817e0001" + "61"),
    ]
)


@st.composite
def endings(draw: Any) -> list[Any]:
    """How the server ends, when nothing is on its way."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return [write(draw(bad_frames)), WAIT]
    if kind == 1:
        return [FIN]
    code = draw(valid_codes)
    reason = draw(texts.filter(lambda text: len(text.encode()) < 100)) if code else ""
    return [write(close(code, reason)), ["expect", "close"], FIN]


@st.composite
def conversations(draw: Any) -> Scenario:
    """A socket, and a server with a few rounds of messages."""
    rounds = draw(st.lists(st.lists(messages(), max_size=3), max_size=3))
    server: list[Any] = [draw(st.sampled_from([ACCEPT, ACCEPT, accept("X: y")])), ["until", ACK]]
    for sent in rounds:
        pieces = [piece for frames in sent for piece in frames]
        server += [write(*pieces, text(SYNC)), ["until", ACK]]
    server += draw(endings())
    on = {
        type: draw(actions(2))
        for type in ("open", "message", "error", "close")
        if draw(st.booleans())
    }
    script = [
        {"new": "AbortController", "args": [], "as": "c"},
        ws(**on) | {"acknowledge": [SYNC, ACK]},
        *draw(actions(3, most=4)),
    ]
    made = scenario("random", "", script, *server)
    # What is closed before it is open: chance says what the server hears.
    made["aborts"] = any(step.get("call") == "a.close" for step in script)
    return made


@st.composite
def handshakes(draw: Any) -> Scenario:
    """The constructor's arguments, and a server's answer."""
    path = draw(st.text(characters, max_size=6))
    for char in "{}|^":  # about the last two Chromium has its own mind
        path = path.replace(char, "_")
    token = st.text(st.sampled_from("abcABC019!#$%&'*+-.^_`~"), min_size=1, max_size=3)
    odd = st.text(characters, max_size=3).map(lambda text: text.replace("{", "("))
    asked = draw(st.lists(st.one_of(token, token, token, odd), max_size=3))
    lines = list(GOOD_HEAD)
    if asked:
        lines.append(f"Sec-WebSocket-Protocol: {draw(st.sampled_from(asked))}")
    change = draw(st.integers(0, 6))
    if change == 1:
        lines[draw(st.integers(1, len(lines) - 1))] = "X: y"
    elif change == 2:
        lines.insert(draw(st.integers(1, len(lines))), draw(st.sampled_from(ODD_LINES)))
    elif change == 3:
        lines[0] = f"HTTP/1.1 {draw(st.integers(200, 599))} X"
        lines.append("Content-Length: 0")
    elif change == 4:
        at = draw(st.integers(1, len(lines) - 1))
        lines[at] = draw(st.sampled_from([str.upper, str.lower, str.title]))(lines[at])
    clean = all(0x20 <= ord(char) < 0x7F for line in lines for char in line)
    answer = respond(*lines) if clean else ACCEPT
    return scenario(
        "random",
        "",
        [ws(f"{{ws}}/{path}", *([asked] if asked else []), open=[CLOSE_IT]), state()],
        answer,
        ["serve"],
    )


ODD_LINES = (
    *("nonsense", ": x", "a b: c", "(a): b", "X:", "X: y", " X: y", "Upgrade: websocket"),
    *("Sec-WebSocket-Version: 13", "Content-Length: 0", "Sec-WebSocket-Accept: x", "Server: x"),
    *("Connection: keep-alive", "Date: x", "X: \x01", "Sec-WebSocket-Key: x"),
)


# -- without a network -----------------------------------------------------------------------------


@st.composite
def on_targets(draw: Any) -> Scenario:
    """Listeners on a socket that never connects, and events dispatched by hand."""
    script: list[Step] = [
        {"new": "AbortController", "args": [], "as": "c"},
        ws("{refused}/", quiet=True),
    ]
    for _ in range(draw(st.integers(1, 8))):
        script += draw(st.one_of(listening(2), listening(2), dispatching()))
    script += draw(dispatching())
    return scenario("random", "", script)


@st.composite
def events(draw: Any) -> Scenario:
    """An event's constructor, with members of any primitive type."""
    interface, members = draw(
        st.sampled_from(
            [
                ("Event", ["bubbles", "cancelable", "composed"]),
                ("MessageEvent", ["data", "origin", "lastEventId", "source", "ports", "bubbles"]),
                ("CloseEvent", ["wasClean", "code", "reason", "cancelable"]),
            ]
        )
    )
    init = draw(st.dictionaries(st.sampled_from(members), primitives, max_size=4))
    type = draw(primitives)
    script = [new(interface, type, obj(**init), name="e")]
    bad = init.get("source") not in (None, UNDEFINED) or init.get("ports", UNDEFINED) != UNDEFINED
    if not bad:
        script += [get(f"e.{member}") for member in ["type", *members]]
    return scenario("random", "", script)


@st.composite
def blob_slices(draw: Any) -> Scenario:
    """Blobs of anything, and slices of them."""
    parts = draw(st.lists(st.one_of(primitives, buffers, views(), blobs), max_size=4))
    if any(part == UNDEFINED for part in parts):
        parts = [part for part in parts if part != UNDEFINED]
    kind = draw(st.one_of(texts, st.just("text/Plain")))
    endings = draw(st.sampled_from(["transparent", "native"]))
    positions = st.one_of(st.integers(-12, 12), numbers, st.sampled_from([UNDEFINED, None, "3"]))
    # The content is read as bytes: about a UTF-16 mark Chromium has its own mind.
    return scenario(
        "random",
        "",
        [
            new("Blob", parts, obj(type=kind, endings=endings), name="whole"),
            get("whole.size"),
            get("whole.type"),
            call("whole.slice", *draw(st.lists(positions, max_size=2)), **{"as": "b"}),
            get("b.size"),
            call("b.arrayBuffer"),
        ],
    )


everything = st.one_of(
    conversations(), conversations(), conversations(), handshakes(), on_targets(), events(),
    blob_slices(),
)  # fmt: skip


def generate(count: int, number: int) -> list[Scenario]:
    """`count` scenarios, the same for one seed `number` as long as the code is the same.

    (Hypothesis takes constants that it tries from the program's modules, too.)
    """
    made: list[Scenario] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(everything)
    def collect(scenario: Scenario) -> None:
        made.append(scenario | {"name": f"random/{number}-{len(made)}"})

    collect()
    return made[:count]


# -- shrinking -------------------------------------------------------------------------------------


def shrink(scenario: Scenario, disagrees: Callable[[Scenario], bool]) -> Scenario:
    """The smallest scenario found that still `disagrees`, by leaving things out."""
    progress = True
    while progress:
        progress = False
        for path in reversed(list(_removable(scenario))):
            smaller = _without(scenario, path)
            if smaller is not None and disagrees(smaller):
                scenario, progress = smaller, True
    return scenario


def _removable(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to the items of lists, outer ones first.

    The server's waiting for the page is not among them: without it chance would have a say.
    """
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        waits = isinstance(item, list) and item[:1] == ["until"]
        if isinstance(value, list) and isinstance(item, (dict, list)) and not waits:
            yield (*path, key)
        yield from _removable(item, (*path, key))


def _without(scenario: Scenario, path: tuple[Any, ...]) -> Scenario | None:
    smaller = copy.deepcopy(scenario)
    value: Any = smaller
    try:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]
    except (KeyError, IndexError):  # what held it has gone already
        return None
    return smaller


def shown(scenario: Scenario) -> str:
    """As it would stand in `scenarios/found.json`."""
    return json.dumps(scenario, ensure_ascii=True)
