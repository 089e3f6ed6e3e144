"""The `CloseEvent` interface.

Spec: https://websockets.spec.whatwg.org/#the-closeevent-interface
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from webapi.dom.event import Event
from webapi.webidl import DOMString, boolean, unsigned_short_code

__all__ = ["CloseEvent"]


class CloseEvent(Event):
    """A connection's end: whether it was clean, and what the server said of it.

    Spec: https://websockets.spec.whatwg.org/#closeevent

    Args:
        type: the event's name, usually "close".
        eventInitDict: a dict with `wasClean` (bool, default False), `code` (0 to 65535, default 0),
            `reason` (str, default "") and the members of `Event`'s; each may be a keyword instead.

    Raises:
        TypeError: a member is of the wrong kind.
    """

    __slots__ = ("_code", "_reason", "_was_clean")

    _was_clean: bool
    _code: int
    _reason: str

    def _construct(self, type: object, init: dict[str, Any]) -> None:
        super()._construct(type, init)
        self._was_clean = boolean(init.get("wasClean"))
        self._code = unsigned_short_code(init.get("code", 0), "code")
        # Not USVString, as its IDL says: browsers leave lone surrogates where they are.
        self._reason = DOMString(init.get("reason", ""), "reason")

    wasClean = property(
        attrgetter("_was_clean"), doc="Whether the closing handshake was completed."
    )
    code = property(attrgetter("_code"), doc="The close code; 1005 for none, 1006 for no Close.")
    reason = property(attrgetter("_reason"), doc="The server's reason, or an empty string.")
