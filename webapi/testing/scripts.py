"""Routes and their scripts: which script serves a path, and running it beside the connection."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from webapi.testing.kept import END_TIMEOUT, KeptTask
from webapi.testing.script_peer import Core, ScriptPeer, until_over
from webapi.testing.server import PeerGone
from webapi.testing.stacks import users_stack
from webapi.testing.threads import servers_loop
from webapi.testing.waiting import Failed, Problems

__all__ = ["Scripts", "compile_path"]

_Outcome = asyncio.Future[BaseException | None]


class _Running:
    def __init__(self, script: Any, core: Core) -> None:
        self.script = script
        self.core = core
        self.thread: threading.Thread | None = None
        self.done = threading.Event()
        self.given_up = False
        # on a test's loop:
        self.home: asyncio.AbstractEventLoop | None = None
        self.steps: Coroutine[Any, Any, None] | None = None
        self.task: KeptTask | None = None
        self.ended: _Outcome | None = None

    def end_with(self, error: BaseException | None) -> None:
        """Let what runs it on the servers' loop know its end; call it from any thread."""
        assert self.ended is not None
        with suppress(RuntimeError):  # that loop is closed: the process ends
            self.ended.get_loop().call_soon_threadsafe(_finish, self.ended, error)


class Scripts:
    """Runs scripts, and notes what they raise in `problems`.

    A plain function runs in a thread of its own; an `async def` on `home`, the loop that ran when
    it was given, or else on the servers' loop.
    """

    def __init__(self, problems: Problems, changed: Callable[[], None]) -> None:
        self.problems = problems
        self._changed = changed
        self._running: list[_Running] = []
        self._lock = threading.Lock()

    async def run(
        self,
        script: Callable[..., Any],
        peer: ScriptPeer,
        core: Core,
        home: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Run `script` with `peer`, then close the connection; call it on the servers' loop."""
        __tracebackhide__ = True
        running = _Running(script, core)
        with self._lock:
            self._running.append(running)
        try:
            fault = await self._run(running, peer, home)
        except BaseException as error:
            fault = error
        self._judge(running, fault)
        running.done.set()
        code = 1000 if fault is None else 1011
        with suppress(OSError, PeerGone):
            if not core.answered:
                await core.reject_with(500, {}, b"the script answered nothing")
            elif not core.gone and core.stalled.is_set():
                await core.close_with(code, "", END_TIMEOUT)

    def _judge(self, running: _Running, fault: BaseException | None) -> None:
        if fault is None or isinstance(fault, PeerGone):
            return  # the client went away
        if isinstance(fault, asyncio.CancelledError):
            if running.given_up:
                raise fault
            fault = _cancelled(running, fault)
        if isinstance(fault, Failed):  # its message says all that our own frames would
            fault = fault.with_traceback(users_stack(fault))
        self.problems.add(fault)
        self._changed()

    async def _run(
        self, running: _Running, peer: ScriptPeer, home: asyncio.AbstractEventLoop | None
    ) -> BaseException | None:
        """Run the script; return what it raised, or raise it."""
        __tracebackhide__ = True
        script, here = running.script, asyncio.get_running_loop()
        if _is_async(script) and (home is None or home is here or home.is_closed()):
            await script(peer)
            return None
        running.ended = here.create_future()
        if home is not None and _is_async(script):
            _start_on(home, running, peer)
        else:
            running.thread = threading.Thread(
                target=_work, args=(running, peer), name=f"script {_name(script)}", daemon=True
            )
            running.thread.start()
        return await running.ended

    def finish(self) -> None:
        """Wait for the scripts to end; whichever does not is a fault."""
        deadline = time.monotonic() + END_TIMEOUT
        with self._lock:
            running, self._running = self._running, []
        for one in running:
            if one.home is not None:
                _let_end(one, one.home)
            if one.done.wait(max(deadline - time.monotonic(), 0.001)):
                continue
            one.given_up = True
            self.problems.add(Failed(_stuck(one)))


def _work(running: _Running, peer: ScriptPeer) -> None:
    __tracebackhide__ = True
    error: BaseException | None = None
    try:
        result = running.script(peer)
        if inspect.isawaitable(result):
            raise TypeError(f"{_name(running.script)} returned an awaitable: make it async def")
    except BaseException as raised:
        error = raised
    running.end_with(error)


def _start_on(home: asyncio.AbstractEventLoop, running: _Running, peer: ScriptPeer) -> None:
    """Start an async script on `home`, the test's loop."""
    running.home, running.steps = home, _steps(running, peer)

    def start() -> None:
        assert running.steps is not None
        if running.given_up:
            running.steps.close()
            return
        running.task = KeptTask(running.steps, home, lambda: _end_connection(running.core))

    try:
        home.call_soon_threadsafe(start)
    except RuntimeError:  # it was closed just now: it ends with its loop as a task does
        running.steps.close()
        running.end_with(PeerGone("the test's loop was closed"))


async def _steps(running: _Running, peer: ScriptPeer) -> None:
    __tracebackhide__ = True
    try:
        await running.script(peer)
    except (KeyboardInterrupt, SystemExit) as error:  # they end the loop's run
        running.end_with(error)
        raise
    except asyncio.CancelledError as error:
        running.end_with(_why_cancelled(running, error))
    except BaseException as error:
        running.end_with(error)
    else:
        running.end_with(None)


async def _end_connection(core: Core) -> None:
    """End what is left of a script's connection, from the test's loop."""

    async def end() -> None:
        await until_over([core])
        await core.abandon()

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(end(), servers_loop()))


def _unmet(running: _Running) -> BaseException:
    """Return the fault of a script that is cut off: a fault only if it waits in `expect`."""
    core = running.core
    if not core.expected:
        return PeerGone("the script was cancelled")
    why = core.gone or "the script was cancelled"
    return Failed(f"{core.expected}, but {why}\n{core.timeline}")


def _why_cancelled(running: _Running, error: BaseException) -> BaseException:
    task = running.task
    if task is not None and task.is_overdue:
        return Failed(_stuck(running))
    return _unmet(running) if task is not None and task.was_cancelled else error


def _cancelled(running: _Running, error: BaseException) -> BaseException:
    """Return the fault of a script that nobody cancelled but itself."""
    fault = Failed(f"the script {_name(running.script)} was cancelled: it raised CancelledError")
    return fault.with_traceback(error.__traceback__)


def _finish(ended: _Outcome, error: BaseException | None) -> None:
    if not ended.done():
        ended.set_result(error)


def _let_end(one: _Running, home: asyncio.AbstractEventLoop) -> None:
    """Let a script on the test's loop, which stands still by now, come to its end.

    Where that loop is the one that runs here, it cannot: then it is cut off.
    """
    if home.is_closed():
        _cut_off(one)
    elif asyncio._get_running_loop() is not None:
        if one.task is None or not one.task.done():
            _cut_off(one)
    elif not home.is_running():
        home.run_until_complete(_until_done(one))


async def _until_done(one: _Running) -> None:
    await asyncio.sleep(0)  # it may be about to start
    if one.task is not None:
        await asyncio.wait([one.task], timeout=END_TIMEOUT)


def _cut_off(one: _Running) -> None:
    assert one.home is not None
    assert one.steps is not None
    one.given_up = True
    one.end_with(_unmet(one))
    if not one.home.is_closed():
        if one.task is not None:
            one.task.cancel()
    elif one.task is None:
        one.steps.close()


def _stuck(one: _Running) -> str:
    text = f"the script {_name(one.script)} still runs {END_TIMEOUT:g} s after its connection's end"
    if one.thread is not None and one.thread.ident is not None:
        frame = sys._current_frames().get(one.thread.ident)
        if frame is not None:
            text += "; it is here:\n" + "".join(traceback.format_stack(frame)[-3:])
    return text


def _is_async(script: Any) -> bool:
    return inspect.iscoroutinefunction(script) or inspect.iscoroutinefunction(
        getattr(script, "__call__", None)  # noqa: B004
    )


def _name(script: Any) -> str:
    return str(getattr(script, "__name__", script))


def compile_path(path: str) -> re.Pattern[str]:
    """Return the pattern of a route's path: "{name}" is a segment, "{name:path}" all the rest.

    Raises:
        ValueError: it does not begin with "/".
    """
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} does not begin with '/'")
    pattern = ""
    for part in re.split(r"(\{\w+(?::path)?\})", path):
        match = re.fullmatch(r"\{(\w+)(:path)?\}", part)
        if match is None:
            pattern += re.escape(part)
        else:
            pattern += f"(?P<{match[1]}>{'.*' if match[2] else '[^/]+'})"
    return re.compile(pattern)
