"""Feedback from the protocol: what happens on the wire becomes state and events.

Spec: https://websockets.spec.whatwg.org/#feedback-from-the-protocol

Each method here is a task of the socket's event loop. One thing is ours: a socket that was made
outside its loop may be connected before its maker has set a listener (`early_events`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from sys import getrefcount
from typing import Any, Final

from webapi.dom.event import FIRED, FIRED_IN_DISPATCH, Event
from webapi.dom.event_target import EventTarget, changing
from webapi.dom.host import hooks
from webapi.fileapi import ArrayBuffer, Blob, array_buffer_of
from webapi.html.event_loop import EventLoop
from webapi.html.message_event import ReceivedMessageEvent
from webapi.net.connection import Closed, Connection
from webapi.protocol.receiver import Message
from webapi.websockets.close_event import CloseEvent
from webapi.websockets.early_events import EarlyEvents

__all__ = ["CLOSED", "CLOSING", "CONNECTING", "OPEN", "Feedback"]

CONNECTING: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

TURN: Final = 0.005
"""Seconds for which messages are dispatched before other sockets have their turn."""
BETWEEN_LOOKS: Final = 16
"""Messages that are dispatched between two looks at that clock: 1, 2, 4, 8, and then these."""

# https://websockets.spec.whatwg.org/#garbage-collection: what a state can still fire.
_CAN_FIRE: Final = {
    CONNECTING: ("open", "message", "error", "close"),
    OPEN: ("message", "error", "close"),
    CLOSING: ("error", "close"),
    CLOSED: (),
}


class Feedback(EventTarget):
    """The half of `WebSocket` that the connection talks to."""

    _page: EventLoop
    _connection: Connection
    _lock: threading.Lock  # guards changes of _ready_state, which any thread may make
    _ready_state: int
    _protocol: str
    _extensions: str
    _binary_type: str
    _message_rest: tuple[Any, ...]  # origin and the like, the same for all messages

    # The one function that listens to messages, where calling it is all that dispatch would do.
    _message_function: Callable[[Any], Any] | None = None
    _rooted = False

    # Whether `close()` was called; an `open` event that waits by then is not fired.
    _close_called = False

    # Whether the page that it lived in was closed: then nothing is fired any more.
    _gone = False

    # Events that wait for a listener; None where none can, or no longer.
    _early: EarlyEvents | None = None

    def _fire_in_turn(self, type: str, steps: Callable[[], None]) -> None:
        """Run `steps`, which fire an event of `type`, now or when it need not wait any longer."""
        if self._early is None:
            steps()
        else:
            self._early.add(type, steps)

    def _early_events_may_go(self) -> None:
        self._connection.resume()

    def _early_events_are_over(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            early.run()
        self._update_liveness()

    # -- the standard's tasks --------------------------------------------------------------------

    def _connection_established(self, protocol: str, extensions: str) -> bool:
        """Spec: "When the WebSocket connection is established", steps 1 to 3"""
        with self._lock:
            if self._ready_state != CONNECTING:
                return False
            self._protocol, self._extensions = protocol, extensions
            self._ready_state = OPEN
        return True

    def _fire_open(self) -> None:
        """Spec: "When the WebSocket connection is established", step 4"""
        self._fire_in_turn("open", self._fire_open_now)
        self._update_liveness()  # not before: an event that waits keeps the socket

    def _fire_open_now(self) -> None:
        if not self._close_called:  # else a listener would not find the state OPEN
            self._fire_event(Event("open"))

    def _receive(self, messages: Sequence[Message], start: int) -> int:
        """Spec: "When a WebSocket message has been received", for each message from `start`.

        Measured with `python -m benchmarks flood`: this loop makes and dispatches an event in
        about 0.14 µs where one function listens; hence no call but that one, no count of what was
        dispatched, and a look at the clock now and then. An event that nobody kept is used again
        for the next message (a sixth of the loop's time): nobody can tell.
        """
        if (early := self._early) is not None and (early.waiting or early.must_wait("message")):
            return start
        now = time.perf_counter()
        shared = (self, now, self._message_rest)
        event = ReceivedMessageEvent()
        event._shared = shared
        references = getrefcount(event)  # as many as this function has
        left: Any = iter(messages)  # a list's iterator knows where it is
        rest: int
        if start:
            left.__setstate__(start)
        ahead = 1
        some = left if len(messages) - start == 1 else islice(left, ahead)
        data: Any
        while True:
            for data in some:
                kind = type(data)
                if kind is not str:
                    if kind is not bytes and kind is not ArrayBuffer and kind is not bytearray:
                        event._flags = FIRED
                        rest = left.__length_hint__()
                        return len(messages) - rest - 1
                    # read for each message: a handler may have changed it
                    if self._binary_type == "blob":
                        data = Blob._of(data)
                    elif kind is not ArrayBuffer:
                        data = array_buffer_of(data)
                if self._ready_state != OPEN:  # step 1
                    continue
                if getrefcount(event) != references or event.__weakref__ is not None:
                    event._flags = FIRED
                    event = ReceivedMessageEvent()
                    event._shared = shared
                event._flags = FIRED_IN_DISPATCH
                event._data = data
                function = self._message_function
                if function is None:
                    self._dispatch(event)
                else:
                    try:
                        result = function(event)
                        if result is not None and asyncio.iscoroutine(result):
                            hooks.start_coroutine(result)
                    except KeyboardInterrupt:
                        raise
                    except BaseException as exception:
                        hooks.report_exception(exception)
            rest = left.__length_hint__()
            if not rest or time.perf_counter() - now > TURN:
                break
            ahead = min(2 * ahead, BETWEEN_LOOKS)
            some = islice(left, ahead)
        event._flags = FIRED
        return len(messages) - rest

    def _closing_handshake_started(self) -> None:
        """Spec: "When the WebSocket closing handshake is started"."""
        with self._lock:
            if self._ready_state < CLOSING:
                self._ready_state = CLOSING
        self._update_liveness()

    def _connection_closed(self, closed: Closed) -> None:
        """Spec: "When the WebSocket connection is closed, possibly cleanly"."""
        first = "error" if closed.failed else "close"
        self._fire_in_turn(first, lambda: self._fire_closed(closed))

    def _fire_closed(self, closed: Closed) -> None:
        with self._lock:
            self._ready_state = CLOSED  # step 1
        if closed.failed:  # step 2
            self._fire_event(Event("error"))
        event = CloseEvent(  # step 3
            "close", wasClean=closed.clean, code=closed.code, reason=closed.reason
        )
        self._fire_in_turn("close", lambda: self._fire_event(event))

    def _fire_event(self, event: Event) -> None:
        if not self._gone:
            self._fire(event)
        self._update_liveness()

    def _disappear(self) -> None:
        """Close with 1001 and fire nothing any more; call it from any thread.

        Spec: https://websockets.spec.whatwg.org/#make-disappear
        """
        with self._lock:
            self._ready_state = CLOSED
        self._gone = True
        with suppress(RuntimeError):  # the loop is closed
            self._page.queue_task(self._vanish)

    def _page_is_gone(self) -> None:
        """Be closed, and fire nothing any more, because the loop that it lived on ended.

        Without the lock: in a `fork()`ed child, a thread that is not there may hold it.
        """
        self._ready_state = CLOSED
        self._gone = True
        if self._early is not None:
            self._early.waiting.clear()
        self._update_liveness()

    def _vanish(self) -> None:
        if self._early is not None:
            self._early.waiting.clear()
        self._connection.disappear()
        self._update_liveness()

    # -- how long it lives -----------------------------------------------------------------------

    def _queue_changed(self) -> None:
        # With each flush; a function that listens to messages keeps an open socket anyway.
        if not self._rooted or self._message_function is None or self._ready_state != OPEN:
            self._update_liveness()

    def _update_liveness(self) -> None:
        """Keep the socket while it can fire an event to a listener, or has data to send.

        Spec: https://websockets.spec.whatwg.org/#garbage-collection
        """
        with (
            changing
        ):  # one lock for listeners and liveness: neither is decided on the other's past
            state = self._ready_state
            wanted = (self._early is not None and bool(self._early.waiting)) or (
                self._has_listener(*_CAN_FIRE[state])
                or (state in (OPEN, CLOSING) and self._connection.has_data())
            )
            if wanted and not self._gone and not self._rooted:
                self._rooted = True
                self._page.keep_alive(self)
            elif self._rooted and not (wanted and not self._gone):
                self._rooted = False
                self._page.let_go(self)

    def _listeners_changed(self, type: str) -> None:
        if type == "message":
            listeners = self._snapshot(type)
            self._message_function = listeners[0].plain_function() if len(listeners) == 1 else None
        early = self._early
        if early is not None and early.listener_added():
            with suppress(RuntimeError):  # the loop is closed
                self._page.queue_task(early.run)
        self._update_liveness()
