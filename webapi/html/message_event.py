"""The `MessageEvent` interface.

Spec: https://html.spec.whatwg.org/multipage/comms.html#the-messageevent-interface
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from webapi.dom.event import DISPATCH, Event
from webapi.dom.event_target import EventTarget
from webapi.webidl import DOMString, defaulted, sequence

__all__ = ["MessageEvent", "ReceivedMessageEvent"]

_Rest = tuple[str, str, EventTarget | None, tuple[Any, ...]]


class MessageEvent(Event):
    """A message that arrived: `data` is what it carried.

    Spec: https://html.spec.whatwg.org/multipage/comms.html#messageevent

    Args:
        type: the event's name, usually "message".
        eventInitDict: a dict with `data` (any value, default None), `origin` and `lastEventId`
            (str, default ""), `source` (an `EventTarget` or None), `ports` (a sequence of
            MessagePorts, which do not exist here: it must be empty) and the members of `Event`'s;
            each may be given as a keyword instead.

    Raises:
        TypeError: a member is of the wrong kind.
    """

    # `_rest` is (origin, lastEventId, source, ports).
    __slots__ = ("_data", "_rest", "_shared")

    _data: Any
    _rest: _Rest
    _shared: tuple[EventTarget, float, _Rest]

    def _construct(self, type: object, init: dict[str, Any]) -> None:
        super()._construct(type, init)
        self._set_message(
            init.get("data"),
            init.get("origin", ""),
            init.get("lastEventId", ""),
            init.get("source"),
            init.get("ports", ()),
        )

    def _set_message(
        self, data: object, origin: object, last_event_id: object, source: object, ports: object
    ) -> None:
        if source is not None and not isinstance(source, EventTarget):
            raise TypeError(
                f"source is a {source.__class__.__name__}, where an EventTarget or None is "
                "expected (https://html.spec.whatwg.org/multipage/comms.html#messageeventinit)"
            )
        if any(True for _ in sequence(ports, "ports")):
            raise TypeError(
                "ports holds an object that is no MessagePort; there are none here, so that it can "
                "only be empty (https://html.spec.whatwg.org/multipage/comms.html#messageeventinit)"
            )
        rest = (
            # Not USVString, as its IDL says: browsers leave lone surrogates where they are.
            DOMString(origin, "origin"),
            DOMString(last_event_id, "lastEventId"),
            source,
            (),
        )
        self._data, self._rest = data, rest

    # In C, as in Event: this is read for every message.
    data = property(attrgetter("_data"), doc="What the message carried.")

    @property
    def origin(self) -> str:
        """The sender's origin; for a WebSocket that of its URL, for example "ws://host:8080"."""
        return self._rest[0]

    @property
    def lastEventId(self) -> str:
        """The last event ID of a server-sent event, else ""."""
        return self._rest[1]

    @property
    def source(self) -> EventTarget | None:
        """The sending window or port, if any; None for a WebSocket's message."""
        return self._rest[2]

    @property
    def ports(self) -> tuple[Any, ...]:
        """The ports sent with the message; none for a WebSocket's."""
        return self._rest[3]

    def initMessageEvent(
        self,
        type: object,
        bubbles: object = False,
        cancelable: object = False,
        data: object = None,
        origin: object = "",
        lastEventId: object = "",
        source: object = None,
        ports: object = (),
        *_: object,
    ) -> None:
        """Legacy: set the event up anew, unless it is being dispatched.

        Spec: https://html.spec.whatwg.org/multipage/comms.html#dom-messageevent-initmessageevent
        """
        name = DOMString(type, "type")
        if self._flags & DISPATCH:
            return
        self._set_message(
            defaulted(data, None),
            defaulted(origin, ""),
            defaulted(lastEventId, ""),
            defaulted(source, None),
            defaulted(ports, ()),
        )
        self._initialize(name, bubbles, cancelable)


class ReceivedMessageEvent(MessageEvent):
    """A `MessageEvent` as the receiver makes it, millions a second; its name says `MessageEvent`.

    What all messages of one read have in common - target, time, origin - is one tuple, `_shared`,
    and the type is the class's; so an event costs three stores, not six (measured:
    `python -m benchmarks flood`, a third of the whole). Whatever changes one of those turns the
    event into the plain form first.
    """

    __slots__ = ()

    # object's own, in C: the receiver sets what there is to set
    __init__ = object.__init__

    _type = "message"
    _time = property(lambda self: self._shared[1])
    _rest = property(lambda self: self._shared[2])

    @property
    def _target(self) -> EventTarget:
        return self._shared[0]

    @_target.setter
    def _target(self, target: EventTarget) -> None:
        if target is not self._shared[0]:
            self._become_plain()
            self._target = target

    def _become_plain(self) -> None:
        target, time, rest = self._shared
        self.__class__ = MessageEvent  # type: ignore[assignment]
        self._type, self._time, self._rest = "message", time, rest
        self._target = target

    def _initialize(self, type: str, bubbles: object, cancelable: object) -> None:
        self._become_plain()
        self._initialize(type, bubbles, cancelable)

    def _set_message(self, *members: object) -> None:
        self._become_plain()
        self._set_message(*members)


ReceivedMessageEvent.__name__ = ReceivedMessageEvent.__qualname__ = MessageEvent.__name__
