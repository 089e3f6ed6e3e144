"""Starting a coroutine as JavaScript starts an async function: at once, up to its first real wait.

Python 3.12 can do that (`eager_start`). Before it, the task is made first and entered by hand for
the coroutine's first step, so that `asyncio.current_task()`, and with it `asyncio.timeout()`, work
there too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["start_eagerly"]


class _EagerStart(Coroutine[Any, Any, Any]):
    """A coroutine whose first step is taken before the task that drives it takes it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        # what the first step gave, until the task asks for it: the awaited thing, or an exception
        self.first: tuple[Any, BaseException | None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
        task = loop.create_task(self)
        outer = asyncio.current_task(loop)
        if outer is not None:
            asyncio.tasks._leave_task(loop, outer)
        asyncio.tasks._enter_task(loop, task)
        try:
            self.first = (self.coroutine.send(None), None)
        except BaseException as exception:  # StopIteration too: the task raises it
            self.first = (None, exception)
        finally:
            asyncio.tasks._leave_task(loop, task)
            if outer is not None:
                asyncio.tasks._enter_task(loop, outer)
        return task

    def send(self, value: Any) -> Any:
        if self.first is None:
            return self.coroutine.send(value)
        (awaited, exception), self.first = self.first, None
        if exception is not None:
            raise exception
        return awaited

    def throw(self, *error: Any) -> Any:
        first, self.first = self.first, None
        if first is not None:
            awaited, exception = first
            if exception is not None:
                raise exception
            if asyncio.isfuture(awaited):  # the task never saw it: nobody waits for it now
                awaited._asyncio_future_blocking = False
        return self.coroutine.throw(*error)

    def close(self) -> None:
        self.coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self.coroutine.__await__())


def start_eagerly(
    coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[Any]:
    """Take the first step of `coroutine` now, and return the task that goes on with it."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return _EagerStart(coroutine).start(loop)
