"""Seeing inside: the Chrome DevTools Protocol's Network events for WebSockets.

Spec: https://chromedevtools.github.io/devtools-protocol/tot/Network/

Names and payloads are the protocol's; `frames_wanted` is all that a connection looks at while
nobody listens.
"""

from __future__ import annotations

import base64
import itertools
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pyee import EventEmitter

from webapi.dom.host import hooks
from webapi.protocol import frames
from webapi.protocol.frames import Close, Failure, Ping, Pong, close_body
from webapi.protocol.receiver import Message
from webapi.protocol.sender import Begun, Control, Item, utf8

if TYPE_CHECKING:
    from webapi.net.har import Recording

__all__ = ["EVENTS", "DevTools"]

EVENTS: Final = (
    "webSocketCreated",
    "webSocketWillSendHandshakeRequest",
    "webSocketHandshakeResponseReceived",
    "webSocketFrameSent",
    "webSocketFrameReceived",
    "webSocketFrameError",
    "webSocketClosed",
)

_FRAMES: Final = ("webSocketFrameSent", "webSocketFrameReceived")

_numbers = itertools.count(1)


class DevTools(EventEmitter):
    """What happens on the sockets of one page, for whoever listens: a pyee emitter.

    Spec: https://chromedevtools.github.io/devtools-protocol/tot/Network/

    `on(name, listener)` calls `listener` with a dict, the event's parameters as the protocol has
    them, on the event loop of the socket in question, one at a time for each loop:

    * `webSocketCreated`: requestId, url
    * `webSocketWillSendHandshakeRequest`: requestId, timestamp, wallTime, request (headers)
    * `webSocketHandshakeResponseReceived`: requestId, timestamp, response (status, statusText,
      headers, headersText, requestHeaders, requestHeadersText)
    * `webSocketFrameSent`, `webSocketFrameReceived`: requestId, timestamp, response (opcode, mask,
      payloadData: text where opcode is 1, else base64). As in Chromium, a message is one frame,
      whatever its fragments, and not compressed; unlike there, pings, pongs and closes show too.
    * `webSocketFrameError`: requestId, timestamp, errorMessage
    * `webSocketClosed`: requestId, timestamp

    A timestamp is in seconds of `time.monotonic()`, the wall time in seconds since the epoch.

    Example:
        >>> window.devtools.on("webSocketFrameReceived", lambda event: print(event["response"]))

    An exception in a listener is reported, and changes nothing. Listeners slow the sockets down;
    where there are none, nothing is measurably slower.
    """

    def __init__(self, page_url: str = "") -> None:
        super().__init__()
        self.page_url = page_url
        self.listening = False
        """Whether anybody listens to anything."""
        self.frames_wanted = False
        """Whether anybody listens to frames."""
        self._recording: Recording | None = None

    # -- the listeners, in pyee's hooks for subclasses

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        if event not in (*EVENTS, "new_listener"):
            raise ValueError(
                f"there is no event {event!r}, but {', '.join(EVENTS)} "
                "(https://chromedevtools.github.io/devtools-protocol/tot/Network/)"
            )
        super()._add_event_handler(event, k, v)
        self._look()

    def _remove_listener(self, event: str, f: Callable[..., Any]) -> None:
        super()._remove_listener(event, f)
        self._look()

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Remove all listeners, or those of `event`."""
        super().remove_all_listeners(event)
        self._look()

    def _look(self) -> None:
        self.listening = any(self._events.get(name) for name in EVENTS)
        self.frames_wanted = any(self._events.get(name) for name in _FRAMES)

    def _emit_run(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        try:
            f(*args, **kwargs)
        except Exception as exception:
            hooks.report_exception(exception)

    # -- what the network tells

    def new_request_id(self) -> str:
        """Return an id for one connection, of Chromium's form."""
        return f"{os.getpid()}.{next(_numbers)}"

    def created(self, request_id: str, url: str) -> None:
        """A socket was made."""
        self.emit("webSocketCreated", {"requestId": request_id, "url": url})

    def will_send_request(self, request_id: str, request: bytes) -> None:
        """A request is about to be sent; `request` is its head."""
        self._tell(
            "webSocketWillSendHandshakeRequest",
            request_id,
            wallTime=time.time(),
            request={"headers": _headers(request)},
        )

    def response_received(self, request_id: str, request: bytes, response: bytes) -> None:
        """A response's head came, whatever it says."""
        _, _, rest = response.partition(b"\n")[0].strip().decode("latin-1").partition(" ")
        status, _, text = rest.partition(" ")
        self._tell(
            "webSocketHandshakeResponseReceived",
            request_id,
            response={
                "status": int(status) if status.isdecimal() else 0,
                "statusText": text,
                "headers": _headers(response),
                "headersText": response.decode("latin-1"),
                "requestHeaders": _headers(request),
                "requestHeadersText": request.decode("latin-1"),
            },
        )

    def frames_sent(self, request_id: str, items: Iterable[int | Item]) -> None:
        """What `Sender.take()` carried leaves."""
        for item in items:
            if isinstance(item, Begun):
                item = item.item
            if isinstance(item, int):
                continue  # more of a message that has begun
            if isinstance(item, Control):
                self._frame("webSocketFrameSent", request_id, item.opcode, item.body, mask=True)
            elif isinstance(item, str):
                self._frame("webSocketFrameSent", request_id, frames.TEXT, item, mask=True)
            else:
                self._frame("webSocketFrameSent", request_id, frames.BINARY, item, mask=True)

    def frames_received(self, request_id: str, messages: Iterable[Message]) -> None:
        """Messages and control frames came; they are dispatched after this."""
        name = "webSocketFrameReceived"
        for message in messages:
            if isinstance(message, str):
                self._frame(name, request_id, frames.TEXT, message)
            elif isinstance(message, Ping):
                self._frame(name, request_id, frames.PING, message.payload)
            elif isinstance(message, Pong):
                self._frame(name, request_id, frames.PONG, message.payload)
            elif isinstance(message, Close):
                body = close_body(message.code, message.reason.encode())
                self._frame(name, request_id, frames.CLOSE, body)
            elif not isinstance(message, Failure):
                self._frame(name, request_id, frames.BINARY, message)

    def _frame(
        self,
        name: str,
        request_id: str,
        opcode: int,
        payload: str | bytes | bytearray | memoryview,
        mask: bool = False,
    ) -> None:
        if isinstance(payload, str):
            data = payload if payload.isascii() else utf8(payload).decode()
        else:
            data = base64.b64encode(payload).decode()
        response = {"opcode": opcode, "mask": mask, "payloadData": data}
        self._tell(name, request_id, response=response)

    def failed(self, request_id: str, message: str) -> None:
        """The connection failed, or could not be made; `message` says why."""
        self._tell("webSocketFrameError", request_id, errorMessage=message)

    def closed(self, request_id: str) -> None:
        """The connection is over."""
        self._tell("webSocketClosed", request_id)

    def _tell(self, name: str, request_id: str, **parameters: Any) -> None:
        if self._events.get(name):
            event = {"requestId": request_id, "timestamp": time.monotonic(), **parameters}
            self.emit(name, event)

    # -- recording

    def record(self) -> None:
        """Record from now on, as a browser does while its Network panel is open; `har()` has it."""
        if self._recording is None:
            from webapi.net.har import Recording

            self._recording = Recording(self)

    def clear(self) -> None:
        """Forget what was recorded so far, and go on."""
        if self._recording is not None:
            self._recording.clear()

    def har(
        self, path: str | os.PathLike[str] | None = None, *, sensitive: bool = False
    ) -> dict[str, Any]:
        """Return what was recorded as HAR 1.2, with `_webSocketMessages` as Chrome exports them.

        Spec: http://www.softwareishard.com/blog/har-12-spec/

        Args:
            path: a file to write it to, too, as JSON; default none.
            sensitive: whether it has what logs its reader in: the headers Authorization, Cookie and
                Set-Cookie, the cookies, and the credentials in URLs. Default False, as in Chrome's
                "Export HAR (sanitized)". What messages and other headers say is always in it.

        Raises:
            RuntimeError: `record()` was not called.
        """
        if self._recording is None:
            raise RuntimeError("nothing was recorded: call devtools.record() before the sockets")
        har = self._recording.har(sensitive)
        if path is not None:
            import json

            with open(path, "w", encoding="utf-8") as file:
                json.dump(har, file, indent=2, ensure_ascii=False)
        return har


def _headers(head: bytes) -> dict[str, str]:
    """Return a head's headers as the protocol has them: repeated ones are joined by line feeds."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            value = value.strip()
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found
