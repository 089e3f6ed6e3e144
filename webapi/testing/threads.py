"""The thread in which scripted servers run: one asyncio loop, started on first use."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from webapi.testing.waiting import Board, Failed

__all__ = ["run_on", "servers_loop"]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_pid = 0


def servers_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that scripted servers run on."""
    global _loop, _thread, _pid
    with _lock:
        if _loop is None or os.getpid() != _pid:
            _loop, _pid = asyncio.SelectorEventLoop(), os.getpid()  # relays need add_reader
            _thread = threading.Thread(
                target=_run, args=(_loop,), name="webapi.testing servers", daemon=True
            )
            _thread.start()
            atexit.register(_stop, _loop, _thread)
        return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        with suppress(RuntimeError):
            loop.run_until_complete(_end_tasks())
        loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if os.getpid() == _pid:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.stop)
        thread.join(2.0)


def run_on(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], board: Board | None = None
) -> Any:
    """Run `coroutine` on `loop`: block for its result in a plain function.

    Where a loop runs it returns a coroutine; `board` sees to it that it is awaited.
    """
    __tracebackhide__ = True
    running = asyncio._get_running_loop()
    if running is not None:
        to_await = coroutine if running is loop else _elsewhere(loop, coroutine)
        if board is not None:
            board.keep(to_await, coroutine)
        return to_await
    future: concurrent.futures.Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except Failed as failed:
        # Its message says all: of its stack only the script's line is of interest.
        raise failed.with_traceback(None) from None
    except BaseException:
        future.cancel()
        raise


async def _elsewhere(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    __tracebackhide__ = True
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))
