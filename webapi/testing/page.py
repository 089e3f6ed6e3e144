"""A page for tests: a `Window` that shows what happens on its sockets, and what they reach."""

from __future__ import annotations

import asyncio
import base64
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, ClassVar, Final, cast

from webapi.dom.event import Event
from webapi.html.background import BackgroundEventLoop
from webapi.html.event_loop import EventLoop
from webapi.net.opening import Established, OpeningFailed, establish
from webapi.net.settings import Dialled, Options
from webapi.protocol import frames
from webapi.testing.matching import shown
from webapi.testing.network import Conditions, drop, insert_relay, relayed
from webapi.testing.route import Pattern, Route, compile_pattern
from webapi.testing.script_peer import until_over
from webapi.testing.scripts import Scripts
from webapi.testing.stacks import where
from webapi.testing.tap import Tap
from webapi.testing.threads import servers_loop
from webapi.testing.timeline import Entry, Timeline
from webapi.testing.waiting import DEFAULT_TIMEOUT, Board, Failed, Problems, Until, Waits, wait
from webapi.testing.ws_server import client_context, known_authority
from webapi.websockets import websocket
from webapi.window import Window, _bind

__all__ = ["Page", "last_turns"]

DEFAULT_URL: Final = "http://localhost/"

SETTLE_TURNS: Final = 8
"""Turns of their loop that async listeners have at the end of a test."""

# The page on one of whose sockets an event is dispatched; tasks of async listeners inherit it.
_dispatching: ContextVar[Page | None] = ContextVar("webapi_testing_page", default=None)


class WebSocket(websocket.WebSocket):
    """A page's `WebSocket` whose timeline the page keeps."""

    _test_page: ClassVar[Any]
    # its state where it was neither closed nor closing when its loop was shut down
    _left_in = ""

    @property
    def _message_function(self) -> None:
        """Nothing: each event goes through `_dispatch`."""

    @_message_function.setter
    def _message_function(self, function: object) -> None:
        pass

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._made_at = where()
        page: Page = self._test_page
        page._timeline_of(self).url = self.url
        _watch_reports(self._page)
        page._add(self)

    def _page_is_gone(self) -> None:
        if self.readyState == self.OPEN:
            self._left_in = "OPEN"
        super()._page_is_gone()

    def _dispatch(self, event: Event) -> bool:
        page: Page = self._test_page
        before = _dispatching.set(page)
        try:
            return super()._dispatch(event)
        finally:
            _dispatching.reset(before)
            # Afterwards: whoever waits for an event may rely on what its listeners did.
            if event.isTrusted:
                page._timeline_of(self).add(_entry_of(event))


def _entry_of(event: Any) -> Entry:
    if event.type == "message":
        data = event.data
        return Entry("event", value=data if isinstance(data, str) else bytes(data), event=event)
    if event.type == "close":
        how = "clean" if event.wasClean else "not clean"
        reason = f" {event.reason!r}" if event.reason else ""
        return Entry("event", f"CLOSED: close event, {event.code}{reason}, {how}", event=event)
    text = "OPEN: open event" if event.type == "open" else f"{event.type} event"
    return Entry("event", text, event=event)


def _watch_reports(loop: EventLoop) -> None:
    """Let exceptions that listeners raise on `loop` be their page's."""
    if "report_exception" in vars(loop):
        return
    report = loop.report_exception

    def report_exception(exception: BaseException) -> None:
        page = _dispatching.get()
        if page is None or not page._take_exception(exception):
            report(exception)

    loop.report_exception = report_exception  # type: ignore[method-assign]


class Page(Window):
    """A fresh page for one test; the fixture `page` is one.

    Args:
        url: the page's URL; default "http://localhost/".
        default_timeout: seconds that its waits take at most where they are not told; default 5.
        offline: whether URLs for which there is no `route` are refused, so that nothing reaches the
            network; default False.
        problems: where to note what went wrong beside the test's own code; default its own.
        options: as `Window` has them.

    As a context manager it fails at the end of its block, as the fixture does at the end of the
    test: an exception in an event listener, and a tapped socket that is open. In an `async def` say
    `async with`: a script or listener on that loop can come to its end then, and is cut off else.
    """

    def __init__(
        self,
        url: object = DEFAULT_URL,
        *,
        default_timeout: float = DEFAULT_TIMEOUT,
        offline: bool = False,
        problems: Problems | None = None,
        **options: Any,
    ) -> None:
        super().__init__(url, **options)
        self.default_timeout = default_timeout
        self.problems = Problems() if problems is None else problems
        self.board = Board()
        self.offline = offline
        self.may_leave_open = False
        """Whether a tapped socket may be open at the end."""
        self._finished = False
        self._routes: list[Route] = []
        self._scripts = Scripts(self.problems, self.board.changed)
        self._conditions: Conditions | None = None
        self._ends: list[Callable[[], None]] = []
        self._timelines: dict[str, Timeline] = {}
        self._taps: list[Tap] = []
        self._made: list[weakref.ref[WebSocket]] = []
        self._event_loops: set[EventLoop] = set()
        bound: Any = _bind(WebSocket, self._settings)
        bound._test_page = weakref.proxy(self)
        self._web_socket = bound
        self._settings.establish = self._establish
        self._listen()

    # -- taps

    def tap(self, ws: websocket.WebSocket) -> Tap:
        """Return the tap on `ws`, a socket of this page; it knows what happened before, too.

        Raises:
            ValueError: it is another page's, or none's.
        """
        if not isinstance(ws, self.WebSocket):
            raise ValueError(f"{ws!r} is no socket of this page: make it with page.WebSocket(...)")
        for tap in self._taps:
            if tap.ws is ws:
                return tap
        tap = Tap(self, ws, self._timeline_of(ws))
        self._taps.append(tap)
        return tap

    def wait_for_socket(self, pattern: Pattern = "**", *, timeout: float | None = None) -> Any:
        """Wait for a socket that the code under test makes in this page; return the tap on it.

        Each call returns another one, in the order in which they were made; those that were tapped
        already do not count.

        Args:
            pattern: which URLs are meant, as `route` has it; default any.
            timeout: seconds; default the page's, 5.

        Raises:
            Failed: none was made; with those that were.
        """
        __tracebackhide__ = True
        fits = compile_pattern(pattern, self.location.href)
        seconds = self.default_timeout if timeout is None else timeout
        return wait(self._for_socket(pattern, fits, seconds), self.board)

    def _for_socket(
        self, pattern: Pattern, fits: Callable[[str], bool], seconds: float
    ) -> Waits[Tap]:
        __tracebackhide__ = True

        def found() -> WebSocket | None:
            tapped = {id(tap.ws) for tap in self._taps}
            alive = (made() for made in self._made)
            return next(
                (ws for ws in alive if ws is not None and id(ws) not in tapped and fits(ws.url)),
                None,
            )

        ws = yield Until(self.board, found, seconds)
        if ws is None:
            lines = [f"  {timeline.url}" for timeline in self.timelines] or ["  none"]
            raise Failed(
                f"no other socket to {pattern!r} was made within {seconds:g} s; all that were:\n"
                + "\n".join(lines)
            )
        return self.tap(ws)

    def _add(self, ws: WebSocket) -> None:
        with self.board.condition:
            self._made.append(weakref.ref(ws))
            self._event_loops.add(ws._page)
        self.board.changed()

    @property
    def timelines(self) -> list[Timeline]:
        """The timelines of all sockets that were made in this page, in order."""
        return list(self._timelines.values())

    def _timeline_of(self, ws: websocket.WebSocket) -> Timeline:
        return self._timeline(ws._connection._options.request_id)

    def _timeline(self, request_id: str) -> Timeline:
        with self.board.condition:
            found = self._timelines.get(request_id)
            if found is None:
                found = self._timelines[request_id] = Timeline(self.board)
                found.add(Entry("state", "CONNECTING", at=found.started))
        return found

    def _listen(self) -> None:
        devtools = self.devtools
        devtools.on("webSocketCreated", self._on_created)
        devtools.on("webSocketWillSendHandshakeRequest", self._on_request)
        devtools.on("webSocketHandshakeResponseReceived", self._on_response)
        devtools.on("webSocketFrameSent", lambda event: self._on_frame("sent", event))
        devtools.on("webSocketFrameReceived", lambda event: self._on_frame("received", event))
        devtools.on("webSocketFrameError", self._on_failure)

    def _on_created(self, event: dict[str, Any]) -> None:
        self._timeline(event["requestId"]).url = event["url"]

    def _on_request(self, event: dict[str, Any]) -> None:
        if event["requestId"]:
            timeline = self._timeline(event["requestId"])
            path = "/" + timeline.url.partition("//")[2].partition("/")[2]
            timeline.add(Entry("request", f"GET {path}"))

    def _on_response(self, event: dict[str, Any]) -> None:
        if event["requestId"]:
            response = event["response"]
            text = f"{response['status']} {response['statusText']}"
            self._timeline(event["requestId"]).add(Entry("response", text, value=response))

    def _on_frame(self, kind: str, event: dict[str, Any]) -> None:
        frame = event["response"]
        opcode, data = frame["opcode"], frame["payloadData"]
        payload = data if opcode == frames.TEXT else base64.b64decode(data)
        self._timeline(event["requestId"]).add_frame(kind, opcode, payload)

    def _on_failure(self, event: dict[str, Any]) -> None:
        text = f"failed: {event['errorMessage']}"
        self._timeline(event["requestId"]).add(Entry("failure", shown(text, 400)))

    def _take_exception(self, exception: BaseException) -> bool:
        """Take what a listener raised, for the test to fail of it."""
        # `pytest.fail()` raises no Exception; a cancellation or an exit is no fault
        if self._finished or isinstance(exception, (asyncio.CancelledError, SystemExit)):
            return False
        self.problems.add(exception)
        self.board.changed()
        return True

    # -- the network

    def route(self, pattern: Pattern) -> Route:
        """Intercept sockets to URLs that fit `pattern`; of several routes that fit the last serves.

        Args:
            pattern: a glob ("wss://api.example.com/**", "**/feed", "/ws" on the page's host), a
                compiled pattern, or a callable that takes the URL.
        """
        route = Route(self, pattern, compile_pattern(pattern, self.location.href))
        self._routes.append(route)
        return route

    def emulate(
        self, *, offline: bool = False, latency: float = 0.0, throughput: float | None = None
    ) -> None:
        """Set the network's conditions for all of the page's sockets, open ones too.

        Args:
            offline: no connection can be made, and nothing gets through on those that are open.
            latency: seconds by which each direction is delayed; the opening handshake's request and
                response, too.
            throughput: bytes a second in each direction; None for no limit.

        `page.emulate()` takes them all back; what was held then goes on.
        """
        if self._conditions is None:
            conditions = Conditions()
            conditions.set(offline, latency, throughput)
            self._conditions = conditions
            for ws in list(self._settings._sockets):
                insert_relay(ws, conditions)
        else:
            self._conditions.set(offline, latency, throughput)

    def drop_connections(self) -> int:
        """Break the TCP connections of all of the page's sockets; return how many there were.

        As when a network fails: both ends see a reset, the page `error` and `close` with 1006.
        """
        sockets = [ws for ws in list(self._settings._sockets) if ws.readyState != ws.CLOSED]
        for ws in sockets:
            drop(ws)
        return len(sockets)

    async def _establish(self, options: Options, dialled: Dialled) -> Established:
        limit = options.open_timeout
        options = await self._delayed(options, limit)  # the request
        established = await self._connect(options, dialled)
        if self._conditions is not None:
            # Already now: what the server sends at once is on its way behind the response.
            sock = relayed(established.sock, self._conditions)
            dialled(sock)
            established = established._replace(sock=sock)
            try:
                await self._delayed(options, limit)  # the response
            except BaseException:
                sock.close()
                raise
        return established

    async def _delayed(self, options: Options, limit: float | None) -> Options:
        """Delay one of the handshake's messages; return options with the time that is left.

        Raises:
            OpeningFailed: the network is offline, or `limit`, `open_timeout`, is over.
        """
        conditions = self._conditions
        if conditions is None:
            return options
        conditions.check_online()
        latency, left = conditions.latency, options.open_timeout
        if left is not None and latency >= left:
            await asyncio.sleep(left)
            raise OpeningFailed(f"the opening handshake took longer than open_timeout, {limit:g} s")
        await asyncio.sleep(latency)
        conditions.check_online()
        return options if left is None else replace(options, open_timeout=left - latency)

    async def _connect(self, options: Options, dialled: Dialled) -> Established:
        try:
            return await self._reach(options, dialled)
        except asyncio.CancelledError:
            self._note_cut_short(options.request_id)
            raise

    def _note_cut_short(self, request_id: str) -> None:
        """Note a socket whose handshake was cancelled, if not by itself: its loop is shut down."""
        for made in self._made:
            ws = made()
            if ws is not None and ws._connection._options.request_id == request_id:
                ws._left_in = "CONNECTING" if ws.readyState == ws.CONNECTING else ""

    async def _reach(self, options: Options, dialled: Dialled) -> Established:
        url = options.url.href
        for route in reversed(self._routes):
            if route._fits(url):
                return await route._connect(options, dialled)
        if self.offline:
            routes = ", ".join(repr(route.pattern) for route in self._routes) or "none"
            raise OpeningFailed(
                f"no route fits {url}, and the page was made with offline=True; routes: {routes}"
            )
        return await establish(self._trusting(options), dialled)

    def _trusting(self, options: Options) -> Options:
        """Return options that trust the test servers' authority, if there is one by now."""
        if options.url.secure and options.ssl_context is None and known_authority() is not None:
            return replace(options, ssl_context=client_context())
        return options

    def _at_end(self, end: Callable[[], None]) -> None:
        """Have `end` called when the page is finished, before its problems are raised."""
        self._ends.append(end)

    # -- the end

    def check(self) -> None:
        """Note a tapped socket that is still open as a fault; `finish` does it."""
        if self.may_leave_open:
            return
        for tap in self._taps:
            ws = cast("WebSocket", tap.ws)
            if ws._left_in or ws.readyState in (ws.CONNECTING, ws.OPEN):
                made = "".join(ws._made_at.format())
                when = f" ({ws._left_in} when its loop was shut down)" if ws._left_in else ""
                self.problems.add(
                    Failed(
                        f"{ws!r} was left open{when}: "
                        "close it, or say page.may_leave_open = True\n"
                        f"it was made here:\n{made}{tap._story()}"
                    )
                )

    def finish(self) -> None:
        """Check what must hold at the end, and close the page; `problems` then has the faults."""
        if not self._finished:
            self._settle()
            self._leave()
            self._end()

    async def _finish_async(self) -> None:
        """Do as `finish`, while the loop here goes on, and what runs on it comes to its end."""
        if not self._finished:
            await last_turns()
            await asyncio.to_thread(self._settle)
            self._leave()
            await asyncio.to_thread(self._end)

    def _leave(self) -> None:
        self.check()
        if self._conditions is not None:
            self._conditions.set(False, 0.0, None)  # let the last words through
        self.close()

    def _end(self) -> None:
        if self._routes:
            self._end_routes()
        self.board.check_waits(self.problems)
        for end in self._ends:
            end()
        self._finished = True

    def _end_routes(self) -> None:
        async def end() -> None:
            await until_over([core for route in self._routes for core in route._cores])
            for route in self._routes:
                await route._end()

        asyncio.run_coroutine_threadsafe(end(), servers_loop()).result(2 * DEFAULT_TIMEOUT)
        self._scripts.finish()

    def _settle(self) -> None:
        """Let async listeners that only yield come to their end, on each of the page's loops."""
        for page_loop in list(self._event_loops):
            loop = page_loop.loop
            if isinstance(page_loop, BackgroundEventLoop):
                if not page_loop.is_current():
                    _let_turn(page_loop)
            elif not (loop.is_closed() or loop.is_running() or asyncio._get_running_loop()):
                loop.run_until_complete(last_turns())  # the test's own, which stands still by now

    def __enter__(self) -> Page:
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

    async def __aenter__(self) -> Page:
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
        await self._finish_async()
        self.problems.raise_beside(error)


async def last_turns() -> None:
    """Let async listeners on this loop that only yield come to their end."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


def _let_turn(loop: BackgroundEventLoop) -> None:
    settled = threading.Event()

    def turn(left: int) -> None:
        if left:
            loop.queue_task(turn, left - 1)
        else:
            settled.set()

    with suppress(RuntimeError):  # the loop is closed
        loop.queue_task(turn, SETTLE_TURNS)
        settled.wait(1.0)
