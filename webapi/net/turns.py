"""Turns to connect: in one page, one connection to a host and port is CONNECTING at a time.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-4.1, step 2 of establishing a connection
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Hashable
from contextlib import suppress

__all__ = ["ConnectingTurns"]


class _Line:
    """Those who connect to one address, and those who wait for it, in order."""

    __slots__ = ("connecting", "waiting")

    def __init__(self) -> None:
        self.connecting = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()


_all: weakref.WeakSet[ConnectingTurns] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Whoever connects in the parent does not in the child."""
    for turns in _all:
        turns._start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class ConnectingTurns:
    """The lines before each address of one page. Its sockets may live on several loops."""

    def __init__(self) -> None:
        self._start_anew()
        _all.add(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Hashable, _Line] = {}

    def take(self, address: Hashable, limit: int) -> bool:
        """Count the caller in if fewer than `limit` connect to `address` and nobody waits.

        Whoever is counted in calls `leave(address)` once it is connected, or failed.
        """
        with self._lock:
            return self._take(address, limit)

    def _take(self, address: Hashable, limit: int) -> bool:
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = _Line()
        elif line.connecting >= limit or line.waiting:
            return False
        line.connecting += 1
        return True

    async def wait(self, address: Hashable, limit: int) -> None:
        """Return when the caller is counted in as by `take`; those who came before are first."""
        with self._lock:
            if self._take(address, limit):
                return
            line = self._lines[address]
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            line.waiting.append((limit, turn))
        try:
            await turn
        except BaseException:
            # Cancelled: either still in the line, or called in already and then to be left again.
            with self._lock:
                called = (limit, turn) not in line.waiting
                if not called:
                    line.waiting.remove((limit, turn))
            if called:
                self.leave(address)
            raise

    def leave(self, address: Hashable) -> None:
        """Give the turn to the next; call it from any thread."""
        with self._lock:
            line = self._lines[address]
            line.connecting -= 1
            while line.waiting and line.connecting < line.waiting[0][0]:
                _, turn = line.waiting.popleft()
                with suppress(RuntimeError):  # its loop is closed: nobody waits there any more
                    turn.get_loop().call_soon_threadsafe(_call, turn)
                    line.connecting += 1
            if not line.connecting and not line.waiting:
                del self._lines[address]


def _call(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
