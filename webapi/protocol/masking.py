"""Masking: XOR with a key of four bytes.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.3

Three ways, each the fastest somewhere (measured: `python -m benchmarks masking`): one XOR of big
integers for short payloads; NumPy, where it is installed, for long ones; and without it
`bytes.translate`, a table lookup for each of the four key bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, repeat
from typing import Any

__all__ = ["apply_mask", "mask_into", "masking_keys"]

# From here on NumPy, or translate, beats one big integer (bytes).
LONG = 1024

# Masking keys are drawn by this many bytes: few, because each connection has its own, and many more
# at once save little.
_BLOCK = 256


def masking_keys() -> Iterator[bytes]:
    """Return unpredictable masking keys, drawn from the system's source in blocks.

    Spec: https://www.rfc-editor.org/rfc/rfc6455#section-10.3
    An iterator in C: `python -m benchmarks echo-64` draws half a million a second.
    """
    return chain.from_iterable(map(_draw, repeat(_BLOCK)))


def _draw(size: int) -> tuple[bytes, ...]:
    return struct.unpack("4s" * (size // 4), os.urandom(size))


def _mask_short(payload: bytes | bytearray | memoryview, key: bytes) -> bytes:
    size = len(payload)
    mask = key * (size + 3 >> 2)
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(mask[:size], "little")
    return masked.to_bytes(size, "little")


@lru_cache(maxsize=256)
def _xor_table(byte: int) -> bytes:
    return bytes(index ^ byte for index in range(256))


def _mask_by_translate(payload: bytes | bytearray | memoryview, key: bytes) -> bytes:
    data = bytes(payload)
    masked = bytearray(len(data))
    for index in range(4):
        masked[index::4] = data[index::4].translate(_xor_table(key[index]))
    return bytes(masked)


def _mask_by_numpy(payload: bytes | bytearray | memoryview, key: bytes) -> bytes:
    masked = bytearray(len(payload))
    _numpy_into(payload, key, masked)
    return bytes(masked)


@lru_cache(maxsize=1)
def _numpy() -> Any:
    import numpy  # by the first long message and not with the package: it takes NumPy 100 ms

    return numpy


def _numpy_into(
    payload: bytes | bytearray | memoryview, key: bytes, room: bytearray | memoryview
) -> None:
    """XOR words of 64 bits, and the last few bytes by hand."""
    numpy = _numpy()
    words, uint64, size = numpy.frombuffer, numpy.uint64, len(payload)
    count = size >> 3
    if count:
        numpy.bitwise_xor(
            words(payload, uint64, count), words(key * 2, uint64), words(room, uint64, count)
        )
    if size & 7:
        room[count * 8 : size] = _mask_short(payload[count * 8 :], key)


@lru_cache(maxsize=1)
def _long_way() -> object:
    try:
        _numpy()
    except ImportError:  # not there, or broken
        return _mask_by_translate
    return _mask_by_numpy


def apply_mask(payload: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """Return `payload` masked, or unmasked, with the four bytes of `key`."""
    if len(payload) < LONG:
        return _mask_short(payload, key)
    return _long_way()(payload, key)  # type: ignore[operator, no-any-return]


def mask_into(
    payload: bytes | bytearray | memoryview, key: bytes, room: memoryview
) -> bytes | memoryview:
    """Return `payload` masked, in `room` if that is the quick way.

    Measured with `python -m benchmarks upload-1m`: memory that is new for each batch is mapped and
    unmapped by the kernel, which costs more than the XOR.
    """
    if len(payload) < LONG or _long_way() is not _mask_by_numpy:
        return apply_mask(payload, key)
    _numpy_into(payload, key, room)
    return room[: len(payload)]
