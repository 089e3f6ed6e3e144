"""`webapi.run()`: a program as a page's script, against PyPI `websockets`."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from lifetime_server import LifetimeServer

import webapi
from webapi import WebSocket

Start = Callable[..., Any]


def test_returns_mains_value_at_once_when_nothing_lives() -> None:
    def main(a: int, b: int) -> int:
        return a + b

    async def async_main(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a * b

    assert webapi.run(main, 2, 3) == 5
    assert webapi.run(async_main, 2, 3) == 6
    assert webapi.run(lambda: None) is None


def test_any_awaitable_is_awaited() -> None:
    def main() -> asyncio.Future[str]:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "done")
        return future

    assert webapi.run(main) == "done"


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_runs_until_the_socket_is_closed(
    lifetime_server: LifetimeServer, name: str, kind: str
) -> None:
    events: list[object] = []
    threads: set[threading.Thread] = set()

    def main() -> str:
        ws = WebSocket(lifetime_server.url("echo", name))

        def onmessage(event: Any) -> None:
            threads.add(threading.current_thread())
            events.append(event.data)
            ws.close(1000, "done")

        ws.onopen = lambda event: ws.send("hello")
        ws.onmessage = onmessage
        ws.onclose = lambda event: events.append((event.code, event.reason, event.wasClean))
        return "value"

    async def async_main() -> str:
        return main()

    assert webapi.run(main if kind == "def" else async_main) == "value"
    assert events == ["hello", (1000, "done", True)]
    assert threads == {threading.current_thread()}


def test_socket_without_listeners_is_left_and_closed_with_1001(
    lifetime_server: LifetimeServer, name: str
) -> None:
    async def main() -> WebSocket:
        ws = WebSocket(lifetime_server.url("echo", name))
        opened = asyncio.Event()
        ws.addEventListener("open", lambda event: opened.set(), once=True)
        await opened.wait()
        return ws

    ws = webapi.run(main)
    assert lifetime_server.wait_over(name)[0].code == 1001
    assert isinstance(ws, WebSocket)


def test_tasks_and_nested_tasks_keep_it_running() -> None:
    done: list[str] = []

    async def inner() -> None:
        await asyncio.sleep(0.02)
        done.append("inner")

    async def outer() -> None:
        await asyncio.sleep(0.01)
        tasks.append(asyncio.ensure_future(inner()))
        done.append("outer")

    tasks: list[asyncio.Future[None]] = []

    def main() -> None:
        tasks.append(asyncio.ensure_future(outer()))

    webapi.run(main)
    assert done == ["outer", "inner"]


def test_timers_keep_it_running_unless_cancelled() -> None:
    done: list[str] = []

    def main() -> None:
        loop = asyncio.get_running_loop()
        never = loop.call_later(3600, done.append, "never")
        loop.call_later(0.02, never.cancel)
        loop.call_later(0.03, loop.call_later, 0.01, done.append, "timer")

    webapi.run(main)
    assert done == ["timer"]


def test_reconnecting_by_a_timer(lifetime_server: LifetimeServer, name: str) -> None:
    codes: list[int] = []

    def connect() -> None:
        ws = WebSocket(lifetime_server.url("leave", name))
        ws.onclose = onclose

    def onclose(event: Any) -> None:
        codes.append(event.code)
        if len(codes) < 3:
            asyncio.get_running_loop().call_later(0.05, connect)

    webapi.run(connect)
    assert codes == [1000] * 3


def test_async_listener_keeps_it_running(lifetime_server: LifetimeServer, name: str) -> None:
    done: list[str] = []

    def main() -> None:
        ws = WebSocket(lifetime_server.url("leave", name))

        async def onclose(event: Any) -> None:
            await asyncio.sleep(0.05)
            done.append(await asyncio.to_thread(lambda: "thread"))

        ws.onclose = onclose

    webapi.run(main)
    assert done == ["thread"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_exception_in_main_is_raised_and_sockets_close_with_1001(
    lifetime_server: LifetimeServer, name: str, kind: str
) -> None:
    events: list[str] = []

    async def open_socket() -> None:
        ws = WebSocket(lifetime_server.url("echo", name))
        opened = asyncio.Event()
        ws.onopen = lambda event: opened.set()
        ws.onclose = ws.onerror = lambda event: events.append(event.type)
        await opened.wait()

    def main() -> None:
        raise ValueError("in main")

    async def async_main() -> None:
        await open_socket()
        raise ValueError("in main")

    with pytest.raises(ValueError, match="in main"):
        webapi.run(main if kind == "def" else async_main)
    if kind == "async def":
        assert lifetime_server.wait_over(name)[0].code == 1001
    assert events == []


@pytest.mark.parametrize("where", ["def", "async def", "task", "timer"])
def test_sys_exit_in_a_listener_leaves_run(
    lifetime_server: LifetimeServer, name: str, where: str
) -> None:
    events: list[str] = []

    def main() -> None:
        ws = WebSocket(lifetime_server.url("greet", name))

        def leave() -> None:
            raise SystemExit(3)

        async def at_once(event: Any) -> None:
            leave()

        async def later(event: Any) -> None:
            await asyncio.sleep(0.01)
            leave()

        ws.onmessage = {
            "def": lambda event: leave(),
            "async def": at_once,
            "task": later,
            "timer": lambda event: asyncio.get_running_loop().call_later(0.01, leave) and None,
        }[where]
        ws.onclose = ws.onerror = lambda event: events.append(event.type)

    with pytest.raises(SystemExit) as raised:
        webapi.run(main)
    assert raised.value.code == 3
    assert events == []
    assert lifetime_server.wait_over(name)[0].code == 1001


def test_exceptions_in_listeners_go_to_the_loops_exception_handler(
    lifetime_server: LifetimeServer, name: str
) -> None:
    reported: list[BaseException] = []
    codes: list[int] = []

    def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: reported.append(context["exception"])
        )
        ws = WebSocket(lifetime_server.url("greet", name))

        def onmessage(event: Any) -> None:
            raise ValueError("first")

        @ws.addEventListener("message")
        async def second(event: Any) -> None:
            ws.close(1000)
            await asyncio.sleep(0)
            raise ValueError("second")

        ws.onmessage = onmessage
        ws.onclose = lambda event: codes.append(event.code)

    webapi.run(main)
    assert sorted(str(exception) for exception in reported) == ["first", "second"]
    assert codes == [1000]


def test_is_refused_where_a_loop_runs() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="just call main"):
            webapi.run(print)

    asyncio.run(main())


def test_runs_again_and_again(lifetime_server: LifetimeServer, name: str) -> None:
    codes: list[int] = []

    def main() -> None:
        ws = WebSocket(lifetime_server.url("leave", name))
        ws.onclose = lambda event: codes.append(event.code)

    for _ in range(3):
        webapi.run(main)
    assert codes == [1000] * 3


def test_runs_in_another_thread(lifetime_server: LifetimeServer, name: str) -> None:
    seen: list[threading.Thread] = []

    def main() -> None:
        ws = WebSocket(lifetime_server.url("leave", name))
        ws.onclose = lambda event: seen.append(threading.current_thread())

    thread = threading.Thread(target=webapi.run, args=(main,))
    thread.start()
    thread.join(30)
    assert seen == [thread]


RUN = """
    import asyncio, sys, time
    import webapi
    from webapi import WebSocket
    def main():
        global ws
        ws = WebSocket(URL)
        ws.onclose = ws.onerror = lambda event: print("event", event.type, flush=True)
        ws.onopen = onopen
        ws.onmessage = lambda event: None
"""


@pytest.mark.parametrize("kind", ["echo", "flood"])
@pytest.mark.parametrize("main", ["main", "async_main"])
@pytest.mark.parametrize("options", [(), ("-X", "dev")])
def test_ctrl_c_leaves_run_with_keyboard_interrupt(
    start_script: Start, lifetime_server: LifetimeServer, name: str, kind: str, main: str,
    options: tuple[str, ...],
) -> None:  # fmt: skip
    script = start_script(
        RUN
        + f"""
    async def onopen(event):
        try:
            await asyncio.sleep(0.01)  # out of the library's own steps
            print("open", flush=True)
            await asyncio.Future()  # no coroutine: Ctrl-C could prevent that it is awaited
        finally:
            print("cleaned up", flush=True)
    async def async_main():
        main()
        await asyncio.sleep(3600)
    try:
        webapi.run({main})
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        """,
        *options,
        kind=kind,
    )
    script.wait_line("open")
    script.interrupt()
    result = script.end()
    assert (result.code, result.err) == (0, "")
    assert result.out == "open\ncleaned up\ninterrupted\n"
    assert lifetime_server.wait_over(name)[0].code == 1001


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_what_ends_the_run_within_a_task_is_told_of_once(run_script: Start, error: str) -> None:
    """asyncio has it in the task, too, and would say that nobody asked for it there."""
    result = run_script(
        RUN
        + f"""
    import gc
    async def step():
        raise {error}  # as Ctrl-C does in the midst of it
    async def main():
        task = asyncio.create_task(step())
        await asyncio.sleep(3600)
    try:
        webapi.run(main)
    except {error}:
        print("ended", flush=True)
    gc.collect()
        """,
        "-X", "dev",
    )  # fmt: skip
    assert (result.code, result.out, result.err) == (0, "ended\n", "")


def test_uncaught_ctrl_c_dies_of_sigint(
    start_script: Start, lifetime_server: LifetimeServer, name: str
) -> None:
    script = start_script(
        RUN
        + """
    def onopen(event):
        print("open", flush=True)
        time.sleep(3600)
    webapi.run(main)
        """
    )
    script.wait_line("open")
    script.interrupt()
    result = script.end()
    assert (result.code, result.out) == (-signal.SIGINT, "open\n")
    assert result.err.count("Traceback") == 1  # as of any program that does not catch it
    assert lifetime_server.wait_over(name)[0].code == 1001


def test_nothing_is_left_behind(run_script: Start, lifetime_server: LifetimeServer) -> None:
    """Sockets of all states at an exception's teardown, with every warning shown."""
    result = run_script(
        """
        import asyncio, gc, socket
        import webapi
        from webapi import WebSocket
        silent = socket.create_server(("127.0.0.1", 0))
        async def main():
            opened = asyncio.Event()
            sockets = [WebSocket(URL), *(
                WebSocket("ws://127.0.0.1:%d/" % silent.getsockname()[1]) for _ in range(3)
            )]
            def reconnect(event):
                print("event")
                sockets.append(WebSocket(URL))
            for ws in sockets:
                ws.onclose = reconnect
            sockets[0].onopen = lambda event: opened.set()
            await opened.wait()
            closing = WebSocket(URL)
            closing.onopen = lambda event: closing.close()
            WebSocket(URL)
            raise ValueError("end")
        try:
            webapi.run(main)
        except ValueError:
            print("raised")
        silent.close()
        gc.collect()
        """,
        "-X", "dev",
    )  # fmt: skip
    assert (result.code, result.out, result.err) == (0, "raised\n", "")
