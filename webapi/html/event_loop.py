"""The event loop: where a socket's events happen, and how long a page lives.

Spec: https://html.spec.whatwg.org/multipage/webappapis.html#event-loops

Theory of operation. An `EventLoop` is HTML's view of one asyncio loop. There are two kinds:

* the asyncio loop that runs in the thread which asks (`asyncio.run`, a notebook, `webapi.run`);
* where none runs, the shared background loop: one daemon thread for the process, started on first
  use (`webapi.html.background`).

Whatever lives on a loop - a socket, its connection - is touched by that loop's thread only, except
through `queue_task`, which any thread may call. Two sets say what lives:

* `connections`: open network connections, which are told when the page unloads;
* `kept_alive`: objects that can still fire an event to a listener, or have something to send. They
  are not collected, and the page lives while there are any: the standard's garbage-collection
  rule.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import inspect
import selectors
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, ClassVar, Final, Protocol, TypeVar

from webapi.dom.host import hooks
from webapi.html.eager_start import start_eagerly

__all__ = ["EventLoop", "PageLoop"]

_T = TypeVar("_T")

# One read, or write, takes this many bytes at most: `python -m benchmarks flood` shows no gain
# beyond.
BUFFER_SIZE = 256 * 1024
# Objects of up to this many bytes are to come from memory that the process has already.
LONGEST_FROM_HEAP = 8 * 1024 * 1024

# When a page ends, its servers have this long, in seconds, to end their connections too.
LINGER_TIMEOUT = 1.0


@functools.cache
def _take_long_objects_from_heap() -> None:
    """Have the C library keep memory for long messages; once in a process.

    glibc maps memory of 128 KiB and more anew for each object, and gives it back, until a longer
    one was freed. Measured: this one, never touched, takes 5 µs; a message of 1 MiB gains 600.
    """
    bytes(LONGEST_FROM_HEAP)


class Unloadable(Protocol):
    """Something that must end when its page does."""

    def unload(self) -> None:
        """Spec: https://html.spec.whatwg.org/#unloading-document-cleanup-steps"""

    def end(self) -> None:
        """End at once what is left of it."""

    def end_with_process(self) -> None:
        """Say the last word and end, where the loop does not run any more."""

    def abandon_after_fork(self) -> None:
        """Close a child process's copy, and send nothing: the parent's lives on."""


class PageLoop(asyncio.SelectorEventLoop):
    """A selector loop that knows its timers, and the end of a turn.

    A pending timer keeps a page alive, as in Node. What `at_end_of_turn` was given runs as a task
    behind all that this turn of the loop has to run, without another look at the sockets before
    (measured with `python -m benchmarks many`).
    """

    # asyncio's own; the same from Python 3.10 to 3.14.
    _selector: selectors.BaseSelector
    _scheduled: list[asyncio.TimerHandle]
    _thread_id: int | None
    _default_executor: object | None

    def __init__(self) -> None:
        super().__init__()
        self.own_timers: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()
        self._ending: deque[asyncio.Handle] = deque()

    def at_end_of_turn(self, steps: Callable[[], object]) -> None:
        """Run `steps` when what runs in this turn has run; call it in a turn."""
        if PageLoop._run_once is _RUN_ONCE:
            self._ending.append(asyncio.Handle(steps, (), self))
        else:  # somebody put another in its place, as nest_asyncio does
            self.call_soon(steps)

    def _run_once(self) -> None:
        try:
            super()._run_once()  # type: ignore[misc]
        finally:
            if self._ending:
                self._end_turn()

    def _end_turn(self) -> None:
        try:
            for _ in range(len(self._ending)):
                self._ending.popleft()._run()
        finally:
            if self._ending:  # what those asked for: sockets have their turn before, but no wait
                self.call_soon(_do_nothing)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of what went wrong, unless the loop's run was ended by it.

        A task that Ctrl-C or `sys.exit()` hit holds the exception, and raises it out of the loop,
        too; asyncio would complain of it once more when the task is collected.
        """
        if not isinstance(context.get("exception"), (KeyboardInterrupt, SystemExit)):
            super().call_exception_handler(context)

    def next_timer(self, since: float) -> float | None:
        """Return when the first of the page's timers after `since` is due, in this loop's time."""
        own = self.own_timers
        due = [
            timer.when()
            for timer in self._scheduled
            if not timer.cancelled() and timer.when() > since and timer not in own
        ]
        return min(due, default=None)

    def abandon_after_fork(self) -> None:
        """Close a `fork()`ed child's copy of the loop; the parent's lives on.

        Linux's epoll descriptor is shared with the parent: what a child took out of it - a
        coroutine that waits for a socket does so when it is destroyed - would be gone from the
        parent's too. So the child gives its copy of the descriptor back untouched, first.
        """
        inherited, self._selector = self._selector, selectors.SelectSelector()
        with contextlib.suppress(OSError):
            inherited.close()
        self._thread_id = None  # its thread does not exist here
        self._default_executor = None  # nor do the executor's
        self.close()


_RUN_ONCE: Final = PageLoop._run_once


def _do_nothing() -> None:
    pass


class EventLoop:
    """HTML's view of one asyncio loop. Get it by `EventLoop.current()`."""

    # How a background loop is found where none runs; webapi.html.background sets it.
    background: Callable[[], EventLoop]

    # All of the process, for a fork()ed child to abandon.
    instances: ClassVar[weakref.WeakSet[EventLoop]] = weakref.WeakSet()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connections: set[Unloadable] = set()
        self.kept_alive: set[object] = set()
        self.own_tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._idle: asyncio.Future[None] | None = None
        self._unload_hook: AsyncGenerator[None, None] | None = None
        self.instances.add(self)
        loop._webapi_event_loop = self  # type: ignore[attr-defined]

    @classmethod
    def current(cls) -> EventLoop:
        """Return the loop that runs in this thread or, where none runs, the background loop."""
        loop = asyncio._get_running_loop()
        if loop is None:
            return cls.background()
        found: EventLoop | None = getattr(loop, "_webapi_event_loop", None)
        if found is None:
            found = cls(loop)
            found._watch_shutdown()
            _watch_exit()
        return found

    def is_current(self) -> bool:
        """Tell whether this loop runs in the calling thread."""
        return asyncio._get_running_loop() is self.loop

    def queue_task(self, steps: Callable[..., object], *args: object) -> None:
        """Run `steps` in a later turn of the loop; call it from any thread.

        Spec: https://html.spec.whatwg.org/multipage/webappapis.html#queue-a-task

        Raises:
            RuntimeError: the loop is closed.
        """
        if self.is_current():
            self.loop.call_soon(steps, *args)
        else:
            self.loop.call_soon_threadsafe(steps, *args)

    def at_end_of_turn(self, steps: Callable[[], object]) -> None:
        """Run `steps` as a task soon: in this turn of the loop still, where the loop is ours.

        Call it from any thread.

        Raises:
            RuntimeError: the loop is closed.
        """
        if not self.is_current():
            self.loop.call_soon_threadsafe(steps)
        elif isinstance(self.loop, PageLoop):
            self.loop.at_end_of_turn(steps)
        else:
            self.loop.call_soon(steps)

    def call_later(
        self, seconds: float, steps: Callable[..., object], *args: object
    ) -> asyncio.TimerHandle:
        """Run `steps` after `seconds`, with a timer that does not keep the page alive."""
        handle = self.loop.call_later(seconds, steps, *args)
        if isinstance(self.loop, PageLoop):
            self.loop.own_timers.add(handle)
        return handle

    def create_task(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run `coroutine` as a task of ours, which does not keep the page alive."""
        task = self.loop.create_task(coroutine)
        self.own_tasks.add(task)
        # Listeners may run in it, and be interrupted.
        task.add_done_callback(lambda ended: _end_task(self, ended))
        return task

    def report_exception(self, exception: BaseException) -> None:
        """Tell the user of an exception that a listener raised; `sys.exit()` ends the loop's run.

        Spec: https://html.spec.whatwg.org/multipage/webappapis.html#report-an-exception
        """
        if isinstance(exception, SystemExit):
            # Out of a callback, as asyncio lets it through; first the dispatch goes to its end.
            self.loop.call_soon(_raise, exception)
            return
        self.loop.call_exception_handler(
            {"message": "Exception in an event listener", "exception": exception}
        )

    @functools.cached_property
    def buffer(self) -> memoryview:
        """Where connections read to and write from, one at a time.

        Nothing in it outlives a read, or a write. Measured: new memory of that size is mapped and
        unmapped by the kernel each time, 10 µs for a `recv(256 KiB)` of a small message and 140 µs
        for a batch that is full.
        """
        _take_long_objects_from_heap()
        return memoryview(bytearray(BUFFER_SIZE))

    # -- how long the page lives -------------------------------------------------------------

    def keep_alive(self, thing: object) -> None:
        """Keep `thing`, and the page, alive; call it from any thread."""
        self.kept_alive.add(thing)

    def let_go(self, thing: object) -> None:
        """Take back `keep_alive`; call it from any thread."""
        self.kept_alive.discard(thing)
        if not self.kept_alive and self._idle is not None:
            with contextlib.suppress(RuntimeError):  # a closed loop waits for nothing
                self.queue_task(self._wake)

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done() and not self.kept_alive:
            self._idle.set_result(None)

    async def until_idle(self) -> None:
        """Return when nothing keeps the page alive: no object kept, no task, no timer."""
        me = asyncio.current_task()
        while True:
            looked = self.loop.time()
            # Two turns: what just ended may have queued a task that makes a socket, and a timer
            # that is due by now runs in the first of them, but only after this.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            tasks = asyncio.all_tasks() - {me, *self.own_tasks}
            timer = self.loop.next_timer(looked) if isinstance(self.loop, PageLoop) else None
            if self.kept_alive:
                self._idle = self.loop.create_future()
                self._wake()
                try:
                    await self._idle
                finally:
                    self._idle = None
            elif tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            elif timer is not None:
                # A timer may cancel the others, so look again after each; a crowd of them counts
                # as one every 10 ms.
                await asyncio.sleep(max(timer - self.loop.time(), 0.010))
            else:
                return

    def unload(self) -> None:
        """End all that lives here, without events: the page is going away.

        Spec: https://html.spec.whatwg.org/multipage/document-lifecycle.html#unloading-documents
        """
        for connection in list(self.connections):
            connection.unload()
        self.kept_alive.clear()
        if self._idle is not None:
            self._wake()

    async def linger(self) -> None:
        """After `unload`, wait a moment for what the connections sent last to arrive.

        A socket that is closed while data come in resets the connection, and what it sent is lost.
        """
        deadline = self.loop.time() + LINGER_TIMEOUT
        while self.connections and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        for connection in list(self.connections):
            connection.end()

    def _watch_shutdown(self) -> None:
        """Have `unload` called when a loop of somebody else's is shut down.

        `asyncio.run` and its kin close asynchronous generators before the loop: a suspended one is
        the only hook that asyncio offers, and unlike a task it shows up nowhere else.
        """
        self._unload_hook = self._until_shutdown()
        start: Any = self._unload_hook.__anext__()
        with contextlib.suppress(StopIteration):
            start.send(None)  # run to its yield, which registers it with the loop

    def end_with_process(self) -> None:
        """End what lives on a loop that was left as it was, and is not run any more."""
        asyncio._set_running_loop(self.loop)  # what cleans up behind a `finally` asks for it
        try:
            for connection in list(self.connections):
                connection.end_with_process()
            for task in list(self.own_tasks):
                _end_with_process_of(task)
        finally:
            asyncio._set_running_loop(None)
        self.connections.clear()
        self.kept_alive.clear()

    def abandon_after_fork(self) -> None:
        """Forget, in a `fork()`ed child, what lives here: it is the parent's."""
        for connection in list(self.connections):
            connection.abandon_after_fork()
        self.connections.clear()
        self.kept_alive.clear()

    async def _until_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.unload()
            await self.linger()


@functools.cache
def _watch_exit() -> None:
    """Have the process's end known to loops that nobody shuts down; once in a process.

    Such as one of `run_forever()` that Ctrl-C ended, a notebook's, or `python -m asyncio`'s.
    """
    atexit.register(_end_with_process)


def _end_with_process() -> None:
    for page in list(EventLoop.instances):
        if not page.loop.is_running():  # else in a thread of its own, which goes on to the end
            page.end_with_process()


def _end_with_process_of(task: asyncio.Task[Any]) -> None:
    """End a task of ours quietly, whose loop is not run any more."""
    if not task.done():
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        with contextlib.suppress(Exception):  # what stands behind a `finally` may want the loop
            task.get_coro().close()


def _raise(exception: BaseException) -> None:
    raise exception


# -- coroutines as listeners -----------------------------------------------------------------


# The loop itself keeps only weak references to its tasks.
_running: set[asyncio.Task[Any]] = set()


def start_coroutine(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Start what an `async def` listener returned: at once, then as a task of the loop.

    In a thread where no loop runs it starts on the background loop.
    """
    page = EventLoop.current()
    if not page.is_current():
        page.queue_task(start_coroutine, coroutine)
        return
    if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
        return  # somebody else runs it already
    task = start_eagerly(coroutine, page.loop)
    _running.add(task)
    task.add_done_callback(lambda ended: _end_task(page, ended))


def _end_task(page: EventLoop, task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled() or (exception := task.exception()) is None:
        return
    if isinstance(exception, (SystemExit, KeyboardInterrupt)):
        return  # the loop's run was ended by it already
    page.report_exception(exception)


# -- the hooks that the DOM leaves to HTML ------------------------------------------------------


def report_exception(exception: BaseException) -> None:
    """Report an exception: to the loop that runs here, else to `threading.excepthook`."""
    if asyncio._get_running_loop() is None:
        report_in_thread(exception)
    else:
        EventLoop.current().report_exception(exception)


def report_in_thread(exception: BaseException) -> None:
    """Hand `exception` to `threading.excepthook`."""
    threading.excepthook(
        threading.ExceptHookArgs(
            (type(exception), exception, exception.__traceback__, threading.current_thread())
        )
    )


def run_after(milliseconds: float, steps: Callable[[], None]) -> None:
    """Spec: https://html.spec.whatwg.org/#run-steps-after-a-timeout"""
    page = EventLoop.current()
    page.queue_task(page.call_later, milliseconds / 1000, steps)


hooks.report_exception = report_exception
hooks.start_coroutine = start_coroutine
hooks.run_after = run_after
