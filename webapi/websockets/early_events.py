"""Events that wait for their first listener, so that none is lost to the race of two threads.

In a page `new WebSocket(url)` cannot fire before the script has run to its end. A socket that was
made outside its loop may be connected, or have failed, before its maker has set a listener. Hence
an event that nobody listens to yet waits, and what comes behind it too, for its first listener or
until the maker has had its chance for `TICKS` times `TICK` seconds.

A busy machine may hold the maker's thread up for longer than that; so what counts is not the time
that passed, but the time in which the maker could have run. A tick that comes late does not count,
for the whole process stood still; nor does one during which the maker was ready to run and got no
processor. `PATIENCE` bounds the wait all the same.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from webapi.html.event_loop import EventLoop

__all__ = ["EarlyEvents"]

TICK: Final = 0.010
"""Seconds between two looks at the maker."""

TICKS: Final = 5
"""How often the maker must have had its chance: 50 ms after construction on an idle machine."""

SETTLE: Final = 0.001
"""Seconds, twice, for which an event waits, within that, after a listener was added: more may
follow. Twice, for a maker that waits for the interpreter's lock just now looks like one asleep."""

CHANCE: Final = 0.0005
"""Seconds on a processor that let the maker go on: a listener costs it 10 to 200 µs, for it wakes
the loop and may have to wait for the interpreter's lock."""

PATIENCE: Final = 2.0
"""Seconds for which the first event waits at most, even where the maker never had its chance."""


class Socket(Protocol):
    """What the events are fired at."""

    def _has_listener(self, *types: str) -> bool: ...

    def _early_events_may_go(self) -> None:
        """Go on with the messages that wait."""

    def _early_events_are_over(self) -> None:
        """Nothing waits any more."""


class EarlyEvents:
    """The events of one socket that wait; all but the constructor runs on the socket's loop.

    Args:
        page: the loop.
        socket: the socket, which holds this object until `_early_events_are_over`, and which this
            holds only by the events that wait.
    """

    __slots__ = (
        "_blocked",
        "_changes",
        "_maker",
        "_page",
        "_settled",
        "_socket",
        "_ticks",
        "_timer",
        "_until",
        "waiting",
    )

    def __init__(self, page: EventLoop, socket: Socket) -> None:
        self.waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._page = page
        self._socket = weakref.ref(socket)
        self._maker = _Thread()
        self._ticks = TICKS
        self._until = math.inf  # once something waits: `PATIENCE` after that
        self._changes = 0  # how many listeners came and went
        self._settled = 0  # how many of them the maker had a chance to add to
        self._blocked = False  # whether something waits: an event here, or a message
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to count the maker's chances."""
        self._page.call_later(TICK, self._tick, self._changes, time.monotonic() + TICK)

    def add(self, type: str, steps: Callable[[], None]) -> None:
        """Run `steps`, which fire an event of `type`, now or when its first listener is there."""
        self.waiting.append((type, steps))
        self.run()

    def must_wait(self, type: str) -> bool:
        """Tell whether an event of `type` has to wait; `run` is called when that may change."""
        if not self._ticks:
            return False
        self._blocked = True  # before the look: a listener that comes now must not be overlooked
        if self._until == math.inf:  # not earlier: a slow connection is not the maker's fault
            self._until = time.monotonic() + PATIENCE
        socket = self._socket()
        if socket is None or not socket._has_listener(type):
            return True
        if self._settled == self._changes:
            self._blocked = False
            return False
        if self._timer is None:
            self._start_settling(self._changes, 2)
        return True

    def listener_added(self) -> bool:
        """Take note of a new listener, in any thread; return whether `run` should be queued."""
        self._changes += 1
        self._maker.look_at_myself()
        return self._blocked

    def run(self) -> None:
        """Fire what need not wait any longer."""
        self._blocked = False
        waiting = self.waiting
        while waiting and not self.must_wait(waiting[0][0]):
            waiting.popleft()[1]()
        socket = self._socket()
        if socket is not None and not waiting:
            socket._early_events_may_go()

    def _start_settling(self, changes: int, looks: int) -> None:
        due = time.monotonic() + SETTLE
        self._timer = self._page.call_later(SETTLE, self._settle, changes, looks, due)

    def _settle(self, changes: int, looks: int, due: float) -> None:
        self._timer = None
        if changes != self._changes or not self._had_its_chance(due, TICK):
            self.run()
        elif looks > 1:
            self._start_settling(changes, looks - 1)
        else:
            self._settled = changes
            self.run()

    def _tick(self, changes: int, due: float) -> None:
        socket = self._socket()
        if socket is None:
            return
        now = time.monotonic()
        if self._had_its_chance(due, TICK):
            self._ticks -= 1
            self._settled = changes
        if now >= self._until:
            self._ticks = 0
        if self._ticks:
            self._page.call_later(TICK, self._tick, self._changes, now + TICK)
        else:
            socket._early_events_are_over()
        if self._blocked:
            self.run()

    def _had_its_chance(self, due: float, interval: float) -> bool:
        """Tell whether the maker could run in the `interval` before `due`, when a timer was set."""
        had = time.monotonic() < due + interval and not self._maker.is_held_up()
        self._maker.look()
        return had


class _Thread:
    """The calling thread, to be looked at from another one.

    Only Linux tells enough; elsewhere nothing but late ticks speaks of a busy machine.
    """

    __slots__ = ("_clock", "_id", "_ident", "_used")

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._clock: int | None = None
        self._used = 0.0
        if sys.platform == "linux":
            self._id = threading.get_native_id()
            self._clock = time.pthread_getcpuclockid(self._ident)
            self.look()

    def look(self) -> None:
        """Note how long it has been on a processor by now, in seconds."""
        if self._clock is not None:
            with suppress(OSError):  # the thread has ended
                self._used = time.clock_gettime(self._clock)

    def look_at_myself(self) -> None:
        """`look`, where the calling thread is this one."""
        if threading.get_ident() == self._ident:
            self.look()

    def is_held_up(self) -> bool:
        """Tell whether it is ready to run, and hardly ran since the last look."""
        if self._clock is None:
            return False
        try:
            if time.clock_gettime(self._clock) - self._used >= CHANCE:
                return False
            # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: "id (name) state ..."
            with open(f"/proc/self/task/{self._id}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] == b"R"
        except (OSError, IndexError):  # the thread has ended, or there is no /proc
            return False
