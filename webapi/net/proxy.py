"""Proxies: which one, and the way through it.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-4.1, step 3 of establishing a connection

HTTP's CONNECT is ours, on the loop and within the limits of any head; SOCKS is python-socks', which
websocket-client uses too (`pip install 'webapi[socks]'`).
"""

from __future__ import annotations

import base64
import importlib.util
import ipaddress
import os
import re
import socket
import sys
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import unquote

import ada_url

from webapi.fetch import is_trustworthy_host
from webapi.net.dial import send_at_once, shown
from webapi.net.exchange import Progress, read_head, send_all
from webapi.protocol.handshake import InvalidHandshake, parse_head

__all__ = ["Proxy", "ProxyFailed", "connect_through", "parse_proxy", "proxy_of_environment"]

_DEFAULT_PORTS: Final = {
    "http": 80,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}


class ProxyFailed(Exception):
    """The proxy did not let us through; the message says why."""

    refusal = ""
    """What it said of the server's address, where that was all that was wrong."""


class Proxy(NamedTuple):
    """A proxy's URL in parts."""

    scheme: str
    """http, socks4, socks4a, socks5 or socks5h."""
    hostname: str
    port: int
    username: str
    password: str

    @property
    def resolves(self) -> bool:
        """Whether the proxy is told the server's name, and not its address."""
        return self.scheme in ("http", "socks4a", "socks5h")

    def __str__(self) -> str:
        """Name the proxy without its credentials, which must not be logged."""
        return f"the proxy {self.scheme}://{shown((self.hostname, self.port))}"


def parse_proxy(text: str) -> Proxy:
    """Parse a proxy's URL; without a scheme it is an HTTP proxy.

    Raises:
        ValueError: it is none, or of a kind that is not supported here.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme == "socks":  # as Chromium reads it, and desktops write it
        scheme = "socks5h"
    shown = f"{scheme}://{rest.rpartition('@')[2]}"
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(
            f"the proxy {shown!r} has the scheme {scheme!r}, where one of "
            f"{', '.join(_DEFAULT_PORTS)} is expected"
        )
    try:
        url = ada_url.URL(f"http://{rest}")  # the parts are the same
    except ValueError:
        raise ValueError(f"the proxy {shown!r} is no URL such as 'http://host:3128'") from None
    if url.pathname != "/" or url.search or url.hash:
        raise ValueError(f"the proxy {shown!r} has more than a host and a port")
    username, password = unquote(url.username), unquote(url.password)
    if scheme.startswith("socks"):
        if importlib.util.find_spec("python_socks") is None:
            raise ValueError(
                f"the proxy {shown!r} needs the package python-socks: pip install 'webapi[socks]'"
            )
        _check_socks_credentials(shown, username, password)
    # http's own port, 80, is not shown by a URL even where it was given
    given_80 = re.search(r":0*80/?$", rest) is not None
    port = int(url.port) if url.port else 80 if given_80 else _DEFAULT_PORTS[scheme]
    return Proxy(scheme, url.hostname.strip("[]"), port, username, password)


def _check_socks_credentials(shown: str, username: str, password: str) -> None:
    """Refuse what cannot be sent, or would silently not be: https://www.rfc-editor.org/rfc/rfc1929

    Raises:
        ValueError: with the reason, which does not name them.
    """
    for text in (username, password):
        if len(text) > 255 or not text.isascii() or "\0" in text:
            raise ValueError(
                f"the credentials for the proxy {shown!r} must be of ASCII, without NUL, and 255 "
                "characters long at most (https://www.rfc-editor.org/rfc/rfc1929)"
            )
    if shown.startswith("socks5") and bool(username) is not bool(password):
        raise ValueError(
            f"the proxy {shown!r} needs both a user name and a password, or neither "
            "(https://www.rfc-editor.org/rfc/rfc1929)"
        )


def proxy_of_environment(hostname: str, port: int) -> Proxy | None:
    """Return the proxy that the environment (or macOS, or Windows) has for a server, or None.

    As RFC 6455 says and Chromium does, a SOCKS proxy is preferred (ALL_PROXY), then the one for
    HTTPS, then the one for HTTP, for `ws` and `wss` alike. What NO_PROXY names, and this machine,
    is connected to directly: see `is_excepted`.

    Raises:
        ValueError: the proxy's URL is none.
    """
    if is_trustworthy_host(hostname):
        return None
    environment = sys.platform not in ("darwin", "win32")
    if environment and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # slow to import

    proxies = getproxies()
    host = f"[{hostname}]" if ":" in hostname else hostname
    if not proxies or is_excepted(proxies.get("no", ""), hostname, port):
        return None
    if not environment and proxy_bypass(f"{host}:{port}"):  # what the system is set to
        return None
    general = proxies.get("all", "")
    for text in (
        general if general.lower().startswith("socks") else "",
        proxies.get("https"),
        proxies.get("http"),
        general,
    ):
        if text:
            return parse_proxy(text)
    return None


def is_excepted(no_proxy: str, hostname: str, port: int) -> bool:
    """Tell whether NO_PROXY names a server, whose `hostname` is in lower case, without brackets.

    There is no standard. Understood is what curl, Go, requests or Chromium understand, for who is
    misunderstood sends what is internal to the proxy: a list with commas or white space of names
    (`corp.example`, `.corp.example`: these and what is below them; `*.corp.example`: what is
    below), addresses, networks (`10.0.0.0/8`, `fd00::/8`), each with or without a port, and `*`.
    """
    hostname = hostname.removesuffix(".")
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        name, bracket, of_port = entry.removeprefix("[").partition("]")
        if not bracket and entry.count(":") == 1:
            name, _, of_port = entry.partition(":")
        of_port = of_port.removeprefix(":")
        if name and of_port in ("", str(port)) and _names(name.removesuffix("."), hostname):
            return True
    return False


def _names(name: str, hostname: str) -> bool:
    with suppress(ValueError):
        address = ipaddress.ip_address(hostname)
        with suppress(ValueError):
            return address in ipaddress.ip_network(name, strict=False)
        return name == "*"  # an address is below no name
    if name.startswith("*"):
        return hostname.endswith(name[1:])
    name = name.removeprefix(".")
    return hostname == name or hostname.endswith(f".{name}")


async def connect_through(
    proxy: Proxy, sock: socket.socket, target: str, progress: Progress
) -> None:
    """Have `proxy`, to which `sock` is connected, connect to `target` by HTTP's CONNECT.

    Spec: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6

    Raises:
        ProxyFailed: it did not.
        OSError: the connection broke.
    """
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username or proxy.password:
        credentials = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    await send_all(sock, ("\r\n".join(lines) + "\r\n\r\n").encode())
    try:
        raw, rest = await read_head(sock, progress, who=str(proxy))
        line = parse_head(raw).start_line
    except InvalidHandshake as error:
        raise ProxyFailed(str(error)) from None
    if not re.match(r"HTTP/1\.[0-9] 2[0-9][0-9](?!\S)", line):
        raise ProxyFailed(f"{proxy} answered {line[9:80]!r} to CONNECT {target}")
    if rest:  # the client speaks first, under TLS or not
        raise ProxyFailed(f"{proxy} sent something before the server could")


async def socks_connect(proxy: Proxy, address: str, hostname: str, port: int) -> socket.socket:
    """Return a socket to `hostname`, a name or an IP address, through a SOCKS proxy at `address`.

    Spec: https://www.rfc-editor.org/rfc/rfc1928 and https://www.openssh.com/txt/socks4a.protocol

    Raises:
        ProxyFailed: the proxy did not let us through.
        OSError: it cannot be reached.
    """
    import python_socks
    from python_socks.async_.asyncio import Proxy as SocksProxy

    kind = python_socks.ProxyType.SOCKS4 if "4" in proxy.scheme else python_socks.ProxyType.SOCKS5
    through = SocksProxy(
        kind, address, proxy.port, proxy.username or None, proxy.password or None, rdns=True
    )
    try:
        # the opening handshake has a deadline of its own
        sock = await through.connect(hostname, port, timeout=24 * 3600)
    except python_socks.ProxyConnectionError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None
    except python_socks.ProxyError as error:
        where = shown((hostname, port))
        failed = ProxyFailed(f"{proxy} did not connect to {where}: {error}")
        failed.refusal = "" if error.error_code is None else str(error)
        raise failed from None
    send_at_once(sock)
    return sock
