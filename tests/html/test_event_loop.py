"""The one rule: a socket belongs to the loop that runs in the thread that creates it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lifetime_server import DEADLINE, LifetimeServer

import webapi
from webapi import EventTarget, WebSocket
from webapi.html import background
from webapi.html.event_loop import EventLoop, PageLoop, start_coroutine

Start = Callable[..., Any]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs already, in a thread, as a notebook's does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="notebook")
    thread.start()
    yield loop
    asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(DEADLINE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(DEADLINE)
    loop.close()


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What `threading.excepthook` is told."""
    found: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_value))
    return found


# -- where sockets live --------------------------------------------------------------------------


def test_without_a_loop_all_sockets_share_one_background_thread(
    lifetime_server: LifetimeServer, name: str
) -> None:
    threads: list[threading.Thread] = []

    def make() -> None:
        ws = WebSocket(lifetime_server.url("leave", name))
        ws.onmessage = lambda event: threads.append(threading.current_thread())

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(DEADLINE)
    make()
    wait_until(lambda: len(threads) == 5)
    (thread,) = set(threads)
    assert thread.name == "webapi I/O"
    assert thread.daemon


def test_a_socket_made_in_a_handler_lives_where_the_handler_runs(
    lifetime_server: LifetimeServer, name: str
) -> None:
    pages: list[EventLoop] = []
    first = WebSocket(lifetime_server.url("leave", name))

    def onclose(event: Any) -> None:
        second = WebSocket(lifetime_server.url("leave", name))
        second.onopen = lambda event: pages.append(second._page)

    first.onclose = onclose
    wait_until(lambda: pages)
    assert pages == [first._page] == [background.background()]


def test_inside_asyncio_run_events_come_on_that_loops_thread(
    lifetime_server: LifetimeServer, name: str
) -> None:
    async def main() -> None:
        closed = asyncio.Event()
        ws = WebSocket(lifetime_server.url("leave", name))
        where: list[object] = []
        ws.onopen = lambda event: where.append(asyncio.get_running_loop())
        ws.onmessage = lambda event: where.append(threading.current_thread())
        ws.onclose = lambda event: closed.set()
        await closed.wait()
        assert where == [asyncio.get_running_loop(), threading.current_thread()]
        assert ws._page is EventLoop.current() is not background._current

    asyncio.run(main())


def test_under_a_loop_that_runs_already(
    lifetime_server: LifetimeServer, name: str, running_loop: asyncio.AbstractEventLoop
) -> None:
    """As in a notebook: a cell makes the socket, later cells use it, the loop just goes on."""
    events: list[Any] = []

    async def first_cell() -> WebSocket:
        ws = WebSocket(lifetime_server.url("echo", name))
        for type in ("open", "message", "close"):
            ws.addEventListener(
                type, lambda event: events.append((event.type, threading.current_thread().name))
            )
        return ws

    async def second_cell() -> None:
        ws.send("hello")

    async def third_cell() -> None:
        ws.close(1000)

    def run_cell(cell: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(cell(), running_loop).result(DEADLINE)

    ws = run_cell(first_cell)
    wait_until(lambda: events == [("open", "notebook")])
    run_cell(second_cell)
    wait_until(lambda: events[1:] == [("message", "notebook")])
    run_cell(third_cell)
    wait_until(lambda: events[2:] == [("close", "notebook")])


def test_other_threads_may_use_a_socket_of_a_running_loop(
    lifetime_server: LifetimeServer, name: str, running_loop: asyncio.AbstractEventLoop
) -> None:
    async def make() -> WebSocket:
        ws = WebSocket(lifetime_server.url("echo", name))
        ws.onmessage = lambda event: got.append(event.data)
        ws.onclose = lambda event: got.append(event.code)
        return ws

    got: list[object] = []
    ws = asyncio.run_coroutine_threadsafe(make(), running_loop).result(DEADLINE)
    wait_until(lambda: ws.readyState == 1)
    ws.send("from here")
    wait_until(lambda: got == ["from here"])
    ws.close(3000)
    wait_until(lambda: got == ["from here", 3000])


def test_handlers_of_all_sockets_never_run_at_the_same_time(
    lifetime_server: LifetimeServer, name: str
) -> None:
    running, most, closed = 0, 0, 0

    def onmessage(event: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.002)
        running -= 1

    def onclose(event: Any) -> None:
        nonlocal closed
        closed += 1

    sockets = [WebSocket(lifetime_server.url("leave", name), max_connecting=10) for _ in range(10)]
    for ws in sockets:
        ws.onmessage, ws.onclose = onmessage, onclose
    wait_until(lambda: closed == 10)
    assert most == 1


# -- the loop's end ------------------------------------------------------------------------------


def test_sockets_left_open_are_closed_with_1001_when_the_loop_shuts_down(
    lifetime_server: LifetimeServer, name: str
) -> None:
    events: list[str] = []

    async def main() -> None:
        ws = WebSocket(lifetime_server.url("echo", name))
        opened = asyncio.Event()
        ws.onopen = lambda event: opened.set()
        ws.onclose = ws.onerror = lambda event: events.append(event.type)
        await opened.wait()

    asyncio.run(main())
    assert lifetime_server.wait_over(name)[0].code == 1001
    assert events == []


@pytest.mark.parametrize("run", [asyncio.run, webapi.run])
@pytest.mark.parametrize("state", ["OPEN", "CONNECTING"])
def test_a_socket_whose_loop_has_ended_is_closed(
    lifetime_server: LifetimeServer, name: str, run: Callable[..., Any], state: str
) -> None:
    """What is sent then is lost, and a program must be able to see that."""
    events: list[str] = []

    async def main() -> None:
        ws = WebSocket(lifetime_server.url("echo", name))
        opened = asyncio.Event()
        ws.onopen = lambda event: opened.set()
        ws.onmessage = ws.onclose = ws.onerror = lambda event: events.append(event.type)
        await opened.wait()
        made.append(ws if state == "OPEN" else WebSocket(ws.url))
        raise ValueError("the end")

    made: list[WebSocket] = []
    with pytest.raises(ValueError, match="the end"):
        run(main) if run is webapi.run else run(main())
    (ws,) = made
    assert ws.readyState == WebSocket.CLOSED
    ws.send("lost")
    ws.close()
    assert (ws.readyState, ws.bufferedAmount, events) == (WebSocket.CLOSED, 4, [])


LEFT_OPEN = """
    import asyncio, gc, socket
    from webapi import WebSocket
    silent = socket.create_server(("127.0.0.1", 0))
    async def main():
        opened = asyncio.Event()
        ws = WebSocket(URL)
        ws.onopen = lambda event: opened.set()
        ws.onmessage = ws.onclose = print
        async def listener(event):
            await asyncio.sleep(3600)
        ws.addEventListener("open", listener)
        await opened.wait()
"""


@pytest.mark.parametrize("how", ["return", "raise", "exit", "connecting"])
def test_asyncio_run_leaves_no_warning(
    run_script: Start, lifetime_server: LifetimeServer, name: str, how: str
) -> None:
    end = {
        "return": "return",
        "raise": "raise ValueError('end')",
        "exit": "raise SystemExit(0)",
        "connecting": "global c; c = WebSocket('ws://127.0.0.1:%d/' % silent.getsockname()[1])",
    }[how]
    result = run_script(
        LEFT_OPEN
        + f"""
        {end}
    try:
        asyncio.run(main())
    except (ValueError, SystemExit):
        print("raised")
    silent.close()
    gc.collect()
        """,
        "-X", "dev",
    )  # fmt: skip
    raised = "raised\n" if how in ("raise", "exit") else ""
    assert (result.code, result.out, result.err) == (0, raised, "")
    assert lifetime_server.wait_over(name)[0].code == 1001


def test_a_connecting_socket_that_reconnects_does_not_spoil_the_shutdown(
    run_script: Start,
) -> None:
    result = run_script(
        LEFT_OPEN
        + """
        def connect(event):
            ws = WebSocket("ws://127.0.0.1:%d/" % silent.getsockname()[1])
            ws.onclose = connect
        connect(None)
        await asyncio.sleep(0.01)
    asyncio.run(main())
    silent.close()
    gc.collect()
        """,
        "-X", "dev",
    )  # fmt: skip
    assert (result.code, result.out, result.err) == (0, "", "")


def test_ctrl_c_in_asyncio_run(
    start_script: Start, lifetime_server: LifetimeServer, name: str
) -> None:
    # Before Python 3.11 asyncio has no handler for Ctrl-C: one that comes just before it asks the
    # kernel for events waits for the next one, and one between two steps may lose the second.
    script = start_script(
        LEFT_OPEN
        + """
        def tick():
            asyncio.get_running_loop().call_later(0.05, tick)
        tick()
        await asyncio.sleep(0.01)  # the listener's task has begun
        print("open", flush=True)
        await asyncio.sleep(3600)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted")
    silent.close()
        """,
        "-X", "dev",
    )  # fmt: skip
    script.wait_line("open")
    script.interrupt()
    result = script.end()
    assert (result.code, result.out, result.err) == (0, "open\ninterrupted\n", "")
    assert lifetime_server.wait_over(name)[0].code == 1001


def test_sys_exit_in_a_listener_leaves_asyncio_run(
    lifetime_server: LifetimeServer, name: str
) -> None:
    async def main() -> None:
        ws = WebSocket(lifetime_server.url("greet", name))

        def onmessage(event: Any) -> None:
            raise SystemExit(3)

        ws.onmessage = onmessage
        await asyncio.sleep(DEADLINE)

    with pytest.raises(SystemExit) as raised:
        asyncio.run(main())
    assert raised.value.code == 3
    assert lifetime_server.wait_over(name)[0].code == 1001


# -- exceptions ----------------------------------------------------------------------------------


def test_exceptions_on_the_background_loop_go_to_threading_excepthook(
    lifetime_server: LifetimeServer, name: str, reported: list[BaseException | None]
) -> None:
    ws = WebSocket(lifetime_server.url("greet", name))
    got: list[object] = []

    @ws.addEventListener("message")
    def first(event: Any) -> None:
        raise ValueError("first")

    @ws.addEventListener("message")
    async def second(event: Any) -> None:
        raise ValueError("second")

    @ws.addEventListener("message")
    async def third(event: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("third")

    @ws.addEventListener("message")
    def fourth(event: Any) -> None:
        got.append(event.data)
        asyncio.get_running_loop().call_soon(divmod, 1, 0)

    ws.onclose = lambda event: got.append(event.code)
    wait_until(lambda: len(reported) == 4)
    assert {str(e) for e in reported if isinstance(e, ValueError)} == {"first", "second", "third"}
    assert any(isinstance(e, ZeroDivisionError) for e in reported)
    ws.close(1000)
    wait_until(lambda: got == ["welcome", 1000])


@pytest.mark.parametrize("listeners", [1, 2])
def test_a_socket_lives_on_whatever_its_listener_raises(
    lifetime_server: LifetimeServer, name: str, reported: list[BaseException | None], listeners: int
) -> None:
    """As `pytest.fail()` does, which raises no Exception."""
    ws = WebSocket(lifetime_server.url("echo", name))
    got: list[object] = []

    def listener(event: Any) -> None:
        got.append(event.data)
        if event.data == "fail":
            pytest.fail("in a listener")

    ws.onopen = lambda event: [ws.send(text) for text in ("fail", "next")]
    ws.onclose = lambda event: got.append(event.code)
    ws.onmessage = listener
    if listeners > 1:
        ws.addEventListener("message", lambda event: None)
    wait_until(lambda: got == ["fail", "next"])
    ws.send("later")
    wait_until(lambda: got == ["fail", "next", "later"])
    ws.close(1000)
    wait_until(lambda: got[3:] == [1000])
    assert [str(error) for error in reported] == ["in a listener"]


def test_an_interrupt_in_a_task_does_not_end_the_background_thread(
    lifetime_server: LifetimeServer, name: str, reported: list[BaseException | None]
) -> None:
    page = background.background()

    def interrupt() -> None:
        raise KeyboardInterrupt

    page.queue_task(interrupt)
    wait_until(lambda: reported)
    ws = WebSocket(lifetime_server.url("leave", name))
    codes: list[int] = []
    ws.onclose = lambda event: codes.append(event.code)
    wait_until(lambda: codes == [1000])
    assert isinstance(reported[0], KeyboardInterrupt)


def test_a_listener_that_stops_the_background_loop_stops_nobody(
    lifetime_server: LifetimeServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Programs that had a loop of their own end it so; this one is everybody's."""
    events: list[object] = []

    def open_socket() -> None:
        ws = WebSocket(lifetime_server.url("greet", name))
        ws.onopen = lambda event: asyncio.get_running_loop().stop()
        ws.onmessage = lambda event: (events.append(event.data), ws.close(1000))
        ws.onclose = lambda event: events.append(event.code)

    open_socket()
    wait_until(lambda: events == ["welcome", 1000])
    open_socket()
    wait_until(lambda: events == ["welcome", 1000] * 2)
    assert "loop.stop() is ignored" in caplog.text


def test_an_error_of_the_loop_without_an_exception_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = background.background()
    page.queue_task(page.loop.call_exception_handler, {"message": "a message"})
    wait_until(lambda: "a message" in caplog.text)


# -- async def listeners -------------------------------------------------------------------------


def test_async_listeners_start_at_once_and_in_order() -> None:
    async def main() -> None:
        steps: list[str] = []
        target = EventTarget()
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

        def listener(n: str) -> Callable[[Any], Any]:
            async def listen(event: Any) -> None:
                assert asyncio.current_task() is not outer
                variable.set(n)
                steps.append(n)
                await asyncio.sleep(0)
                steps.append(n + "'")
                await asyncio.sleep(0.01)
                steps.append(n + '"')

            return listen

        outer = asyncio.current_task()
        for n in "ab":
            target.addEventListener("x", listener(n))
        from webapi import Event

        target.dispatchEvent(Event("x"))
        assert asyncio.current_task() is outer
        assert steps == ["a", "b"]
        while len(steps) < 6:
            await asyncio.sleep(0)
        assert steps == ["a", "b", "a'", "b'", 'a"', 'b"']

    asyncio.run(main())


def test_async_listeners_may_use_timeouts_cancellation_and_errors_from_the_first_step() -> None:
    async def main() -> None:
        done: list[object] = []

        async def times_out() -> None:
            try:
                await asyncio.wait_for(asyncio.sleep(DEADLINE), 0.01)
            except asyncio.TimeoutError:
                done.append("timeout")

        async def catches() -> None:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(ValueError("awaited"))
            try:
                await future
            except ValueError as error:
                done.append(str(error))

        async def is_cancelled() -> None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            try:
                await asyncio.sleep(DEADLINE)
            except asyncio.CancelledError:
                done.append("cancelled")
                raise

        async def ends_at_once() -> None:
            done.append("ended")

        for listener in (times_out, catches, is_cancelled, ends_at_once):
            start_coroutine(listener())
        assert done == ["awaited", "ended"]  # what is done already does not suspend
        while len(done) < 4:
            await asyncio.sleep(0.001)
        assert set(done) == {"timeout", "awaited", "cancelled", "ended"}

    asyncio.run(main())


def test_async_listener_in_a_thread_without_a_loop_runs_on_the_background_loop() -> None:
    from webapi import Event

    target = EventTarget()
    seen: list[str] = []

    @target.addEventListener("x")
    async def listener(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(threading.current_thread().name)

    target.dispatchEvent(Event("x"))
    wait_until(lambda: seen)
    assert seen == ["webapi I/O"]


def test_a_coroutine_that_somebody_runs_already_is_left_alone() -> None:
    async def main() -> None:
        steps: list[int] = []

        async def work() -> None:
            steps.append(1)
            await asyncio.sleep(0)
            steps.append(2)

        coroutine = work()
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        start_coroutine(coroutine)
        await task
        assert steps == [1, 2]

    asyncio.run(main())


# -- tasks, timers, idleness ---------------------------------------------------------------------


def test_tasks_and_timers_of_ours_do_not_keep_the_page_alive() -> None:
    loop = PageLoop()

    async def main() -> None:
        page = EventLoop.current()
        timer = page.call_later(DEADLINE, print)
        task = page.create_task(asyncio.Event().wait())
        started = time.monotonic()
        await page.until_idle()
        assert time.monotonic() - started < DEADLINE / 2
        timer.cancel()
        task.cancel()
        assert loop.next_timer(0) is None

    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def run_on(loop: PageLoop, steps: Callable[[], object]) -> None:
    """Run `steps` in a turn of `loop`, and as many turns as that leads to."""

    async def main() -> None:
        steps()
        for _ in range(4):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


@pytest.fixture
def page_loop() -> Iterator[PageLoop]:
    loop = PageLoop()
    yield loop
    loop.close()


def test_the_end_of_a_turn_comes_before_the_loop_looks_at_sockets_again(
    page_loop: PageLoop,
) -> None:
    log: list[str] = []
    select = page_loop._selector.select
    page_loop._selector.select = lambda timeout=None: (log.append("look"), select(timeout))[1]

    def steps() -> None:
        log.append("task")
        page_loop.at_end_of_turn(lambda: log.append("end"))
        page_loop.call_soon(log.append, "next turn's task")

    page_loop.call_soon(steps)
    page_loop.call_soon(log.append, "other task")
    run_on(page_loop, lambda: None)
    at = log.index("task")
    assert log[at : at + 5] == ["task", "other task", "end", "look", "next turn's task"]


def test_what_the_end_of_a_turn_asks_for_waits_for_the_next_turn(page_loop: PageLoop) -> None:
    looks = 0
    select = page_loop._selector.select
    seen: list[int] = []

    def look(timeout: float | None = None) -> object:
        nonlocal looks
        looks += 1
        return select(timeout)

    def again() -> None:
        seen.append(looks)
        if len(seen) < 3:
            page_loop.at_end_of_turn(again)

    page_loop._selector.select = look  # type: ignore[method-assign]
    run_on(page_loop, lambda: page_loop.at_end_of_turn(again))
    assert seen == [seen[0], seen[0] + 1, seen[0] + 2]


def test_a_fault_at_the_end_of_a_turn_is_reported_and_the_others_run(page_loop: PageLoop) -> None:
    contexts: list[dict[str, object]] = []
    ran: list[int] = []
    page_loop.set_exception_handler(lambda _, context: contexts.append(context))

    def steps() -> None:
        page_loop.at_end_of_turn(lambda: 1 / 0)
        page_loop.at_end_of_turn(lambda: ran.append(1))

    run_on(page_loop, steps)
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
    assert ran == [1]


def test_the_end_of_a_turn_has_the_context_of_who_asked_for_it(page_loop: PageLoop) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def steps() -> None:
        variable.set("asked")
        page_loop.at_end_of_turn(end)

    def end() -> None:
        seen.append(variable.get())
        variable.set("leaked")

    run_on(page_loop, steps)
    run_on(page_loop, lambda: seen.append(variable.get()))
    assert seen == ["asked", "unset"]
    assert variable.get() == "unset"


def test_a_loop_whose_turns_are_run_by_others_has_no_end_of_them(
    page_loop: PageLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    monkeypatch.setattr(PageLoop, "_run_once", asyncio.SelectorEventLoop._run_once)
    run_on(page_loop, lambda: page_loop.at_end_of_turn(lambda: ran.append(1)))
    assert ran == [1]


def test_what_an_interrupt_left_of_the_end_of_a_turn_runs_in_the_next(page_loop: PageLoop) -> None:
    ran: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def steps() -> None:
        page_loop.at_end_of_turn(interrupt)
        page_loop.at_end_of_turn(lambda: ran.append(1))

    with pytest.raises(KeyboardInterrupt):
        run_on(page_loop, steps)
    run_on(page_loop, lambda: None)
    assert ran == [1]


def test_a_turn_that_the_program_ends_has_its_end(page_loop: PageLoop) -> None:
    ran: list[int] = []

    def steps() -> None:
        page_loop.at_end_of_turn(lambda: ran.append(1))
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_on(page_loop, steps)
    assert ran == [1]


def test_until_idle_waits_for_what_is_kept_alive() -> None:
    async def main() -> None:
        page = EventLoop.current()
        loop = asyncio.get_running_loop()
        steps: list[str] = []
        thing, other = object(), object()

        def third() -> None:
            steps.append("third")
            threading.Thread(target=page.let_go, args=(other,)).start()

        def second() -> None:
            steps.append("second")
            page.let_go(thing)
            loop.call_later(0.01, third)

        def first() -> None:
            steps.append("first")
            page.keep_alive(other)
            loop.call_later(0.01, second)

        page.keep_alive(thing)
        loop.call_later(0.01, first)
        await page.until_idle()
        assert steps == ["first", "second", "third"]
        assert not page.kept_alive

    asyncio.run(main())


def test_queue_task_from_any_thread_and_on_a_closed_loop() -> None:
    order: list[str] = []

    async def main() -> EventLoop:
        page = EventLoop.current()
        done = asyncio.Event()
        page.queue_task(order.append, "here")
        assert order == []
        thread = threading.Thread(target=page.queue_task, args=(done.set,))
        thread.start()
        await asyncio.wait_for(done.wait(), DEADLINE)
        thread.join()
        return page

    page = asyncio.run(main())
    assert order == ["here"]
    with pytest.raises(RuntimeError, match="closed"):
        page.queue_task(print)
    page.let_go(object())  # does not raise


def test_a_loop_has_one_event_loop() -> None:
    async def main() -> None:
        assert EventLoop.current() is EventLoop.current()
        assert EventLoop.current().is_current()
        assert not background.background().is_current()

    asyncio.run(main())
    assert EventLoop.current() is background.background()


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="new in Python 3.12")
def test_nothing_fires_within_the_constructor_where_tasks_start_eagerly() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        fired: list[str] = []
        closed = asyncio.Event()
        ws = WebSocket("ws://127.0.0.1:1/")  # a bad port: it fails without a wait
        assert ws.readyState == WebSocket.CONNECTING
        ws.onerror = lambda event: fired.append("error")
        ws.onclose = lambda event: (fired.append("close"), closed.set())
        await closed.wait()
        assert fired == ["error", "close"]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
    webapi.run(main)
