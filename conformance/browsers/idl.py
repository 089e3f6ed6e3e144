"""Checking webapi's interfaces against the standards' IDL, which npm's `@webref/idl` ships as data.

For every interface that webapi has: what it derives from; each constant with its value, on the
class and on an instance; each attribute, and whether it can be set; each operation and constructor
with the names, order, need and defaults of its arguments; the members and defaults of dictionaries;
what is missing, and what is surplus. A fault is a row, which `idl_explanations.json` may explain.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import webapi

from ..environment import SuiteError
from .judges import NODE

EXPLANATIONS = Path(__file__).parent / "idl_explanations.json"

#: An object of each interface, on which constants, attributes and defaults are looked at.
INSTANCES: Mapping[str, Callable[[], Any]] = {
    "AbortController": webapi.AbortController,
    "AbortSignal": webapi.AbortSignal.abort,
    "Blob": webapi.Blob,
    "CloseEvent": lambda: webapi.CloseEvent("x"),
    "DOMException": webapi.DOMException,
    "Event": lambda: webapi.Event("x"),
    "EventTarget": webapi.EventTarget,
    "MessageEvent": lambda: webapi.MessageEvent("x"),
    # a port that no page may connect to
    "WebSocket": lambda: webapi.WebSocket("ws://127.0.0.1:1/"),
}

#: Public classes that are no interfaces of the web's; a `Window` here is a page made of options.
NOT_INTERFACES = ("ArrayBuffer", "DevTools", "Window")

NO_DEFAULT = object()


@dataclass(frozen=True)
class Result:
    """What the check found."""

    checked: Mapping[str, int]
    """For each interface how many things were looked at."""
    rows: list[str]
    explained: Mapping[str, str]
    """The rows that are explained, with the explanation."""

    @property
    def unexplained(self) -> list[str]:
        """The rows that nothing explains."""
        return [row for row in self.rows if row not in self.explained]

    @property
    def faults(self) -> list[str]:
        """Those, and that nothing was checked."""
        nothing = [] if any(self.checked.values()) else ["IDL: nothing was checked"]
        return [*self.unexplained, *nothing]


def read() -> Any:
    """The IDL of our interfaces, and all dictionaries."""
    node = shutil.which("node")
    if node is None:
        raise SuiteError("node is missing: apt-get install nodejs npm")
    done = subprocess.run(
        [node, NODE / "idl.mjs", *INSTANCES], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SuiteError(f"idl.mjs failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def check() -> Result:
    """Compare all of them."""
    idl = read()
    rows = [f"{name}: not in the IDL" for name in sorted(_interfaces() - idl["interfaces"].keys())]
    checked = {}
    for name, interface in idl["interfaces"].items():
        checker = _Checker(name, interface, idl["dictionaries"])
        rows += checker.rows()
        checked[name] = checker.count
    reasons: Mapping[str, str] = json.loads(EXPLANATIONS.read_text())
    explained = {
        row: text
        for row in rows
        for pattern, text in reasons.items()
        if re.fullmatch(pattern, row, re.DOTALL)
    }
    used = {pattern for pattern in reasons if any(re.fullmatch(pattern, row) for row in rows)}
    rows += [f"explains nothing: {pattern}" for pattern in reasons if pattern not in used]
    return Result(dict(sorted(checked.items())), rows, explained)


def _interfaces() -> set[str]:
    return {
        name
        for name in webapi.__all__
        if name not in NOT_INTERFACES and inspect.isclass(getattr(webapi, name))
    }


class _Checker:
    def __init__(self, name: str, interface: Any, dictionaries: Any) -> None:
        self.name = name
        self.interface = interface
        self.dictionaries = dictionaries
        self.ours = getattr(webapi, name)
        self.instance = INSTANCES[name]()
        self.count = 0

    def rows(self) -> Iterator[str]:
        self.count += 1
        bases = [base.__name__ for base in self.ours.__mro__[1:]]
        parent = self.interface["inheritance"]
        if parent and parent not in bases:
            yield f"{self.name}: does not derive from {parent}"
        for member in self.interface["members"]:
            self.count += 1
            yield from getattr(self, f"_{member['kind'].replace('-', '_')}", self._other)(member)
        yield from self._surplus(bases, parent)

    def _other(self, member: Any) -> Iterator[str]:
        yield f"{self.name}: its IDL has a {member['kind']}"

    def _const(self, member: Any) -> Iterator[str]:
        for holder, where in ((self.ours, ""), (self.instance, " of an instance")):
            found = getattr(holder, member["name"], None)
            if found != int(member["value"]):
                yield f"{self.name}.{member['name']}{where}: {found!r}, not {member['value']}"

    def _attribute(self, member: Any) -> Iterator[str]:
        name = member["name"]
        found = inspect.getattr_static(self.ours, name, None)
        if found is None:
            yield f"{self.name}.{name}: missing"
            return
        settable = hasattr(type(found), "__set__") and getattr(found, "fset", True) is not None
        if settable is member["readonly"]:
            yield f"{self.name}.{name}: {'can' if settable else 'cannot'} be set"
        getattr(self.instance, name)

    def _operation(self, member: Any) -> Iterator[str]:
        name = member["name"]
        found = inspect.getattr_static(self.ours, name, None)
        if found is None:
            yield f"{self.name}.{name}(): missing"
            return
        static = isinstance(found, (staticmethod, classmethod))
        if static is not (member["special"] == "static"):
            yield f"{self.name}.{name}(): {'static' if static else 'not static'}"
        yield from self._arguments(
            f"{self.name}.{name}()", getattr(self.ours, name), member, static
        )

    def _constructor(self, member: Any) -> Iterator[str]:
        yield from self._arguments(f"{self.name}()", self.ours.__init__, member, static=False)
        for argument in member["arguments"]:
            if argument["type"] in self.dictionaries:
                yield from self._dictionary(argument["type"])

    def _arguments(self, where: str, function: Any, member: Any, static: bool) -> Iterator[str]:
        parameters = list(inspect.signature(function).parameters.values())
        if not static:
            parameters = parameters[1:]
        positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        wanted = member["arguments"]
        if [p.name for p in positional] != [argument["name"] for argument in wanted]:
            ours = ", ".join(p.name for p in positional)
            theirs = ", ".join(argument["name"] for argument in wanted)
            yield f"{where}: its arguments are ({ours}), not ({theirs})"
            return
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            yield f"{where}: refuses surplus arguments"
        for parameter, argument in zip(positional, wanted, strict=True):
            self.count += 1
            optional = parameter.default is not parameter.empty
            if optional is not argument["optional"]:
                word = "optional" if optional else "required"
                yield f"{where}: the argument {argument['name']} is {word}"
            elif optional and not _same_default(parameter.default, argument):
                given = argument.get("default", "undefined")
                ours = f"{argument['name']} is {parameter.default!r} by default"
                yield f"{where}: {ours}, not {given!r}"

    def _dictionary(self, name: str) -> Iterator[str]:
        """A dictionary's defaults show on an object that is made without it."""
        dictionary = self.dictionaries[name]
        for member in dictionary["members"]:
            self.count += 1
            if "default" not in member or not hasattr(self.instance, member["name"]):
                continue
            found = getattr(self.instance, member["name"])
            found = list(found) if isinstance(found, tuple) else found
            if found != member["default"]:
                yield f"{name}.{member['name']}: {found!r} by default, not {member['default']!r}"
            try:
                self._make({member["name"]: webapi.UNDEFINED})
            except TypeError:
                yield f"{name}.{member['name']}: undefined is refused"
        if dictionary["inheritance"]:
            yield from self._dictionary(dictionary["inheritance"])

    def _make(self, members: dict[str, Any]) -> object:
        return self.ours([], members) if self.name == "Blob" else self.ours("x", members)

    def _surplus(self, bases: list[str], parent: str | None) -> Iterator[str]:
        known = {member.get("name") for member in self.interface["members"]}
        inherited = set(dir(getattr(webapi, parent))) if parent in bases and parent else set()
        for name in dir(self.ours):
            if name.startswith("_") or name in known or name in inherited:
                continue
            if name in dir(Exception) and issubclass(self.ours, Exception):
                continue  # Python's own
            yield f"{self.name}.{name}: not in the IDL"


def _same_default(ours: Any, argument: Any) -> bool:
    """Whether Python's default means what the IDL's does."""
    default = argument.get("default", NO_DEFAULT)
    if default is NO_DEFAULT or default == {} or default == []:
        # Left out: `UNDEFINED`, or what stands for nothing in Python.
        return ours is webapi.UNDEFINED or ours is None or ours == () or ours is default
    return bool(ours == default and type(ours) is type(default))
