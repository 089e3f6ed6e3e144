"""`Blob`, and beside it `ArrayBuffer`: the two forms of binary data.

Spec: https://w3c.github.io/FileAPI/ and https://tc39.es/ecma262/#sec-arraybuffer-objects
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

from webapi.webidl import (
    UNDEFINED,
    DOMString,
    Undefined,
    USVString,
    buffer_bytes,
    check_keywords,
    clamped_long_long,
    defaulted,
    dictionary,
    integer_or_infinity,
    is_buffer,
)

__all__ = ["ArrayBuffer", "Blob", "array_buffer_of"]


class ArrayBuffer(bytes):
    """Received binary data: a `bytes` that also has JavaScript's members.

    Spec: https://tc39.es/ecma262/#sec-arraybuffer-objects

    Args:
        content: anything with the buffer protocol, a `Blob` or whatever else `bytes()` takes; or,
            as in JavaScript, a length: `ArrayBuffer(8)` makes eight zero bytes. Default empty.

    Raises:
        TypeError: `content` holds no bytes.
        ValueError: the length is negative.

    Differences from a browser: it cannot be written to, nor resized, whatever options say.
    """

    # bytes cannot have slots of its own kind; an empty one keeps a __dict__ away.
    __slots__ = ()

    def __new__(cls, content: Any = b"", *_: object) -> ArrayBuffer:
        """Spec: https://tc39.es/ecma262/#sec-arraybuffer-length"""
        if isinstance(content, str):
            raise TypeError(
                'the content is a str, where bytes are expected, for example "...".encode() '
                "(https://tc39.es/ecma262/#sec-arraybuffer-length)"
            )
        if is_buffer(content) and not isinstance(content, (bytes, bytearray)):
            content = buffer_bytes(content, "the content")
        return super().__new__(cls, defaulted(content, b""))

    @property
    def byteLength(self) -> int:
        """The length in bytes."""
        return len(self)

    def slice(self, begin: Any = 0, end: Any = UNDEFINED, *_: object) -> ArrayBuffer:
        """Return a copy of the bytes from `begin` up to `end`; negative counts from the end.

        Spec: https://tc39.es/ecma262/#sec-arraybuffer.prototype.slice
        """
        size = len(self)
        first = _relative_position(integer_or_infinity(defaulted(begin, 0), "begin"), size)
        last = _relative_position(integer_or_infinity(defaulted(end, size), "end"), size)
        return array_buffer_of(self[first:last])

    @staticmethod
    def isView(value: object, *_: object) -> bool:
        """Tell whether `value` is a view on binary data: here, a `memoryview` or the like."""
        return is_buffer(value) and not isinstance(value, (bytes, bytearray))


array_buffer_of: Callable[[bytes | bytearray | memoryview], ArrayBuffer] = partial(
    bytes.__new__, ArrayBuffer
)
"""Copies what is known to be bytes, in C: the constructor would take seven times as long."""


class Blob:
    """Immutable binary data with a type.

    Spec: https://w3c.github.io/FileAPI/#blob-section

    Args:
        blobParts: an iterable of `str`, `Blob` and anything with the buffer protocol; default none.
        options: a dict with `type` (a media type, default "") and `endings` ("transparent" or
            "native": newlines become the system's; default "transparent"); each may be a keyword.

    Raises:
        TypeError: `blobParts` is no iterable of such parts, a buffer holds memory addresses (those
            of Python objects, say), `endings` is unknown, or a keyword is.

    In plain Python `bytes(blob)` is the content and `len(blob)` its size.
    """

    __slots__ = ("__weakref__", "_content", "_type")

    _content: bytes | bytearray | memoryview
    _type: str

    def __init__(
        self, blobParts: Any = UNDEFINED, options: object = None, *_: object, **members: Any
    ) -> None:
        check_keywords("Blob()", members, "blobParts", "options", "type", "endings")
        init = dictionary(options, members)
        endings = DOMString(init.get("endings", "transparent"), "endings")
        if endings not in ("transparent", "native"):
            raise TypeError(
                f'endings is {endings!r}, where "transparent" or "native" is expected '
                "(https://w3c.github.io/FileAPI/#enumdef-endingtype)"
            )
        self._type = _normalize_type(DOMString(init.get("type", ""), "type"))
        parts = () if isinstance(blobParts, Undefined) else _check_parts(blobParts)
        self._content = b"".join(_part_bytes(part, endings == "native") for part in parts)

    @classmethod
    def _of(cls, content: bytes | bytearray | memoryview, type: str = "") -> Blob:
        """Wrap `content`, which nobody changes any more, without a copy."""
        blob = cls.__new__(cls)
        blob._content, blob._type = content, type
        return blob

    @property
    def size(self) -> int:
        """The length in bytes."""
        return len(self._content)

    @property
    def type(self) -> str:
        """The media type in lower case, or an empty string."""
        return self._type

    def slice(
        self,
        start: Any = UNDEFINED,
        end: Any = UNDEFINED,
        contentType: object = "",
        *_: object,
    ) -> Blob:
        """Return the part from `start` up to `end` (bytes) as a new Blob, without a copy.

        Spec: https://w3c.github.io/FileAPI/#slice-blob
        A negative position counts from the end; what lies outside is cut.
        """
        size = self.size
        first = _relative_position(clamped_long_long(defaulted(start, 0), "start"), size)
        last = _relative_position(clamped_long_long(defaulted(end, size), "end"), size)
        media_type = _normalize_type(DOMString(defaulted(contentType, ""), "contentType"))
        return Blob._of(memoryview(self._content)[first : max(first, last)], media_type)

    async def text(self, *_: object) -> str:
        """Return the content decoded as UTF-8; a byte order mark goes, bad bytes become U+FFFD.

        Spec: https://w3c.github.io/FileAPI/#text-method-algo
        """
        return bytes(self).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")

    async def arrayBuffer(self, *_: object) -> ArrayBuffer:
        """Return the content as an `ArrayBuffer`.

        Spec: https://w3c.github.io/FileAPI/#arraybuffer-method-algo
        """
        return array_buffer_of(self._content)

    async def bytes(self, *_: object) -> builtins.bytes:
        """Return the content as plain `bytes`.

        Spec: https://w3c.github.io/FileAPI/#bytes-method-algo
        """
        return self.__bytes__()

    def __bytes__(self) -> builtins.bytes:
        content = self._content
        return content if content.__class__ is bytes else bytes(content)

    def __len__(self) -> int:
        return len(self._content)

    def __bool__(self) -> bool:
        return True  # an object is true in JavaScript, an empty Blob too

    def __repr__(self) -> str:
        return f"<Blob size={self.size} type={self._type!r}>"


def _normalize_type(type: str) -> str:
    """Spec: https://w3c.github.io/FileAPI/#constructorBlob, step 3: printable ASCII, lower case."""
    return type.lower() if all("\x20" <= char <= "\x7e" for char in type) else ""


def _check_parts(parts: object) -> Iterable[object]:
    if isinstance(parts, Iterable) and not isinstance(parts, (str, Mapping, Blob)):
        if not is_buffer(parts):
            return cast("Iterable[object]", parts)
        raise TypeError(
            f"blobParts is a {parts.__class__.__name__}; put it into a list: Blob([data]) "
            "(https://w3c.github.io/FileAPI/#dom-blob-blob)"
        )
    raise TypeError(
        f"blobParts is a {parts.__class__.__name__}, where a list of parts is expected, for "
        'example Blob(["text"]) (https://w3c.github.io/FileAPI/#dom-blob-blob)'
    )


def _part_bytes(part: object, native_endings: bool) -> bytes | bytearray | memoryview:
    """Spec: https://w3c.github.io/FileAPI/#process-blob-parts"""
    if isinstance(part, Blob):
        return part._content
    if is_buffer(part):
        return buffer_bytes(part, "an item of blobParts")
    text = USVString(part, "an item of blobParts")
    if native_endings:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", os.linesep)
    return text.encode()


def _relative_position(position: int, size: int) -> int:
    """Count a negative `position` from the end; what lies outside is cut."""
    return max(size + position, 0) if position < 0 else min(position, size)
