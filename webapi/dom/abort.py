"""`AbortController` and `AbortSignal`.

Spec: https://dom.spec.whatwg.org/#aborting-ongoing-activities
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from webapi.dom.event import Event
from webapi.dom.event_target import EventTarget, Listener
from webapi.dom.host import hooks
from webapi.webidl import (
    UNDEFINED,
    DOMException,
    Undefined,
    enforced_unsigned_long_long,
    sequence,
)

__all__ = ["AbortController", "AbortSignal"]

_CREATING = object()


class AbortSignal(EventTarget):
    """Tells whether, and why, something was aborted; fires "abort" when it is.

    Spec: https://dom.spec.whatwg.org/#interface-AbortSignal

    Made by `AbortController`, `AbortSignal.abort()`, `AbortSignal.timeout()` and
    `AbortSignal.any()`; constructing one is a `TypeError`.
    """

    # `onabort` is an event handler attribute of HTML's making; webapi.html adds it.
    onabort: Any

    def __init__(self, token: object = None) -> None:
        if token is not _CREATING:
            raise TypeError(
                "AbortSignal cannot be constructed; use AbortController().signal or "
                "AbortSignal.abort(), .timeout() or .any() "
                "(https://dom.spec.whatwg.org/#interface-AbortSignal)"
            )
        self._reason: Any = UNDEFINED
        self._algorithms: dict[int, Callable[[], None]] = {}
        self._sources: list[AbortSignal] = []
        # An ordered set: dependents are aborted in the order in which they were made.
        self._dependents: weakref.WeakKeyDictionary[AbortSignal, None] = weakref.WeakKeyDictionary()
        # Dependents that somebody waits on: kept though nothing else may refer to them.
        # Spec: https://dom.spec.whatwg.org/#abort-signal-garbage-collection
        self._kept: set[AbortSignal] = set()

    @classmethod
    def abort(cls, reason: Any = UNDEFINED, *_: object) -> AbortSignal:
        """Return a signal that is aborted already; `reason` defaults to an "AbortError"."""
        signal = AbortSignal(_CREATING)
        signal._reason = _default_reason(reason)
        return signal

    @classmethod
    def timeout(cls, milliseconds: object, *_: object) -> AbortSignal:
        """Return a signal that aborts with a "TimeoutError" after `milliseconds`.

        Spec: https://dom.spec.whatwg.org/#dom-abortsignal-timeout

        Raises:
            TypeError: `milliseconds` is no number from 0 to 2**53 - 1.
        """
        after = enforced_unsigned_long_long(milliseconds, "milliseconds")
        signal = AbortSignal(_CREATING)
        error = DOMException("signal timed out", "TimeoutError")
        hooks.run_after(after, lambda: signal._signal_abort(error))
        return signal

    @classmethod
    def any(cls, signals: Iterable[AbortSignal], *_: object) -> AbortSignal:
        """Return a signal that aborts as soon as one of `signals` does.

        Spec: https://dom.spec.whatwg.org/#create-a-dependent-abort-signal

        Raises:
            TypeError: `signals` is no sequence, or an item of it no `AbortSignal`.
        """
        result = AbortSignal(_CREATING)
        sources = list(sequence(signals, "signals"))
        for source in sources:
            if not isinstance(source, AbortSignal):
                raise TypeError(
                    f"AbortSignal.any() takes AbortSignals, not a {source.__class__.__name__} "
                    "(https://dom.spec.whatwg.org/#dom-abortsignal-any)"
                )
        for source in sources:
            if source.aborted:
                result._reason = source._reason
                return result
        for source in sources:
            # A dependent signal depends on what its sources depend on, not on the go-betweens.
            for root in source._sources or [source]:
                result._sources.append(root)
                root._dependents[result] = None
        return result

    @property
    def aborted(self) -> bool:
        """Whether the signal was aborted."""
        return not isinstance(self._reason, Undefined)

    @property
    def reason(self) -> Any:
        """Why it was aborted; `UNDEFINED` (false) while it was not."""
        return self._reason

    def throwIfAborted(self, *_: object) -> None:
        """Raise `reason` if the signal was aborted.

        A reason that is no exception is raised inside a `DOMException` "AbortError", because
        Python cannot raise it.
        """
        if isinstance(self._reason, Undefined):
            return
        if isinstance(self._reason, BaseException):
            raise self._reason
        raise DOMException(f"aborted, with the reason {self._reason!r}", "AbortError")

    def _remove_on_abort(self, target: EventTarget, type: str, listener: Listener) -> None:
        """Add the algorithm that removes `listener` from `target`.

        Spec: https://dom.spec.whatwg.org/#abortsignal-add

        It holds both weakly: a signal that lives long keeps alive nothing that listened with it.
        """
        me, there = weakref.ref(self), weakref.ref(target)

        def forget(dead: weakref.ref[Listener]) -> None:
            if (signal := me()) is not None:
                signal._algorithms.pop(id(dead), None)

        weak = weakref.ref(listener, forget)

        def remove() -> None:
            target, listener = there(), weak()
            if target is not None and listener is not None and not listener.removed:
                target._remove(type, listener)

        self._algorithms[id(weak)] = remove
        self._listeners_changed("abort")
        if self.aborted:  # by another thread, since the caller looked
            remove()

    def _listeners_changed(self, type: str) -> None:
        """Have the sources keep this signal while somebody waits for it."""
        if type != "abort":
            return
        waited = not self.aborted and (bool(self._algorithms) or self._has_listener("abort"))
        for source in self._sources:
            if waited:
                source._kept.add(self)
            else:
                source._kept.discard(self)

    def _signal_abort(self, reason: Any) -> None:
        """Spec: https://dom.spec.whatwg.org/#abortsignal-signal-abort"""
        if self.aborted:
            return
        self._reason = reason
        living = [ref() for ref in self._dependents.keyrefs()]
        dependents = [signal for signal in living if signal is not None and not signal.aborted]
        for dependent in dependents:
            dependent._reason = reason
            dependent._listeners_changed("abort")
        for signal in (self, *dependents):
            signal._run_abort_steps()

    def _run_abort_steps(self) -> None:
        """Spec: https://dom.spec.whatwg.org/#run-the-abort-steps"""
        algorithms, self._algorithms = self._algorithms, {}
        for algorithm in algorithms.values():
            algorithm()
        self._fire(Event("abort"))


def _default_reason(reason: Any) -> Any:
    if isinstance(reason, Undefined):
        return DOMException("signal is aborted without reason", "AbortError")
    return reason


class AbortController:
    """Aborts what listens to its `signal`.

    Spec: https://dom.spec.whatwg.org/#interface-abortcontroller

    Example:
        >>> controller = AbortController()
        >>> ws.addEventListener("message", print, signal=controller.signal)
        >>> controller.abort()  # the listener is removed
    """

    def __init__(self, *_: object) -> None:
        self._signal = AbortSignal(_CREATING)

    @property
    def signal(self) -> AbortSignal:
        """The signal that `abort()` aborts."""
        return self._signal

    def abort(self, reason: Any = UNDEFINED, *_: object) -> None:
        """Abort the signal; `reason` defaults to a `DOMException` "AbortError"."""
        self._signal._signal_abort(_default_reason(reason))
