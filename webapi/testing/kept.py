"""Tasks on the test's loop that come to their end before it does.

`asyncio.run` and its kin (anyio's plugin, `IsolatedAsyncioTestCase`) cancel what is left on their
loop, and close it, before the test's end is checked. A server's script is not the test's to cancel:
it is to see its connection end, and may fail of that.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from webapi.html.event_loop import EventLoop

__all__ = ["END_TIMEOUT", "KeptTask", "kept_on"]

END_TIMEOUT: Final = 2.0
"""Seconds that scripts have to end after their connections have."""

_OTHERS_TIMEOUT: Final = 0.25

# Those on a loop that is being shut down, and those that wait for their end.
_ours: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


class KeptTask(asyncio.Task[None]):
    """A task that the shutdown of its loop lets come to its end; make it on its loop.

    Args:
        coroutine: its steps.
        loop: its loop.
        end: what brings it to its end: it is awaited when the page's sockets there are closed.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        loop: asyncio.AbstractEventLoop,
        end: Callable[[], Awaitable[object]],
    ) -> None:
        super().__init__(self._go(coroutine), loop=loop)
        self._end = end
        self._over = asyncio.Event()
        self._ender: asyncio.Task[None] | None = None
        self.was_cancelled = False
        """Whether somebody asked for that, other than the loop's shutdown."""
        self.is_overdue = False
        """Whether it did not come to its end within its time."""
        _ours.add(self)

    async def _go(self, coroutine: Coroutine[Any, Any, None]) -> None:
        with suppress(asyncio.CancelledError):
            await coroutine
        self._over.set()
        if self._ender is not None:  # the loop runs for as long as this does
            await self._ender

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it, unless its loop is being shut down: that is done while no loop runs."""
        if self._ender is None and not self.done() and asyncio._get_running_loop() is None:
            self._ender = self.get_loop().create_task(self._come_to_end())
            _ours.add(self._ender)
            return True
        self.was_cancelled = True
        return super().cancel(msg)

    async def _come_to_end(self) -> None:
        loop = self.get_loop()
        others = asyncio.all_tasks(loop) - set(_ours)
        if others:  # they were cancelled, and may close sockets now
            await asyncio.wait(others, timeout=_OTHERS_TIMEOUT)
        page: EventLoop | None = getattr(loop, "_webapi_event_loop", None)
        if page is not None:
            page.unload()
            await page.linger()
        await self._end()
        try:
            await asyncio.wait_for(self._over.wait(), END_TIMEOUT)
        except (asyncio.TimeoutError, TimeoutError):
            self.is_overdue = True
            self.cancel()


def kept_on(loop: asyncio.AbstractEventLoop) -> list[KeptTask]:
    """Return those on `loop` that are not done."""
    ours = [task for task in set(_ours) if isinstance(task, KeptTask)]
    return [task for task in ours if task.get_loop() is loop and not task.done()]
