"""What a message must be: the matchers that all of `webapi.testing` shares, and why one failed."""

from __future__ import annotations

import json as json_module
import re
from typing import Any, Final

from webapi.webidl import UNDEFINED

__all__ = ["Match", "PredicateError", "difference", "is_text", "message", "sent", "shown"]

_SHOWN: Final = 160


class PredicateError(Exception):
    """A callable of the user's raised, instead of telling whether a message is meant."""


class Match:
    """A predicate on one message; all that is given must hold, and nothing given takes any.

    Args:
        text: a text message that equals this string, or in which this compiled pattern is found.
        data: a message that equals this `str` or `bytes`.
        json: a text message whose JSON value contains this one: of an object the members named
            here, of an array all items in order. A type stands for any value of it, `...` for any
            value, a compiled pattern for a string in which it is found.
        where: a callable that takes the data and returns whether they are meant.
        direction: "received" or "sent", as the page sees it.
    """

    def __init__(
        self,
        *,
        text: str | re.Pattern[str] | Any = UNDEFINED,
        data: str | bytes | Any = UNDEFINED,
        json: Any = UNDEFINED,
        where: Any = UNDEFINED,
        direction: str = "received",
    ) -> None:
        _check(text, "text", (str, re.Pattern))
        _check(data, "data", (str, bytes, bytearray, memoryview))
        if where is not UNDEFINED and not callable(where):
            raise TypeError(f"where is {where!r}, where a callable is expected")
        self.text, self.data, self.json = text, data, json
        self.where: Any = where
        self.direction = direction

    def fault(self, data: str | bytes) -> str | None:
        """Return None if `data` is meant, else why not.

        Raises:
            PredicateError: `where` raised; it is the cause.
        """
        text = is_text(data)
        if self.text is not UNDEFINED:
            if text is None:
                return "is binary"
            if not _found(self.text, text):
                return "is another text"
        if self.data is not UNDEFINED and not _equal(self.data, data):
            return "are other data"
        if self.json is not UNDEFINED:
            if text is None:
                return "is binary"
            try:
                value = json_module.loads(text)
            except ValueError as error:
                return f"is no JSON: {error}"
            fault = difference(self.json, value)
            if fault is not None:
                return fault
        if self.where is not UNDEFINED and not self._ask(data):
            return f"{_name(self.where)} is false for it"
        return None

    def _ask(self, data: str | bytes) -> bool:
        try:
            return bool(self.where(data))
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise PredicateError(f"{_name(self.where)} raised {what} for {shown(data)}") from error

    def __repr__(self) -> str:
        given = []
        for name in ("text", "data", "json", "where"):
            value = getattr(self, name)
            if value is not UNDEFINED:
                given.append(f"{name}={_name(value) if name == 'where' else _value(value)}")
        return ", ".join(given)

    def describe(self) -> str:
        """Return what it is in words."""
        what = repr(self)
        return f"a message {self.direction}" + (f" with {what}" if what else "")


def message(**match: Any) -> Match:
    """Return a matcher for a message that the page receives; see `Match` for what it takes."""
    return Match(**match, direction="received")


def sent(**match: Any) -> Match:
    """Return a matcher for a message that the page sends; see `Match` for what it takes."""
    return Match(**match, direction="sent")


def is_text(data: object) -> str | None:
    """Return `data` if it is text."""
    return data if isinstance(data, str) else None


def difference(expected: Any, value: Any, path: str = "$") -> str | None:
    """Return None if `value` contains `expected`, else the first fault with its JSON path."""
    if expected is ...:
        return None
    if isinstance(expected, type):
        ok = isinstance(value, expected) and not (isinstance(value, bool) and expected is not bool)
        return None if ok else f"{path} is {_value(value)}, not of type {expected.__name__}"
    if isinstance(expected, re.Pattern):
        ok = isinstance(value, str) and expected.search(value) is not None
        return None if ok else f"{path} is {_value(value)}, not like {expected.pattern!r}"
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return f"{path} is {_value(value)}, not an object"
        for key, item in expected.items():
            if key not in value:
                return f"{path}.{key} is missing"
            fault = difference(item, value[key], f"{path}.{key}")
            if fault is not None:
                return fault
        return None
    if isinstance(expected, (list, tuple)):
        if not isinstance(value, list):
            return f"{path} is {_value(value)}, not an array"
        if len(expected) != len(value):
            return f"{path} has {len(value)} items, not {len(expected)}"
        faults = (difference(e, v, f"{path}[{i}]") for i, (e, v) in enumerate(zip(expected, value)))  # noqa: B905
        return next((fault for fault in faults if fault is not None), None)
    # JSON knows true from 1
    if isinstance(expected, bool) is not isinstance(value, bool) or expected != value:
        return f"{path} is {_value(value)}, not {_value(expected)}"
    return None


def shown(data: object, limit: int = _SHOWN) -> str:
    """Return `data` in one line, shortened."""
    if isinstance(data, str):
        text = data.replace("\r", "\\r").replace("\n", "\\n")
    else:
        assert isinstance(data, (bytes, bytearray, memoryview))
        raw = bytes(data[: limit // 2])
        text = f"<{len(data)} bytes> {raw.hex(' ')}".rstrip()
        return text + (" ..." if len(data) > len(raw) else "")
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _value(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"re.compile({value.pattern!r})"
    if isinstance(value, bytes):
        return repr(value)
    try:
        text = json_module.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", function)).replace("<locals>.", "")


def _found(expected: str | re.Pattern[str], text: str) -> bool:
    return expected == text if isinstance(expected, str) else expected.search(text) is not None


def _equal(expected: Any, data: str | bytes) -> bool:
    if isinstance(expected, str) or isinstance(data, str):
        return bool(expected == data)
    return bytes(expected) == bytes(data)


def _check(value: object, name: str, kinds: tuple[type, ...]) -> None:
    if value is not UNDEFINED and not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} is {value!r}, where {expected} is expected")
