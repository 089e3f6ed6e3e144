"""Event handler attributes: `onopen`, `onmessage` and the like.

Spec: https://html.spec.whatwg.org/#event-handler-attributes

The first object set registers one listener, which keeps its place in the order while the attribute
is set to other objects. Setting None (or any primitive) removes it, so that the next object takes a
place at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from webapi.dom.abort import AbortSignal
from webapi.dom.event import Event
from webapi.dom.event_target import EventTarget, Listener, changing, is_primitive

__all__ = ["EventHandlerAttribute"]


class EventHandlerListener(Listener):
    """The listener behind an event handler attribute; `value` is what the attribute holds.

    Spec: https://html.spec.whatwg.org/#the-event-handler-processing-algorithm
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        super().__init__(self, capture=False)
        self.value = value

    def invoke(self, event: Event) -> Any:
        if not callable(self.value):
            return None
        result = self.value(event)
        if result is False:  # step 5: false cancels the event
            event.preventDefault()
        return result

    def plain_function(self) -> Callable[[Any], Any] | None:
        return self.value if callable(self.value) else None


class EventHandlerAttribute:
    """The descriptor of an event handler attribute, for example `onmessage`.

    Spec: https://html.spec.whatwg.org/#event-handler-idl-attributes

    Get: the object that was set, or None. Set: any object; a primitive sets None; an object that
    cannot be called is kept and ignored (`[LegacyTreatNonObjectAsNull]`).
    """

    def __init__(self, type: str) -> None:
        self.type = type
        self.__doc__ = f"Called with each {type!r} event; None when unset."

    def __set_name__(self, owner: type, name: str) -> None:
        self.slot = f"_{name}"

    @overload
    def __get__(self, target: None, owner: type) -> EventHandlerAttribute: ...
    @overload
    def __get__(self, target: EventTarget, owner: type) -> Any: ...

    def __get__(self, target: EventTarget | None, owner: type) -> Any:
        if target is None:
            return self
        listener = target.__dict__.get(self.slot)
        return None if listener is None else listener.value

    def __set__(self, target: EventTarget, value: Any) -> None:
        with changing:  # else two threads could register two listeners
            listener: EventHandlerListener | None = target.__dict__.get(self.slot)
            if is_primitive(value):
                if listener is not None:
                    target.__dict__[self.slot] = None
                    target._remove(self.type, listener)
            elif listener is None:
                target.__dict__[self.slot] = listener = EventHandlerListener(value)
                target._add(self.type, listener)
            else:
                listener.value = value
                target._listeners_changed(self.type)


# DOM declares `onabort`, but what an event handler attribute is, HTML says.
AbortSignal.onabort = EventHandlerAttribute("abort")
AbortSignal.onabort.__set_name__(AbortSignal, "onabort")
