"""The end of a test: what is checked there, whoever runs the test and closes its loop."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from webapi.testing import Failed, Page, PeerGone, ScriptPeer, WebSocketServer

Run = Callable[..., str]

# What each of these leaves is a fault, and is so however it is run.
LEFT = """
import asyncio, unittest
import pytest

def until_over(server):
    @server.route("/")
    async def script(peer):
        async for _ in peer:
            pass
    return server.url

async def leak(page, ws_server):
    await page.tap(page.WebSocket(until_over(ws_server))).wait_for("open")

async def leak_connecting(page, ws_server):
    @ws_server.route("/", handshake=False)
    async def script(peer):
        await peer.wait_closed()
    tap = page.tap(page.WebSocket(ws_server.url))
    while not ws_server.log:
        await asyncio.sleep(0.01)

async def unmet(page, ws_server):
    begun = asyncio.Event()
    @ws_server.route("/")
    async def script(peer):
        begun.set()
        await peer.expect(text="never sent")
    await page.tap(page.WebSocket(ws_server.url)).wait_for("open")
    await begun.wait()
    page.may_leave_open = True

async def unmet_in_a_route(page, ws_server):
    begun = asyncio.Event()
    @page.route("/").handle
    async def script(peer):
        begun.set()
        await peer.expect(text="never sent")
    await page.tap(page.WebSocket("/")).wait_for("open")
    await begun.wait()
    page.may_leave_open = True

async def late_error(page, ws_server):
    begun = asyncio.Event()
    @ws_server.route("/")
    async def script(peer):
        begun.set()
        async for _ in peer:
            pass
        raise LookupError("at its end")
    tap = page.tap(page.WebSocket(ws_server.url))
    await tap.wait_for("open")
    await begun.wait()
    tap.ws.close()

async def right(page, ws_server):
    await page.tap(page.WebSocket(until_over(ws_server))).wait_for("open")
    page.may_leave_open = True

async def right_and_closed(page, ws_server):
    tap = page.tap(page.WebSocket(until_over(ws_server)))
    await tap.wait_for("open")
    tap.ws.close()
    await tap.wait_for("close")

async def right_with_a_task_that_closes(page, ws_server):
    tap = page.tap(page.WebSocket(until_over(ws_server)))
    await tap.wait_for("open")
    async def frontend():
        try:
            await asyncio.sleep(100)
        finally:
            tap.ws.close()
    page.task = asyncio.ensure_future(frontend())
    await asyncio.sleep(0)

WRONG = [leak, leak_connecting, unmet, unmet_in_a_route, late_error]
"""

WRONG = 5


def check_what_it_says(text: str) -> None:
    assert re.search(
        r"OPEN(> was left open| when its loop was shut down\)): close it, or say", text
    )
    assert re.search(r"CONNECTING(> was left open| when its loop was shut down\)): close it", text)
    assert text.count('>       await peer.expect(text="never sent")') == 2
    assert '>       raise LookupError("at its end")' in text
    assert "shutdown_asyncgens" not in text


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_what_an_async_test_leaves_fails_it(run: Run, plugin: str) -> None:
    text = run(
        LEFT
        + f"""
@pytest.fixture
def anyio_backend():
    return "asyncio"

RIGHT = [right, right_and_closed] + [right_with_a_task_that_closes] * ({plugin!r} == "anyio")

@pytest.mark.{plugin}
@pytest.mark.parametrize("test", WRONG + RIGHT)
async def test_it(page, ws_server, test):
    await test(page, ws_server)
""",
        failed=WRONG,
        passed=3 if plugin == "anyio" else 2,
    )
    check_what_it_says(text)


def test_what_asyncio_run_leaves_fails_the_test(run: Run) -> None:
    text = run(
        LEFT
        + """
RIGHT = [right, right_and_closed, right_with_a_task_that_closes]

@pytest.mark.parametrize("test", WRONG + RIGHT)
def test_it(page, ws_server, test):
    asyncio.run(test(page, ws_server))
""",
        failed=WRONG,
        passed=3,
    )
    check_what_it_says(text)


def test_what_an_async_test_case_leaves_is_an_error(run: Run) -> None:
    text = run(
        LEFT
        + """
class Test(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def bring(self, page, ws_server):
        self.both = page, ws_server

for steps in (*WRONG, right, right_and_closed, right_with_a_task_that_closes):
    async def go(self, steps=steps):
        await steps(*self.both)
    setattr(Test, f"test_{steps.__name__}", go)
""",
        passed=WRONG + 3,
        errors=WRONG,
    )
    check_what_it_says(text)


def test_a_script_that_outlives_its_loop_is_shown(run: Run) -> None:
    text = run(
        """
        import asyncio

        def test_it(page, ws_server):
            async def main():
                begun = asyncio.Event()
                @ws_server.route("/")
                async def script(peer):
                    begun.set()
                    await asyncio.sleep(100)
                await page.tap(page.WebSocket(ws_server.url)).wait_for("open")
                await begun.wait()
                page.may_leave_open = True
            asyncio.run(main())
        """,
        failed=1,
    )
    assert "the script script still runs 2 s after its connection's end" in text


def test_a_script_may_limit_its_own_waits(page: Page, ws_server: WebSocketServer) -> None:
    async def main() -> None:
        @ws_server.route("/")
        async def script(peer: ScriptPeer) -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(peer.receive(), 0.01)
            await peer.send("nothing came")

        tap = page.tap(page.WebSocket(ws_server.url))
        await tap.wait_for_message(text="nothing came")
        await tap.wait_for("close")

    asyncio.run(main())


# -- errors that look as if the client went


def test_a_scripts_own_connection_errors_fail_the_test(run: Run) -> None:
    text = run(
        """
        import asyncio, socket
        import pytest

        def refused():
            with socket.create_server(("127.0.0.1", 0)) as server:
                address = server.getsockname()
            socket.create_connection(address)

        def broken():
            raise BrokenPipeError("my own pipe")

        def cancelled():
            raise asyncio.CancelledError

        def of_a_script(page, ws_server, steps):
            @ws_server.route("/")
            def script(peer):
                steps()
            return page.tap(page.WebSocket(ws_server.url))

        def of_an_async_script(page, ws_server, steps):
            @ws_server.route("/")
            async def script(peer):
                steps()
            return page.tap(page.WebSocket(ws_server.url))

        def of_an_app(page, ws_server, steps):
            async def app(scope, receive, send):
                await receive()
                await send({"type": "websocket.accept"})
                steps()
            page.route("/").to_asgi(app, lifespan=False)
            return page.tap(page.WebSocket("/"))

        STEPS = pytest.mark.parametrize("steps", [refused, broken, cancelled])
        WHOSE = pytest.mark.parametrize("whose", [of_a_script, of_an_async_script, of_an_app])

        @STEPS
        @WHOSE
        def test_plain(page, ws_server, whose, steps):
            whose(page, ws_server, steps).wait_for("close")

        @STEPS
        @WHOSE
        @pytest.mark.asyncio
        async def test_async(page, ws_server, whose, steps):
            await whose(page, ws_server, steps).wait_for("close")
        """,
        failed=18,
    )
    assert text.count("in refused\n    socket.create_connection(address)\n") == 6
    assert text.count('>       raise BrokenPipeError("my own pipe")') == 6
    assert text.count(">       raise asyncio.CancelledError") == 6
    assert "was cancelled: it raised CancelledError" in text


def test_a_script_that_sends_to_a_client_that_is_gone_ends_quietly(
    page: Page, ws_server: WebSocketServer
) -> None:
    ended: list[BaseException] = []

    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        try:
            while True:
                peer.send("x" * 100_000)
        except BaseException as error:
            ended.append(error)
            raise

    tap = page.tap(page.WebSocket(ws_server.url))
    tap.wait_for_message()
    page.drop_connections()
    tap.wait_for("close")
    page.finish()
    ws_server.finish()
    assert [isinstance(error, PeerGone) for error in ended] == [True]


# -- the context managers


BLOCKS = """
import asyncio
import gc
import pytest
from webapi.testing import Page, WebSocketServer

pytestmark = pytest.mark.asyncio

async def leak(page, server):
    await page.tap(page.WebSocket(server.url)).wait_for("open")

async def unmet(page, server):
    begun = asyncio.Event()
    @server.route("/")
    async def script(peer):
        begun.set()
        await peer.expect(text="never sent")
    await page.tap(page.WebSocket(server.url)).wait_for("open")
    await begun.wait()
    page.may_leave_open = True

async def unmet_in_a_route(page, server):
    begun = asyncio.Event()
    @page.route("/").handle
    async def script(peer):
        begun.set()
        await peer.expect(text="never sent")
    ws = page.WebSocket("/")
    await page.tap(ws).wait_for("open")
    await begun.wait()
    ws.close()

async def late_error(page, server):
    @page.route("/").handle
    async def script(peer):
        async for _ in peer:
            pass
        raise LookupError("at its end")
    ws = page.WebSocket("/")
    await page.tap(ws).wait_for("open")
    ws.close()

async def late_listener(page, server):
    ws = page.WebSocket(server.url)
    async def onclose(event):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise LookupError("in a listener")
    ws.onclose = onclose
    tap = page.tap(ws)
    await tap.wait_for("open")
    ws.close()
    await tap.wait_for("close")

async def right(page, server):
    tap = page.tap(page.WebSocket(server.url))
    await tap.wait_for("open")
    [peer] = await server.wait_for_connections(1)
    tap.ws.send("x")
    await tap.wait_for_message(text="x")
    tap.ws.close()

def serve(server):
    @server.route("/")
    async def echo(peer):
        async for message in peer:
            await peer.send(message)
"""


def test_what_an_async_block_leaves_fails_at_its_end(run: Run) -> None:
    text = run(
        BLOCKS
        + """
@pytest.mark.parametrize(
    "steps", [leak, unmet, unmet_in_a_route, late_error, late_listener, right]
)
async def test_it(steps):
    async with WebSocketServer() as server, Page() as page:
        serve(server)
        await steps(page, server)

@pytest.mark.parametrize("steps", [unmet, unmet_in_a_route, late_error, late_listener, right])
async def test_the_server_ends_first(steps):
    async with Page() as page, WebSocketServer() as server:
        serve(server)
        await steps(page, server)

@pytest.mark.parametrize("steps", [leak, unmet, unmet_in_a_route, right])
async def test_a_plain_block(steps):
    with WebSocketServer() as server, Page() as page:
        serve(server)
        await steps(page, server)
""",
        failed=12,
        passed=3,
    )
    assert "scripts.py" not in text
    assert text.count("E       webapi.testing.waiting.Failed: the script expected") == 6
    assert text.count('>       raise LookupError("at its end")') == 2
    assert text.count('>       raise LookupError("in a listener")') == 2


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_an_async_block_tells_of_what_was_beside_its_failure() -> None:
    async def use() -> None:
        async with WebSocketServer() as server, Page() as page:

            @server.route("/")
            async def script(peer: ScriptPeer) -> None:
                raise LookupError("the reason")

            await page.tap(page.WebSocket(server.url)).wait_for_message()

    with pytest.raises(Failed, match="a message received did not come") as failed:
        asyncio.run(use())
    [note] = failed.value.__notes__
    assert "LookupError: the reason" in note


# -- a failure that no test function raises


def test_a_failure_elsewhere_than_in_a_function_is_a_failure_too(
    run: Run, pytester: pytest.Pytester
) -> None:
    text = run(
        """
        import unittest
        import pytest

        def connect(page, server):
            @server.route("/")
            def script(peer):
                peer.send("x")
                peer.wait_closed()
            tap = page.tap(page.WebSocket(server.url))
            tap.wait_for("open")
            return tap

        def close(tap):
            tap.ws.close()
            tap.wait_for("close")

        class Case(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def bring(self, page, ws_server):
                self.both = page, ws_server

        @pytest.mark.websocket_har("fails.har")
        class Fails(Case):
            def test_it(self):
                close(connect(*self.both))
                self.fail("after all went well")

        class LeavesOpen(Case):
            def test_it(self):
                connect(*self.both)
                self.fail("in the middle")

        class OfAScript(Case):
            def test_it(self):
                page, server = self.both
                @server.route("/")
                def script(peer):
                    raise LookupError("the reason")
                page.tap(page.WebSocket(server.url)).wait_for_message()

        @pytest.fixture
        def app(page, ws_server):
            close(connect(page, ws_server))
            raise LookupError("in the setup")

        @pytest.mark.websocket_har("setup.har")
        def test_setup(app):
            pass

        @pytest.fixture
        def open_app(page, ws_server):
            connect(page, ws_server)
            raise LookupError("in the setup")

        def test_setup_leaves_open(open_app):
            pass

        @pytest.mark.websocket_har("passes.har")
        class Passes(Case):
            def test_it(self):
                close(connect(*self.both))
        """,
        failed=3,
        errors=2,
        passed=1,
    )
    assert "left open" not in text
    assert "LookupError: the reason" in text.partition("beside the test's own code")[2]
    assert sorted(file.name for file in pytester.path.glob("*.har")) == ["passes.har"]


# -- a server's end


def test_a_servers_end_takes_those_it_accepted_just_now_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(20):
        server = WebSocketServer()
        address = urlsplit(server.url)
        for _ in range(10):
            socket.create_connection((address.hostname, address.port)).close()
        server.finish()
    gc.collect()  # a transport that nobody closed says so: that is an error here
    assert [record for record in caplog.records if record.name == "asyncio"] == []
