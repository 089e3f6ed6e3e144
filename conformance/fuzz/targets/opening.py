"""The handshake's guard: reading a response's head, and checking it.

The input's first byte chooses what was asked for; then come the cuts (see ``take_cuts``) and the
server's bytes, behind which it ends the connection. They are read cut there, and a byte at a time;
both must accept the same or refuse, and nothing but the protocol's own exception may come out.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

from webapi.net.opening import Established, _read_response
from webapi.net.settings import Options
from webapi.protocol.deflate import Parameters
from webapi.protocol.handshake import MAX_HEAD_SIZE, InvalidHandshake
from webapi.url import get_url_record

from . import pieces, take_cuts

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
URL = get_url_record("ws://127.0.0.1/")
PROTOCOLS = ("chat", "superchat")
LONGEST_REASON = 1000  # it goes to the log, in one line


class ScriptedSocket:
    """Gives what it was made with, a piece a read, and then the end."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = list(parts)[::-1]
        self.taken = 0

    def recv(self, size: int) -> bytes:
        """Return the next piece."""
        if not self.parts:
            return b""
        part = self.parts.pop()
        assert len(part) <= size
        self.taken += len(part)
        return part


def test_one_input(data: bytes) -> None:
    """Read the input in both ways, and compare."""
    choice = data[0] if data else 0
    cuts, wire = take_cuts(data[1:])
    options = Options(URL, protocols=PROTOCOLS if choice & 2 else (), compression=choice & 1 != 0)
    cut = _read(pieces(wire, [*cuts, MAX_HEAD_SIZE]), options)
    single = _read((wire[at : at + 1] for at in range(len(wire))), options)
    assert cut == single, (cut, single)
    if cut is not None:
        _check(wire, cut, options)


def _read(parts: Iterable[bytes], options: Options) -> tuple[Any, bytes] | None:
    """What was accepted and what came behind the head; None where it was refused."""
    sock = ScriptedSocket(parts)
    try:
        established = _finish(_read_response(sock, KEY, options))  # type: ignore[arg-type]
    except InvalidHandshake as error:
        said = str(error)
    else:
        return established.accepted, established.received + b"".join(sock.parts[::-1])
    assert "\n" not in said
    assert len(said) < LONGEST_REASON
    assert sock.taken <= 2 * MAX_HEAD_SIZE
    return None


def _finish(coroutine: Coroutine[Any, Any, Established]) -> Established:
    """Run what never has to wait, since its socket does not."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Established = end.value
        return result
    raise AssertionError("it waits")


def _check(wire: bytes, outcome: tuple[Any, bytes], options: Options) -> None:
    """Check what no accepted response can lack."""
    accepted, behind = outcome
    head = wire[: len(wire) - len(behind)]
    assert wire.endswith(behind)
    assert ACCEPT in head
    assert b" 101" in head
    assert len(head) <= MAX_HEAD_SIZE
    assert accepted.protocol in (options.protocols or ("",))
    assert accepted.deflate is None or options.compression
    assert (accepted.deflate is None) == (accepted.extensions == "")
    if accepted.deflate is not None:
        assert isinstance(accepted.deflate, Parameters)
        assert 8 <= accepted.deflate.client_max_window_bits <= 15
        assert 8 <= accepted.deflate.server_max_window_bits <= 15
