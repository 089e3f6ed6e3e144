"""The shared background event loop: one I/O thread for the process, and how long it holds it.

A page lives while a socket in it can still fire an event, and so does a Node program. Hence, when
the main program is done, the process waits here until nothing keeps the background loop's page
alive. It never waits where that would hang somebody: after Ctrl-C or an uncaught exception, in an
interactive interpreter, at the end of a pytest run, or in a `fork()`ed child for its parent's
sockets. `sys.exit()` in a listener ends the page at once, and the process when the main program is
done, with that exit status; in a signal's handler, while the process waits, it ends both at once.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from webapi.html.event_loop import EventLoop, PageLoop, report_in_thread

__all__ = ["BackgroundEventLoop"]

_log = logging.getLogger("webapi")

# At exit the loop has this long, in seconds, to send what it still has and to end its thread.
UNLOAD_TIMEOUT = 2.0

# After Ctrl-C a handler that runs has this long to return.
INTERRUPT_PATIENCE = 0.5


class _Thread(threading.Thread):
    """A daemon thread; but a thread that a listener starts is none, as in the main program."""

    lets_inherit = False
    has_lent = False
    """Whether a listener may have started a thread."""

    @property
    def daemon(self) -> bool:  # type: ignore[override]
        """What others see; the thread itself is asked when it makes another one."""
        if not self.lets_inherit or threading.get_ident() != self.ident:
            return True
        self.has_lent = True
        return False


class BackgroundEventLoop(EventLoop):
    """The event loop of sockets made where no asyncio loop runs."""

    def __init__(self) -> None:
        loop = PageLoop()
        super().__init__(loop)
        self.page_loop = loop
        self.exit: SystemExit | None = None  # what a listener raised
        self.stopping = False
        self._started_stopping = threading.Event()
        self.thread = _Thread(target=self._run, name="webapi I/O", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.thread.lets_inherit = True
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(_report)
        while True:
            try:
                self.loop.run_forever()
                if self.stopping:
                    break
                _log.warning("loop.stop() is ignored: the background loop is the whole process's")
            except BaseException as exception:  # a task's or a timer's SystemExit, for one
                self.report_exception(exception)
        self.loop.close()

    def report_exception(self, exception: BaseException) -> None:
        """Report to `threading.excepthook`; `sys.exit()` in a listener ends the page instead."""
        if isinstance(exception, SystemExit):
            self.exit = self.exit or exception
            self._end()
        else:
            report_in_thread(exception)

    def _end(self) -> set[asyncio.Task[Any]]:
        """Unload the page and cancel its tasks; return them."""
        self.unload()
        tasks = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        for task in tasks:
            task.cancel()
        return tasks

    def stop(self, patience: float = UNLOAD_TIMEOUT) -> None:
        """Unload the page and end the thread, in bounded time; call it from another thread.

        Args:
            patience: seconds that a handler which runs has to return.
        """
        if self.stopping:
            return
        self.stopping = True
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._start_stopping)
        if self._started_stopping.wait(patience) or not self.thread.is_alive():
            self.thread.join(UNLOAD_TIMEOUT)
        else:
            self.end_with_process()

    def _start_stopping(self) -> None:
        self._started_stopping.set()
        self._last_task = self.loop.create_task(self._stop())

    async def _stop(self) -> None:
        tasks = self._end()
        if tasks:  # they may have something to clean up
            await asyncio.wait(tasks, timeout=UNLOAD_TIMEOUT / 2)
        await self.loop.shutdown_asyncgens()
        await self.linger()
        self.loop.stop()


def _report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    exception = context.get("exception")
    if exception is None:
        _log.error("%s", context.get("message"))
    else:
        report_in_thread(exception)


_lock = threading.Lock()
_current: BackgroundEventLoop | None = None
_hooked = False


def background() -> EventLoop:
    """Return the background loop, started on first use."""
    global _current
    with _lock:
        if _current is None:
            _hook_exit()
            _current = BackgroundEventLoop()
        return _current


def _hook_exit() -> None:
    global _hooked
    if _hooked:
        return
    _hooked = True
    # Listeners must find executors and new threads working while the process waits, as they were
    # in the main program: that is so in threading's own exit hooks, and no longer in atexit's.
    # concurrent.futures has one too, which ends all executors and which must be older than ours, to
    # run after it: hence the import above. The function's name has been the same from Python 3.9
    # to 3.14; where it is missing, or it is too late, atexit does.
    with contextlib.suppress(AttributeError, RuntimeError):
        threading._register_atexit(_main_is_done)  # type: ignore[attr-defined]
    atexit.register(_exit)


def _must_not_wait() -> bool:
    return (
        hasattr(sys, "ps1")  # a prompt
        or bool(sys.flags.interactive)  # python -i
        or getattr(sys, "last_type", None) is not None  # the program died of an exception
        or "_pytest.main" in sys.modules  # a pytest run is over when its last test is
    )


def _main_is_done() -> None:
    _wait_until_idle()
    _outliving.extend(_other_threads())


def _wait_until_idle() -> None:
    page = _current
    if page is None or page.stopping or _must_not_wait() or not page.thread.is_alive():
        return
    try:
        if page.exit is None:
            with contextlib.suppress(concurrent.futures.CancelledError):  # sys.exit() in a listener
                asyncio.run_coroutine_threadsafe(page.until_idle(), page.loop).result()
    except BaseException as exception:
        _end_by_signal(page, exception)
    if page.exit is not None:
        _end_process(page, lambda: os._exit(_exit_status(page.exit)))


def _end_by_signal(page: BackgroundEventLoop, exception: BaseException) -> None:
    """End the process by what a signal's handler raised while it waited: Ctrl-C's, or a program's.

    Python itself would say that it ignores the exception, and the wait would begin anew.
    """
    if isinstance(exception, KeyboardInterrupt):
        _end_process(page, _die_of_interrupt)
    elif isinstance(exception, SystemExit):
        _end_process(page, lambda: os._exit(_exit_status(exception)))
    else:
        sys.excepthook(type(exception), exception, exception.__traceback__)
        _end_process(page, lambda: os._exit(1))


def _end_process(page: BackgroundEventLoop, end: Callable[[], object]) -> None:
    """Close the sockets, run the exit functions, and `end()` the process without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C waits for nothing
    page.stop(INTERRUPT_PATIENCE)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    end()


def _die_of_interrupt() -> None:
    """End as a program ends that Ctrl-C killed, so that a shell script stops too."""
    os.kill(os.getpid(), signal.SIGINT)


def _exit_status(exit: SystemExit | None) -> int:
    """Return the status that Python gives the process, and print what it prints."""
    code = None if exit is None else exit.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    with contextlib.suppress(Exception):
        print(code, file=sys.stderr, flush=True)  # noqa: T201
    return 1


def _exit() -> None:
    if _current is not None and _current.stopping:
        return  # `_end_process` runs this
    interrupted = _was_interrupted()
    if not interrupted:
        # Once more: threads that outlived the main program may have made sockets since, and
        # sockets started threads.
        _wait_until_idle()
        while threads := _other_threads():
            _join(threads)
            _wait_until_idle()
    if _current is not None:
        _current.stop(INTERRUPT_PATIENCE if interrupted or _died_of_interrupt() else UNLOAD_TIMEOUT)


# What the process waited for when the main program was done.
_outliving: list[threading.Thread] = []


def _was_interrupted() -> bool:
    """Tell whether Ctrl-C ended Python's own wait for threads; else it left none.

    But a listener may have started one since.
    """
    if _current is None or not _current.thread.has_lent:
        return bool(_other_threads())
    return any(thread.is_alive() for thread in _outliving)


def _other_threads() -> list[threading.Thread]:
    """Return the threads that Python would wait for."""
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]


def _join(threads: list[threading.Thread]) -> None:
    try:
        for thread in threads:
            with contextlib.suppress(RuntimeError):  # it is about to start
                thread.join()
    except BaseException as exception:
        if _current is not None:
            _end_by_signal(_current, exception)


def _died_of_interrupt() -> bool:
    return getattr(sys, "last_type", None) is KeyboardInterrupt


def _after_fork_in_child() -> None:
    """Forget the parent's loops: their threads are not here, and their sockets are not ours."""
    global _current, _lock
    _lock = threading.Lock()
    parents, _current = _current, None
    for page in list(EventLoop.instances):
        page.abandon_after_fork()
    if parents is not None:
        tasks = asyncio.all_tasks(parents.loop)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        _inherited.append((parents, tasks))
        parents.page_loop.abandon_after_fork()


# The parent's tasks are never run in a child, and not collected either: that would run what stands
# behind their `finally` a second time.
_inherited: list[tuple[BackgroundEventLoop, set[asyncio.Task[Any]]]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

EventLoop.background = staticmethod(background)
