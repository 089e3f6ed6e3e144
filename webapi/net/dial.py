"""Dialling: names to addresses, TCP, and TLS, without blocking the loop.

websocket-client can do this too, blocking a thread for as long as it takes. Here nothing but the
lookup of a name needs one, so a thousand servers that do not answer cost no thread
(measured: `benchmarks/README.md`, "Opening").
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from webapi.html.event_loop import EventLoop

__all__ = [
    "Unreachable",
    "connect_tcp",
    "first_to_connect",
    "resolve",
    "send_at_once",
    "shown",
    "start_tls",
    "until_readable",
    "until_writable",
]

Address = tuple[Any, ...]
"""A socket address and its family: (family, sockaddr)."""

# Lookups under way at once in one loop; each has a thread while it lasts.
_MAX_LOOKUPS = 16

_CONNECTING = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN, errno.EINTR)

ATTEMPT_DELAY = 0.25
"""Seconds that an address has before the next is tried, too: RFC 8305 §5."""


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of `host`, in the order to try them.

    Raises:
        OSError: the name does not resolve.
    """
    family = _family_of_address(host)
    if family is not None:
        return [(family, (host, port))]
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        # As browsers do: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
    return await _look_up(host, port)


@lru_cache(maxsize=256)
def _family_of_address(host: str) -> socket.AddressFamily | None:
    """Return the family if `host` is an address and no name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


async def _look_up(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    lookups: _Lookups | None = getattr(loop, "_webapi_lookups", None)
    if lookups is None:
        lookups = loop._webapi_lookups = _Lookups(loop)  # type: ignore[attr-defined]
    return await asyncio.shield(lookups.find(host, port))


class _Lookups:
    """The lookups of one loop: each in a thread while it lasts, and one for all who ask at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.under_way: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}
        self.waiting: deque[tuple[str, int]] = deque()
        self.threads = 0

    def find(self, host: str, port: int) -> asyncio.Future[list[Address]]:
        key = (host, port)
        if key not in self.under_way:
            self.under_way[key] = self.loop.create_future()
            self.waiting.append(key)
            self._start_next()
        return self.under_way[key]

    def _start_next(self) -> None:
        while self.waiting and self.threads < _MAX_LOOKUPS:
            self.threads += 1
            key = self.waiting.popleft()
            # A daemon thread of its own, not the loop's executor: a lookup that hangs must not
            # hold the process at its end.
            try:
                threading.Thread(
                    target=self._look_up, args=key, name="webapi lookup", daemon=True
                ).start()
            except RuntimeError:
                # Python 3.12 starts no thread once the main program is done; then the loop waits.
                self._look_up(*key)

    def _look_up(self, host: str, port: int) -> None:
        result: list[Address] | OSError
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result = [(family, address) for family, _, _, _, address in found]
        except OSError as error:
            result = error
        except UnicodeError as error:
            result = OSError(str(error))
        with suppress(RuntimeError):  # the loop closed meanwhile
            self.loop.call_soon_threadsafe(self._tell, (host, port), result)

    def _tell(self, key: tuple[str, int], result: list[Address] | OSError) -> None:
        self.threads -= 1
        future = self.under_way.pop(key)
        if isinstance(result, OSError):
            future.set_exception(result)
            future.exception()  # whoever asked may be gone: no warning then
        else:
            future.set_result(result)
        self._start_next()


class Unreachable(Exception):
    """No address could be connected to; the message says which, and why."""


async def first_to_connect(
    addresses: list[Address], connect: Callable[[Address], Awaitable[socket.socket]]
) -> socket.socket:
    """Return what `connect` gives for the first of `addresses` that works.

    Spec: https://www.rfc-editor.org/rfc/rfc8305 ("Happy Eyeballs")

    The families take turns; the next address is tried when one fails, or has not answered for
    `ATTEMPT_DELAY`.

    Raises:
        Unreachable: all failed, with the reasons.
        Exception: what is no `OSError` of `connect`.
    """
    failures: list[str] = []
    if len(addresses) == 1:
        try:
            return await connect(addresses[0])
        except OSError as error:
            raise Unreachable(_why(addresses[0], error)) from None
    page = EventLoop.current()
    waiting, tasks = _interleave(addresses), dict[asyncio.Task[Any], Address]()
    try:
        while waiting or tasks:
            if waiting:
                address = waiting.popleft()
                tasks[page.create_task(_outcome(connect(address)))] = address
            delay = ATTEMPT_DELAY if waiting else None
            done, _ = await asyncio.wait(tasks, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                outcome, address = task.result(), tasks[task]
                if isinstance(outcome, socket.socket):
                    del tasks[task]
                    return outcome
                if not isinstance(outcome, OSError):
                    raise outcome
                del tasks[task]
                failures.append(_why(address, outcome))
        raise Unreachable("; ".join(failures))
    finally:
        for task in tasks:
            task.add_done_callback(_close_outcome)
            task.cancel()


async def _outcome(connecting: Awaitable[socket.socket]) -> socket.socket | Exception:
    """Return what it raises, for the loop reports what a task of ours raises."""
    try:
        return await connecting
    except Exception as exception:
        return exception


def _close_outcome(task: asyncio.Task[Any]) -> None:
    """Close the socket of one who came too late."""
    if not task.cancelled() and isinstance(task.result(), socket.socket):
        task.result().close()


def _interleave(addresses: list[Address]) -> deque[Address]:
    """Spec: https://www.rfc-editor.org/rfc/rfc8305#section-4"""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    mixed = [address for pair in zip(first, others, strict=False) for address in pair]
    return deque([*mixed, *first[len(others) :], *others[len(first) :]])


def _why(address: Address, error: OSError) -> str:
    return f"{shown(address[1])}: {os.strerror(error.errno) if error.errno else error}"


def shown(sockaddr: tuple[Any, ...]) -> str:
    """Return a host and a port as a URL has them."""
    host, port = sockaddr[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def connect_tcp(address: Address) -> socket.socket:
    """Connect to `address` and return the socket, non-blocking.

    Raises:
        OSError: it cannot be reached.
    """
    family, sockaddr = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        send_at_once(sock)
        await _connect(sock, sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(sock: socket.socket, sockaddr: Any) -> None:
    if sys.platform == "linux":
        # Asked once more, Linux says that it is connected, if it is by now: as to this machine it
        # mostly is. That saves a turn (`python -m benchmarks opening-1`).
        for _ in range(2):
            fault = sock.connect_ex(sockaddr)
            if not fault:
                return
            if fault not in _CONNECTING:
                raise OSError(fault, os.strerror(fault))
    await asyncio.get_running_loop().sock_connect(sock, sockaddr)


def send_at_once(sock: socket.socket) -> None:
    """Have a message leave when it is sent; batches are made by the sender."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


# What `ssl.create_default_context()` reads.
_TLS_VARIABLES = ("SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def default_ssl_context() -> ssl.SSLContext:
    """Return the context for `wss` with the system's trust.

    It honours SSLKEYLOGFILE, SSL_CERT_FILE and SSL_CERT_DIR as they are now.
    """
    return _context_of(*map(os.environ.get, _TLS_VARIABLES))


@lru_cache(maxsize=4)
def _context_of(*_: str | None) -> ssl.SSLContext:
    """Return the same context while these variables are the same: one takes 40 ms to make."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def start_tls(
    sock: socket.socket, hostname: str, context: ssl.SSLContext | None
) -> ssl.SSLSocket:
    """Wrap `sock` and make the TLS handshake; `sock` belongs to the result.

    Raises:
        OSError: the handshake failed (`ssl.SSLError` is an `OSError`).
    """
    if context is None:
        context = default_ssl_context()
    # RFC 6066 §3: a name's last dot is not sent, nor in a certificate
    name = hostname.removesuffix(".") or None
    try:
        (name or "").encode("idna")  # so does wrap_socket(), and would leave an open socket
    except UnicodeError as error:
        raise OSError(f"{name!r} is no name that TLS could ask for: {error}") from None
    tls = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    try:
        while True:
            try:
                tls.do_handshake()
                return tls
            except ssl.SSLWantReadError:
                await until_readable(tls)
            except ssl.SSLWantWriteError:
                await until_writable(tls)
    except BaseException:
        tls.close()
        raise


async def until_readable(sock: socket.socket) -> None:
    """Return when `sock` has something to read, or has ended."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


async def until_writable(sock: socket.socket) -> None:
    """Return when the kernel takes more from `sock`."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock.fileno(), _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(sock.fileno())


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
