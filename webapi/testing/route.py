"""Interception: what a page's sockets reach instead of the network, or on their way to it.

An intercepted connection is a real one, over a pair of connected sockets: the opening handshake and
all frames are as on the network, and `ScriptPeer` is the same object.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from webapi.net.opening import Established, OpeningFailed, _Deadline, establish, shake_hands
from webapi.net.settings import Dialled, Options
from webapi.testing.script_peer import Core, ScriptPeer
from webapi.testing.server import PeerGone
from webapi.testing.streams import SocketStream, tcp_pair
from webapi.testing.threads import servers_loop
from webapi.testing.waiting import DEFAULT_TIMEOUT, Failed, Until, Waits, wait

if TYPE_CHECKING:
    from webapi.testing.page import Page

__all__ = ["Relay", "Route", "compile_pattern"]

Pattern = str | re.Pattern[str] | Callable[[str], object]


def compile_pattern(pattern: Pattern, base: str = "") -> Callable[[str], bool]:
    """Return a predicate on URLs.

    In a glob, as Playwright has it, "*" is anything but "/", "**" is anything, and "{a,b}" is a or
    b; all else stands for itself. One that begins with "/" is on the host of `base`, and one
    without "?" takes any query.

    Raises:
        TypeError: it is no string, compiled pattern or callable.
    """
    if isinstance(pattern, str):
        if pattern.startswith("/"):
            parts = urlsplit(base)
            pattern = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{pattern}"
        if re.fullmatch(r"[a-z]+://[^/?]+", pattern):
            pattern += "/"  # as URLs are resolved
        compiled, with_query = re.compile(_glob(pattern)), "?" in pattern
        return lambda url: bool(
            compiled.fullmatch(url)
            or (not with_query and compiled.fullmatch(url.partition("?")[0]))
        )
    if isinstance(pattern, re.Pattern):
        return lambda url: pattern.search(url) is not None
    if callable(pattern):
        return lambda url: bool(pattern(url))
    raise TypeError(f"{pattern!r} is no glob, compiled pattern or callable that takes a URL")


def _glob(glob: str) -> str:
    found, depth = "", 0
    for part in re.findall(r"\*\*/|\*\*|\*|.", glob, re.DOTALL):
        if part == "**/":
            found += "(?:.*/)?"
        elif part == "**":
            found += ".*"
        elif part == "*":
            found += "[^/]*"
        elif part == "{":
            found, depth = found + "(?:", depth + 1
        elif part == "}" and depth:
            found, depth = found + ")", depth - 1
        elif part == "," and depth:
            found += "|"
        else:
            found += re.escape(part)
    return found + ")" * depth


class Route:
    """What the page's sockets to some URLs reach; get it by `page.route(pattern)`.

    Until it is told otherwise it accepts connections, and keeps them open; the test may speak for
    the server itself, with the peers that `wait_for_connections` returns.
    """

    def __init__(self, page: Page, pattern: Pattern, fits: Callable[[str], bool]) -> None:
        self.pattern = pattern
        self._page = page
        self._fits = fits
        self._script: Callable[..., Any] = _keep_open
        self._handshake = True
        self._subprotocols: Sequence[str] | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._peers: list[ScriptPeer] = []
        self._cores: list[Core] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what it does

    def handle(
        self,
        script: Callable[..., Any] | None = None,
        *,
        subprotocols: Sequence[str] | None = None,
        handshake: bool = True,
    ) -> Any:
        """Have `script` serve it; a decorator, too.

        Args:
            script: a plain function, which runs in a thread of its own for each connection, or an
                `async def`; it takes a `ScriptPeer`.
            subprotocols: those to accept, in the order of preference; default the first asked for.
            handshake: False leaves it to the script to `accept()` or `reject()`.
        """

        def decorate(script: Callable[..., Any]) -> Callable[..., Any]:
            self._script, self._handshake = script, handshake
            self._subprotocols = subprotocols
            self._home = asyncio._get_running_loop()
            return script

        return decorate if script is None else decorate(script)

    def refuse(
        self, status: int = 403, headers: dict[str, str] | None = None, body: str | bytes = b""
    ) -> Route:
        """Refuse connections with an HTTP status."""

        async def script(peer: ScriptPeer) -> None:
            await peer.reject(status, headers, body)

        self.handle(script, handshake=False)
        self._home = None
        return self

    def connect_to_server(self, url: str | None = None) -> Relay:
        """Pass everything on to the real server, and let both directions be edited on the way.

        Args:
            url: another server's URL; default the one that the page asked for.

        Example:
            >>> relay = page.route("wss://api.example.com/**").connect_to_server()
            >>> @relay.incoming
            ... def cheaper(message):
            ...     return message.replace("1.08", "0.50")  # None drops it, a list sends several
        """
        relay = Relay(url)
        self.handle(relay._serve, handshake=False)
        self._home = None
        return relay

    def to_asgi(self, app: Any, *, lifespan: bool = True) -> Route:
        """Have an ASGI application serve it, in this process, without a server.

        Spec: https://asgi.readthedocs.io/en/latest/specs/www.html#websocket

        Args:
            app: Starlette's, FastAPI's, Channels' or any other's application.
            lifespan: whether to send it the lifespan's events, where it takes them; default True.

        It gets the page's cookies and origin. It runs on the test's loop in an async test, else on
        the servers'; what it raises fails the test, in its lifespan's shutdown, too.
        """
        from webapi.testing.asgi import AsgiApp

        served = AsgiApp(app, lifespan, self._page.problems)
        self.handle(served.serve, handshake=False)
        self._page._at_end(served.finish)
        return self

    # -- what happened

    @property
    def peers(self) -> list[ScriptPeer]:
        """The connections that were accepted so far, in order."""
        return list(self._peers)

    def wait_for_connections(self, count: int = 1, *, timeout: float | None = None) -> Any:
        """Wait until `count` connections were accepted; return their peers.

        Raises:
            Failed: there were fewer within `timeout` seconds (default the page's, 5).
        """
        __tracebackhide__ = True
        seconds = self._page.default_timeout if timeout is None else timeout
        return wait(self._for_connections(count, seconds), self._page.board)

    def _for_connections(self, count: int, timeout: float) -> Waits[list[ScriptPeer]]:
        __tracebackhide__ = True
        board = self._page.board
        enough = yield Until(board, lambda: len(self._peers) >= count, timeout)
        if not enough:
            log = "\n".join(str(core.timeline) for core in self._cores)
            raise Failed(
                f"{len(self._peers)} of {count} connections to {self.pattern!r} came within "
                f"{timeout:g} s\n{log or 'nobody connected'}"
            )
        return self.peers[:count]

    # -- serving

    async def _connect(self, options: Options, dialled: Dialled) -> Established:
        client, server = tcp_pair()
        dialled(client)
        asyncio.run_coroutine_threadsafe(self._serve(server, options), servers_loop())
        async with _Deadline(options.open_timeout):
            return await shake_hands(client, options)

    async def _serve(self, sock: Any, options: Options) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        reader, writer = await asyncio.open_connection(sock=sock)
        core = Core(reader, writer, self._page.board, options.url.href)
        self._cores.append(core)
        peer = ScriptPeer(core, servers_loop())
        peer._upstream = Upstream(core, options, self._page._trusting)
        core.on_accepted = lambda: self._add(peer)
        try:
            await core.read_head()
            if self._handshake:
                await core.accept_with(protocol=self._choose(peer.subprotocols))
            await self._page._scripts.run(self._script, peer, core, self._home)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        except Exception as error:
            self._page.problems.add(error)
        finally:
            self._tasks.discard(task)
            if core.stalled.is_set():
                writer.close()

    def _choose(self, asked: Sequence[str]) -> str | None:
        if self._subprotocols is None:
            return asked[0] if asked else None
        return next((protocol for protocol in self._subprotocols if protocol in asked), None)

    def _add(self, peer: ScriptPeer) -> None:
        with self._page.board.condition:
            self._peers.append(peer)
        self._page.board.changed()

    async def _end(self) -> None:
        for core in self._cores:
            await core.abandon()

    def __repr__(self) -> str:
        return f"<Route {self.pattern!r}>"


async def _keep_open(peer: ScriptPeer) -> None:
    # It reads nothing: the test may, by `route.peers`.
    await peer._do(peer._core.until_gone(None))


class Upstream:
    """The way from an intercepted connection to the real server."""

    def __init__(
        self, core: Core, options: Options, trusting: Callable[[Options], Options]
    ) -> None:
        self._core = core
        self._trusting = trusting
        self._options = options

    async def connect(self, url: str | None = None) -> Core:
        """Connect to the server with the page's headers and cookies.

        Raises:
            OpeningFailed: it cannot be reached, or refuses.
        """
        from webapi.url import get_url_record

        options = replace(self._options, compression=False, request_id="")
        if url is not None:
            options = replace(options, url=get_url_record(url, None))
        options = self._trusting(options)
        established = await establish(options, lambda _: None)
        stream = SocketStream(established.sock)
        timeline = self._core.timeline
        core = Core(stream, stream, timeline.board, options.url.href, client=True)
        core.subprotocol = established.accepted.protocol
        core.answered = True
        core.start(established.received)
        return core


Edit = Callable[[Any], Any]


class Relay:
    """A way to the real server on which messages may be edited; see `Route.connect_to_server`."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._outgoing: list[Edit] = []
        self._incoming: list[Edit] = []

    def outgoing(self, edit: Edit) -> Edit:
        """Have `edit` change what the page sends: it returns the message, several, or None."""
        self._outgoing.append(edit)
        return edit

    def incoming(self, edit: Edit) -> Edit:
        """Have `edit` change what the server sends."""
        self._incoming.append(edit)
        return edit

    async def _serve(self, peer: ScriptPeer) -> None:
        assert peer._upstream is not None
        try:
            server = await peer._upstream.connect(self._url)
        except OpeningFailed as failure:
            await peer.reject(502, body=str(failure))
            return
        page = peer._core
        await page.accept_with(protocol=server.subprotocol or None)
        ways = [
            asyncio.ensure_future(self._carry(page, server, self._outgoing)),
            asyncio.ensure_future(self._carry(server, page, self._incoming)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await server.abandon()

    async def _carry(self, source: Core, target: Core, edits: list[Edit]) -> None:
        while True:
            try:
                message = await source.next_message(None)
                for edited in await _edited(message, edits):
                    await target.send(edited)
            except PeerGone:
                break
        close = source.close_received
        if close is not None:
            await target.close_with(close.code, close.reason, DEFAULT_TIMEOUT)
        elif not target.gone:
            with suppress(OSError):
                await (target.reset_now() if source.was_reset else target.finish())


async def _edited(message: Any, edits: Iterable[Edit]) -> list[Any]:
    messages = [message]
    for edit in edits:
        results: list[Any] = []
        for one in messages:
            result = edit(one)
            if inspect.isawaitable(result):
                awaited: Awaitable[Any] = result
                result = await awaited
            if result is not None:
                results += result if isinstance(result, list) else [result]
        messages = results
    return messages
