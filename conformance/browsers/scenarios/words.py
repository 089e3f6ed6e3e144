"""The words that scenarios are made of. A scenario is data (JSON); these functions make it.

A scenario is a dict: `name`, `area`, `script` (the steps of the page's script) and `server` (for
each path that connections are made to, the steps of the server's script; "" is the default), and
`aborts` where it is left to chance what the server hears.

Steps of the page, carried out in order and without a break, as a script is:

    {"new": "WebSocket", "args": [...], "as": "a"}     make an object and name it
    {"call": "a.send", "args": [...]}                  call a member, and trace what it returns
    {"get": "a.url"}, {"set": "a.binaryType", "to": v} read or set a member
    {"state": "a"}                                     trace all attributes of a socket
    {"throw": {"error": 1}}                            throw a TypeError
    {"after": [steps]}                                 carry out steps in a later task
    {"awaitEvent": ["a", "abort"]}                     the scenario lasts until that event

`new`, `call`, `get` and `set` may have a `label`, by which the trace calls them, and `as`, which
names their result. A new WebSocket is listened to: each event is traced, and then the steps are
carried out that its `on` has for the event's type; `quiet` leaves the listening to the scenario,
and `acknowledge` (as `["sync", "ack"]`) has "ack" sent after `open` and after each message "sync".
The scenario lasts until every socket has fired `close` and every promise is settled.

Values: JSON's own are themselves. Besides:

    {"ref": "a"}, {"get": "a.onopen"}        a named object; an object's member
    {"fn": "f", "do": [steps], "returns": v} a listener; the same name is the same function
    {"handler": "h", "do": [steps]}          an object with handleEvent; without `do` an empty one
    {"undefined": 1}, {"number": "NaN"}, {"utf16": [0xd800]}, {"repeat": ["x", 100]}
    {"bytes": "00ff"}, {"bytes": [7, 100]}   an ArrayBuffer from hex, or of 100 bytes 7
    {"view": "Uint16Array", "size": 2, "bytes": ..., "offset": 2, "length": 1}
    {"blob": [parts], "options": {...}}, {"error": 1, "name": "AbortError"}, {"object": {...}}

Within strings `{ws}` is the scenario's own URL without a final slash, `{http}` the same with
`http:`, `{rest}` it without a scheme's colon; `{refused}` is where no server listens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Step = dict[str, Any]
Scenario = dict[str, Any]
Value = Any

UNDEFINED: Value = {"undefined": 1}
CLOSE_IT: Step = {"call": "a.close"}


def scenario(
    area: str,
    name: str,
    script: Sequence[Step],
    *server: Any,
    aborts: bool = False,
    **scripts: Sequence[Any],
) -> Scenario:
    """A scenario whose server does `server`; by default it accepts and echoes.

    `aborts`: it closes a socket while CONNECTING, and chance says what the server hears.
    """
    made: Scenario = {"name": f"{area}/{name}", "area": area, "script": list(script), "server": {}}
    if server:
        made["server"][""] = list(server)
    made["server"].update(scripts)
    if aborts:
        made["aborts"] = True
    return made


# -- the page --------------------------------------------------------------------------------------


def new(interface: str, *args: Value, name: str = "x", **more: Any) -> Step:
    """Make an object."""
    return {"new": interface, "args": list(args), "as": name, **more}


def ws(
    url: Value = "{ws}/",
    *protocols: Value,
    name: str = "a",
    quiet: bool = False,
    **on: Sequence[Step],
) -> Step:
    """Make a socket; keywords are the steps for its events."""
    step: Step = {"new": "WebSocket", "args": [url, *protocols], "as": name}
    if on:
        step["on"] = {type: list(steps) for type, steps in on.items()}
    if quiet:
        step["quiet"] = True
    return step


def call(member: str, *args: Value, **more: Any) -> Step:
    """Call a member."""
    return {"call": member, "args": list(args), **more}


def get(member: str, **more: Any) -> Step:
    """Read a member."""
    return {"get": member, **more}


def put(member: str, value: Value) -> Step:
    """Set a member."""
    return {"set": member, "to": value}


def state(name: str = "a") -> Step:
    """Trace a socket's attributes."""
    return {"state": name}


def throw() -> Step:
    """Throw a TypeError."""
    return {"throw": {"error": 1}}


def after(*steps: Step) -> Step:
    """Do something in a later task."""
    return {"after": list(steps)}


def fn(name: str, *steps: Step, **more: Any) -> Value:
    """A listener."""
    return {"fn": name, "do": list(steps), **more}


def handler(name: str, *steps: Step) -> Value:
    """An object with handleEvent."""
    return {"handler": name, "do": list(steps)}


def obj(**members: Value) -> Value:
    """A dictionary."""
    return {"object": members}


def blob(*parts: Value, **options: Value) -> Value:
    """A Blob."""
    return {"blob": list(parts), "options": {"object": options}}


# -- the server ------------------------------------------------------------------------------------

ACCEPT = ["accept"]
SERVE = ["serve"]
FIN = ["fin"]
RESET = ["reset"]
#: Waits for the client to end the connection.
WAIT = ["wait"]
GOOD_HEAD = (
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: {accept}",
)


#: What the server waits for before it goes on, so that the page has seen `open`.
GO: Step = {"call": "a.send", "args": ["go"], "label": "go"}
GONE_ON = ["expect", "text"]


def accept(*headers: str) -> list[Any]:
    """Accept with more header lines."""
    return ["accept", *headers]


def respond(*lines: str) -> list[Any]:
    """Answer with these lines."""
    return ["respond", *lines]


def write(*pieces: Any) -> list[Any]:
    """Send pieces in one go."""
    return ["write", *pieces]


def expect(*kinds: str) -> list[Any]:
    """Wait for what the client sends."""
    return ["expect", *kinds]


def pause(milliseconds: int = 20) -> list[Any]:
    """Have what follows come in a segment of its own."""
    return ["pause", milliseconds]


def head(*lines: str) -> Any:
    """A response's head, as a piece."""
    return {"head": list(lines)}


def frame(opcode: int, payload: Any = "", **more: Any) -> Any:
    """A frame: `fin`, `rsv` (4 is RSV1), `masked`, `deflated`."""
    return {"opcode": opcode, "payload": payload, **more}


def text(payload: Any = "", **more: Any) -> Any:
    """A text frame."""
    return frame(1, payload, **more)


def binary(payload: str = "", **more: Any) -> Any:
    """A binary frame, from hex."""
    return frame(2, {"hex": payload}, **more)


def rest(payload: Any = "", **more: Any) -> Any:
    """A continuation frame."""
    return frame(0, payload, **more)


def ping(payload: Any = "", **more: Any) -> Any:
    """A Ping."""
    return frame(9, payload, **more)


def pong(payload: Any = "", **more: Any) -> Any:
    """A Pong."""
    return frame(10, payload, **more)


def close(code: int | None = 1000, reason: Any = "", **more: Any) -> Any:
    """A Close frame; without a code its body is `reason` alone."""
    return frame(8, reason, **more) if code is None else frame(8, reason, code=code, **more)


def raw(hexadecimal: str) -> Any:
    """Bytes as they are."""
    return {"raw": {"hex": hexadecimal}}
