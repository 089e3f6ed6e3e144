"""`EventTarget`: listeners, kept in a pyee emitter, and the dispatch of events to them.

Spec: https://dom.spec.whatwg.org/#interface-eventtarget

How it works: each event type has a key in the target's `pyee.EventEmitter`, under which the
emitter keeps `Listener` objects in order, one for each (callback, capture). Dispatch walks a cached
tuple of them (`_snapshot`), made anew after each change: pyee's own `emit` copies its list under a
lock for every event, which alone costs more than the whole of a message's way here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping
from inspect import iscoroutine
from types import BuiltinMethodType, MethodType, MethodWrapperType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pyee.base import EventEmitter

from webapi.dom import event as flags
from webapi.dom.event import Event
from webapi.dom.host import hooks
from webapi.webidl import (
    UNDEFINED,
    DOMException,
    DOMString,
    Undefined,
    boolean,
    check_keywords,
    dictionary,
)

if TYPE_CHECKING:
    from webapi.dom.abort import AbortSignal

__all__ = ["EventTarget", "Listener"]

_F = TypeVar("_F", bound=Callable[..., Any])

# Listeners may be added and removed from any thread; dispatch itself takes no lock.
changing = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit it from a thread it has not
    os.register_at_fork(
        before=changing.acquire, after_in_parent=changing.release, after_in_child=changing.release
    )

_KEYWORDS = ("callback", "options", "capture", "once", "passive", "signal")

_PRIMITIVES = (bool, int, float, str)


def is_primitive(value: object) -> bool:
    """Tell whether JavaScript would call `value` a primitive rather than an object."""
    return value is None or isinstance(value, (Undefined, *_PRIMITIVES))


def _identity(callback: object) -> Hashable:
    """Return what makes two callbacks the same object, as JavaScript sees it.

    Python makes a new method object at each `obj.method`; the pair behind it is what counts.
    """
    if isinstance(callback, MethodType):
        return (id(callback.__self__), id(callback.__func__))
    if isinstance(callback, (BuiltinMethodType, MethodWrapperType)):
        return (id(callback.__self__), callback.__name__)
    return id(callback)


class Listener:
    """One event listener.

    Spec: https://dom.spec.whatwg.org/#concept-event-listener
    """

    __slots__ = ("__weakref__", "callback", "capture", "key", "once", "passive", "removed")

    def __init__(self, callback: Any, capture: bool, once: bool = False, passive: bool = False):
        self.callback = callback
        self.capture = capture
        self.once = once
        self.passive = passive
        self.removed = False
        self.key = (_identity(callback), capture)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listener) and self.key == other.key

    def __call__(self, event: Event) -> None:
        """Call the callback with `event`; pyee calls this too, should somebody `emit`.

        Spec: https://dom.spec.whatwg.org/#concept-event-listener-inner-invoke, steps 8 to 12
        """
        if self.passive:
            event._flags |= flags.IN_PASSIVE_LISTENER
        try:
            result = self.invoke(event)
            if iscoroutine(result):
                hooks.start_coroutine(result)
        except KeyboardInterrupt:  # not the listener's, but whoever pressed Ctrl-C
            raise
        except BaseException as exception:  # also `pytest.fail()`'s, and what else is no Exception
            hooks.report_exception(exception)
        finally:
            if self.passive:
                event._flags &= ~flags.IN_PASSIVE_LISTENER

    def invoke(self, event: Event) -> Any:
        """Call a user object's operation `handleEvent`.

        Spec: https://webidl.spec.whatwg.org/#call-a-user-objects-operation
        """
        if callable(self.callback):
            return self.callback(event)
        handle_event = getattr(self.callback, "handleEvent", None)
        if not callable(handle_event):
            raise TypeError(
                f"the {event._type!r} listener {self.callback!r} can neither be called nor has it "
                "a method handleEvent (https://dom.spec.whatwg.org/#callbackdef-eventlistener)"
            )
        return handle_event(event)

    def plain_function(self) -> Callable[[Any], Any] | None:
        """Return the callback where calling it is all that there is to do."""
        simple = not (self.once or self.passive) and callable(self.callback)
        return self.callback if simple else None


def _pyee_key(type: str) -> str:
    # pyee gives the names "error" and "new_listener" a meaning; with a prefix no type can clash.
    return f"on:{type}"


class EventTarget:
    """An object that events can be dispatched to; construct it, or derive your own from it.

    Spec: https://dom.spec.whatwg.org/#interface-eventtarget
    """

    # Made when first needed, so that a subclass need not call our __init__.
    _emitter: EventEmitter | None = None
    _snapshots: dict[str, tuple[Listener, ...]] | None = None

    def __init__(self, *_: object) -> None:
        super().__init__()

    @overload
    def addEventListener(
        self, type: str, callback: _F, options: object = ..., *_: object, **members: Any
    ) -> None: ...
    @overload
    def addEventListener(
        self, type: str, callback: object, options: object = ..., *_: object, **members: Any
    ) -> None: ...
    @overload
    def addEventListener(self, type: str, **members: Any) -> Callable[[_F], _F]: ...

    def addEventListener(
        self,
        type: Any,
        callback: object = UNDEFINED,
        options: object = None,
        *_: object,
        **members: Any,
    ) -> Any:
        """Register `callback` for events of `type`; without a callback, return a decorator.

        Spec: https://dom.spec.whatwg.org/#dom-eventtarget-addeventlistener

        Args:
            type: the events' name, for example "message".
            callback: any callable (an `async def` starts at once and goes on as a task), or an
                object with a method `handleEvent`. None is ignored.
            options: a bool (`capture`; any other primitive counts as one), or a dict with
                `capture`, `once`, `passive` (bool, default False) and `signal` (an `AbortSignal`);
                each may be a keyword instead.

        Raises:
            TypeError: the callback is a primitive or a dict, an option is of the wrong kind, or a
                keyword is unknown (an unknown member of `options` is ignored).

        Example:
            >>> target = EventTarget()
            >>> @target.addEventListener("ping", once=True)
            ... def ping(event):
            ...     print(event.type)
        """
        check_keywords("addEventListener()", members, *_KEYWORDS)
        name = DOMString(type, "type")
        if isinstance(callback, Undefined):

            def decorate(function: _F) -> _F:
                self.addEventListener(name, function, options, **members)
                return function

            return decorate
        init = _flatten(options, members)
        _check_callback(callback)
        signal = _check_signal(init)
        if callback is None or (signal is not None and signal.aborted):
            return None
        listener = Listener(
            callback,
            capture=boolean(init.get("capture")),
            once=boolean(init.get("once")),
            passive=boolean(init.get("passive")),
        )
        if self._add(name, listener) and signal is not None:
            signal._remove_on_abort(self, name, listener)
        return None

    def removeEventListener(
        self, type: object, callback: object, options: object = None, *_: object, **members: Any
    ) -> None:
        """Remove the listener with this `type`, `callback` and `capture`, if there is one.

        Spec: https://dom.spec.whatwg.org/#dom-eventtarget-removeeventlistener

        Raises:
            TypeError: the callback is a primitive or a dict, `options` is neither a bool nor a
                dict, or a keyword is unknown; those of `addEventListener` are taken.
        """
        check_keywords("removeEventListener()", members, *_KEYWORDS)
        name = DOMString(type, "type")
        init = _flatten(options, members)
        if callback is None or isinstance(callback, Undefined):
            return
        _check_callback(callback)
        self._remove(name, Listener(callback, capture=boolean(init.get("capture"))))

    def dispatchEvent(self, event: Event, *_: object) -> bool:
        """Dispatch `event` here, now; return False if a listener cancelled it.

        Spec: https://dom.spec.whatwg.org/#dom-eventtarget-dispatchevent

        Raises:
            TypeError: `event` is no `Event`.
            DOMException: "InvalidStateError", the event is being dispatched already.
        """
        if not isinstance(event, Event):
            raise TypeError(
                f"dispatchEvent() takes an Event, not a {event.__class__.__name__} "
                "(https://dom.spec.whatwg.org/#dom-eventtarget-dispatchevent)"
            )
        if event._flags & flags.DISPATCH or not event._flags & flags.INITIALIZED:
            raise DOMException(
                f"the {event._type!r} event is being dispatched already; dispatch a new one "
                "(https://dom.spec.whatwg.org/#dom-eventtarget-dispatchevent)",
                "InvalidStateError",
            )
        event._flags &= ~flags.TRUSTED
        return self._dispatch(event)

    def _fire(self, event: Event) -> bool:
        """Fire an event that the library made: trusted, and not to be dispatched again.

        Spec: https://dom.spec.whatwg.org/#concept-event-fire
        """
        event._flags |= flags.TRUSTED
        return self._dispatch(event)

    def _dispatch(self, event: Event) -> bool:
        """Spec: https://dom.spec.whatwg.org/#concept-event-dispatch, for a path of one target."""
        event._target = self
        event._flags |= flags.DISPATCH
        try:
            # Steps 5.13 and 5.14: at the target the capture listeners come first. Each invocation
            # clones the list, so a listener added by the first is seen by the second.
            self._invoke(event, capture=True)
            self._invoke(event, capture=False)
        finally:
            event._flags &= flags.AFTER_DISPATCH
        return not event._flags & flags.CANCELED

    def _invoke(self, event: Event, capture: bool) -> None:
        """Spec: https://dom.spec.whatwg.org/#concept-event-listener-invoke"""
        if event._flags & flags.STOP_PROPAGATION:
            return
        for listener in self._snapshot(event._type):
            if listener.capture is not capture or listener.removed:
                continue
            if listener.once:
                self._remove(event._type, listener)
            listener(event)
            if event._flags & flags.STOP_IMMEDIATE_PROPAGATION:
                return

    def _snapshot(self, type: str) -> tuple[Listener, ...]:
        """Return the listeners for `type` in order, as they are now."""
        snapshots = self._snapshots
        if snapshots is None:
            return ()
        found = snapshots.get(type)
        if found is None:
            with changing:
                assert self._emitter is not None
                found = tuple(self._emitter.listeners(_pyee_key(type)))  # type: ignore[arg-type]
                snapshots[type] = found
        return found

    def _has_listener(self, *types: str) -> bool:
        """Tell whether a listener for one of `types` is registered."""
        return self._snapshots is not None and any(map(self._snapshot, types))

    def _add(self, type: str, listener: Listener) -> bool:
        """Spec: https://dom.spec.whatwg.org/#add-an-event-listener; False if it was there."""
        with changing:
            if self._emitter is None:
                self._emitter, self._snapshots = EventEmitter(), {}
            if listener in self._snapshot(type):
                return False
            self._emitter.add_listener(_pyee_key(type), listener)
            self._forget_snapshot(type)
            self._listeners_changed(type)
        return True

    def _remove(self, type: str, listener: Listener) -> None:
        """Spec: https://dom.spec.whatwg.org/#remove-an-event-listener"""
        with changing:
            for found in self._snapshot(type):
                if found == listener:
                    break
            else:
                return
            found.removed = True
            assert self._emitter is not None
            self._emitter.remove_listener(_pyee_key(type), found)
            self._forget_snapshot(type)
            self._listeners_changed(type)

    def _forget_snapshot(self, type: str) -> None:
        assert self._snapshots is not None
        self._snapshots.pop(type, None)

    def _listeners_changed(self, type: str) -> None:
        """Called after the listeners for `type` changed, in the thread that holds `changing`."""


def _flatten(options: object, members: dict[str, Any]) -> dict[str, Any]:
    """Spec: https://dom.spec.whatwg.org/#event-flatten-more"""
    if isinstance(options, _PRIMITIVES):  # of a bool and a dictionary, the bool takes them
        return {"capture": boolean(options), **members}
    return dictionary(options, members)


def _check_callback(callback: object) -> None:
    # A dict JavaScript takes, to report at the event that it cannot be called.
    is_options = isinstance(callback, Mapping) and not (
        callable(callback) or hasattr(callback, "handleEvent")
    )
    if is_options or (callback is not None and is_primitive(callback)):
        hint = "; without a callback, options are keywords: once=True" if is_options else ""
        raise TypeError(
            f"the listener is a {callback.__class__.__name__}, where a callable, an object with a "
            f"method handleEvent, or None is expected{hint} "
            "(https://dom.spec.whatwg.org/#callbackdef-eventlistener)"
        )


def _check_signal(init: dict[str, Any]) -> AbortSignal | None:
    from webapi.dom.abort import AbortSignal  # it derives from EventTarget: a cycle at import

    if "signal" not in init:
        return None
    signal = init["signal"]
    if not isinstance(signal, AbortSignal):
        raise TypeError(
            f"signal is a {signal.__class__.__name__}, where an AbortSignal is expected "
            "(https://dom.spec.whatwg.org/#dictdef-addeventlisteneroptions)"
        )
    return signal
