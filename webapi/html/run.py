"""`run()`: a program as a page's script.

Spec: https://html.spec.whatwg.org/multipage/webappapis.html#run-a-classic-script
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from webapi.html.event_loop import EventLoop, PageLoop

__all__ = ["run"]

_T = TypeVar("_T")


@overload
def run(main: Callable[..., Awaitable[_T]], *args: Any) -> _T: ...
@overload
def run(main: Callable[..., _T], *args: Any) -> _T: ...


def run(main: Callable[..., Any], *args: Any) -> Any:
    """Run `main(*args)` as a script runs in a page, and return what it returns.

    `main`, a function or coroutine function, runs on an event loop in this thread, and so do all
    events of the sockets that it makes. `run` returns when nothing keeps the page alive any more:
    `main` is done, no socket can fire an event to a listener, no task and no timer is pending.

    Raises:
        RuntimeError: an asyncio loop runs in this thread already.
        BaseException: whatever `main` raises; the sockets are closed with 1001 then, as they are
            on Ctrl-C.

    Example:
        >>> def main():
        ...     ws = WebSocket("ws://127.0.0.1:8765/")
        ...     ws.onmessage = lambda event: print(event.data)
        >>> webapi.run(main)
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "webapi.run() cannot be called where an asyncio loop runs; there, just call main(): "
            "the sockets it makes live on that loop"
        )
    loop = PageLoop()
    page = EventLoop(loop)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(_script(page, main, *args))
    except KeyboardInterrupt:
        # It may have stopped a connection between any two steps, so that none may go on.
        page.unload()
        raise
    finally:
        try:
            loop.run_until_complete(_end(page))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _script(page: EventLoop, main: Callable[..., Any], *args: Any) -> Any:
    result = main(*args)
    if inspect.isawaitable(result):
        result = await result
    await page.until_idle()
    return result


async def _end(page: EventLoop) -> None:
    """Cancel the user's tasks, which may still say goodbye, and then unload the page."""
    await _cancel(asyncio.all_tasks() - set(page.own_tasks))
    page.unload()
    await _cancel(asyncio.all_tasks())
    await page.loop.shutdown_asyncgens()
    await page.linger()


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    others = tasks - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)
