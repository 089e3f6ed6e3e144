"""An ASGI application behind an intercepted URL, in this process.

Spec: https://asgi.readthedocs.io/en/latest/specs/www.html#websocket
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from webapi.testing.kept import KeptTask, kept_on
from webapi.testing.script_peer import ScriptPeer
from webapi.testing.server import PeerGone
from webapi.testing.threads import run_on
from webapi.testing.waiting import Failed, Problems

__all__ = ["AsgiApp"]

_VERSION: Final = {"version": "3.0", "spec_version": "2.4"}
_LIFESPAN_TIMEOUT: Final = 5.0
_SERVING_TIMEOUT: Final = 1.0


class AsgiApp:
    """Runs `app` for each connection, and its lifespan around them; `problems` has its faults."""

    def __init__(self, app: Any, lifespan: bool, problems: Problems) -> None:
        self._app = app
        self._lifespan = _Lifespan(app, problems) if lifespan else None

    async def serve(self, peer: ScriptPeer) -> None:
        """Serve one connection."""
        state: dict[str, Any] = {}
        if self._lifespan is not None:
            await self._lifespan.start()
            state = dict(self._lifespan.state)
        connection = _Connection(peer)
        # The specification lets an application die of sending to a client that is gone.
        with suppress(_ClientGone):
            await self._app(connection.scope(state), connection.receive, connection.send)

    def finish(self) -> None:
        """End the application's lifespan."""
        if self._lifespan is not None:
            self._lifespan.finish()


class _ClientGone(OSError):
    """What `send` raises once the client is gone: the specification wants an `OSError`."""


class _Connection:
    def __init__(self, peer: ScriptPeer) -> None:
        self._peer = peer
        self._connected = False
        self._response: dict[str, Any] | None = None
        self._body = b""

    def scope(self, state: dict[str, Any]) -> dict[str, Any]:
        core = self._peer._core
        url = urlsplit(core.timeline.url)
        path, _, query = core.path.partition("?")
        return {
            "type": "websocket",
            "asgi": dict(_VERSION),
            "http_version": "1.1",
            "scheme": url.scheme,
            "path": unquote(path),
            "raw_path": path.encode("ascii", "replace"),
            "query_string": query.encode("ascii", "replace"),
            "root_path": "",
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in core.head.headers],
            "client": ("127.0.0.1", 0),
            "server": (url.hostname or "", url.port or (443 if url.scheme == "wss" else 80)),
            "subprotocols": self._peer.subprotocols,
            "state": state,
            "extensions": {"websocket.http.response": {}},
        }

    async def receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        peer = self._peer
        try:
            data = await peer._do(peer._core.next_message(None))
        except PeerGone as gone:
            close = peer.close_received
            code = 1006 if close is None else 1005 if close.code is None else close.code
            reason = str(gone) if close is None else close.reason
            return {"type": "websocket.disconnect", "code": code, "reason": reason}
        kind = "text" if isinstance(data, str) else "bytes"
        return {"type": "websocket.receive", kind: data}

    async def send(self, event: dict[str, Any]) -> None:
        kind, peer = event["type"], self._peer
        try:
            if kind == "websocket.accept":
                await peer._do(
                    peer._core.accept_with(
                        protocol=event.get("subprotocol"), headers=_pairs(event.get("headers", ()))
                    )
                )
            elif kind == "websocket.send":
                data = event.get("text")
                await peer.send(event["bytes"] if data is None else data)
            elif kind == "websocket.close" and not peer._core.answered:
                await peer.reject(403)
            elif kind == "websocket.close":
                await peer.close(event.get("code", 1000), event.get("reason") or "")
            elif kind == "websocket.http.response.start":
                self._response = event
            elif kind == "websocket.http.response.body":
                await self._respond(event)
            else:
                raise RuntimeError(f"the application sent {kind!r}, which no WebSocket takes")
        except PeerGone as gone:
            raise _ClientGone(str(gone)) from None

    async def _respond(self, event: dict[str, Any]) -> None:
        if self._response is None:
            raise RuntimeError("the application sent a response's body before its start")
        self._body += event.get("body", b"")
        if not event.get("more_body"):
            headers = [
                pair
                for pair in _pairs(self._response.get("headers", ()))
                if pair[0].lower() != "content-length"
            ]
            peer = self._peer
            await peer._do(peer._core.reject_with(self._response["status"], headers, self._body))


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in headers]


class _Lifespan:
    """Spec: https://asgi.readthedocs.io/en/latest/specs/lifespan.html"""

    def __init__(self, app: Any, problems: Problems) -> None:
        self._app = app
        self._problems = problems
        self.state: dict[str, Any] = {}
        self._has_started = False
        self._failure: BaseException | None = None
        self._task: KeptTask | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            self._started = asyncio.Event()
            self._task = KeptTask(self._run(), self._loop, self._shut_down)
            await self._events.put({"type": "lifespan.startup"})
            answer = await self._answers.get()
            self._started.set()
            if answer["type"] == "lifespan.startup.failed":
                raise RuntimeError(f"the application's startup failed: {answer.get('message')}")
        await self._started.wait()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(_VERSION), "state": self.state}
        try:
            await self._app(scope, self._events.get, self._answer)
        except Exception as error:
            # One that does not know of lifespans raises: the specification lets the server go on.
            if self._has_started:
                self._failure = error
            await self._answers.put({"type": "unsupported", "message": str(error)})
        else:
            await self._answers.put({"type": "over"})
        if self._failure is not None:
            self._problems.add(self._failure)

    async def _answer(self, event: dict[str, Any]) -> None:
        if event["type"] == "lifespan.startup.complete":
            self._has_started = True
        elif event["type"] == "lifespan.shutdown.failed":
            self._failure = Failed(f"the application's shutdown failed: {event.get('message', '')}")
        await self._answers.put(event)

    async def _shut_down(self) -> None:
        """Tell the application of its end, once its connections are over."""
        loop = asyncio.get_running_loop()
        serving = [task for task in kept_on(loop) if task is not self._task]
        if serving:
            await asyncio.wait(serving, timeout=_SERVING_TIMEOUT)
        await self._events.put({"type": "lifespan.shutdown"})

    async def _stop(self) -> None:
        assert self._task is not None
        if not self._task.done():
            await self._events.put({"type": "lifespan.shutdown"})
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._task), _LIFESPAN_TIMEOUT)
            self._task.cancel()

    def finish(self) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if loop.is_running():
            if asyncio._get_running_loop() is None:
                run_on(loop, self._stop())
            elif self._task is not None:
                self._task.cancel()
        else:
            loop.run_until_complete(self._stop())
