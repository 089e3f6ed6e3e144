"""Waiting for what happens on other threads, in a plain test and in an async one.

A wait is a generator of `Until`s, which `wait` drives: it blocks in a plain function, and returns a
coroutine where an asyncio loop runs.
"""

from __future__ import annotations

import asyncio
import builtins
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from webapi.testing.stacks import Where, format_fault, where

__all__ = ["DEFAULT_TIMEOUT", "Board", "Failed", "Problems", "Until", "Waits", "wait"]

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a wait may take unless it is told otherwise."""

_T = TypeVar("_T")


class Failed(AssertionError):
    """An expectation of a test's was not met; the message says which, and what happened."""


class Board:
    """Where a change is made known to those who wait for it; any thread may."""

    def __init__(self) -> None:
        self.condition = threading.Condition(threading.RLock())
        self._sleepers: set[asyncio.Future[None]] = set()
        self._waits: list[tuple[tuple[Coroutine[Any, Any, Any], ...], Where]] = []

    def changed(self) -> None:
        """Wake all who wait, to look again."""
        with self.condition:
            self.condition.notify_all()
            sleepers, self._sleepers = self._sleepers, set()
        for sleeper in sleepers:
            with suppress(RuntimeError):  # its loop is closed
                sleeper.get_loop().call_soon_threadsafe(_wake, sleeper)

    def sleeper(self) -> asyncio.Future[None]:
        """Return a future that the next change completes; call it with the condition held."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(future)
        return future

    def keep(self, wait: Coroutine[Any, Any, Any], *within: Coroutine[Any, Any, Any]) -> None:
        """Keep a wait until it is awaited; call it where the user asked for it."""
        with self.condition:
            self._waits = [kept for kept in self._waits if _is_not_awaited(kept[0][0])]
            self._waits.append(((wait, *within), where()))

    def forget_waits(self) -> list[Where]:
        """Forget the waits that were never awaited; return where they were asked for."""
        with self.condition:
            waits, self._waits = self._waits, []
        forgotten = []
        for kept, asked in waits:
            if _is_not_awaited(kept[0]):
                for wait in kept:
                    wait.close()
                forgotten.append(asked)
        return forgotten

    def check_waits(self, problems: Problems) -> None:
        """Note the waits that were never awaited as faults: they have checked nothing."""
        for asked in self.forget_waits():
            lines = "".join(asked.format()).rstrip()
            problems.add(Failed(f"this was never awaited: write `await` before it\n{lines}"))


def _is_not_awaited(wait: Coroutine[Any, Any, Any]) -> bool:
    return inspect.getcoroutinestate(wait) == inspect.CORO_CREATED


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Until(NamedTuple):
    """A step of a wait: until `found()` is true, or the time is over; its value is sent back."""

    board: Board
    found: Callable[[], Any]
    seconds: float


Waits = Generator[Until, Any, _T]


def wait(steps: Waits[_T], board: Board) -> Any:
    """Go through `steps` and return what they return, or a coroutine that does.

    Raises:
        RuntimeError: it is called on trio.
    """
    __tracebackhide__ = True
    if asyncio._get_running_loop() is not None:
        coroutine = _wait_async(steps)
        board.keep(coroutine)
        return coroutine
    if _on_trio():
        raise RuntimeError(
            "webapi waits on asyncio, and this test runs on trio; with anyio's plugin, have a "
            'fixture `anyio_backend` that returns "asyncio"'
        )
    return _wait_blocking(steps)


def _on_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


def _wait_blocking(steps: Waits[_T]) -> _T:
    __tracebackhide__ = True
    try:
        until = next(steps)
        while True:
            with until.board.condition:
                value = until.board.condition.wait_for(until.found, until.seconds)
            until = steps.send(value)
    except StopIteration as stop:
        result: _T = stop.value
        return result


async def _wait_async(steps: Waits[_T]) -> _T:
    __tracebackhide__ = True
    try:
        until = next(steps)
        while True:
            until = steps.send(await _until(until))
    except StopIteration as stop:
        result: _T = stop.value
        return result


async def _until(until: Until) -> Any:
    deadline = time.monotonic() + until.seconds
    while True:
        with until.board.condition:
            value = until.found()
            left = deadline - time.monotonic()
            if value or left <= 0:
                return value
            sleeper = until.board.sleeper()
        await asyncio.wait([sleeper], timeout=left)


class Problems:
    """What went wrong beside the test's own code: in scripts, in listeners, in expectations."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[BaseException] = []

    def add(self, error: BaseException) -> None:
        """Take note of one; call it from any thread."""
        with self._lock:
            if error not in self._found:
                self._found.append(error)

    def peek(self) -> list[BaseException]:
        """Return those so far."""
        with self._lock:
            return list(self._found)

    def take(self) -> list[BaseException]:
        """Return those so far, and forget them."""
        with self._lock:
            found, self._found = self._found, []
        return found

    def add_to(self, error: BaseException) -> None:
        """Tell of them beside `error`, which may well come of them, and forget them."""
        for found in self.take():
            if found is error:
                continue
            text = f"beside the test's own code:\n{format_fault(found).rstrip()}"
            if sys.version_info >= (3, 11):
                error.add_note(text)
            else:
                logging.getLogger("webapi").error(text)

    def raise_all(self) -> None:
        """Raise what there is: the one, or a group of them."""
        found = self.take()
        __tracebackhide__ = len(found) == 1
        if not found:
            return
        if len(found) == 1:
            raise found[0]
        raise _group(f"{len(found)} faults beside the test's own code", found)

    def raise_beside(self, error: BaseException | None) -> None:
        """Raise what there is, or tell of it beside `error`, which is raised already."""
        __tracebackhide__ = True
        if error is None:
            self.raise_all()
        else:
            self.add_to(error)


def _group(message: str, found: list[BaseException]) -> BaseException:
    if sys.version_info >= (3, 11):
        return builtins.BaseExceptionGroup(message, found)
    from exceptiongroup import BaseExceptionGroup as Backport  # pytest brings it

    group: BaseException = Backport(message, found)
    return group
