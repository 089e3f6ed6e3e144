"""The sender: messages become frames, all that a turn of the loop sends in one piece.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-6.1

What waits to be sent stands in `queue` as the application gave it - a `str` is a text message,
`bytes` a binary one, a `Control` a control frame - and is encoded when it can leave. So the
caller's thread does not pay for masking, `bufferedAmount` is the sum of what waits, and a message
of 100 MiB is masked piece by piece. So is it compressed, all of it before its first byte leaves:
the frame's header says how long it is. Pongs stand in `pongs`, and leave before what waits there:
RFC 6455 §5.5.2, "as soon as is practical" - a server ends a connection whose pongs are late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from webapi.protocol.deflate import THRESHOLD, Deflater
from webapi.protocol.frames import BINARY, CLOSE, PING, PONG, TEXT
from webapi.protocol.masking import apply_mask, mask_into, masking_keys

__all__ = ["Begun", "Control", "Piece", "Sender", "frame", "payload_size", "utf8"]

# A batch ends when it has this many bytes; a longer message is cut into pieces of that size.
BATCH_SIZE: Final = 256 * 1024

# A message from here on (bytes) is a piece of its own, so that it need not be copied once more to
# join it with others, and a batch takes as much of it as it has room for.
LONG: Final = 4096

# So much of a longer message is compressed at a time (bytes), until the batch has done its share.
_DEFLATE_STEP: Final = 64 * 1024

# What a header takes at most, 14 bytes, in words of 8 bytes.
_HEADER_ROOM: Final = 16

# Control frames that a batch surely holds: what `_open_queue()` returns leaves in one.
_CONTROLS_IN_BATCH: Final = 1024

_FIN = 0x80
_RSV1 = 0x40
_MASKED = 0x80

# The first two bytes of a client's whole short messages, by opcode (and RSV1) and size.
_SHORT_HEADS: Final = {
    opcode: [bytes((_FIN | opcode, _MASKED | size)) for size in range(126)]
    for opcode in (TEXT, BINARY, TEXT | _RSV1, BINARY | _RSV1, CLOSE, PING, PONG)
}


class Control(NamedTuple):
    """A control frame that waits to be sent."""

    opcode: int
    body: bytes


Item = str | bytes | bytearray | memoryview | Control


class Begun(int):
    """How many of the application's bytes the first part of a long message carries, and of what."""

    item: Item

    @classmethod
    def of(cls, share: int, item: Item) -> Begun:
        begun = cls(share)
        begun.item = item
        return begun


Piece = bytes | memoryview


def utf8(text: str) -> bytes:
    """Encode a `USVString`; lone surrogates become U+FFFD.

    Spec: https://encoding.spec.whatwg.org/#utf-8-encode
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def payload_size(item: Item) -> int:
    """Return how many bytes of the application's `item` is; a control frame is none of its."""
    if isinstance(item, str):
        return len(item) if item.isascii() else len(utf8(item))
    return 0 if isinstance(item, Control) else len(item)


def _is_ping_or_pong(item: Item) -> bool:
    return type(item) is Control and item.opcode != CLOSE


def header(first_byte: int, size: int, mask_bit: int) -> bytes:
    """Return a frame's first bytes, before the masking key.

    Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
    """
    if size < 126:
        return bytes((first_byte, mask_bit | size))
    if size < 65536:
        return bytes((first_byte, mask_bit | 126)) + size.to_bytes(2, "big")
    return bytes((first_byte, mask_bit | 127)) + size.to_bytes(8, "big")


def frame(
    opcode: int,
    payload: bytes | bytearray | memoryview,
    *,
    masking_key: bytes | None = None,
    fin: bool = True,
    rsv: int = 0,
) -> bytes:
    """Return one frame, however wrong: what a test server needs.

    Args:
        opcode: 0 to 15.
        payload: the payload, unmasked.
        masking_key: four bytes, or None for an unmasked frame.
        fin: whether this is the last frame of its message.
        rsv: the three reserved bits, RSV1 being 4.
    """
    first_byte = (_FIN if fin else 0) | rsv << 4 | opcode
    if masking_key is None:
        return header(first_byte, len(payload), 0) + payload
    masked = apply_mask(payload, masking_key)
    return header(first_byte, len(payload), _MASKED) + masking_key + masked


class Sender:
    """Turns queued messages into batches of bytes for one connection.

    Args:
        masked: whether frames are masked: a client's must be, a server's must not.
    """

    def __init__(self, *, masked: bool) -> None:
        self.masked = masked
        # set once permessage-deflate was agreed on
        self.deflater: Deflater | None = None
        self.queue: deque[Item] = deque()
        self.pongs: deque[Item] = deque()
        # What was at its head when somebody asked how much waits: so each is counted once only.
        self._counted: deque[Item] = deque()
        self._counted_size = 0
        # After a Close frame no data may follow: RFC 6455 §5.5.1. A message that another thread
        # queued at that very moment stays in the queue, and in `waiting`.
        self.closed = False
        self._keys = masking_keys()
        # Whether the last batch has pieces that are better not joined with others.
        self.took_long = False
        self._room: memoryview | None = None  # what is left of the batch's
        # A long message that is compressed in part; nothing of it is taken yet.
        self._deflating: Iterator[bytes] | None = None
        self._deflating_opcode = 0
        self._deflated = bytearray()
        # A long message, of which a part is taken already.
        self._rest: memoryview | None = None
        self._rest_item: Item = b""  # what it is of
        self._rest_at = 0
        self._rest_header = b""
        self._rest_key = b""
        # how many of the application's bytes are left of it, or of the one that is compressed
        self._rest_app_size = 0

    def __bool__(self) -> bool:
        """Tell whether `take()` would give anything, or has something to compress before."""
        if self.pongs:
            return True
        if self.closed:
            return any(map(_is_ping_or_pong, self._all()))
        return bool(
            self.queue or self._counted or self._rest is not None or self._deflating is not None
        )

    def _all(self) -> deque[Item]:
        return self._counted + self.queue.copy()

    @property
    def in_frame(self) -> bool:
        """Whether the last batch ended within a frame, so that no other may follow it."""
        return self._rest is not None

    @property
    def compressing(self) -> bool:
        """Whether a long message is compressed in part, of which nothing was taken yet."""
        return self._deflating is not None

    def count(self) -> int:
        """Return the application bytes that wait here; never while `take()` runs."""
        queue, counted = self.queue, self._counted
        while queue:
            counted.append(queue[0])  # first: `__bool__` may be asked in between
            self._counted_size += payload_size(queue.popleft())
        return self._counted_size + self._rest_app_size

    def clear(self) -> int:
        """Forget what waits, and return how many application bytes it was."""
        waiting = self.count()
        self._counted.clear()
        self.pongs.clear()
        self._counted_size = self._rest_app_size = 0
        self._rest = self._deflating = None
        self._deflated = bytearray()
        return waiting

    def take(self, room: memoryview | None = None) -> tuple[list[Piece], list[int | Item]]:
        """Take about `BATCH_SIZE` bytes off the queue, or none while a long message is compressed.

        Args:
            room: `BATCH_SIZE` bytes to put pieces in; they are good until somebody writes there.

        Returns: pieces of the wire's bytes, and for each the item that it carries, or the number of
        application bytes where it carries a part of one.
        """
        pieces: list[Piece] = []
        carried: list[int | Item] = []
        size = 0
        self._room = room
        self.took_long = False
        if self._rest is not None:
            size = self._continue_rest(pieces, carried, 0)
        if self.pongs and size < BATCH_SIZE:
            size = self._take_from(self.pongs, pieces, carried, size)
        if self.closed:
            self._take_from(self._controls(), pieces, carried, size)
            return pieces, carried
        if self._deflating is not None and size < BATCH_SIZE:
            size = self._continue_deflating(pieces, carried, size)
        if self._counted:
            size = self._take_from(self._counted, pieces, carried, size)
        if self.queue and size < BATCH_SIZE and not self.closed:
            self._take_from(self.queue, pieces, carried, size)
        return pieces, carried

    def _take_from(
        self, queue: deque[Item], pieces: list[Piece], carried: list[int | Item], size: int
    ) -> int:
        """Take frames off `queue` until there are `BATCH_SIZE` bytes; return how many there are."""
        masked, keys, deflater = self.masked, self._keys, self.deflater
        heads, from_bytes = _SHORT_HEADS, int.from_bytes
        counted = queue is self._counted
        piece: Piece
        while queue and size < BATCH_SIZE:
            item = queue.popleft()
            # The common case by hand, a short message of a client; measured with
            # `python -m benchmarks echo-64`: calls to frame() and apply_mask() halve the rate.
            if type(item) is str:
                opcode = TEXT
                try:
                    payload = item.encode()
                except UnicodeEncodeError:
                    payload = utf8(item)
            elif type(item) is Control:
                opcode, payload = item
            else:
                opcode, payload = BINARY, item  # type: ignore[assignment]
            length = len(payload)
            if deflater is not None and length >= THRESHOLD and opcode < CLOSE:
                if length > BATCH_SIZE:
                    if counted:
                        self._counted_size -= length
                    self._rest_app_size, self._rest_item = length, item
                    self._deflating = deflater.deflate_in_steps(payload, _DEFLATE_STEP)
                    self._deflating_opcode = opcode | _RSV1
                    return self._continue_deflating(pieces, carried, size)
                payload = deflater.deflate(payload)
                opcode, app_size, length = opcode | _RSV1, length, len(payload)
                size += max(app_size - length, 0)  # the work, too, is a batch's at most
            else:
                app_size = length
            if counted and opcode & 0x0F < CLOSE:
                self._counted_size -= app_size
            if length < 126 and masked:
                key = next(keys)
                piece = (
                    heads[opcode][length]
                    + key
                    + (
                        from_bytes(payload, "little") ^ from_bytes((key * 32)[:length], "little")
                    ).to_bytes(length, "little")
                )
            elif length < LONG:
                piece = frame(opcode, payload, masking_key=next(keys) if masked else None)
            else:
                room = self._room
                if (
                    not masked
                    or room is None
                    or length > len(room) - _HEADER_ROOM
                    or length > BATCH_SIZE - size
                ):
                    self._rest_app_size = app_size
                    self._rest_item = item
                    size = self._start_rest(opcode, memoryview(payload), pieces, carried, size)
                    continue
                # measured with `python -m benchmarks upload-16k`: 5.4 µs, where a rest takes 6.2
                self._rest_key = next(keys)
                self._rest_header = header(_FIN | opcode, length, _MASKED) + self._rest_key
                piece = self._long_piece(payload)
                self.took_long = True
            pieces.append(piece)
            carried.append(item)
            size += len(piece)
            if opcode == CLOSE:
                self.closed = True
                break
        return size

    def _controls(self) -> deque[Item]:
        """Take what may follow a Close frame off the queue: pings and pongs.

        Both ends may start the closing handshake at once; a second Close frame never leaves.
        """
        controls = deque(islice(filter(_is_ping_or_pong, self._all()), _CONTROLS_IN_BATCH))
        for item in controls:
            (self._counted if item in self._counted else self.queue).remove(item)
        return controls

    def _continue_deflating(self, pieces: list[Piece], carried: list[int | Item], size: int) -> int:
        """Go on compressing in a batch that has `size` bytes; return how many it has then."""
        assert self._deflating is not None
        while size < BATCH_SIZE:
            part = next(self._deflating, None)
            if part is None:
                payload, self._deflated = memoryview(self._deflated), bytearray()
                self._deflating = None
                return self._start_rest(self._deflating_opcode, payload, pieces, carried, size)
            self._deflated += part
            size += _DEFLATE_STEP
        return BATCH_SIZE  # nothing else may come before its end

    def _start_rest(
        self,
        opcode: int,
        payload: memoryview,
        pieces: list[Piece],
        carried: list[int | Item],
        size: int,
    ) -> int:
        """Begin a long message in a batch that has `size` bytes; return how many it has then."""
        self._rest, self._rest_at = payload, 0
        self._rest_key = next(self._keys) if self.masked else b""
        mask_bit = _MASKED if self.masked else 0
        self._rest_header = header(_FIN | opcode, len(payload), mask_bit) + self._rest_key
        return self._continue_rest(pieces, carried, size)

    def _continue_rest(self, pieces: list[Piece], carried: list[int | Item], size: int) -> int:
        """Go on with a long message in a batch that has `size` bytes; return how many it has then.

        The batch takes what it has room for, in words of 8 bytes, so that each part begins with
        one, and with the key's first byte.
        """
        assert self._rest is not None
        rest, start = self._rest, self._rest_at
        if self._room is None:
            self._room = memoryview(bytearray(BATCH_SIZE))
        # `size` counts compression's work, too; something must leave in any case.
        left = BATCH_SIZE - size if pieces else BATCH_SIZE
        most = min(left, len(self._room) - _HEADER_ROOM) & ~7
        if most <= 0:
            return BATCH_SIZE
        part = rest[start : start + most]
        # A compressed part stands for its share of the application's bytes.
        share = self._rest_app_size * len(part) // (len(rest) - start)
        self._rest_app_size -= share
        self._rest_at += len(part)
        carried.append(Begun.of(share, self._rest_item) if self._rest_header else share)
        piece = self._long_piece(part)
        pieces.append(piece)
        self.took_long = True
        if self._rest_at < len(rest):
            return BATCH_SIZE  # nothing else may come before its end
        self._rest, self._rest_item = None, b""
        return size + len(piece)

    def _long_piece(self, part: bytes | memoryview) -> Piece:
        """Return a long message's next part as the wire has it, with its header if it is new."""
        first, self._rest_header = self._rest_header, b""
        if not self.masked:
            return first + part if first else part
        assert self._room is not None
        room, at = self._room, _HEADER_ROOM if first else 0
        masked = mask_into(part, self._rest_key, room[at:])
        if isinstance(masked, bytes):
            return first + masked
        room[at - len(first) : at] = first
        end = at + len(part)
        self._room = room[end + 7 & ~7 :]
        return room[at - len(first) : end]
