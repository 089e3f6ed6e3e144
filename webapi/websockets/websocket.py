"""The `WebSocket` interface.

Spec: https://websockets.spec.whatwg.org/#the-websocket-interface
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from webapi.fileapi import Blob, array_buffer_of
from webapi.html.event_handlers import EventHandlerAttribute
from webapi.html.event_loop import EventLoop
from webapi.net.connection import Connection
from webapi.net.settings import (
    DEFAULT_PAGE,
    Headers,
    Options,
    Settings,
    check_options,
    merge_headers,
)
from webapi.protocol.sender import Item, payload_size
from webapi.url import get_url_record, without_credentials
from webapi.webidl import (
    UNDEFINED,
    DOMException,
    Undefined,
    USVString,
    buffer_bytes,
    clamped_unsigned_short,
    is_buffer,
    string_or_sequence,
)
from webapi.websockets import feedback
from webapi.websockets.early_events import EarlyEvents
from webapi.websockets.feedback import Feedback

__all__ = ["WebSocket"]

# https://www.rfc-editor.org/rfc/rfc6455#section-4.1, item 10: the token of RFC 2616
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_MAX_REASON: Final = 123  # bytes: a control frame's 125 less the code

Protocols = str | Iterable[str]


class WebSocket(Feedback):
    """A WebSocket connection, with the members, events and errors of a browser's.

    Spec: https://websockets.spec.whatwg.org/#websocket

    Args:
        url: a `ws:`, `wss:`, `http:` or `https:` URL without a fragment; in a `Window` it may be
            relative to the window's.
        protocols: the subprotocols to ask for, a string or an iterable of strings; default none.

    Python's own arguments, keyword-only; those left out are the `Window`'s:

    Args:
        headers: more headers for the request, a mapping or pairs; default none. They stand in for
            the window's of the same name.
        user_agent: the `User-Agent` header; default one that names this package; "" for none.
        ssl_context: the `ssl.SSLContext` for `wss:`; default the system's trust.
        proxy: the URL of a proxy: "http://user:pass@host:3128", or with socks4, socks4a, socks5 or
            socks5h (the package python-socks); None for none. Default: the environment's ALL_PROXY
            (if it is SOCKS), HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, in this order, but for what
            NO_PROXY names, and this machine.
        open_timeout: seconds for the opening handshake, once it has its turn; default 20; None for
            no limit.
        max_message_size: the longest message that is taken, in bytes; default 128 MiB. A longer one
            fails the connection with 1009.
        max_connecting: how many sockets may be CONNECTING to one host and port; default 1, which
            RFC 6455 §4.1 demands. The others wait their turn in order.
        compression: whether to offer permessage-deflate (RFC 7692); default True, as browsers do.
        ping_interval: seconds between keep-alive pings; default None for none, as in browsers.
        ping_timeout: seconds after a ping until which something must have come, or the connection
            fails (1006); default 20; None for no limit.

    Raises:
        DOMException: "SyntaxError": the URL is invalid, or a protocol is no token or given twice.
            "SecurityError": a secure page may not connect there. "InvalidStateError": the window is
            closed.
        TypeError: an argument is of the wrong kind.
        ValueError: a Python-only argument is out of range.

    Example:
        >>> ws = WebSocket("ws://127.0.0.1:8765/chat", ["chat.v2", "chat.v1"])
        >>> ws.onmessage = lambda event: print(event.data)
        >>> ws.onopen = lambda event: ws.send("hello")

    The socket belongs to the asyncio loop that runs in the calling thread; where none runs, to the
    background loop. Its events are dispatched there, one at a time.
    """

    CONNECTING: Final = feedback.CONNECTING
    OPEN: Final = feedback.OPEN
    CLOSING: Final = feedback.CLOSING
    CLOSED: Final = feedback.CLOSED

    # the page that it lives in; `Window.WebSocket` is a subclass with another
    _settings: ClassVar[Settings] = DEFAULT_PAGE

    onopen = EventHandlerAttribute("open")
    onmessage = EventHandlerAttribute("message")
    onerror = EventHandlerAttribute("error")
    onclose = EventHandlerAttribute("close")

    def __init__(
        self,
        url: object,
        protocols: Protocols | Undefined | None = UNDEFINED,
        *_: object,
        headers: Headers | Undefined | None = UNDEFINED,
        user_agent: str | Undefined | None = UNDEFINED,
        ssl_context: ssl.SSLContext | Undefined | None = UNDEFINED,
        proxy: str | Undefined | None = UNDEFINED,
        open_timeout: float | Undefined | None = UNDEFINED,
        max_message_size: int | Undefined = UNDEFINED,
        max_connecting: int | Undefined = UNDEFINED,
        compression: bool | Undefined = UNDEFINED,
        ping_interval: float | Undefined | None = UNDEFINED,
        ping_timeout: float | Undefined | None = UNDEFINED,
    ) -> None:
        """Spec: https://websockets.spec.whatwg.org/#dom-websocket-websocket"""
        settings = self._settings
        record = get_url_record(USVString(url, "url"), settings.base_url)  # steps 1 and 2
        wanted = (
            [] if isinstance(protocols, Undefined) else string_or_sequence(protocols, "protocols")
        )  # step 3
        _check_protocols(wanted)  # step 4
        settings.check_mixed_content(record)
        given = check_options(
            headers=headers,
            user_agent=user_agent,
            ssl_context=ssl_context,
            proxy=proxy,
            open_timeout=open_timeout,
            max_message_size=max_message_size,
            max_connecting=max_connecting,
            compression=compression,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
        )
        inherited = settings.options
        if "headers" in inherited:
            given["headers"] = merge_headers(inherited["headers"], given.get("headers", ()))
        options = Options(
            url=record,
            protocols=tuple(wanted),
            page=settings,
            request_id=settings.devtools.new_request_id(),
            **{**inherited, **given},
        )
        self._url = record.href
        self._message_rest = (record.origin, "", None, ())
        self._ready_state = self.CONNECTING
        self._protocol = self._extensions = ""
        self._binary_type = "blob"
        self._lock = threading.Lock()
        self._page = EventLoop.current()
        self._connection = Connection(self._page, self, options)
        settings.add(self)
        if not self._page.is_current():
            self._early = EarlyEvents(self._page, self)
            self._page.queue_task(self._early.start)
        self._page.at_end_of_turn(self._connection.open)  # step 6: in parallel

    @property
    def url(self) -> str:
        """The URL, as it was resolved."""
        return self._url

    @property
    def readyState(self) -> int:
        """The state: `CONNECTING`, `OPEN`, `CLOSING` or `CLOSED` (0 to 3)."""
        return self._ready_state

    @property
    def bufferedAmount(self) -> int:
        """The bytes of data given to `send()` that the network did not take yet.

        Spec: https://websockets.spec.whatwg.org/#dom-websocket-bufferedamount
        It falls only between tasks; after the close it only grows.
        """
        return self._connection.unsent()

    @property
    def extensions(self) -> str:
        """The extensions in use, as the server named them; "" while CONNECTING."""
        return self._extensions

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose, or ""."""
        return self._protocol

    @property
    def binaryType(self) -> str:
        """What binary data arrive as: "blob" (default) or "arraybuffer"; others are ignored.

        Spec: https://websockets.spec.whatwg.org/#dom-websocket-binarytype
        """
        return self._binary_type

    @binaryType.setter
    def binaryType(self, value: object) -> None:
        if isinstance(value, str) and value in ("blob", "arraybuffer"):
            self._binary_type = str(value)
            make = array_buffer_of if value == "arraybuffer" else bytes
            self._connection.receiver.binary = make

    def send(self, data: Any, *_: object) -> None:
        """Queue a message; it leaves when the running task is over. This never blocks.

        Spec: https://websockets.spec.whatwg.org/#dom-websocket-send

        Args:
            data: a text message as `str` (None, bool, int, float and NumPy's scalars convert as in
                JavaScript), or a binary one as a `Blob` or anything with the buffer protocol, which
                is copied.

        Raises:
            DOMException: "InvalidStateError": the state is CONNECTING.
            TypeError: `data` is another object, or a buffer of memory addresses (an array of Python
                objects, say).

        When the state is CLOSING or CLOSED, the data count for `bufferedAmount` and are dropped.
        """
        item: Item = data if type(data) is str or type(data) is bytes else _message(data)
        connection = self._connection
        if self._ready_state == 1:  # OPEN
            connection.sender.queue.append(item)
            if not connection.scheduled:
                connection.schedule()
                if not self._rooted:
                    self._update_liveness()
        elif self._ready_state == self.CONNECTING:
            raise DOMException(
                "send() was called while the state is CONNECTING; wait for the open event "
                "(https://websockets.spec.whatwg.org/#dom-websocket-send)",
                "InvalidStateError",
            )
        else:
            connection.lose(payload_size(item))

    def close(self, code: object = UNDEFINED, reason: object = UNDEFINED, *_: object) -> None:
        """Start to close the connection; do nothing if that has begun already.

        Spec: https://websockets.spec.whatwg.org/#dom-websocket-close

        Args:
            code: 1000, or 3000 to 4999; left out, the Close frame has none.
            reason: at most 123 bytes of UTF-8; default "". Without a code it goes with 1000.

        Raises:
            DOMException: "InvalidAccessError": another code. "SyntaxError": the reason is longer.
            TypeError: an argument is of the wrong kind.
        """
        number = None if isinstance(code, Undefined) else clamped_unsigned_short(code, "code")
        text = b"" if isinstance(reason, Undefined) else USVString(reason, "reason").encode()
        _check_close(number, text)
        if number is None and text:
            number = 1000
        with self._lock:
            before = self._ready_state
            if before in (self.CLOSING, self.CLOSED):
                return
            self._ready_state = self.CLOSING
        self._close_called = True
        if before == self.CONNECTING:
            self._page.queue_task(self._connection.abort)
        else:
            self._connection.start_closing(number, text)
        self._update_liveness()

    def __repr__(self) -> str:
        state = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[self._ready_state]
        return f"<{self.__class__.__name__} {without_credentials(self._url)} {state}>"


def _message(data: object) -> Item:
    """Convert `(BufferSource or Blob or USVString)`; a buffer's content is copied now.

    A `str` stays as it is: lone surrogates are replaced when it is encoded.
    """
    if isinstance(data, Blob):
        return bytes(data)
    if isinstance(data, str):
        return str.__str__(data)
    if is_buffer(data):
        return buffer_bytes(data, "data")
    return USVString(data, "data")


def _check_protocols(protocols: list[str]) -> None:
    """Spec: https://websockets.spec.whatwg.org/#dom-websocket-websocket, step 4"""
    seen = set()
    for protocol in protocols:
        if not _TOKEN.fullmatch(protocol):
            raise DOMException(
                f"the protocol {protocol!r} is no token: it may hold ASCII letters, digits and "
                "!#$%&'*+-.^_`|~ (https://websockets.spec.whatwg.org/#dom-websocket-websocket)",
                "SyntaxError",
            )
        if protocol in seen:  # both browsers, and RFC 6455 §4.1: case matters
            raise DOMException(
                f"the protocol {protocol!r} is given twice "
                "(https://websockets.spec.whatwg.org/#dom-websocket-websocket)",
                "SyntaxError",
            )
        seen.add(protocol)


def _check_close(code: int | None, reason: bytes) -> None:
    """Spec: https://websockets.spec.whatwg.org/#validate-close-code-and-reason"""
    if code is not None and code != 1000 and not 3000 <= code <= 4999:
        raise DOMException(
            f"the close code is {code}, where 1000, or 3000 to 4999, is allowed "
            "(https://websockets.spec.whatwg.org/#dom-websocket-close)",
            "InvalidAccessError",
        )
    if len(reason) > _MAX_REASON:
        raise DOMException(
            f"the close reason has {len(reason)} bytes in UTF-8, where {_MAX_REASON} are allowed "
            "(https://websockets.spec.whatwg.org/#dom-websocket-close)",
            "SyntaxError",
        )
