"""`Window`: the page around the sockets.

Spec: https://html.spec.whatwg.org/multipage/nav-history-apis.html#the-window-object

It stands above `webapi.websockets`, because it exposes what is there; what a socket needs of it is
its environment settings object, `webapi.net.settings`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from webapi.fetch import is_trustworthy_host
from webapi.html.location import Location
from webapi.net.devtools import DevTools
from webapi.net.settings import Headers, Settings, check_options
from webapi.url import parse_page_url, without_credentials
from webapi.webidl import UNDEFINED, Undefined, USVString
from webapi.websockets.websocket import WebSocket

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from webapi.html.document import Document

__all__ = ["Window"]


class HasJar(Protocol):
    """What has a cookie jar, as `httpx.Cookies`."""

    @property
    def jar(self) -> CookieJar: ...


class Window:
    """A page: its URL and origin, and whatever else its sockets share.

    Spec: https://html.spec.whatwg.org/multipage/nav-history-apis.html#window and
    https://html.spec.whatwg.org/multipage/webappapis.html#settings-object

    Args:
        url: the page's absolute URL; default "about:blank", whose origin is opaque.

    Python's own arguments, keyword-only, are what the window's sockets have where they are not
    given their own:

    Args:
        headers: more headers for each request, a mapping or pairs; default none.
        user_agent: the `User-Agent` header; default one that names this package; "" for none.
        cookies: the jar for the page's cookies, which may be shared: an `http.cookiejar.CookieJar`
            (so a `requests` session's `cookies`) or `httpx.Cookies`; or a mapping of names to
            values, for a jar of its own that starts with these for the page's host. Default: a new,
            empty one.
        ssl_context: the `ssl.SSLContext` for `wss:`; default the system's trust.
        proxy: the URL of a proxy: "http://user:pass@host:3128", or with socks4, socks4a, socks5 or
            socks5h (the package python-socks); None for none. Default: the environment's ALL_PROXY
            (if it is SOCKS), HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, in this order, but for what
            NO_PROXY names, and this machine.
        open_timeout: seconds for the opening handshake; default 20; None for no limit.
        max_message_size: the longest message that is taken, in bytes; default 128 MiB.
        max_connecting: how many sockets of this window may be CONNECTING to one host and port;
            default 1.
        compression: whether to offer permessage-deflate; default True.
        ping_interval: seconds between keep-alive pings; default None for none, as in browsers.
        ping_timeout: seconds after a ping until which something must have come, or the connection
            fails (1006); default 20; None for no limit.

    Raises:
        DOMException: "SyntaxError": the URL is invalid.
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range.

    Example:
        >>> with Window("https://app.example/room/7") as window:
        ...     WebSocket = window.WebSocket  # ported code runs in that page
        ...     ws = WebSocket("/ws")  # wss://app.example/ws, with the page's origin

    Two windows share nothing. One that is only dropped leaves its sockets alone; `close()`, or the
    end of a `with` block, makes them disappear.
    """

    def __init__(
        self,
        url: object = "about:blank",
        *_: object,
        headers: Headers | Undefined | None = UNDEFINED,
        user_agent: str | Undefined | None = UNDEFINED,
        cookies: Mapping[str, str] | CookieJar | HasJar | None = None,
        ssl_context: ssl.SSLContext | Undefined | None = UNDEFINED,
        proxy: str | Undefined | None = UNDEFINED,
        open_timeout: float | Undefined | None = UNDEFINED,
        max_message_size: int | Undefined = UNDEFINED,
        max_connecting: int | Undefined = UNDEFINED,
        compression: bool | Undefined = UNDEFINED,
        ping_interval: float | Undefined | None = UNDEFINED,
        ping_timeout: float | Undefined | None = UNDEFINED,
    ) -> None:
        options = check_options(
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
        # imported here: http.cookiejar takes 35 ms, and who has no window shall not pay for it
        from webapi.cookies import Place, make_store
        from webapi.html.document import Document

        page_url = parse_page_url(USVString(url, "url"))
        hostname = page_url.hostname.strip("[]")
        store = make_store(cookies, hostname)
        self._settings = Settings(page_url, options, store)
        self._location = Location(page_url)
        secure = page_url.protocol == "https:" or is_trustworthy_host(hostname)
        has_cookies = page_url.protocol in ("http:", "https:")
        place = Place(hostname, page_url.pathname, secure) if has_cookies else None
        self._document = Document(self._location, store, place)
        self._web_socket = _bind(WebSocket, self._settings)

    @property
    def WebSocket(self) -> type[WebSocket]:
        """The `WebSocket` class of this page: a subclass of `webapi.WebSocket`.

        Spec: https://websockets.spec.whatwg.org/#the-websocket-interface
        """
        return self._web_socket

    @property
    def location(self) -> Location:
        """The page's URL and its parts."""
        return self._location

    @property
    def document(self) -> Document:
        """The page's document: its `cookie`."""
        return self._document

    @property
    def cookies(self) -> CookieJar:
        """The jar that the page's cookies are in; the one it was given, or its own."""
        assert self._settings.cookies is not None
        return self._settings.cookies.jar

    @property
    def origin(self) -> str:
        """The page's serialised origin; "null" where it is opaque.

        Spec: https://html.spec.whatwg.org/multipage/webappapis.html#dom-origin
        """
        return self._location.origin

    @property
    def devtools(self) -> DevTools:
        """What happens on the page's sockets, for whoever listens: see `DevTools`."""
        return self._settings.devtools

    def close(self) -> None:
        """Close the page: its sockets are closed with 1001, and fire nothing any more.

        Spec: https://websockets.spec.whatwg.org/#make-disappear

        Call it from any thread, and more than once if you like. What was sent before still leaves,
        while the loop that a socket lives on runs; `readyState` is CLOSED at once. A socket cannot
        be made in it any more.
        """
        for socket in self._settings.close():
            socket._disappear()

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Window {without_credentials(self._location.href)}>"


def _bind(interface: type[WebSocket], settings: Settings) -> type[WebSocket]:
    """Return a subclass of `interface` whose instances live in the page of `settings`."""
    members = {
        "_settings": settings,
        "__module__": interface.__module__,
        "__qualname__": interface.__qualname__,
        "__doc__": interface.__doc__,
    }
    return type(interface.__name__, (interface,), members)
