"""permessage-deflate: messages compressed with DEFLATE.

Spec: https://www.rfc-editor.org/rfc/rfc7692

A direction's context - the window that one message leaves to the next - is made when its first
compressed message comes: an idle connection has none. What level, window and threshold cost and
save was measured with `python -m benchmarks deflate`; see the constants.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from webapi.protocol.errors import InvalidHandshake, shown

__all__ = ["OFFER", "Deflater", "InflateError", "Inflater", "Parameters", "negotiate"]

OFFER: Final = "permessage-deflate; client_max_window_bits"
"""What a client offers; Chromium's own words."""

# Measured with `python -m benchmarks deflate`, on a price feed's JSON, a chat's, and prose.
# A message shorter than this goes out as it is (bytes). Here a byte saved costs both ends 64 to 143
# ns together, about what a line of 100 Mbit/s takes to carry it (80 ns); at 32 bytes 180 to 370 ns.
THRESHOLD: Final = 128
# The feed's messages of 1 KiB: level 1 leaves 23.8 % in 14 µs, 3 leaves 21.6 % in 15 µs, 6 leaves
# 19.1 % in 24 µs.
LEVEL: Final = 3
# Our compressor's window at most, in bits, and zlib's memLevel: together 70 KiB a connection.
# zlib's own 15 and 8 take 262 KiB, and leave 20.6 % of the feed where these leave 21.6 %, 27.3 %
# of the chat for 31.5 %, 37.5 % of the prose for 43.9 %.
WINDOW_BITS: Final = 13
MEMORY_LEVEL: Final = 6

# What a sender strips from the end of a message, and a receiver puts back: RFC 7692 §7.2.1.
_TAIL: Final = b"\x00\x00\xff\xff"
# Inflated bytes made at a time, so that a bomb is cut early: while Python joins what zlib wrote,
# and decodes it, they are there three times. Steps of 256 KiB would gain a fiftieth.
_STEP: Final = 64 * 1024
# Bytes given to zlib at a time after a block with BFINAL: at each further one it copies the rest,
# and 128 Ki of them fit into one read (half a second where all was given at once).
_AFTER_FINAL: Final = 4 * 1024

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WHITE: Final = r"[ \t]*"
_PARAMETER: Final = re.compile(
    rf"{_WHITE}({_WORD}){_WHITE}"
    rf"(?:={_WHITE}(?:({_WORD})|\"((?:[^\"\\]|\\.)*)\"){_WHITE})?"
)


class Parameters(NamedTuple):
    """What was agreed on. Spec: https://www.rfc-editor.org/rfc/rfc7692#section-7.1"""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15


def negotiate(values: Sequence[str], offered: bool) -> Parameters | None:
    """Check the server's `Sec-WebSocket-Extensions` headers; None where it chose no extension.

    Spec: https://www.rfc-editor.org/rfc/rfc7692#section-7.1 and RFC 6455 §9.1

    Raises:
        InvalidHandshake: what it chose was not offered, or its parameters are wrong.
    """
    if not values:
        return None
    if not offered:
        raise InvalidHandshake(
            f"the server chose the extension {shown(values[0])}, but none was asked for"
        )
    chosen = _parse(", ".join(values))
    name, parameters = chosen[0]
    if name != "permessage-deflate":
        raise InvalidHandshake(
            f"the server chose the extension {shown(name)}, which was not offered"
        )
    if len(chosen) > 1:
        raise InvalidHandshake(f"the server chose a second extension, {shown(chosen[1][0])}")
    agreed: dict[str, Any] = {}
    for key, value in parameters:
        if key in agreed:
            raise InvalidHandshake(f"the extension's parameter {key} came twice")
        agreed[key] = _check_parameter(key, value)
    return Parameters(**agreed)


def _check_parameter(key: str, value: str | None) -> bool | int:
    if key in ("server_no_context_takeover", "client_no_context_takeover"):
        if value is not None:
            raise InvalidHandshake(f"the extension's parameter {key} has a value, {shown(value)}")
        return True
    if key in ("server_max_window_bits", "client_max_window_bits"):
        # To the letter: no leading zero, 8 to 15.
        if value is None or not re.fullmatch("[89]|1[0-5]", value):
            raise InvalidHandshake(
                f"the extension's parameter {key} is {value and shown(value)}, not 8 to 15"
            )
        return int(value)
    raise InvalidHandshake(f"the extension's parameter {shown(key)} is unknown")


def _parse(header: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Spec: https://www.rfc-editor.org/rfc/rfc6455#section-9.1"""
    extensions: list[tuple[str, list[tuple[str, str | None]]]] = []
    position, separator = 0, ","
    while True:
        match = _PARAMETER.match(header, position)
        if match is None:
            raise InvalidHandshake(f"the header Sec-WebSocket-Extensions is {shown(header)}")
        key = match[1]
        value = match[2] if match[3] is None else re.sub(r"\\(.)", r"\1", match[3])
        if separator == ",":
            if value is not None:
                raise InvalidHandshake(f"the extension's name {shown(key)} has a value")
            extensions.append((key, []))
        else:
            extensions[-1][1].append((key, value))
        position = match.end()
        if position == len(header):
            return extensions
        separator = header[position]
        if separator not in ",;":
            raise InvalidHandshake(f"the header Sec-WebSocket-Extensions is {shown(header)}")
        position += 1


class InflateError(Exception):
    """The peer's compressed data is broken."""


class Inflater:
    """Decompresses one direction's messages.

    Args:
        window_bits: the peer's window, 8 to 15.
        takeover: whether a message may refer to the one before it.
    """

    __slots__ = ("_stream", "takeover", "window_bits")

    def __init__(self, window_bits: int, takeover: bool) -> None:
        # zlib has no window of 8 bits; one of 9 reads the same.
        self.window_bits = max(window_bits, 9)
        self.takeover = takeover
        self._stream: Any = None

    def inflate(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `data`, a part of a message, inflates to, at most `_STEP` bytes at a time.

        Raises:
            InflateError: the data is broken.
        """
        while True:
            if self._stream is None:
                self._stream = zlib.decompressobj(-self.window_bits)
            try:
                out = self._stream.decompress(data, _STEP)
            except zlib.error as error:
                raise InflateError(str(error)) from None
            if out:
                yield out
            if self._stream.eof:
                # BFINAL was set: RFC 7692 §7.2.3.4. What follows is a stream of its own.
                data, self._stream = self._stream.unused_data, None
                if len(data) > _AFTER_FINAL:
                    for at in range(0, len(data), _AFTER_FINAL):
                        yield from self.inflate(data[at : at + _AFTER_FINAL])
                    return
                if not data:
                    return
            else:
                data = self._stream.unconsumed_tail
                if not data and len(out) < _STEP:
                    return

    def end(self) -> Iterator[bytes]:
        """Yield the rest of a message, whose last part was given.

        Raises:
            InflateError: the data is broken.
        """
        # Right behind a block with BFINAL the tail would be half a block, and spoil what follows.
        if self._stream is not None:
            yield from self.inflate(_TAIL)
        if not self.takeover:
            self._stream = None


class Deflater:
    """Compresses one direction's messages.

    Args:
        window_bits: the window that was agreed on, 8 to 15; a smaller one may always be used.
        takeover: whether a message may refer to the one before it.
    """

    __slots__ = ("_stream", "takeover", "window_bits")

    def __init__(self, window_bits: int, takeover: bool) -> None:
        # zlib has no window of 8 bits. With one of 9 it refers back 512 - 262 = 250 bytes at most
        # (MAX_DIST in its deflate.h), which a window of 8 bits, 256 bytes, holds.
        self.window_bits = max(min(window_bits, WINDOW_BITS), 9)
        self.takeover = takeover
        self._stream: Any = None

    def deflate(self, payload: bytes | bytearray | memoryview) -> bytes:
        """Return `payload`, a whole message, compressed."""
        stream = self._stream
        if stream is None:
            stream = self._start_stream()
        data: bytes = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
        return data[: -len(_TAIL)]

    def deflate_in_steps(
        self, payload: bytes | bytearray | memoryview, step: int
    ) -> Iterator[bytes]:
        """Yield what `deflate` returns, in parts: each `next()` compresses `step` bytes.

        No other message may be compressed before the last.
        """
        stream = self._stream or self._start_stream()
        view = memoryview(payload)
        for at in range(0, len(view), step):
            yield stream.compress(view[at : at + step])
        yield stream.flush(zlib.Z_SYNC_FLUSH)[: -len(_TAIL)]

    def _start_stream(self) -> Any:
        stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -self.window_bits, MEMORY_LEVEL)
        if self.takeover:
            self._stream = stream
        return stream
