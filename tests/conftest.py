"""What all tests share: real servers, and a page that must be empty when a test ends."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from servers import aiohttp_echo, server_context_for, websockets_echo

pytest_plugins = ["pytester"]

DEADLINE = 45.0
"""Seconds that anything here may take before a test fails; much, for a machine that is busy."""


class Recorder:
    """Records a socket's events in order, and waits for them."""

    TYPES = ("open", "message", "error", "close")

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.events: list[Any] = []
        self.states: list[int] = []
        self._changed = threading.Condition()
        for type in self.TYPES:
            ws.addEventListener(type, self._record)

    def _record(self, event: Any) -> None:
        with self._changed:
            self.events.append(event)
            self.states.append(self.ws.readyState)
            self._changed.notify_all()

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    @property
    def data(self) -> list[Any]:
        return [event.data for event in self.events if event.type == "message"]

    def wait(self, type: str, count: int = 1, timeout: float = DEADLINE) -> Any:
        """Return the `count`-th event of `type`, waiting for it."""

        def found() -> list[Any]:
            return [event for event in self.events if event.type == type]

        with self._changed:
            ok = self._changed.wait_for(lambda: len(found()) >= count, timeout)
        assert ok, f"no {type!r} event ({count}) within {timeout} s; there were {self.types}"
        return found()[count - 1]


@pytest.fixture
def record() -> type[Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A context that trusts the test authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    return server_context_for(authority, "localhost", "127.0.0.1")


class LoopThread:
    """An asyncio loop in a thread, for servers that we did not write."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="test servers", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def run(self, coroutine: Any, timeout: float = DEADLINE) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE)


@pytest.fixture(scope="session")
def servers_loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def websockets_server(servers_loop: LoopThread) -> Iterator[Callable[..., str]]:
    """Start PyPI `websockets` servers: call it with a handler and serve()'s options."""
    from websockets.asyncio.server import serve

    running: list[Any] = []

    def start(handler: Any, **options: Any) -> str:
        options.setdefault("compression", None)
        options.setdefault("max_size", None)

        async def begin() -> Any:
            return await serve(handler, "127.0.0.1", 0, **options)

        server = servers_loop.run(begin())
        running.append(server)
        port = server.sockets[0].getsockname()[1]
        return f"{'wss' if options.get('ssl') else 'ws'}://127.0.0.1:{port}/"

    yield start

    async def end() -> None:
        for server in running:
            server.close(close_connections=True)
        for server in running:
            await server.wait_closed()

    servers_loop.run(end())


@pytest.fixture(scope="session")
def aiohttp_server(servers_loop: LoopThread) -> Iterator[Callable[..., str]]:
    """Start aiohttp servers: call it with an `async def` that takes the WebSocketResponse.

    `routes` has handlers of aiohttp's for some paths.
    """
    from aiohttp import web

    running: list[Any] = []

    def start(script: Any, *, routes: dict[str, Any] | None = None, **options: Any) -> str:
        async def handle(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(compress=False, max_msg_size=0, **options)
            await socket.prepare(request)
            await script(socket)
            return socket

        async def begin() -> Any:
            app = web.Application()
            for path, handler in (routes or {}).items():
                app.router.add_get(path, handler)
            app.router.add_get("/{path:.*}", handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return runner

        runner = servers_loop.run(begin())
        running.append(runner)
        return f"ws://127.0.0.1:{runner.addresses[0][1]}/"

    yield start
    for runner in running:
        servers_loop.run(runner.cleanup())


NODE_ECHO = """
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false,
                                     maxPayload: 0 });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('error', () => {});
});
"""

NODE_MODULES = Path(__file__).parent / "node" / "node_modules"


@pytest.fixture(scope="session")
def node_echo_url() -> Iterator[str]:
    """An echo server on Node's `ws`."""
    if shutil.which("node") is None or not (NODE_MODULES / "ws").exists():
        pytest.skip("needs Node and `ws`: install Node.js, then `npm ci --prefix tests/node`")
    process = subprocess.Popen(
        ["node", "-e", NODE_ECHO], stdout=subprocess.PIPE, text=True, cwd=NODE_MODULES.parent
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    yield f"ws://127.0.0.1:{port}/"
    process.terminate()
    process.wait(DEADLINE)
    process.stdout.close()


@pytest.fixture(scope="session")
def echo_url(websockets_server: Callable[..., str]) -> str:
    """An echo server on PyPI `websockets`."""
    return websockets_server(websockets_echo)


@pytest.fixture(params=["websockets", "aiohttp", "node ws"])
def any_echo_url(request: pytest.FixtureRequest) -> str:
    """An echo server, one after the other of those that we did not write."""
    if request.param == "websockets":
        return str(request.getfixturevalue("echo_url"))
    if request.param == "node ws":
        return str(request.getfixturevalue("node_echo_url"))
    start = request.getfixturevalue("aiohttp_server")
    return str(start(aiohttp_echo))


@pytest.fixture(scope="session")
def daphne_url() -> Iterator[str]:
    """The chat of `examples/django_chat`, a Django Channels application, on daphne."""
    for package in ("daphne", "channels", "django"):
        pytest.importorskip(package, reason=f"needs {package}: pip install {package}")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "asgi:application"],
        cwd=Path(__file__).parent.parent / "examples" / "django_chat",
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "Listening on TCP address" in line:
            break
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    assert process.poll() is None
    yield f"ws://127.0.0.1:{port}/"
    process.terminate()
    process.wait(DEADLINE)
    drain.join(DEADLINE)
    process.stderr.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections; bound, so that nobody else gets it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


@pytest.fixture(autouse=True)
def page_is_empty() -> Iterator[None]:
    """Let no socket outlive its test: the next one shall find an empty page."""
    yield
    import webapi.html.background as background

    page = background._current
    if page is None or not page.connections:
        return
    done = threading.Event()

    def unload() -> None:
        page.unload()
        done.set()

    page.queue_task(unload)
    assert done.wait(DEADLINE)
