"""URLs as the web reads them, through `ada-url`.

Spec: https://url.spec.whatwg.org/ and https://websockets.spec.whatwg.org/#get-a-url-record
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import ada_url

from webapi.webidl import DOMException

__all__ = ["PageURL", "WebSocketURL", "get_url_record", "parse_page_url", "without_credentials"]

_DEFAULT_PORTS = {"ws:": 80, "wss:": 443}


class WebSocketURL(NamedTuple):
    """The parts of a `ws:` or `wss:` URL record that a connection needs."""

    href: str
    secure: bool
    hostname: str
    """The host without brackets, for connecting and for TLS."""
    port: int
    host: str
    """The `Host` header's value: the port only where it is not the scheme's own."""
    resource: str
    """The request target: path and query. RFC 6455 §3, "resource-name"."""
    origin: str
    """The serialised origin, for example "wss://example.com"."""
    username: str = ""
    """As the URL has it, percent-encoded; so the password."""
    password: str = ""

    @property
    def http_origin(self) -> str:
        """The origin of a page that the same host serves: the `Origin` header's default."""
        return f"http{self.origin[2:]}"


def get_url_record(url: str, base: str | None = None) -> WebSocketURL:
    """Parse `url`, relative to `base`, into the URL of a WebSocket.

    Spec: https://websockets.spec.whatwg.org/#get-a-url-record

    Raises:
        DOMException: "SyntaxError": it cannot be parsed, its scheme is none of ws, wss, http and
            https, or it has a fragment.
    """
    # A page opens the same few again and again, and parsing takes 25 µs. Credentials are not to be
    # kept beyond their socket, nor what a query may hold.
    path, mark, query = url.partition("?")
    if "@" in path or (base is not None and ("?" in base or "@" in base)):
        return _parse(url, base)
    if not mark:
        return _parse_and_keep(url, base)
    # white space, which is stripped at the end, counts before a query
    if "" < path[-1:] <= " " or _PLAIN_QUERY.fullmatch(query) is None:
        return _parse(url, base)
    try:
        record = _parse_and_keep(path, base)
    except DOMException:
        return _parse(url, base)  # the whole of it is what was wrong
    query = mark + query
    return record._replace(href=record.href + query, resource=record.resource + query)


# A query that is written as it is: https://url.spec.whatwg.org/#query-state
_PLAIN_QUERY = re.compile(r"[!$-&(-;=?-~]*", re.ASCII)


def _parse(url: str, base: str | None) -> WebSocketURL:
    try:
        record = ada_url.URL(url, base=base)  # steps 1 and 2
    except ValueError:
        hint = "" if base else "; a relative URL needs a page's URL to start from"
        raise DOMException(
            f"{url!r} is no valid URL{hint} (https://url.spec.whatwg.org/#url-parsing)",
            "SyntaxError",
        ) from None
    if record.protocol in ("http:", "https:"):  # steps 3 and 4
        record = ada_url.URL("ws" + record.href[4:])
    if record.protocol not in _DEFAULT_PORTS:  # step 5
        raise DOMException(
            f"the scheme of {url!r} is {record.protocol!r}, where 'ws:', 'wss:', 'http:' or "
            "'https:' is expected (https://websockets.spec.whatwg.org/#get-a-url-record)",
            "SyntaxError",
        )
    if "#" in record.href:  # step 6
        raise DOMException(
            f"{url!r} has a fragment, which a WebSocket's URL must not "
            "(https://websockets.spec.whatwg.org/#get-a-url-record)",
            "SyntaxError",
        )
    return _parts(record)


_parse_and_keep = lru_cache(maxsize=256)(_parse)


def _parts(record: ada_url.URL) -> WebSocketURL:
    href: str = record.href  # each attribute is a call into the library
    protocol: str = record.protocol
    hostname: str = record.hostname
    host: str = record.host
    port: str = record.port
    # The href, not `pathname` and `search`: an empty query ("?") shows only there.
    after_authority = href.split("//", 1)[1]
    return WebSocketURL(
        href=href,
        secure=protocol == "wss:",
        hostname=hostname[1:-1] if hostname.startswith("[") else hostname,
        port=int(port) if port else _DEFAULT_PORTS[protocol],
        host=host,
        resource=after_authority[after_authority.index("/") :],
        origin=f"{protocol}//{host}",
        username=record.username,
        password=record.password,
    )


def without_credentials(href: str) -> str:
    """Return a serialised URL without its user name and password: for logs, and what is kept."""
    return re.sub("^([a-z][a-z0-9+.-]*://)[^/?#]*@", r"\1", href)


class PageURL(NamedTuple):
    """A page's URL, in the parts that the web's `Location` shows."""

    href: str
    origin: str
    """The serialised origin; "null" where it is opaque, as that of a `data:` or `file:` URL."""
    protocol: str
    host: str
    hostname: str
    port: str
    pathname: str
    search: str
    hash: str


def parse_page_url(url: str) -> PageURL:
    """Parse the absolute URL of a page.

    Raises:
        DOMException: "SyntaxError": it is none.
    """
    try:
        record = ada_url.URL(url)
    except ValueError:
        raise DOMException(
            f"{url!r} is no valid absolute URL, which a page must have "
            "(https://url.spec.whatwg.org/#url-parsing)",
            "SyntaxError",
        ) from None
    return PageURL(*(getattr(record, name) for name in PageURL._fields))
