"""The receiver: bytes become messages, a whole read of the network at a time.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-6.2

Theory of operation. `feed()` takes whatever one read gave, up to 256 KiB, and returns what it
completed, in order: a `str` for a text message, `bytes` (or a `bytearray`, for a long one) for a
binary one, and a `Ping`, `Pong`, `Close` or `Failure`. After a `Close` or a `Failure` nothing more
comes. Three places hold what is unfinished between two calls:

* `_head`: the first bytes of a frame whose header, or control payload, is not whole: 131 at most;
* `left` and its neighbours: the data frame in whose payload the last read ended;
* `_parts`: what the unfinished message has so far - pieces of text, decoded as they come, so that a
  bad byte fails at once (but kept undecoded where that takes less memory: `_LONG_TEXT`), or pieces
  of binary data.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from operator import itemgetter
from sys import getsizeof
from typing import Final

from webapi.protocol.deflate import InflateError, Inflater
from webapi.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_PAYLOAD,
    MESSAGE_TOO_BIG,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Close,
    Failure,
    Ping,
    Pong,
    is_valid_close_code,
)
from webapi.protocol.masking import apply_mask

__all__ = ["DEFAULT_MAX_MESSAGE_SIZE", "Message", "Receiver"]

DEFAULT_MAX_MESSAGE_SIZE: Final = 128 * 1024 * 1024

# A frame with at least this much to come is read into a buffer of its own (bytes).
LONG_FRAME: Final = 64 * 1024
# The first piece of that buffer: memory follows what has come, not what was announced.
_FIRST_BUFFER: Final = 1024 * 1024
_PIECE: Final = bytes(_FIRST_BUFFER)  # never written to: it takes no memory
# A read takes as much at most (bytes), so that the sender goes on meanwhile. One of text that takes
# all of it tells of more; see `filled()`.
_READ: Final = 256 * 1024

# In a `str` one character of four bytes makes all the others as wide, and so a bomb four times as
# large. Of a text longer than this (bytes), what would grow by more than a quarter stays UTF-8
# until its end. That is decoded twice, and takes twice as long; French, Russian or Chinese is not.
_LONG_TEXT: Final = 1024 * 1024
_STR: Final = 128  # what any `str` takes besides its characters, and more

# How many equal headers make a run of messages of one size.
RUN: Final = 8
# How many messages of a run are cut out at once.
CUT: Final = 64

# A message in very many small parts has them joined now and then.
_MANY_PARTS: Final = 1024
_SMALL_PART: Final = 64 * 1024

Message = str | bytes | bytearray | Ping | Pong | Close | Failure

# Buffers of _FIRST_BUFFER bytes for the next long frame of any connection, so that each need not
# have new memory mapped; more than one is idle only where several were needed at once.
_spare: list[bytearray] = []


def _new_buffer(size: int) -> bytearray:
    if size >= LONG_FRAME:
        with suppress(IndexError):  # another thread may be quicker
            return _spare.pop()
    return bytearray(min(size, _FIRST_BUFFER))


def _keep_buffer(buffer: bytearray) -> None:
    if len(buffer) == _FIRST_BUFFER and not _spare:
        _spare.append(buffer)


class _Fail(Exception):
    """Unwinds to `feed()`, which reports it as a `Failure`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.failure = Failure(code, reason)


class Receiver:
    """Turns the bytes of one connection into messages.

    Args:
        masked: whether the peer's frames must be masked: a client's must be, a server's must not.
        max_message_size: the longest message taken, in bytes, checked from the header before any
            memory is; a longer one fails with 1009.
    """

    def __init__(
        self, *, masked: bool = False, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    ) -> None:
        self.masked = masked
        self.max_message_size = max_message_size
        # Makes a binary message; whoever wants another kind of `bytes` sets it, and saves a copy.
        self.binary: Callable[[bytes | memoryview], bytes] = bytes
        # set once permessage-deflate was agreed on
        self.inflater: Inflater | None = None
        self.finished = False  # after a Close or a Failure
        self._head = b""
        self.left = 0  # bytes of the frame whose payload is not whole
        self._fin = True
        self._key = b""  # its masking key, turned to where the payload stands
        self._long: bytearray | None = None
        self._long_filled = 0
        self._room = 0  # of the last `buffer()`
        # the message that is not whole; `_opcode` is CONTINUATION while there is none
        self._opcode = CONTINUATION
        self._parts: list[str | bytes | bytearray] = []
        self._compressed = False
        self._small_parts = 0  # added since some were last joined
        self._size = 0
        self._unfinished = b""  # of a text's last character, up to three bytes

    # -- what comes in -----------------------------------------------------------------------

    def feed(self, data: bytes | memoryview) -> list[Message]:
        """Take the bytes of one read, which may then be overwritten; return what they completed."""
        # One short text and nothing else is what a conversation mostly brings: a third of what it
        # takes by the walk (measured with `python -m benchmarks echo-1`).
        size = len(data) - 2
        if (
            0 <= size <= 125
            and data[1] == size
            and data[0] == 0x81
            and self._opcode == CONTINUATION
            and not (self._head or self.masked or self.finished)
            and size <= self.max_message_size
        ):
            try:  # suppress() would take as long as all of this
                return [str(data[2:], "utf-8")]
            except UnicodeDecodeError:
                pass  # the walk says what is wrong
        messages: list[Message] = []
        if self.finished:
            return messages
        try:
            self._feed(data, messages)
        except _Fail as fail:
            self.finished = True
            self._forget_message()
            messages.append(fail.failure)
        return messages

    def buffer(self) -> memoryview | None:
        """Return where the next bytes should be read to, or None for `feed()`.

        Not None only inside a long frame; then call `filled()` with how many were read.
        """
        left = self.left
        if (left < LONG_FRAME and self._long is None) or self._compressed or self.masked:
            return None
        long, filled = self._long, self._long_filled
        if long is None:
            self._long = long = _new_buffer(left)
        elif filled == len(long):
            # by a piece, and not twice as long, for that would be new memory to be cleared, and
            # to be cleared again: `python -m benchmarks scaling`
            long += memoryview(_PIECE)[: min(left, _FIRST_BUFFER)]
        self._room = min(len(long) - filled, left, _READ)
        return memoryview(long)[filled : filled + self._room]

    def filled(self, count: int) -> list[Message]:
        """Take note that `count` bytes were read into `buffer()`; return what they completed."""
        messages: list[Message] = []
        self._long_filled += count
        self.left -= count
        try:
            # A read that took all there was room for tells of more: text is decoded with that, or
            # by `decode_now()`. Otherwise at once, because a bad byte must fail without waiting.
            if self.left == 0 or (self._opcode == TEXT and count < self._room):
                self._keep_long()
            if self.left == 0 and self._fin:
                self._end_message(messages)
        except _Fail as fail:
            self.finished = True
            self._forget_message()
            messages.append(fail.failure)
        return messages

    @property
    def undecoded(self) -> int:
        """How many bytes of text wait to be decoded with the next read's."""
        return self._long_filled if self._opcode == TEXT else 0

    def decode_now(self) -> list[Message]:
        """Decode them, because the next read does not come; return a failure if they are bad."""
        messages: list[Message] = []
        try:
            if self.undecoded:
                self._keep_long()
        except _Fail as fail:
            self.finished = True
            self._forget_message()
            messages.append(fail.failure)
        return messages

    def forget(self) -> None:
        """Forget what is unfinished, because nothing more will come."""
        self.finished = True
        self._head = b""
        self._forget_message()

    def _keep_long(self) -> None:
        """Add what the long buffer has to the message's parts."""
        long, filled = self._long, self._long_filled
        if long is None:
            return
        self._long, self._long_filled = None, 0
        part: str | bytes | bytearray
        with memoryview(long)[:filled] as view:
            if self._opcode == TEXT:
                part = self._decode_part(view)
            elif len(long) == _FIRST_BUFFER:
                part = self.binary(view)
            else:
                part = long
        if part is long:
            del long[filled:]
        else:
            _keep_buffer(long)
        self._add_part(part)

    # -- frames ------------------------------------------------------------------------------

    def _feed(self, data: bytes | memoryview, messages: list[Message]) -> None:
        position = 0
        if self.left:
            position = self._continue_payload(data, messages)
        elif self._head:
            data = self._head + data
            self._head = b""
        position = self._walk(data, position, messages)
        if not self.left and position < len(data) and not self.finished:
            self._head = bytes(data[position:])

    def _walk(self, data: bytes | memoryview, position: int, messages: list[Message]) -> int:
        """Walk all whole frames of `data`; return where the walk ended."""
        end = len(data)
        copy, latin = b"", ""
        # The short cuts are for a client's whole, unfragmented messages.
        shortcut = not self.masked and self.max_message_size > 125
        while end - position >= 2:
            if shortcut and self._opcode == CONTINUATION:
                size = data[position + 1]
                if size <= 125:
                    if not latin:
                        data = copy = bytes(data)
                        latin = copy.decode("latin-1")
                    position = self._walk_short(copy, latin, position, messages)
                elif size == 126:
                    position = self._walk_medium(data, position, messages)
                if end - position < 2:
                    break
            next_position = self._frame(data, position, messages)
            if self.finished:
                return end
            if next_position == position:
                break
            position = next_position
        return position

    def _walk_short(self, data: bytes, latin: str, position: int, messages: list[Message]) -> int:
        """Take whole data messages of up to 125 bytes while there are any.

        Measured with `python -m benchmarks flood`: this loop and the dispatch are all that a short
        message costs. What pays: local names, no object for a frame, and one latin-1 decode of the
        whole read - a slice of it is the text wherever it is ASCII, which `str` knows by itself.
        """
        append, is_ascii, end = messages.append, str.isascii, len(data)
        if end - position > 1024 and data[position] == 0x81:
            position = _walk_run(data, latin, position, messages)
        start = position + 2
        while start <= end:
            size = data[start - 1]
            stop = start + size
            if size > 125 or stop > end:
                break
            first = data[start - 2]
            if first == 0x81:
                text = latin[start:stop]
                append(text if is_ascii(text) else self._decode(data[start:stop]))
            elif first == 0x82:
                append(data[start:stop])
            elif first == 0x89:  # here it is half of what it is by all the rules
                append(Ping(data[start:stop]))
            elif first == 0x8A:
                append(Pong(data[start:stop]))
            else:
                break
            start = stop + 2
        return start - 2

    def _walk_medium(self, data: bytes | memoryview, position: int, messages: list[Message]) -> int:
        """Take whole data messages of one size, from 126 bytes to 64 KiB, while there are any.

        Measured with `python -m benchmarks flood-16k`: half of what `_frame` takes for them.
        """
        head = bytes(data[position : position + 4])
        size = int.from_bytes(head[2:], "big")
        if head[0] not in (0x81, 0x82) or not 126 <= size <= self.max_message_size:
            return position
        take = self.binary if head[0] == 0x82 else self._decode
        start, end = position + 4, len(data)
        while start + size <= end:
            messages.append(take(data[start : start + size]))
            start += size + 4
            if data[start - 4 : start] != head:
                break
        return start - 4

    def _frame(self, data: bytes | memoryview, position: int, messages: list[Message]) -> int:
        """Take one frame by all the rules; return where it ends, or `position` for want of bytes.

        Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
        """
        first, second = data[position], data[position + 1]
        opcode, fin, size = first & 0x0F, first >= 0x80, second & 0x7F
        compressed = first & 0x40 != 0
        self._check_first_bytes(first, second)
        start = position + 2
        if size > 125:
            extended = 2 if size == 126 else 8
            if len(data) - start < extended:
                return position
            size = int.from_bytes(data[start : start + extended], "big")
            start += extended
            _check_length(size, extended)
        # What a compressed frame inflates to is checked as it does.
        if not (compressed or self._compressed):
            self._check_size(opcode, size)
        key = b""
        if self.masked:
            key = bytes(data[start : start + 4])
            start += 4
        if start > len(data):
            return position
        if opcode >= CLOSE:
            return self._control(data, position, start, size, opcode, key, messages)
        if compressed:
            self._compressed = True
        self._start_data_frame(opcode, fin, size, key)
        return self._continue_payload(data, messages, start)

    def _check_first_bytes(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            self._check_reserved_bits(first)
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise _Fail(PROTOCOL_ERROR, f"the opcode {opcode} is reserved")
        if (second >= 0x80) is not self.masked:
            raise _Fail(
                PROTOCOL_ERROR,
                "a client's frame must be masked"
                if self.masked
                else "a server's frame must not be masked",
            )
        if opcode >= CLOSE:
            if first < 0x80:
                raise _Fail(PROTOCOL_ERROR, "a control frame must not be fragmented")
            if second & 0x7F > 125:
                raise _Fail(PROTOCOL_ERROR, "a control frame carries at most 125 bytes")
        elif opcode == CONTINUATION and self._opcode == CONTINUATION:
            raise _Fail(PROTOCOL_ERROR, "a continuation frame came, but no message is unfinished")
        elif opcode != CONTINUATION and self._opcode != CONTINUATION:
            raise _Fail(PROTOCOL_ERROR, "a new message came before the last one was finished")

    def _check_reserved_bits(self, first: int) -> None:
        """Spec: https://www.rfc-editor.org/rfc/rfc7692#section-6"""
        if self.inflater is None or first & 0x30:
            raise _Fail(PROTOCOL_ERROR, "a reserved bit is set that no extension gave a meaning")
        if first & 0x0F not in (TEXT, BINARY):
            raise _Fail(PROTOCOL_ERROR, "RSV1 is set on a frame that does not begin a message")

    def _check_size(self, opcode: int, size: int) -> None:
        if opcode < CLOSE and self._size + size > self.max_message_size:
            raise _Fail(
                MESSAGE_TOO_BIG,
                f"a message of at least {self._size + size} bytes came; max_message_size is "
                f"{self.max_message_size}",
            )

    # -- data frames -------------------------------------------------------------------------

    def _start_data_frame(self, opcode: int, fin: bool, size: int, key: bytes) -> None:
        if opcode != CONTINUATION:
            self._opcode = opcode
        self.left, self._fin, self._key = size, fin, key
        if not self._compressed:
            self._size += size

    def _continue_payload(
        self, data: bytes | memoryview, messages: list[Message], position: int = 0
    ) -> int:
        """Take what `data` has of the current frame's payload; return where that ends."""
        part = data[position : position + self.left]
        self.left -= len(part)
        consumed = position + len(part)
        if part:
            self._keep_long()
            if self._key:
                part, self._key = self._unmask(part)
            if self._compressed:
                self._inflate(part)
            elif self._opcode == TEXT:
                if len(data) < _READ or not self._begin_long(part):
                    self._add_part(self._decode_part(part))
            elif not self._begin_long(part):
                whole = not self._parts and self.left == 0 and self._fin
                self._add_part(self.binary(part) if whole else bytes(part))
        if self.left == 0 and self._fin:
            self._end_message(messages)
        return consumed

    def _begin_long(self, part: bytes | memoryview) -> bool:
        """Put a long frame's first part where the others will be read to; tell if it is long."""
        buffer = self.buffer()
        if buffer is None or len(part) > len(buffer):
            return False
        buffer[: len(part)] = part
        self._long_filled = len(part)
        return True

    def _inflate(self, part: bytes | memoryview | None) -> None:
        """Take a part of a compressed message; None is its end."""
        assert self.inflater is not None
        try:
            for data in self.inflater.end() if part is None else self.inflater.inflate(part):
                self._check_size(TEXT, len(data))
                self._size += len(data)
                self._add_part(self._decode_part(data) if self._opcode == TEXT else data)
        except InflateError as error:
            raise _Fail(
                INVALID_PAYLOAD, f"a message's compressed data is broken: {error}"
            ) from None

    def _add_part(self, part: str | bytes | bytearray) -> None:
        parts = self._parts
        parts.append(part)
        self._small_parts += 1
        if self._small_parts >= _MANY_PARTS:
            self._join_small_parts()

    def _join_small_parts(self) -> None:
        """Join the last small parts, so that a dribbled message costs little more than its size."""
        parts = self._parts
        start = len(parts)
        while start and len(parts[start - 1]) < _SMALL_PART:
            start -= 1
        small = parts[start:]
        if self._opcode != TEXT:
            joined: str | bytes | bytearray = b"".join(small)  # type: ignore[arg-type]
        elif self._size <= _LONG_TEXT or all(isinstance(p, str) and p.isascii() for p in small):
            joined = "".join(small)  # type: ignore[arg-type]
        else:  # what is kept shall not become wide by what it is joined to
            joined = _join_utf8(small)
        parts[start:] = [joined]
        self._small_parts = 0

    def _unmask(self, part: bytes | memoryview) -> tuple[bytes, bytes]:
        turn = len(part) & 3
        return apply_mask(part, self._key), self._key[turn:] + self._key[:turn]

    def _decode(self, payload: bytes | memoryview) -> str:
        try:
            return str(payload, "utf-8")
        except UnicodeDecodeError as error:
            raise _Fail(INVALID_PAYLOAD, f"a text message is not UTF-8: {error}") from None

    def _decode_part(self, part: bytes | memoryview, final: bool = False) -> str | bytes:
        """Decode a part of a text; its last character may be unfinished, and waits then.

        What would take more memory decoded is only checked, and returned as it came: _LONG_TEXT.
        """
        data = self._unfinished + part if self._unfinished else part
        try:
            text, used = utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            raise _Fail(INVALID_PAYLOAD, f"a text message is not UTF-8: {error}") from None
        self._unfinished = rest = bytes(data[used:])
        # CPython waits for the third octet of an encoded surrogate; the second tells already.
        if len(rest) == 2 and rest[0] == 0xED and rest[1] >= 0xA0:
            raise _Fail(INVALID_PAYLOAD, "a text message is not UTF-8: it has a surrogate")
        if self._size > _LONG_TEXT and getsizeof(text) > _STR + used + used // 4:
            return bytes(data[:used])
        return text

    def _end_message(self, messages: list[Message]) -> None:
        if self._compressed:
            self._inflate(None)
        if self._opcode == TEXT and self._unfinished:
            self._decode_part(b"", final=True)
        parts, self._parts = self._parts, []
        if len(parts) == 1 and (self._opcode != TEXT or isinstance(parts[0], str)):
            messages.append(parts[0])
        elif self._opcode == TEXT:
            messages.append(_join_text(parts))
        else:
            messages.append(b"".join(parts))  # type: ignore[arg-type]
        self._forget_message()

    def _forget_message(self) -> None:
        self._opcode, self._size, self._parts, self._unfinished = CONTINUATION, 0, [], b""
        self._compressed = False
        self._long, self._long_filled, self.left, self._small_parts = None, 0, 0, 0

    # -- control frames ----------------------------------------------------------------------

    def _control(
        self,
        data: bytes | memoryview,
        position: int,
        start: int,
        size: int,
        opcode: int,
        key: bytes,
        messages: list[Message],
    ) -> int:
        """Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.5"""
        stop = start + size
        if stop > len(data):
            return position
        body = bytes(data[start:stop])
        if key:
            body = apply_mask(body, key)
        if opcode == PING:
            messages.append(Ping(body))
        elif opcode == PONG:
            messages.append(Pong(body))
        else:
            messages.append(_parse_close(body))
            self.finished = True
            self._forget_message()
        return stop


def _walk_run(data: bytes, latin: str, position: int, messages: list[Message]) -> int:
    """Take whole text messages while they are of one size, as a feed of fixed records sends them.

    Measured with `python -m benchmarks flood`: where the next frames' places are known, a slice is
    all that a message costs, half of what it costs in the walk. `latin` is `data` as latin-1; where
    a text is not ASCII, the walk takes it. Eight equal headers make it worth trying.
    """
    header = data[position : position + 2]
    size, stride = header[1], header[1] + 2
    ahead = position + RUN * stride
    if data[ahead : ahead + 2] != header:
        return position
    end = position + (len(data) - position) // stride * stride
    stop, window, count = position, RUN, RUN
    while count == window:  # twice as far each time: a run's cost is in proportion to its length
        window *= 2
        until = min(stop + window * stride, end)
        firsts, sizes = data[stop:until:stride], data[stop + 1 : until : stride]
        count = min(_repeated(firsts, header[:1]), _repeated(sizes, header[1:]))
        stop += count * stride
    texts: list[str] = []
    at, cut, step = position, _cutter(size), CUT * stride
    while at + step <= stop:
        texts += cut(latin[at : at + step])
        at += step
    texts += [latin[at : at + size] for at in range(at + 2, stop - size + 1, stride)]
    if not "".join(texts).isascii():
        return position
    messages += texts
    return stop


@lru_cache(maxsize=16)
def _cutter(size: int) -> Callable[[str], tuple[str, ...]]:
    """Return what takes the texts out of `CUT` frames of `size` bytes.

    Measured with `python -m benchmarks flood`: slices that are there already take 45 ns a message,
    where making each takes 110.
    """
    return itemgetter(*[slice(at, at + size) for at in range(2, CUT * (size + 2) + 1, size + 2)])


def _repeated(data: bytes, byte: bytes) -> int:
    """Return how often `data` begins with `byte`."""
    return len(data) - len(data.lstrip(byte))


def _join_text(parts: list[str | bytes | bytearray]) -> str:
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)  # type: ignore[arg-type]
    return str(_join_utf8(parts), "utf-8")


def _join_utf8(parts: list[str | bytes | bytearray]) -> bytearray:
    """Join parts of a text, of which some may be UTF-8 still; `parts` is spent then."""
    joined = bytearray()
    for index, part in enumerate(parts):
        joined += part.encode() if isinstance(part, str) else part
        parts[index] = b""
    return joined


def _check_length(size: int, extended: int) -> None:
    if extended == 8 and size >= 1 << 63:
        raise _Fail(PROTOCOL_ERROR, "a frame's length has its highest bit set")
    if size < (126 if extended == 2 else 65536):
        raise _Fail(PROTOCOL_ERROR, f"the length {size} is not written in the fewest bytes")


def _parse_close(body: bytes) -> Close:
    """Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1"""
    if not body:
        return Close(None, "")
    if len(body) == 1:
        raise _Fail(PROTOCOL_ERROR, "a Close frame's body has one byte; it has none, or a code")
    code = int.from_bytes(body[:2], "big")
    if not is_valid_close_code(code):
        raise _Fail(PROTOCOL_ERROR, f"a Close frame must not carry the code {code}")
    try:
        return Close(code, body[2:].decode())
    except UnicodeDecodeError as error:
        raise _Fail(INVALID_PAYLOAD, f"a Close frame's reason is not UTF-8: {error}") from None
