"""The opening handshake of a client.

Spec: https://websockets.spec.whatwg.org/#concept-websocket-establish and
https://www.rfc-editor.org/rfc/rfc6455#section-4.1

websocket-client writes the request, and behind a guard it never touches the network itself: the
guard stands in for its socket, takes what it sends, and unwinds it where it would read. Sending the
request and reading the response then wait on the loop, and the response is checked by our stricter
rules (`webapi.protocol.handshake`). Nothing of websocket-client's process-wide cookie jar comes in.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Final, NamedTuple

from webapi.fetch import basic_authorization, is_bad_port
from webapi.html.event_loop import EventLoop
from webapi.net.dial import (
    Address,
    Unreachable,
    connect_tcp,
    first_to_connect,
    resolve,
    shown,
    start_tls,
    until_readable,
)
from webapi.net.exchange import Progress, read_head, send_all
from webapi.net.proxy import (
    Proxy,
    ProxyFailed,
    connect_through,
    proxy_of_environment,
    socks_connect,
)
from webapi.net.settings import Options
from webapi.protocol.deflate import OFFER
from webapi.protocol.handshake import (
    Accepted,
    Head,
    InvalidHandshake,
    check_response,
    is_interim,
    parse_head,
)
from webapi.version import __version__
from webapi.webidl import Undefined

__all__ = ["Established", "OpeningFailed", "compose_request", "establish", "shake_hands"]


class OpeningFailed(Exception):
    """The connection could not be established; the message says at which step, and why."""


class Established(NamedTuple):
    """An established connection: its socket, non-blocking, and what came behind the head."""

    sock: socket.socket
    accepted: Accepted
    received: bytes


async def establish(options: Options, dialled: Callable[[socket.socket], object]) -> Established:
    """Establish a WebSocket connection; `dialled` is told of each socket on the way.

    Raises:
        OpeningFailed: with the reason.
    """
    url = options.url
    if is_bad_port(url.port):
        raise OpeningFailed(
            f"port {url.port} is blocked (https://fetch.spec.whatwg.org/#port-blocking)"
        )
    turns, progress = _Turns(options), Progress()
    try:
        async with _Deadline(options.open_timeout, progress) as deadline:
            proxy = _proxy_for(options)
            if proxy is None:
                sock = await _connect_directly(options, turns, deadline)
            else:
                sock = await _connect_by_proxy(proxy, options, turns, deadline)
            dialled(sock)
            if url.secure:
                sock = await _start_tls(sock, options, progress)
                dialled(sock)
            return await shake_hands(sock, options, progress)
    finally:
        turns.leave()


class _Turns:
    """The turns to connect that one opening handshake has: see `webapi.net.turns`."""

    def __init__(self, options: Options) -> None:
        self._turns = options.page.turns
        self._limit = options.max_connecting
        self._held: list[object] = []
        self._waiting = 0

    async def wait(self, key: tuple[object, ...], deadline: _Deadline) -> None:
        """Wait for a turn; the deadline's clock stands still while there is none at all."""
        if self._turns.take(key, self._limit):
            self._held.append(key)
            deadline.run(True)
            return
        self._waiting += 1
        deadline.run(bool(self._held))
        try:
            await self._turns.wait(key, self._limit)
            self._held.append(key)
        finally:
            self._waiting -= 1
            deadline.run(bool(self._held) or not self._waiting)

    def give_on(self, key: tuple[object, ...], deadline: _Deadline) -> None:
        """Leave one of them before the end, because nothing came of it."""
        self._held.remove(key)
        self._turns.leave(key)
        deadline.run(bool(self._held) or not self._waiting)

    def leave(self) -> None:
        """Leave them all."""
        for key in self._held:
            self._turns.leave(key)
        self._held.clear()


def _proxy_for(options: Options) -> Proxy | None:
    url, proxy = options.url, options.proxy
    if not isinstance(proxy, Undefined):
        return proxy
    try:
        return proxy_of_environment(url.hostname, url.port)
    except ValueError as error:
        raise OpeningFailed(f"{error} (it is from the environment)") from None


async def _resolve(hostname: str, port: int, progress: Progress) -> list[Address]:
    progress.at("looking up the name", hostname)
    try:
        addresses = await resolve(hostname, port)
    except OSError as error:
        raise OpeningFailed(f"the name {hostname!r} does not resolve: {error}") from None
    if not addresses:
        raise OpeningFailed(f"the name {hostname!r} has no address")
    return addresses


async def _connect_directly(options: Options, turns: _Turns, deadline: _Deadline) -> socket.socket:
    addresses = await _resolve(options.url.hostname, options.url.port, deadline.progress)
    trying: list[Address] = []
    deadline.progress.at("connecting to", trying)
    return await _in_turn(addresses, connect_tcp, turns, deadline, trying)


async def _connect_by_proxy(
    proxy: Proxy, options: Options, turns: _Turns, deadline: _Deadline
) -> socket.socket:
    url, progress = options.url, deadline.progress
    # where only the proxy knows the address, the name stands for it
    targets: list[Address] = [(socket.AF_UNSPEC, (url.hostname, url.port))]
    if not proxy.resolves:
        targets = await _resolve(url.hostname, url.port, progress)
        if proxy.scheme == "socks4":  # it knows no others
            targets = [a for a in targets if a[0] == socket.AF_INET] or targets
    progress.way = proxy
    addresses = await _resolve(proxy.hostname, proxy.port, progress)
    trying: list[Address] = []

    async def by_http(target: Address) -> socket.socket:
        return await _connect_by_http(proxy, addresses, shown(target[1]), progress)

    async def by_socks(target: Address) -> socket.socket:
        return await _connect_by_socks(proxy, addresses, target, len(targets) > 1)

    if proxy.scheme == "http":
        return await _in_turn(targets, by_http, turns, deadline, trying)
    by = " or ".join(shown(sockaddr) for _, sockaddr in addresses)
    progress.at(f"connecting by way of {by} to", trying)
    return await _in_turn(targets, by_socks, turns, deadline, trying, f" ({proxy})")


async def _connect_by_http(
    proxy: Proxy, addresses: list[Address], target: str, progress: Progress
) -> socket.socket:
    progress.at("connecting to", addresses)
    sock = await _first_of(addresses, connect_tcp, f" ({proxy})")
    progress.at(f"waiting for the answer to CONNECT {target} from", _peer(sock))
    try:
        with _closing_on_failure(sock):
            await connect_through(proxy, sock, target, progress)
    except ProxyFailed as error:
        raise OpeningFailed(str(error)) from None
    except OSError as error:
        raise OpeningFailed(f"the connection to {proxy} broke: {error}") from None
    return sock


async def _connect_by_socks(
    proxy: Proxy, addresses: list[Address], target: Address, is_one_of_many: bool
) -> socket.socket:
    hostname, port = target[1][:2]
    try:
        return await _first_of(
            addresses,
            lambda address: socks_connect(proxy, address[1][0], hostname, port),
            f" ({proxy})",
        )
    except ProxyFailed as error:
        if is_one_of_many and error.refusal:
            raise OSError(error.refusal) from None  # so that the next is tried
        raise OpeningFailed(str(error)) from None


async def _in_turn(
    addresses: list[Address],
    connect: Callable[[Address], Awaitable[socket.socket]],
    turns: _Turns,
    deadline: _Deadline,
    trying: list[Address],
    what: str = "",
) -> socket.socket:
    """Connect to the first of `addresses` that can be connected to, each when it is its turn.

    Args:
        addresses: of the server.
        connect: makes the connection.
        turns: the turns of this opening handshake.
        deadline: of it.
        trying: where to note those that are under way.
        what: for the reason, if none can.

    Raises:
        OpeningFailed: none can.
    """

    async def attempt(address: Address) -> socket.socket:
        # RFC 6455 §4.1 counts by address, also where it is known by several names.
        key = address[1][:2]
        await turns.wait(key, deadline)
        trying.append(address)
        try:
            return await connect(address)
        except OSError:
            trying.remove(address)
            turns.give_on(key, deadline)
            raise

    return await _first_of(addresses, attempt, what)


async def _first_of(
    addresses: list[Address],
    connect: Callable[[Address], Awaitable[socket.socket]],
    what: str,
) -> socket.socket:
    """Return a socket to the first of `addresses` that can be connected to.

    Raises:
        OpeningFailed: none can.
        ProxyFailed: what `connect` raises.
    """
    try:
        return await first_to_connect(addresses, connect)
    except Unreachable as error:
        raise OpeningFailed(f"cannot connect to {error}{what}") from None


class _Deadline:
    """Fails the opening if the block takes longer; `asyncio.timeout` is Python 3.11's.

    A class, not a generator: asyncio closes asynchronous generators when a loop shuts down.
    """

    def __init__(self, seconds: float | None, progress: Progress | None = None) -> None:
        self.seconds = seconds
        self.progress = progress or Progress()
        self.expired = False

    async def __aenter__(self) -> _Deadline:
        self.task = asyncio.current_task()
        self.left = self.seconds
        self.timer: asyncio.TimerHandle | None = None
        self.run(True)
        return self

    def run(self, wanted: bool) -> None:
        """Let the clock run or, while nothing is done that should count, stand still."""
        if self.left is None or wanted is (self.timer is not None):
            return
        if self.timer is None:
            # not a timer of the page's, which would keep it alive
            self.timer = EventLoop.current().call_later(self.left, self._expire)
        else:
            self.left = max(self.timer.when() - asyncio.get_running_loop().time(), 0)
            self.timer.cancel()
            self.timer = None

    def _expire(self) -> None:
        assert self.task is not None
        self.expired = True
        self.task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.run(False)
        self.left = None  # who comes late does not start it again
        if self.expired and kind is asyncio.CancelledError:
            assert self.task is not None
            if sys.version_info >= (3, 11):
                self.task.uncancel()
            at = f": {self.progress}" if self.progress.what else ""
            raise OpeningFailed(
                f"the opening handshake took longer than open_timeout, {self.seconds:g} s{at}"
            ) from None


async def shake_hands(
    sock: socket.socket, options: Options, progress: Progress | None = None
) -> Established:
    """Make the opening handshake on a connected, non-blocking `sock`, after TLS if there is any.

    `sock` belongs to the result, and is closed on failure.

    Raises:
        OpeningFailed: with the reason.
    """
    progress, peer = progress or Progress(), _peer(sock)
    where = _from(peer)
    progress.at("waiting for the response from", peer)
    try:
        with _closing_on_failure(sock):
            request, key = compose_request(options)
            devtools, request_id = options.page.devtools, options.request_id
            if devtools.listening:
                devtools.will_send_request(request_id, request)
            with suppress(OSError):  # what the server said before it left tells more
                await send_all(sock, request)
            if not isinstance(sock, ssl.SSLSocket):  # that may have decrypted more than it gave
                await until_readable(sock)  # to try would be in vain, mostly
            return await _read_response(sock, key, options, request, progress)
    except InvalidHandshake as error:
        raise OpeningFailed(f"{error}{where}") from None
    except ssl.SSLError as error:
        raise OpeningFailed(f"{_tls_fault(error)}{where}") from None
    except OSError as error:
        reason = f"the connection broke in the opening handshake: {error}{where}"
        raise OpeningFailed(reason) from None


def _peer(sock: socket.socket) -> str:
    """Say who is at the other end, for the log."""
    with suppress(OSError):
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            return shown(sock.getpeername())
    return "the server"


def _from(peer: str) -> str:
    return "" if peer == "the server" else f" (from {peer})"


@contextmanager
def _closing_on_failure(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


async def _start_tls(sock: socket.socket, options: Options, progress: Progress) -> ssl.SSLSocket:
    peer = _peer(sock)
    where = _from(peer)
    progress.at("the TLS handshake with", peer)
    try:
        with _closing_on_failure(sock):
            return await start_tls(sock, options.url.hostname, options.ssl_context)
    except ssl.SSLCertVerificationError as error:
        raise OpeningFailed(
            f"the certificate of {options.url.hostname!r} is not trusted: {error.verify_message}"
            f"{where}"
        ) from None
    except OSError as error:
        raise OpeningFailed(f"{_tls_fault(error)}{where}") from None


# Alerts by which a server says that our certificate does not do: RFC 8446 §6.2, and RFC 5246's
# "handshake failure" for one that is missing, which can mean something else, too.
_OUR_CERTIFICATE: Final = (
    "CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED",
)  # fmt: skip


def _tls_fault(error: OSError) -> str:
    """Say what went wrong. With TLS 1.3 a server's refusal comes behind the handshake."""
    reason = getattr(error, "reason", None) or ""
    if "ALERT" in reason and reason.partition("ALERT_")[2] in _OUR_CERTIFICATE:
        return f"the server refused our certificate, or asks for one: {error}"
    return f"the TLS handshake failed: {error}"


# -- the request, by websocket-client ----------------------------------------------------------


class _RequestComposed(Exception):
    """Unwinds websocket-client once it has sent its request and would read the response."""


class _Guard:
    """Stands where websocket-client expects its socket, and keeps what it sends."""

    def __init__(self) -> None:
        self.sent = b""

    def gettimeout(self) -> None:
        return None

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def recv(self, _: int) -> bytes:
        raise _RequestComposed

    def close(self) -> None:
        pass


# The order of Chromium's request. What is not here, a user's own header, stands at the None.
_ORDER: Final = (
    "host", "connection", "pragma", "cache-control", "authorization", "user-agent", "upgrade",
    "origin", "sec-websocket-version", None, "cookie", "sec-websocket-key",
    "sec-websocket-extensions", "sec-websocket-protocol",
)  # fmt: skip
_RANK: Final = {name: rank for rank, name in enumerate(_ORDER)}


def compose_request(options: Options) -> tuple[bytes, str]:
    """Return the request's head, and the key in it."""
    url = options.url
    own = tuple(_own_headers(options))
    # What a user gave, credentials and cookies are not to be kept beyond their socket; nor are
    # protocols, in which some send a token.
    secret = (
        options.headers
        or options.protocols
        or any(name in ("Authorization", "Cookie") for name, _ in own)
    )
    compose = _around_key.__wrapped__ if secret else _around_key
    before, after = compose(
        url.secure, url.host, options.page.origin_for(url), own, options.headers
    )
    key = base64.b64encode(os.urandom(16)).decode()
    # The request target is ours: websocket-client's drops ";parameters" and an empty query.
    target = url.resource.encode()
    return b"GET %b HTTP/1.1\r\n%b%b%b" % (target, before, key.encode(), after), key


@lru_cache(maxsize=256)
def _around_key(
    secure: bool,
    host: str,
    origin: str,
    own: tuple[tuple[str, str], ...],
    headers: tuple[tuple[str, str], ...],
) -> tuple[bytes, bytes]:
    """Return the headers' lines: up to the key, and what follows it.

    Measured with `python -m benchmarks opening-1`: a page's sockets have mostly the same.
    """
    given = {name.lower() for name, _ in headers}
    both = [*headers, *(pair for pair in own if pair[0].lower() not in given)]
    lines: list[tuple[str, bytes]] = [
        (name.lower(), f"{name}: {value}".encode("latin-1")) for name, value in both
    ]
    lines.append(("sec-websocket-key", b"Sec-WebSocket-Key: "))
    lines += [
        line for line in _composed_by_websocket_client(secure, host, origin) if line[0] not in given
    ]
    lines.sort(key=lambda line: _RANK.get(line[0], _RANK[None]))
    at = [name for name, _ in lines].index("sec-websocket-key") + 1
    before = b"\r\n".join([line for _, line in lines[:at]])
    after = b"\r\n".join([b"", *(line for _, line in lines[at:]), b"", b""])
    return before, after


def _own_headers(options: Options) -> Iterator[tuple[str, str]]:
    """Yield what is sent unless the user gave a header of that name."""
    url = options.url
    # https://websockets.spec.whatwg.org/#concept-websocket-establish: cache mode "no-store"
    yield "Pragma", "no-cache"
    yield "Cache-Control", "no-cache"
    if url.username or url.password:
        yield "Authorization", basic_authorization(url.username, url.password)
    user_agent = _USER_AGENT if options.user_agent is None else options.user_agent
    if user_agent:
        yield "User-Agent", user_agent
    if cookie := options.page.cookies_for(url):
        yield "Cookie", cookie
    if options.compression:
        yield "Sec-WebSocket-Extensions", OFFER
    if options.protocols:
        yield "Sec-WebSocket-Protocol", ", ".join(options.protocols)


_PYTHON: Final = f"Python/{sys.version_info[0]}.{sys.version_info[1]}"
_USER_AGENT: Final = f"Mozilla/5.0 (compatible; webapi/{__version__}; {_PYTHON})"


@lru_cache(maxsize=256)
def _composed_by_websocket_client(
    secure: bool, host: str, origin: str
) -> tuple[tuple[str, bytes], ...]:
    """Return the lines that are the same for each request there, each with its name."""
    import websocket  # a third of what `import webapi` would take, and who connects needs it

    guard = _Guard()
    client = websocket.WebSocket(enable_multithread=False)
    with suppress(_RequestComposed):
        client.connect(
            f"{'wss' if secure else 'ws'}://{host}/", socket=guard, host=host, origin=origin
        )
    lines = guard.sent.split(b"\r\n")[1:]
    named = ((line.partition(b":")[0].decode().lower(), line) for line in lines if line)
    # A cookie here can only be from websocket-client's process-wide jar, and a key is used once.
    return tuple(pair for pair in named if pair[0] not in ("cookie", "sec-websocket-key"))


# -- the response ----------------------------------------------------------------------------------

# A head of 64 KiB may hold 4,700, each of which takes 25 µs in a full jar.
_COOKIES_PER_TURN: Final = 256


async def _read_response(
    sock: socket.socket,
    key: str,
    options: Options,
    request: bytes = b"",
    progress: Progress | None = None,
) -> Established:
    """Read the head whole, check it, and keep what came behind it."""
    head, raw, received = await _read_head(sock, progress or Progress())
    page = options.page
    if page.devtools.listening:
        page.devtools.response_received(options.request_id, request, raw)
    cookies = head.all("set-cookie")  # also of a failed one
    for at in range(0, len(cookies), _COOKIES_PER_TURN):
        if at:
            await asyncio.sleep(0)
        page.store_cookies(options.url, cookies[at : at + _COOKIES_PER_TURN])
    accepted = check_response(head, key, options.protocols, options.compression)
    return Established(sock, accepted, received)


async def _read_head(sock: socket.socket, progress: Progress) -> tuple[Head, bytes, bytes]:
    """Read the final head, within `MAX_HEAD_SIZE`; return it, its bytes, and what came behind."""
    rest, spent = b"", 0
    while True:
        raw, rest = await read_head(sock, progress, rest, spent)
        head = parse_head(raw)
        if not is_interim(head):
            return head, raw, rest
        # https://fetch.spec.whatwg.org/#http-network-fetch: interim responses are passed over
        spent += len(raw)
