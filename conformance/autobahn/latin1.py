r"""Octets as text, for the Python 3 copy of the Autobahn test suite (see :mod:`.port`).

:mod:`.port` copies this file into the converted suite. The suite was written for Python 2, where a
``"\xfe"`` in a case is an octet; in the converted copy it is the character of that number. So a
case goes on holding its payloads as such text, and this module turns text into octets on the way
from a case to the wire and octets into text on the way back.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

#: The cases of these groups handle octets themselves (they hash and decode what they receive).
OCTET_CASES = ("Case12_", "Case13_")


def octets(data: Any) -> Any:
    """``data`` as it goes on the wire."""
    return data.encode("latin-1") if isinstance(data, str) else data


def text(data: Any) -> Any:
    """``data`` as a case compares it, and as a JSON report holds it."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data).decode("latin-1")
    return data


def hexed(data: Any) -> str:
    """``data`` in hexadecimal: what ``binascii.b2a_hex`` gave on Python 2."""
    return binascii.b2a_hex(octets(data)).decode("ascii")


def normal(events: Any) -> Any:
    """A list of events (tuples) such that equal ones compare equal, whatever types they hold."""
    if isinstance(events, (list, tuple)):
        return [normal(event) for event in events]
    return text(events)


def binLogData(data: Any, maxlen: int = 64) -> str:
    """The suite's helper of that name."""
    ellipses = " ..."
    if len(data) > maxlen - len(ellipses):
        return hexed(data[:maxlen]) + ellipses
    return hexed(data)


def asciiLogData(data: Any, maxlen: int = 64, replace: bool = False) -> str:
    """The suite's helper of that name."""
    ellipses = " ..."
    shown = octets(data)
    if len(shown) > maxlen - len(ellipses):
        shown = shown[:maxlen] + octets(ellipses)
    try:
        return str(shown, "utf-8", "replace" if replace else "strict")
    except UnicodeDecodeError:
        return "0x" + binLogData(data, maxlen)


class Protocol:
    """Mixed in before the suite's own protocol: the border between a case and the wire."""

    runCase: Any

    def sendFrame(self, opcode: int, payload: Any = b"", **options: Any) -> None:
        super().sendFrame(opcode=opcode, payload=octets(payload), **options)  # type: ignore[misc]

    def sendMessage(self, payload: Any, *args: Any, **options: Any) -> None:
        super().sendMessage(octets(payload), *args, **options)  # type: ignore[misc]

    def sendMessageFrameData(self, payload: Any, sync: bool = False) -> Any:
        return super().sendMessageFrameData(octets(payload), sync)  # type: ignore[misc]

    def sendCloseFrame(
        self, code: Any = None, reasonUtf8: Any = None, isReply: bool = False
    ) -> None:
        # In a reply the reason is the peer's, decoded as UTF-8 by autobahn; otherwise a case's.
        peers = isReply and isinstance(reasonUtf8, str)
        reason = reasonUtf8.encode("utf-8") if peers else octets(reasonUtf8)
        super().sendCloseFrame(  # type: ignore[misc]
            code=code, reasonUtf8=reason, isReply=isReply
        )

    def onMessage(self, msg: Any, binary: bool) -> None:
        if not type(self.runCase).__name__.startswith(OCTET_CASES):
            msg = text(msg)
        super().onMessage(msg, binary)  # type: ignore[misc]

    def onPong(self, payload: Any) -> None:
        super().onPong(text(payload))  # type: ignore[misc]

    def logRxFrame(self, frameHeader: Any, payload: Iterable[Any]) -> None:
        super().logRxFrame(frameHeader, map(text, payload))  # type: ignore[misc]
