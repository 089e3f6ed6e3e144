"""A real server on loopback, TCP and TLS, that does what a test's scripts say."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from webapi.protocol.handshake import MAX_HEAD_SIZE
from webapi.testing.script_peer import RECEIVE_TIMEOUT, Core, ScriptPeer, until_over
from webapi.testing.scripts import Scripts, compile_path
from webapi.testing.server import PeerGone, stop_listening
from webapi.testing.threads import run_on, servers_loop
from webapi.testing.waiting import DEFAULT_TIMEOUT, Board, Failed, Problems, Until, Waits, wait

__all__ = ["WebSocketServer", "authority", "known_authority"]

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class _Route:
    path: str
    pattern: re.Pattern[str]
    script: Callable[..., Any]
    subprotocols: Sequence[str]
    compression: bool
    handshake: bool
    headers: dict[str, str]
    home: asyncio.AbstractEventLoop | None


class WebSocketServer:
    """A scripted server; the fixture `ws_server` is one.

    It listens on ports that the system chooses: `url` is for `ws`, `secure_url` for `wss`, whose
    certificate a `Page` trusts. As a context manager it fails at the end of its block, as the
    fixture does at the end of the test, of what a script raised. In an `async def` say
    `async with`: a script on that loop can come to its end then, and is cut off else.

    Args:
        problems: where to note what scripts raise; default its own.

    Example:
        >>> with WebSocketServer() as server:
        ...     @server.route("/rooms/{room}")
        ...     def chat(peer):
        ...         peer.send_json({"joined": peer.params["room"]})
    """

    def __init__(self, *, problems: Problems | None = None) -> None:
        self.problems = Problems() if problems is None else problems
        self.board = Board()
        self.receive_timeout: float = RECEIVE_TIMEOUT
        """Seconds that scripts wait for a message unless they say otherwise."""
        self._loop = servers_loop()
        self._routes: list[_Route] = []
        self._scripts = Scripts(self.problems, self.board.changed)
        self._peers: list[ScriptPeer] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._cores: list[Core] = []
        self._servers: list[asyncio.Server] = []
        self._urls: dict[str, str] = {}
        self._finished = False

    # -- where it is

    @property
    def url(self) -> str:
        """Where it listens for `ws`, without a slash at the end: "ws://127.0.0.1:PORT"."""
        return self._listen("ws")

    @property
    def secure_url(self) -> str:
        """Where it listens for `wss`; needs trustme (webapi[testing]).

        A `Page` trusts its certificate; for others there is `authority()`.
        """
        return self._listen("wss")

    def _listen(self, scheme: str) -> str:
        if scheme not in self._urls:
            if self._finished:
                raise RuntimeError("the server has ended")
            context = _server_context() if scheme == "wss" else None
            # from an async test too: the servers' loop is another thread's
            future = asyncio.run_coroutine_threadsafe(self._start(scheme, context), self._loop)
            self._urls[scheme] = future.result(DEFAULT_TIMEOUT)
        return self._urls[scheme]

    async def _start(self, scheme: str, context: ssl.SSLContext | None) -> str:
        server = await asyncio.start_server(
            functools.partial(self._connected, scheme), _HOST, 0, ssl=context,
            limit=MAX_HEAD_SIZE, backlog=1024,
        )  # fmt: skip
        self._servers.append(server)
        return f"{scheme}://{_HOST}:{server.sockets[0].getsockname()[1]}"

    # -- what it does

    def route(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        compression: bool = False,
        handshake: bool = True,
        headers: dict[str, str] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator for the script of `path`; of several that match, the last one serves.

        Args:
            path: "/feed", "/rooms/{room}" or "/files/{name:path}"; `peer.params` has the values,
                decoded.
            subprotocols: those to accept, in the order of preference.
            compression: whether to accept permessage-deflate; default False.
            handshake: False leaves it to the script to `accept()` or `reject()`.
            headers: more headers for the response.

        A plain function runs in a thread of its own for each connection, an `async def` on the
        test's loop, or on the server's in a plain test.
        """

        def decorate(script: Callable[..., Any]) -> Callable[..., Any]:
            self._routes.append(
                _Route(
                    path, compile_path(path), script, subprotocols, compression, handshake,
                    headers or {}, asyncio._get_running_loop(),
                )
            )  # fmt: skip
            return script

        return decorate

    def reject(
        self,
        path: str,
        status: int = 403,
        headers: dict[str, str] | None = None,
        body: str | bytes = b"",
    ) -> None:
        """Refuse connections to `path` with an HTTP status."""

        async def script(peer: ScriptPeer) -> None:
            await peer.reject(status, headers, body)

        self._routes.append(_Route(path, compile_path(path), script, (), False, False, {}, None))

    def broadcast(self, message: str | bytes) -> Any:
        """Send a message to every connection that is open.

        It returns when all have it on their way; for one that does not read that takes 5 s at most.
        """
        return run_on(self._loop, self._broadcast(message), self.board)

    async def _broadcast(self, message: str | bytes) -> None:
        sending = [
            asyncio.ensure_future(_send(core, message))
            for core in self._cores
            if core.accepted and not core.gone
        ]
        if sending:
            _, slow = await asyncio.wait(sending, timeout=DEFAULT_TIMEOUT)
            for one in slow:  # what it has written leaves when the client reads
                one.cancel()

    # -- what happened

    @property
    def peers(self) -> list[ScriptPeer]:
        """The connections that were accepted so far, in order."""
        return list(self._peers)

    @property
    def log(self) -> str:
        """The timelines of all connections so far, as text."""
        return "\n".join(str(core.timeline) for core in self._cores)

    def wait_for_connections(self, count: int = 1, *, timeout: float | None = None) -> Any:
        """Wait until `count` connections were accepted, from the start on; return their peers.

        Args:
            count: how many.
            timeout: seconds; default 5.

        Raises:
            Failed: there were fewer; it shows all that happened.
        """
        __tracebackhide__ = True
        seconds = DEFAULT_TIMEOUT if timeout is None else timeout
        return wait(self._for_connections(count, seconds), self.board)

    def _for_connections(self, count: int, timeout: float) -> Waits[list[ScriptPeer]]:
        __tracebackhide__ = True
        enough = yield Until(self.board, lambda: len(self._peers) >= count, timeout)
        if not enough:
            raise Failed(
                f"{len(self._peers)} of {count} connections came within {timeout:g} s\n"
                + (self.log or f"nobody connected to {', '.join(self._urls.values()) or 'it'}")
            )
        return self.peers[:count]

    # -- serving

    async def _connected(self, scheme: str, reader: Any, writer: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        core = Core(reader, writer, self.board, self._urls.get(scheme, ""))
        try:
            await self._serve(core)
        except (asyncio.IncompleteReadError, OSError):
            pass  # no request came: somebody looked whether the port is open
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.problems.add(error)
        finally:
            self._connections.discard(task)
            if core.stalled.is_set():  # else it stays open until the test's end
                with suppress(OSError):
                    writer.close()

    async def _serve(self, core: Core) -> None:
        head = await core.read_head()
        if self._finished:
            return  # it came too late
        core.timeline.url += core.path
        self._cores.append(core)
        if not head.all("sec-websocket-key"):
            await core.reject_with(426, {"Upgrade": "websocket"}, b"a WebSocket server")
            return
        peer = ScriptPeer(core, self._loop)
        peer.receive_timeout = self.receive_timeout
        route = self._find(peer)
        if route is None:
            routes = ", ".join(route.path for route in self._routes) or "none"
            body = f"no route for {peer.path}; there are: {routes}"
            await core.reject_with(404, {"Content-Type": "text/plain"}, body.encode())
            return
        core.compression = route.compression
        core.on_accepted = lambda: self._add(peer)
        if route.handshake:
            asked = peer.subprotocols
            chosen = next((p for p in route.subprotocols if p in asked), None)
            await core.accept_with(protocol=chosen, headers=route.headers)
        await self._scripts.run(route.script, peer, core, route.home)

    def _find(self, peer: ScriptPeer) -> _Route | None:
        for route in reversed(self._routes):
            match = route.pattern.fullmatch(peer.path)
            if match is not None:
                peer.params = {name: unquote(text) for name, text in match.groupdict().items()}
                return route
        return None

    def _add(self, peer: ScriptPeer) -> None:
        with self.board.condition:
            self._peers.append(peer)
        self.board.changed()

    # -- the end

    def finish(self) -> None:
        """End the server and its scripts; `problems` then has what they raised."""
        if self._finished:
            return
        self._finished = True
        self._on_loop(self._end())
        self._scripts.finish()
        self.board.check_waits(self.problems)
        self._on_loop(self._forget())

    def _on_loop(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * DEFAULT_TIMEOUT)

    async def _end(self) -> None:
        for server in self._servers:
            await stop_listening(server)
        await until_over(self._cores)
        for core in self._cores:
            # A script that waits for a message is to end; one that sends is, too.
            await core.abandon()

    async def _forget(self) -> None:
        tasks = list(self._connections)
        if tasks:
            await asyncio.wait(tasks, timeout=0.5)
        for task in self._connections:
            task.cancel()

    def __enter__(self) -> WebSocketServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if error is not None:
            self.board.forget_waits()  # the block did not come to its end
        self.finish()
        self.problems.raise_beside(error)

    async def __aenter__(self) -> WebSocketServer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if error is not None:
            self.board.forget_waits()  # the block did not come to its end
        await asyncio.to_thread(self.finish)
        self.problems.raise_beside(error)


async def _send(core: Core, message: str | bytes) -> None:
    with suppress(PeerGone):
        await core.send(message)


# -- certificates

_authority: Any = None


def authority() -> Any:
    """Return the certificate authority (`trustme.CA`) of the servers here, one for the process.

    Raises:
        ImportError: trustme is missing.
    """
    global _authority
    if _authority is None:
        try:
            import trustme
        except ImportError:
            raise ImportError("wss needs trustme: pip install 'webapi[testing]'") from None
        _authority = trustme.CA()
    return _authority


def known_authority() -> Any:
    """Return the authority if there is one by now, else None."""
    return _authority


@functools.lru_cache(maxsize=1)
def _server_context() -> ssl.SSLContext:
    ca = authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("localhost", "127.0.0.1", "::1")
    with tempfile.TemporaryDirectory() as folder:  # load_cert_chain takes files only
        file = Path(folder) / "server.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
        context.load_cert_chain(str(file))
    return context


def client_context() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, and `authority()`."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context
