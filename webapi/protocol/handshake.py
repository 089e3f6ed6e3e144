"""The opening handshake's HTTP, sans-I/O: reading a head, and checking a response strictly.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-4
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from webapi.protocol.deflate import Parameters, negotiate
from webapi.protocol.errors import InvalidHandshake, shown

__all__ = [
    "MAX_HEAD_SIZE",
    "Accepted",
    "Head",
    "InvalidHandshake",
    "accept_value",
    "check_response",
    "head_end",
    "head_start",
    "is_interim",
    "parse_head",
    "parse_status",
]

# A head is read whole within this many bytes, all its interim responses included.
MAX_HEAD_SIZE: Final = 64 * 1024

MAX_JUNK: Final = 4
_HTTP: Final = b"HTTP/"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_WHITE: Final = " \t"  # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.3
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS_LINE: Final = re.compile(r"HTTP/1\.([0-9]) +([0-9]{3})(?: .*)?", re.DOTALL)


class Head(NamedTuple):
    """An HTTP message's first line and headers, in order, names in lower case."""

    start_line: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Return every value of the header `name` (lower case)."""
        return [value for key, value in self.headers if key == name]

    def values(self, name: str) -> list[str]:
        """Return the items of the comma-separated list that the header `name` is."""
        joined = ",".join(self.all(name))
        return [item.strip(_WHITE) for item in joined.split(",")] if joined else []


class Accepted(NamedTuple):
    """What the server chose."""

    protocol: str
    extensions: str
    deflate: Parameters | None = None


def accept_value(key: str) -> str:
    """Return the `Sec-WebSocket-Accept` that answers `key`."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the head that begins at 0 ends, searching from `start`; -1 if not yet."""
    match = _HEAD_END.search(data, max(start - 3, 0))
    return match.end() if match else -1


def head_start(data: bytes, who: str = "the server") -> int:
    """Return where a response's status line begins in `data`; -1 if that does not show yet.

    Browsers agree on passing over up to four bytes before it (but NUL, in Chromium).

    Raises:
        InvalidHandshake: what was received cannot become a status line.
    """
    if data.startswith(_HTTP):
        return 0
    found = data.find(_HTTP, 0, MAX_JUNK + len(_HTTP))
    possible = any(_HTTP.startswith(data[at : at + 5]) for at in range(MAX_JUNK + 1))
    if (found < 0 and not possible) or b"\0" in data[:MAX_JUNK]:
        raise InvalidHandshake(f"{who} does not speak HTTP: what it sent begins with {data[:40]!r}")
    return found


def parse_head(data: bytes) -> Head:
    """Parse a whole head.

    Browsers agree on taking line feeds alone and folded lines, and on passing over lines without a
    colon, with a bad name, or with white space before the first header; and so does this. They
    agree on refusing NUL (`python -m conformance browsers --only 'handshake/*'`).

    Raises:
        InvalidHandshake: it is no HTTP head.
    """
    if b"\0" in data:
        raise InvalidHandshake("the head has a NUL byte")
    start_line, *lines = re.split("\r?\n", data.decode("latin-1").rstrip("\r\n"))
    headers: list[tuple[str, str]] = []
    folds = False  # whether a folded line belongs to the last header
    for line in lines:
        if line[:1] in (" ", "\t"):
            if folds:
                name, value = headers[-1]
                headers[-1] = (name, f"{value} {line.strip(_WHITE)}".strip(_WHITE))
            continue
        name, colon, value = line.partition(":")
        folds = bool(colon) and _TOKEN.fullmatch(name) is not None
        if folds:
            headers.append((name.lower(), value.strip(_WHITE)))
    return Head(start_line, tuple(headers))


def parse_status(head: Head) -> int:
    """Return a response's status code.

    Raises:
        InvalidHandshake: the first line is no status line of HTTP/1.x.
    """
    match = _STATUS_LINE.fullmatch(head.start_line)
    if match is None:
        raise InvalidHandshake(
            f"the server does not speak HTTP/1.1: its first line is {shown(head.start_line)}"
        )
    return int(match[2])


def is_interim(head: Head) -> bool:
    """Tell whether another response follows: https://www.rfc-editor.org/rfc/rfc9110#section-15.2"""
    return 100 <= parse_status(head) < 200 and parse_status(head) != 101 and not _is_old(head)


def _is_old(head: Head) -> bool:
    return head.start_line.startswith("HTTP/1.0")


def check_response(
    head: Head, key: str, protocols: Sequence[str], deflate_offered: bool = False
) -> Accepted:
    """Check a 101 response to a request with `key` and `protocols`.

    Spec: https://www.rfc-editor.org/rfc/rfc6455#section-4.1, the checks 1 to 6 of the response, and
    https://websockets.spec.whatwg.org/#concept-websocket-establish, which is stricter about
    subprotocols: one that was asked for must be answered.

    Raises:
        InvalidHandshake: a check failed.
    """
    status = parse_status(head)
    if _is_old(head):
        raise InvalidHandshake(
            f"the server answered {shown(head.start_line)}, which cannot upgrade"
        )
    if status != 101:
        raise InvalidHandshake(f"the server answered {head.start_line[9:80]!r}, not 101")
    upgrade = _single(head, "upgrade")
    if upgrade.lower() != "websocket":
        raise InvalidHandshake(f"the Upgrade header is {shown(upgrade)}, not 'websocket'")
    if "upgrade" not in [item.lower() for item in head.values("connection")]:
        found = ", ".join(head.all("connection"))
        raise InvalidHandshake(f"the Connection header is {shown(found)}, without 'Upgrade'")
    accept, expected = _single(head, "sec-websocket-accept"), accept_value(key)
    if accept != expected:  # to the letter: base64 knows upper from lower case
        raise InvalidHandshake(
            f"the Sec-WebSocket-Accept header is {shown(accept)}, not {expected!r}"
        )
    protocol = _check_protocol(head, protocols)
    answered = head.all("sec-websocket-extensions")
    return Accepted(protocol, ", ".join(answered), negotiate(answered, deflate_offered))


def _single(head: Head, name: str) -> str:
    found = head.all(name)
    shown = name.title().replace("Websocket", "WebSocket")
    if not found:
        raise InvalidHandshake(f"the header {shown} is missing")
    if len(found) > 1:
        raise InvalidHandshake(f"the header {shown} came {len(found)} times")
    return found[0]


def _check_protocol(head: Head, protocols: Sequence[str]) -> str:
    answered = head.all("sec-websocket-protocol")
    if not protocols and not answered:
        return ""
    if not protocols:
        raise InvalidHandshake(
            f"the server chose the subprotocol {shown(answered[0])}, but none was asked for"
        )
    chosen = _single(head, "sec-websocket-protocol")
    if chosen not in protocols:  # RFC 6455 §4.1: case matters
        raise InvalidHandshake(
            f"the server chose the subprotocol {shown(chosen)}, "
            f"which is none of {list(protocols)!r}"
        )
    return chosen
