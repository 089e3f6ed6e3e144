"""The `Event` interface.

Spec: https://dom.spec.whatwg.org/#interface-event

An event's yes-or-no state lives in one integer, `_flags`: the receiver makes millions of events a
second, and one store is cheaper than ten (measured: `python -m benchmarks flood`). Here an event's
path never holds more than its target, because nothing here forms a tree; hence `currentTarget` is
`target` while the event is dispatched.
"""

from __future__ import annotations

import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from webapi.webidl import DOMString, boolean, dictionary

if TYPE_CHECKING:
    from webapi.dom.event_target import EventTarget

__all__ = ["Event"]

# https://dom.spec.whatwg.org/#stop-propagation-flag and the flags below it
STOP_PROPAGATION: Final = 1
STOP_IMMEDIATE_PROPAGATION: Final = 2
CANCELED: Final = 4
IN_PASSIVE_LISTENER: Final = 8
INITIALIZED: Final = 16
DISPATCH: Final = 32
# attributes that an event keeps as bits
BUBBLES: Final = 64
CANCELABLE: Final = 128
COMPOSED: Final = 256
TRUSTED: Final = 512

# What an event that the library itself fires has while it is dispatched, and after.
FIRED: Final = INITIALIZED | TRUSTED
FIRED_IN_DISPATCH: Final = FIRED | DISPATCH
AFTER_DISPATCH: Final = ~(DISPATCH | STOP_PROPAGATION | STOP_IMMEDIATE_PROPAGATION)

# https://w3c.github.io/hr-time/#dfn-time-origin
TIME_ORIGIN: Final = time.perf_counter()


class Event:
    """Something that happened, on its way to the listeners of its target.

    Spec: https://dom.spec.whatwg.org/#interface-event

    Args:
        type: the event's name, for example "message".
        eventInitDict: a dict with `bubbles`, `cancelable`, `composed` (bool, default False);
            each may be given as a keyword instead.

    Raises:
        TypeError: `type` is missing or no string, or `eventInitDict` is no dict.
    """

    __slots__ = ("__weakref__", "_flags", "_target", "_time", "_type")

    NONE: Final = 0
    CAPTURING_PHASE: Final = 1
    AT_TARGET: Final = 2
    BUBBLING_PHASE: Final = 3

    _type: str
    _target: EventTarget | None
    _flags: int
    _time: float

    def __init__(
        self, type: object, eventInitDict: object = None, *_: object, **members: Any
    ) -> None:
        self._construct(type, dictionary(eventInitDict, members, "eventInitDict"))

    def _construct(self, type: object, init: dict[str, Any]) -> None:
        """Spec: https://dom.spec.whatwg.org/#inner-event-creation-steps"""
        self._type = DOMString(type, "type")
        self._target = None
        self._time = time.perf_counter()
        self._flags = (
            INITIALIZED
            | (BUBBLES if boolean(init.get("bubbles")) else 0)
            | (CANCELABLE if boolean(init.get("cancelable")) else 0)
            | (COMPOSED if boolean(init.get("composed")) else 0)
        )

    # property() over attrgetter stays in C: half the time of a Python getter.
    type = property(attrgetter("_type"), doc="The event's name, for example `message`.")
    target = property(
        attrgetter("_target"), doc="The object it is (or was) dispatched to, or None."
    )
    srcElement = property(attrgetter("_target"), doc="Legacy: the same as `target`.")

    @property
    def currentTarget(self) -> EventTarget | None:
        """The object whose listeners run now; None when none do."""
        return self._target if self._flags & DISPATCH else None

    @property
    def eventPhase(self) -> int:
        """`AT_TARGET` while the event is dispatched, else `NONE`."""
        return self.AT_TARGET if self._flags & DISPATCH else self.NONE

    def composedPath(self, *_: object) -> list[EventTarget]:
        """Return the objects whose listeners the event invokes: its target, or nothing.

        Spec: https://dom.spec.whatwg.org/#dom-event-composedpath
        """
        return [self._target] if self._flags & DISPATCH and self._target is not None else []

    def stopPropagation(self, *_: object) -> None:
        """Keep the event from objects after this one; capture listeners come first at a target."""
        self._flags |= STOP_PROPAGATION

    def stopImmediatePropagation(self, *_: object) -> None:
        """Keep the event from every listener that has not run yet."""
        self._flags |= STOP_PROPAGATION | STOP_IMMEDIATE_PROPAGATION

    def preventDefault(self, *_: object) -> None:
        """Cancel the event, if it is cancelable and the listener is not passive.

        Spec: https://dom.spec.whatwg.org/#set-the-canceled-flag
        """
        if self._flags & CANCELABLE and not self._flags & IN_PASSIVE_LISTENER:
            self._flags |= CANCELED

    @property
    def cancelBubble(self) -> bool:
        """Legacy: whether `stopPropagation()` was called; setting True calls it."""
        return bool(self._flags & STOP_PROPAGATION)

    @cancelBubble.setter
    def cancelBubble(self, value: object) -> None:
        if boolean(value):
            self.stopPropagation()

    @property
    def returnValue(self) -> bool:
        """Legacy: the opposite of `defaultPrevented`; setting False cancels the event."""
        return not self._flags & CANCELED

    @returnValue.setter
    def returnValue(self, value: object) -> None:
        if not boolean(value):
            self.preventDefault()

    @property
    def bubbles(self) -> bool:
        """Whether the event was made to go up a tree after its target."""
        return bool(self._flags & BUBBLES)

    @property
    def cancelable(self) -> bool:
        """Whether `preventDefault()` has an effect."""
        return bool(self._flags & CANCELABLE)

    @property
    def composed(self) -> bool:
        """Whether the event was made to cross shadow boundaries."""
        return bool(self._flags & COMPOSED)

    @property
    def defaultPrevented(self) -> bool:
        """Whether the event was cancelled."""
        return bool(self._flags & CANCELED)

    @property
    def isTrusted(self) -> bool:
        """True for an event that the library fired, False for one that a program dispatched."""
        return bool(self._flags & TRUSTED)

    @property
    def timeStamp(self) -> float:
        """When it was made, in milliseconds since the process's time origin.

        Spec: https://dom.spec.whatwg.org/#dom-event-timestamp
        Messages that arrived in one read of the network share their time.
        """
        return (self._time - TIME_ORIGIN) * 1000

    def initEvent(
        self, type: object, bubbles: object = False, cancelable: object = False, *_: object
    ) -> None:
        """Legacy: set the event up anew, unless it is being dispatched.

        Spec: https://dom.spec.whatwg.org/#dom-event-initevent
        """
        name = DOMString(type, "type")
        if not self._flags & DISPATCH:
            self._initialize(name, bubbles, cancelable)

    def _initialize(self, type: str, bubbles: object, cancelable: object) -> None:
        """Spec: https://dom.spec.whatwg.org/#concept-event-initialize"""
        self._type = type
        self._target = None
        self._flags = (
            INITIALIZED
            | (self._flags & COMPOSED)
            | (BUBBLES if boolean(bubbles) else 0)
            | (CANCELABLE if boolean(cancelable) else 0)
        )

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self._type!r}>"
