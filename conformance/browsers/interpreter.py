"""Runs scenarios on webapi: `python -m conformance.browsers.interpreter HUB SLOTS`.

The twin of `page/interpreter.js`, step by step: both must write the same trace for the same
scenario. The vocabulary is described in `scenarios/words.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import re
import sys
import urllib.request
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar

import webapi

from .server import shown_bytes

DEADLINE = 8.0
LONGEST_SHOWN = 64
DEEPEST = 4
TYPES = ("open", "message", "error", "close")
STATE = ("readyState", "bufferedAmount", "extensions", "protocol", "binaryType", "url")

VIEWS = {
    "Int8Array": "b",
    "Uint8Array": "B",
    "Uint8ClampedArray": "B",
    "DataView": "B",
    "Int16Array": "h",
    "Uint16Array": "H",
    "Int32Array": "i",
    "Uint32Array": "I",
    "Float32Array": "f",
    "Float64Array": "d",
    "BigInt64Array": "q",
    "BigUint64Array": "Q",
}

PLACE = re.compile(r"\{\w+\}")


class Current:
    """Whose code ran last: what is reported next, in the same task, is its."""

    run: Run | None = None


def reported(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler: as a page's `error` event."""
    if Current.run is not None:
        Current.run.trace.append(["reported", Current.run.show_error(context["exception"])])


def show_text(text: str) -> Any:
    """A string, or where it is long its length and checksum, in UTF-16 as JavaScript counts."""
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * LONGEST_SHOWN:
        return text
    return {"length": len(units) // 2, "crc": zlib.crc32(units)}


class Error(Exception):
    """A step is about something that an earlier one should have made."""


class Object:
    """An object of the scenario's own."""


class Run:
    """One scenario's run."""

    def __init__(
        self,
        scenario: dict[str, Any],
        base: str,
        places: dict[str, str],
        window: webapi.Window,
    ) -> None:
        self.scenario = scenario
        self.globals = {**vars(webapi), "WebSocket": window.WebSocket}
        _, _, host, path = base.split("/", 3)
        # What stands in a scenario for what differs from run to run, the longest first.
        self.places = {
            "{ws}": base,
            "{http}": f"http{base[2:]}",
            "{origin}": f"ws://{host}",
            "{rest}": base[3:],
            "{host}": host,
            "{path}": f"/{path}",
            **places,
        }
        self.trace: list[Any] = []
        self.names: dict[str, Any] = {}
        self.sockets: list[tuple[str, webapi.WebSocket]] = []
        self.closed: set[int] = set()
        self.depth = 0  # of listeners within listeners
        self.pending = 0
        self.over = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Any:
        Current.run = self
        self.perform(self.scenario["script"])
        self.settle_soon()
        try:
            await asyncio.wait_for(self.done, DEADLINE)
        except asyncio.TimeoutError:
            self.trace.append(["timeout"])
        self.over = True
        for name, socket in self.sockets:
            self.state(name, socket, "final")
        text = json.dumps(self.trace)
        for name, place in self.places.items():
            text = text.replace(place, name)
        return json.loads(text)

    def settle_soon(self, turns: int = 3) -> None:
        """End the run when nothing more can happen; look again later, for what is surplus."""
        if self.pending or any(id(socket) not in self.closed for _, socket in self.sockets):
            return
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_later(0.001, self.settle_soon, turns - 1)
        elif not self.done.done():
            self.done.set_result(None)

    def wait_for(self, awaitable: Awaitable[Any]) -> None:
        self.pending += 1

        def ended(_: object) -> None:
            self.pending -= 1
            self.settle_soon()

        asyncio.ensure_future(awaitable).add_done_callback(ended)

    # -- steps -----------------------------------------------------------------------------------

    def perform(self, steps: Iterable[Any]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: dict[str, Any]) -> None:
        if "throw" in step:
            raise self.value(step["throw"])
        if "state" in step:
            if step["state"] in self.names:
                self.state(step["state"], self.find(step["state"]))
            return
        if "after" in step:
            self._after(step["after"])
            return
        if "awaitEvent" in step:
            name, type = step["awaitEvent"]
            seen = asyncio.get_running_loop().create_future()
            self.find(name).addEventListener(type, lambda _: seen.done() or seen.set_result(None))
            self.wait_for(seen)
            return
        kind = next(kind for kind in ("new", "call", "get", "set") if kind in step)
        entry: list[Any] = [kind, step.get("label", step[kind])]
        try:
            result = getattr(self, f"_{kind}")(step)
            if "as" in step:
                self.names[step["as"]] = result
        except Exception as error:
            self.trace.append([*entry, "throws", self.show_error(error)])
            return
        if inspect.iscoroutine(result):
            self.trace.append(entry)
            self.wait_for(self._resolve(entry, result))
        elif kind in ("get", "call"):
            self.trace.append([*entry, "is", self.show(result)])
        else:
            self.trace.append(entry)
        if kind == "new" and step["new"] == "WebSocket":
            self.watch(step, result)

    async def _resolve(self, entry: list[Any], awaitable: Awaitable[Any]) -> None:
        try:
            entry += ["resolves", self.show(await awaitable)]
        except Exception as error:
            entry += ["rejects", self.show_error(error)]

    def _after(self, steps: Sequence[Any]) -> None:
        ran = asyncio.get_running_loop().create_future()
        self.wait_for(ran)

        def task() -> None:
            Current.run = self
            try:
                self.perform(steps)
            finally:
                ran.set_result(None)

        asyncio.get_running_loop().call_later(0, task)

    def _new(self, step: dict[str, Any]) -> Any:
        return self.globals[step["new"]](*self.values(step.get("args", ())))

    def _call(self, step: dict[str, Any]) -> Any:
        holder, member = self.path(step["call"])
        return getattr(holder, member)(*self.values(step.get("args", ())))

    def _get(self, step: dict[str, Any]) -> Any:
        holder, member = self.path(step["get"])
        if member == "length":
            return len(holder)
        return getattr(holder, member)

    def _set(self, step: dict[str, Any]) -> None:
        holder, member = self.path(step["set"])
        setattr(holder, member, self.value(step["to"]))

    def path(self, text: str) -> tuple[Any, str]:
        name, *members = text.split(".")
        last = members.pop()
        holder = self.find(name)
        for member in members:
            holder = getattr(holder, member)
        return holder, last

    def find(self, name: str) -> Any:
        if self.names.get(name) is not None:
            return self.names[name]
        if name not in self.globals:
            raise Error(f"the scenario has nothing called {name}")
        return self.globals[name]

    def watch(self, step: dict[str, Any], socket: webapi.WebSocket) -> None:
        """Listen to a new socket, unless the scenario wants to do that itself."""
        name = step["as"]
        self.sockets.append((name, socket))

        def closed(_: object) -> None:
            if socket.readyState == 3:  # else it is one that the scenario dispatched
                self.closed.add(id(socket))
                self.settle_soon()

        socket.addEventListener("close", closed)
        if "acknowledge" in step:
            self.acknowledge(socket, *step["acknowledge"])
        if not step.get("quiet"):
            for type in TYPES:
                steps = step.get("on", {}).get(type, ())
                spec = {"fn": f"{name}.{type}", "do": steps}
                socket.addEventListener(type, self.function(spec))

    def acknowledge(self, socket: webapi.WebSocket, asked: str, answer: str) -> None:
        """Answer `asked`, and `open`, when all that listeners send to it has been sent."""

        def send() -> None:
            if socket.readyState == 1:
                socket.send(answer)

        def acknowledge(event: Any) -> None:
            if event.isTrusted and (event.type == "open" or event.data == asked):
                asyncio.get_running_loop().call_later(0, send)

        socket.addEventListener("open", acknowledge)
        socket.addEventListener("message", acknowledge)

    def state(self, name: str, socket: webapi.WebSocket, kind: str = "state") -> None:
        self.trace.append([kind, name, {member: getattr(socket, member) for member in STATE}])

    # -- values ----------------------------------------------------------------------------------

    def values(self, specs: Iterable[Any]) -> list[Any]:
        return [self.value(spec) for spec in specs]

    def value(self, spec: Any) -> Any:
        if isinstance(spec, str):
            return PLACE.sub(lambda found: self.places.get(found[0], found[0]), spec)
        if isinstance(spec, list):
            return self.values(spec)
        if not isinstance(spec, dict):
            return spec
        for kind, make in self._makers.items():
            if kind in spec:
                return make(self, spec)
        members = spec.get("object", spec)
        return {key: self.value(item) for key, item in members.items()}

    def _blob(self, spec: dict[str, Any]) -> webapi.Blob:
        return webapi.Blob(self.values(spec["blob"]), self.value(spec.get("options", {})))

    def _utf16(self, spec: dict[str, Any]) -> str:
        units = b"".join(unit.to_bytes(2, "little") for unit in spec["utf16"])
        return units.decode("utf-16-le", "surrogatepass")

    def bytes(self, spec: Any) -> bytes:
        return bytes.fromhex(spec) if isinstance(spec, str) else bytes([spec[0]]) * spec[1]

    def _view(self, spec: dict[str, Any]) -> memoryview:
        whole = memoryview(bytearray(self.bytes(spec["bytes"])))
        code, start = VIEWS[spec["view"]], spec.get("offset", 0)
        size = spec.get("size", 1)
        length = spec.get("length", (len(whole) - start) // size)
        return whole[start : start + length * size].cast(code)

    def _error(self, spec: dict[str, Any]) -> Exception:
        if "name" in spec:
            return webapi.DOMException("by the scenario", spec["name"])
        return TypeError("by the scenario")

    def function(self, spec: dict[str, Any]) -> Callable[[Any], Any]:
        """A listener: the same name is the same function."""
        name = spec["fn"]
        if name not in self.names:
            self.names[name] = lambda event: self.called(name, spec, event)
        return self.names[name]

    def handler(self, spec: dict[str, Any]) -> Any:
        name = spec["handler"]
        if name not in self.names:
            made: Any = Object()
            if "do" in spec:
                made.handleEvent = lambda event: self.called(name, spec, event)
            self.names[name] = made
        return self.names[name]

    _makers: ClassVar[dict[str, Callable[[Run, dict[str, Any]], Any]]] = {
        "ref": lambda self, spec: self.find(spec["ref"]),
        "fn": function,
        "handler": handler,
        "undefined": lambda _self, _spec: webapi.UNDEFINED,
        "number": lambda _self, spec: float(spec["number"].replace("Infinity", "inf")),
        "utf16": _utf16,
        "repeat": lambda _self, spec: spec["repeat"][0] * spec["repeat"][1],
        "view": _view,
        "bytes": lambda self, spec: webapi.ArrayBuffer(self.bytes(spec["bytes"])),
        "blob": _blob,
        "error": _error,
        "get": lambda self, spec: self._get(spec),
    }

    def called(self, name: str, spec: dict[str, Any], event: webapi.Event) -> Any:
        Current.run = self
        if self.over:
            return None
        self.trace.append(["event", name, self.show_event(event)])
        before = self.names.get("event")
        self.names["event"] = event
        self.depth += 1
        try:
            if self.depth <= DEEPEST:
                self.perform(spec["do"])
        finally:
            self.depth -= 1
            self.names["event"] = before
        return self.value(spec["returns"]) if "returns" in spec else None

    # -- showing ---------------------------------------------------------------------------------

    def name_of(self, wanted: object) -> str | None:
        for name, found in self.names.items():
            if found is wanted and name != "event":
                return name
        return None

    def show(self, value: Any) -> Any:
        if isinstance(value, webapi.webidl.Undefined):
            return {"undefined": True}
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return show_text(value)
        if isinstance(value, (int, float)):
            return _show_number(value)
        name = self.name_of(value)
        if name is not None:
            return {"is": name}
        if isinstance(value, (list, tuple)):
            return [self.show(item) for item in value]
        if isinstance(value, webapi.ArrayBuffer):
            return {"ArrayBuffer": shown_bytes(value)}
        if isinstance(value, bytes):
            return {"Uint8Array": shown_bytes(value)}
        if isinstance(value, webapi.Blob):
            return {"Blob": shown_bytes(bytes(value)), "size": value.size, "type": value.type}
        if isinstance(value, webapi.DOMException):
            return {"exception": value.name}
        if isinstance(value, Exception):
            return {"exception": type(value).__name__}
        if callable(value):
            return {"function": True}
        return {"object": type(value).__name__}

    def show_error(self, error: BaseException) -> Any:
        if isinstance(error, webapi.DOMException):
            return {"DOMException": error.name, "code": error.code}
        return type(error).__name__

    def show_event(self, event: Any) -> dict[str, Any]:
        target = event.target
        plain = ("eventPhase", "isTrusted", "bubbles", "cancelable", "composed")
        shown = {
            "class": type(event).__name__,
            "type": show_text(event.type),
            "target": self.show(target),
            "currentTarget": self.show(event.currentTarget),
            "srcElement": self.show(event.srcElement),
            "composedPath": self.show(event.composedPath()),
            **{name: getattr(event, name) for name in plain},
            "defaultPrevented": event.defaultPrevented,
            "returnValue": event.returnValue,
            "cancelBubble": event.cancelBubble,
        }
        if isinstance(event, webapi.MessageEvent):
            shown["data"] = self.show(event.data)
            shown["origin"] = event.origin
            shown["lastEventId"] = event.lastEventId
            shown["source"] = self.show(event.source)
            shown["ports"] = self.show(event.ports)
        if isinstance(event, webapi.CloseEvent):
            shown["wasClean"] = event.wasClean
            shown["code"] = event.code
            shown["reason"] = show_text(event.reason)
        if isinstance(target, webapi.WebSocket):
            state = {member: getattr(target, member) for member in STATE}
            # While data may be on their way it depends on the network: a scenario asks where it
            # does not.
            if state["readyState"] in (1, 2):
                del state["bufferedAmount"]
            shown["state"] = state
        return shown


def _show_number(value: float) -> Any:
    if isinstance(value, int):
        return value
    if math.isfinite(value):
        return int(value) if value.is_integer() else value
    return {"number": "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"}


async def run_batch(
    batch: dict[str, Any], judge: str, slots: Sequence[str], window: webapi.Window
) -> list[Any]:
    """Run a batch's scenarios in the page `window`, one at a time on each slot."""
    asyncio.get_running_loop().set_exception_handler(reported)
    waiting = iter(enumerate(batch["scenarios"]))
    traces: list[Any] = [None] * len(batch["scenarios"])

    async def work(slot: str) -> None:
        for at, scenario in waiting:
            base = f"{slot}/{judge}/{batch['first'] + at}"
            try:
                traces[at] = await Run(scenario, base, batch["places"], window).run()
            except Exception as error:
                traces[at] = [["fault of the interpreter", repr(error)]]

    await asyncio.gather(*map(work, slots))
    return traces


def work(hub: str, judge: str, slots: Sequence[str]) -> None:
    """Ask `hub` for batches of scenarios, run them, and hand back their traces."""
    window = webapi.Window(f"{hub}/page.html")
    while True:
        with urllib.request.urlopen(f"{hub}/next/{judge}") as answer:
            batch = json.load(answer)
        if batch is None:
            return
        traces = asyncio.run(run_batch(batch, judge, slots, window))
        body = json.dumps(traces).encode()
        urllib.request.urlopen(f"{hub}/traces/{judge}", data=body).close()


if __name__ == "__main__":
    logging.getLogger("webapi").setLevel(logging.CRITICAL)  # failures are what scenarios are about
    work(sys.argv[1], "webapi", sys.argv[2].split(","))
