"""What a socket has from its page: the environment settings object, and Python's own options.

Spec: https://html.spec.whatwg.org/multipage/webappapis.html#environment-settings-objects

A `Settings` is the page (`webapi.Window` is its face); `Options` is one connection in it. How the
connection is made is the page's to decide: `Settings.establish` is called for each, and what it
returns is all that the layers above know of the network.
"""

from __future__ import annotations

import re
import ssl
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from webapi.fetch import is_mixed_content, is_trustworthy_host
from webapi.net.devtools import DevTools
from webapi.net.proxy import Proxy, parse_proxy
from webapi.net.turns import ConnectingTurns
from webapi.protocol.receiver import DEFAULT_MAX_MESSAGE_SIZE
from webapi.url import PageURL, WebSocketURL
from webapi.webidl import UNDEFINED, DOMException, Undefined

if TYPE_CHECKING:
    import socket

    from webapi.cookies import CookieStore, Place
    from webapi.net.opening import Established

__all__ = [
    "DEFAULT_OPEN_TIMEOUT",
    "DEFAULT_PAGE",
    "Establish",
    "Headers",
    "Options",
    "Settings",
    "check_headers",
    "check_options",
]

# Seconds for one opening handshake, once it has its turn; Firefox's figure.
DEFAULT_OPEN_TIMEOUT: Final = 20.0

DEFAULT_PING_TIMEOUT: Final = 20.0
"""Seconds after a keep-alive ping until which something must have come."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

Dialled = Callable[["socket.socket"], object]
Establish = Callable[["Options", Dialled], Awaitable["Established"]]
"""Makes a connection: see `webapi.net.opening.establish`, which does it over the network."""


class Settings:
    """A page, as far as its sockets need it.

    Args:
        url: its URL, from which relative ones start; None for the default page, where each socket
            behaves as if the host that it connects to served the page.
        options: the Python-only options that its sockets have where they are not given their own.
        cookies: its cookies; None for a page that has none, as the default page.
    """

    def __init__(
        self,
        url: PageURL | None = None,
        options: Mapping[str, Any] | None = None,
        cookies: CookieStore | None = None,
    ) -> None:
        self.url = url
        self.cookies = cookies
        self.options = dict(options or {})
        self.turns = ConnectingTurns()
        self.devtools = DevTools("" if url is None else url.href)
        self.establish: Establish | None = None
        """How its connections are made; None: over the network. A test's tool sets its own, which
        may answer with a socket of its own making (`webapi.net.opening.shake_hands` runs the
        opening handshake on one), or edit the options and call `webapi.net.opening.establish`."""
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed = False

    @property
    def base_url(self) -> str | None:
        """Spec: https://html.spec.whatwg.org/#api-base-url"""
        return None if self.url is None else self.url.href

    def origin_for(self, url: WebSocketURL) -> str:
        """Return the serialised origin that a request to `url` comes from."""
        return url.http_origin if self.url is None else self.url.origin

    def check_mixed_content(self, url: WebSocketURL) -> None:
        """Refuse what a secure page must not do.

        Spec: https://www.w3.org/TR/mixed-content/#should-block-fetch

        Raises:
            DOMException: "SecurityError", as Chromium and Firefox do; the newest standard lets the
                connection fail instead.
        """
        if self.url is None:
            return
        scheme, colon, _ = self.url.origin.partition(":")  # of a `blob:` page, too
        if is_mixed_content(scheme + colon, url.secure, url.hostname):
            raise DOMException(
                f"a page of {self.url.origin}, which is secure, may not connect to "
                f"ws://{url.host}: it must be 'wss:', or to this machine "
                "(https://www.w3.org/TR/mixed-content/)",
                "SecurityError",
            )

    # -- cookies

    def cookies_for(self, url: WebSocketURL) -> str:
        """Return the `Cookie` header for a request to `url`, or ""."""
        if self.cookies is None:
            return ""
        return self.cookies.string_for(_place(url), same_site=self._is_same_site(url))

    def store_cookies(self, url: WebSocketURL, set_cookies: Iterable[str]) -> None:
        """Take the `Set-Cookie` headers of a response from `url`."""
        if self.cookies is not None:
            same_site = self._is_same_site(url)
            self.cookies.store_all(set_cookies, _place(url), same_site=same_site)

    def _is_same_site(self, url: WebSocketURL) -> bool:
        """The page is its own site for cookies: it is a top-level one."""
        from webapi.cookies import is_same_site

        assert self.url is not None
        own_scheme, _, own_host = self.url.origin.partition("://")  # of a `blob:` page, too
        scheme = "https:" if url.secure else "http:"  # `wss` and `https` share, and so on
        return is_same_site(f"{own_scheme}:", _hostname(own_host), scheme, url.hostname)

    # -- its life

    def add(self, socket: object) -> None:
        """Let `socket` live in this page, until `close()`.

        Raises:
            DOMException: "InvalidStateError": the page is gone.
        """
        if self.url is None:
            return  # nothing closes the default page
        with self._lock:
            if self._closed:
                raise DOMException(
                    "the window is closed: no socket can be made in it any more "
                    "(https://websockets.spec.whatwg.org/#make-disappear)",
                    "InvalidStateError",
                )
            self._sockets.add(socket)

    def close(self) -> list[Any]:
        """Take the page away, and return the sockets that must disappear."""
        with self._lock:
            self._closed = True
            sockets = list(self._sockets)
            self._sockets.clear()
        return sockets


def _hostname(host: str) -> str:
    """Return a URL's host without its port, and an IPv6 address without brackets."""
    return host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]


def _place(url: WebSocketURL) -> Place:
    from webapi.cookies import Place

    path = url.resource.partition("?")[0]
    return Place(url.hostname, path, url.secure or is_trustworthy_host(url.hostname))


DEFAULT_PAGE: Final = Settings()
"""The page of sockets that are made without a `Window`."""


@dataclass(frozen=True)
class Options:
    """What a connection is made with."""

    url: WebSocketURL
    protocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    user_agent: str | None = None
    ssl_context: ssl.SSLContext | None = None
    proxy: Proxy | Undefined | None = UNDEFINED
    open_timeout: float | None = DEFAULT_OPEN_TIMEOUT
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    max_connecting: int = 1
    compression: bool = True
    ping_interval: float | None = None
    ping_timeout: float | None = DEFAULT_PING_TIMEOUT
    page: Settings = field(default=DEFAULT_PAGE)
    request_id: str = ""
    """By which the developer tools know it."""


# -- Python's own arguments, checked ---------------------------------------------------------------


def check_options(**given: Any) -> dict[str, Any]:
    """Check the Python-only options of `WebSocket` and `Window`; those left out are not returned.

    Raises:
        TypeError: one is of the wrong kind.
        ValueError: one is out of range.
    """
    return {name: _CHECKS[name](v, name) for name, v in given.items() if v is not UNDEFINED}


def merge_headers(
    page: tuple[tuple[str, str], ...], own: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Return the page's headers and the socket's own, which stand in for the page's namesakes."""
    names = {name.lower() for name, _ in own}
    return (*(pair for pair in page if pair[0].lower() not in names), *own)


_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OURS: Final = frozenset(("host", "upgrade", "connection", "content-length", "transfer-encoding"))


def check_headers(headers: object, name: str = "headers") -> tuple[tuple[str, str], ...]:
    """Check the Python-only argument `headers`, a mapping or an iterable of pairs.

    Raises:
        TypeError: it is neither, or a name or value is no string.
        ValueError: a header would break the handshake.
    """
    if headers is None:
        return ()
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise TypeError(f"headers is {headers!r}, where a mapping or pairs are expected")
    checked = []
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise TypeError(f"headers holds {pair!r}, where a pair (name, value) is expected")
        name, value = pair
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"headers holds {pair!r}, where two strings are expected")
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no header name (RFC 9110 §5.1)")
        if lower in _OURS or lower.startswith("sec-websocket-"):
            raise ValueError(f"the header {name} is the handshake's own (RFC 6455 §4.1)")
        _check_value(value, name)
        checked.append((name, value))
    return tuple(checked)


def _check_value(value: str, name: str) -> None:
    if re.search(r"[\r\n\0]", value) or not value.isprintable() or not value.isascii():
        raise ValueError(
            f"the value of header {name} is {value!r}; it may hold printable ASCII only "
            "(RFC 9110 §5.5)"
        )


def _check_user_agent(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, where a string or None is expected")
    _check_value(value or "", "User-Agent")
    return value


def _check_ssl_context(context: object, name: str) -> ssl.SSLContext | None:
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"{name} is {context!r}, where an ssl.SSLContext or None is expected")
    return context


def _check_proxy(value: object, name: str) -> Proxy | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, where a URL or None is expected")
    return parse_proxy(value)


def _check_seconds(value: Any, name: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"{name} is {value!r}, where a number is expected")
    return None if value is None else _check_positive(value, name)


def _check_count(value: Any, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}, where a whole number is expected")
    return _check_positive(value, name)


def _check_positive(value: Any, name: str) -> Any:
    if not value > 0:
        raise ValueError(f"{name} is {value!r}, where a number above 0 is expected")
    return value


def _check_flag(value: object, _: str) -> bool:
    return bool(value)


_CHECKS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "headers": check_headers,
    "user_agent": _check_user_agent,
    "ssl_context": _check_ssl_context,
    "proxy": _check_proxy,
    "open_timeout": _check_seconds,
    "max_message_size": _check_count,
    "max_connecting": _check_count,
    "compression": _check_flag,
    "ping_interval": _check_seconds,
    "ping_timeout": _check_seconds,
}
