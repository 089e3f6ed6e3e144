"""RFC 7692: negotiation, both directions of permessage-deflate, and every rule by which it fails.

The reference is zlib itself, driven as a peer could, and PyPI `websockets` without its I/O.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import took_too_long
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import State
from websockets.server import ServerProtocol
from wire_streams import CHARACTERS, KEY, control_frames, encode, feed, pattern, read, text_of

import webapi
from webapi.protocol.deflate import (
    OFFER,
    THRESHOLD,
    Deflater,
    InflateError,
    Inflater,
    Parameters,
    negotiate,
)
from webapi.protocol.errors import InvalidHandshake
from webapi.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    Failure,
    Ping,
    close_body,
)
from webapi.protocol.receiver import Message, Receiver
from webapi.protocol.sender import BATCH_SIZE, Begun, Control, Item, Sender

KIB, MIB = 1024, 1024 * 1024
RSV1 = 4
TAIL = b"\x00\x00\xff\xff"

# "Hello" as in https://www.rfc-editor.org/rfc/rfc7692#section-7.2.3
HELLO = bytes.fromhex("f248cdc9c90700")
HELLO_AGAIN = bytes.fromhex("f200110000")  # refers to the window that HELLO left
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")
HELLO_FINAL = bytes.fromhex("f348cdc9c90700")  # BFINAL set
HELLO_TWO_BLOCKS = bytes.fromhex("f248050000 00ffffcac9c90700")

# Under coverage each line costs ten times as much.
SCALE = 16 if sys.gettrace() else 1

every_window = pytest.mark.parametrize("bits", range(8, 16))
with_and_without_takeover = pytest.mark.parametrize(
    "takeover", [True, False], ids=["takeover", "no takeover"]
)


def some_json(size: int, seed: int = 1) -> bytes:
    """Return `size` bytes as an application sends: much like the ones of another seed."""
    chance = random.Random(seed)
    items = [
        {"id": chance.randrange(10**6), "name": f"item {index}", "price": chance.random()}
        for index in range(size // 40 + 1)
    ]
    return json.dumps(items).encode()[:size]


PAYLOADS = {
    "empty": b"",
    "1 byte": b"x",
    "127 bytes": some_json(THRESHOLD - 1),
    "128 bytes": some_json(THRESHOLD),
    "1 KiB of JSON": some_json(KIB),
    "64 KiB": some_json(64 * KIB),
    "not compressible": random.Random(7).randbytes(300 * KIB),
    "zeros": bytes(3 * MIB),
    "text": "größer 😀 日本".encode() * 200,
}


# What our code may allocate besides, or in another test's thread; no context is as small.
MEANWHILE = 16 * KIB


@contextmanager
def traced() -> Iterator[list[int]]:
    """Trace memory; the list holds the peak of all, and what stayed of our code's, from within."""
    figures: list[int] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield figures
        peak = tracemalloc.get_traced_memory()[1]
        ours = tracemalloc.Filter(True, str(Path(webapi.__file__).parent / "*"))
        stayed = tracemalloc.take_snapshot().filter_traces([ours]).traces
        figures += [peak - before, sum(trace.size for trace in stayed)]
    finally:
        tracemalloc.stop()


# -- negotiation -----------------------------------------------------------------------------------

ACCEPTED = {
    "permessage-deflate": Parameters(),
    "permessage-deflate; server_no_context_takeover": Parameters(True),
    "permessage-deflate; client_no_context_takeover": Parameters(False, True),
    "permessage-deflate;client_no_context_takeover;server_no_context_takeover": Parameters(
        True, True
    ),
    **{
        f"permessage-deflate; server_max_window_bits={bits}": Parameters(
            server_max_window_bits=bits
        )
        for bits in range(8, 16)
    },
    **{
        f"permessage-deflate; client_max_window_bits={bits}": Parameters(
            client_max_window_bits=bits
        )
        for bits in range(8, 16)
    },
    "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10; "
    "client_no_context_takeover; server_no_context_takeover": Parameters(True, True, 10, 9),
    # RFC 6455 §9.1: a value may be quoted, and is what is left without the quotes
    'permessage-deflate; server_max_window_bits="10"': Parameters(server_max_window_bits=10),
    'permessage-deflate; server_max_window_bits="1\\0"': Parameters(server_max_window_bits=10),
    " \tpermessage-deflate\t ;\tserver_max_window_bits \t=  9 ": Parameters(
        server_max_window_bits=9
    ),
}

REFUSED = {
    "unknown extension": ("permessage-bzip2", "not offered"),
    "another case": ("Permessage-Deflate", "not offered"),
    "its old name": ("x-webkit-deflate-frame", "not offered"),
    "second extension": ("permessage-deflate, foo", "second extension, 'foo'"),
    "it twice": ("permessage-deflate, permessage-deflate", "second extension"),
    "another one before": ("foo, permessage-deflate", "not offered"),
    "unknown parameter": ("permessage-deflate; foo", "'foo' is unknown"),
    "unknown parameter with a value": ("permessage-deflate; foo=1", "'foo' is unknown"),
    "parameter in capitals": (
        "permessage-deflate; Server_No_Context_Takeover", "is unknown"),
    "flag twice": (
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover", "twice"),
    "other flag twice": (
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover", "twice"),
    "window twice": (
        "permessage-deflate; server_max_window_bits=8; server_max_window_bits=8", "twice"),
    "other window twice": (
        "permessage-deflate; client_max_window_bits=8; client_max_window_bits=9", "twice"),
    "flag with a value": (
        "permessage-deflate; server_no_context_takeover=true", "has a value, 'true'"),
    "other flag with a value": (
        "permessage-deflate; client_no_context_takeover=1", "has a value, '1'"),
    "flag with an empty value": (
        'permessage-deflate; client_no_context_takeover=""', "has a value, ''"),
    **{
        f"{key} of {value}": (f"permessage-deflate; {key}={value}", "not 8 to 15")
        for key in ("server_max_window_bits", "client_max_window_bits")
        for value in (
            "7", "16", "0", "1", "08", "008", "015", "10.0", "-8", "+8", "1e1", "0x9", "x", '""',
            '"7"', '" 8"', '"8 "', '"8, 9"', '"٩"', "88", "150",
        )
    },
    "window without a value": (
        "permessage-deflate; server_max_window_bits", "server_max_window_bits is None"),
    "other window without a value": (
        "permessage-deflate; client_max_window_bits", "client_max_window_bits is None"),
    "name with a value": ("permessage-deflate=1", "has a value"),
    **{
        f"malformed {header!r}": (header, "Sec-WebSocket-Extensions")
        for header in (
            "", " ", ",", ";", "permessage-deflate;", "permessage-deflate,",
            ", permessage-deflate", "permessage-deflate; ; server_no_context_takeover",
            "permessage-deflate,, foo", "permessage-deflate foo", "; permessage-deflate",
            "permessage-deflate; =8", "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits==8",
            "permessage-deflate; server_max_window_bits=8=8",
            'permessage-deflate; server_max_window_bits="8', "permessage-deflate; server_max_"
            "window_bits=8\"", 'permessage-deflate; server_max_window_bits="8"9',
            'permessage-deflate; server_max_window_bits="8\\"', '"permessage-deflate"',
            "permessage-deflate\xa0", "permessage-deflate;\x0bserver_no_context_takeover",
            "permessage-deflate\x85; server_no_context_takeover", "permessage-défläte",
            "permessage-deflate: server_no_context_takeover", "permessage-deflate(x)",
        )
    },
}  # fmt: skip


def test_the_offer_is_chromiums():
    assert OFFER == "permessage-deflate; client_max_window_bits"


@pytest.mark.parametrize("header", ACCEPTED)
def test_a_valid_answer(header):
    assert negotiate([header], True) == ACCEPTED[header]


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_answer(name):
    header, why = REFUSED[name]
    with pytest.raises(InvalidHandshake) as caught:
        negotiate([header], True)
    assert why in str(caught.value)


@pytest.mark.parametrize("offered", [True, False])
def test_no_answer_is_no_extension(offered):
    assert negotiate([], offered) is None


@pytest.mark.parametrize("header", ["permessage-deflate", "foo", ""])
def test_an_answer_to_no_offer(header):
    with pytest.raises(InvalidHandshake, match="none was asked for"):
        negotiate([header], False)


@pytest.mark.parametrize(
    "headers",
    [
        ["permessage-deflate", "foo"], ["permessage-deflate", "permessage-deflate"],
        ["permessage-deflate", ""], ["", "permessage-deflate"],
        ["permessage-deflate", "server_no_context_takeover"],
        ['permessage-deflate; server_max_window_bits="1', '0"'],
        ["permessage-deflate;", "server_no_context_takeover"],
    ],
)  # fmt: skip
def test_two_header_lines_are_two_extensions(headers):
    # RFC 6455 §9.1: the lines are one list; so a second line can only hold a second extension.
    with pytest.raises(InvalidHandshake):
        negotiate(headers, True)


@pytest.mark.parametrize(
    "header",
    [
        "{}", "permessage-deflate, {}", "permessage-deflate; {}", "permessage-deflate={}", "\\{}",
        "permessage-deflate; server_max_window_bits={}", 'permessage-deflate; x="{}"',
        "permessage-deflate; server_no_context_takeover={}", "{}=x", "permessage-deflate {}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("offered", [True, False])
def test_of_a_long_header_the_log_gets_a_short_line(header, offered):
    with pytest.raises(InvalidHandshake) as caught:
        negotiate([header.format("x" * 60_000)], offered)
    assert len(str(caught.value)) < 250


@given(header=st.text(st.sampled_from('permessage-deflate;,= "\\\t8x'), max_size=40))
def test_whatever_the_header_is_it_is_understood_or_refused(header):
    try:
        parameters = negotiate([header], True)
    except InvalidHandshake:
        return
    assert parameters == Parameters()


def test_a_long_header_is_refused_in_no_time():
    began = time.thread_time()
    for unit in (" ", "a ", "a;", '"', 'a="\\', "a;a=\t\t\t"):
        with pytest.raises(InvalidHandshake):
            negotiate(["x;y=" + unit * (64 * KIB // len(unit)) + "\0"], True)
    assert not took_too_long(time.thread_time() - began, 2)


# -- zlib, driven as a peer could ------------------------------------------------------------------


class ReferencePeer:
    """Compresses messages with zlib alone: any level, window, blocks, BFINAL anywhere."""

    def __init__(self, bits: int = 15, takeover: bool = True, level: int = 6) -> None:
        self.bits, self.takeover, self.level = max(bits, 9), takeover, level
        self.stream: Any = None

    def message(self, *parts: bytes, flushes: tuple[str, ...] = (), final: bool = False) -> bytes:
        """Compress `parts`; `flushes` says how the block behind each ends."""
        if self.stream is None:
            self._begin()
        data = b""
        for index, part in enumerate(parts):
            data += self.stream.compress(part)
            flush = flushes[index] if index < len(flushes) else "none"
            if flush == "final":
                data += self.stream.flush(zlib.Z_FINISH)
                self._begin()
            elif flush != "none":
                kind = zlib.Z_SYNC_FLUSH if flush == "sync" else zlib.Z_FULL_FLUSH
                data += self.stream.flush(kind)
        if final:
            # RFC 7692 §7.2.3.4: an empty block without BFINAL follows, less its tail
            data += self.stream.flush(zlib.Z_FINISH) + b"\0"
            self.stream = None
            return data
        self.stream.compress(b"")
        data += self.stream.flush(zlib.Z_SYNC_FLUSH)
        assert data.endswith(TAIL)
        if not self.takeover:
            self.stream = None
        return data[:-4]

    def _begin(self) -> None:
        self.stream = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)


def compressed(data: bytes, bits: int = 15) -> bytes:
    return ReferencePeer(bits).message(data)


def inflating(bits: int = 15, takeover: bool = True, **options: Any) -> Receiver:
    receiver = Receiver(**options)
    receiver.inflater = Inflater(bits, takeover)
    return receiver


def inflate(inflater: Inflater, *parts: bytes) -> bytes:
    """Inflate a whole message that comes in `parts`."""
    data = b"".join(b"".join(inflater.inflate(part)) for part in parts)
    return data + b"".join(inflater.end())


def inflate_in_window(data: bytes, bits: int) -> bytes:
    """Inflate with zlib a byte at a time: then no reference can reach behind the window."""
    stream = zlib.decompressobj(-bits)
    out = bytearray()
    while True:
        piece = stream.decompress(data, 1)
        data = stream.unconsumed_tail
        out += piece
        if not piece and not data:
            return bytes(out)


# -- the two directions against one another, and against zlib --------------------------------------


@every_window
@with_and_without_takeover
def test_what_we_deflate_we_inflate(bits, takeover):
    deflater, inflater = Deflater(bits, takeover), Inflater(bits, takeover)
    for payload in (*PAYLOADS.values(), *PAYLOADS.values()):
        assert inflate(inflater, deflater.deflate(payload)) == payload


@every_window
@with_and_without_takeover
def test_what_we_deflate_zlib_inflates(bits, takeover):
    deflater = Deflater(bits, takeover)
    stream = zlib.decompressobj(-bits)
    for payload in PAYLOADS.values():
        data = deflater.deflate(payload)
        assert stream.decompress(data + TAIL) == payload
        assert not data.endswith(TAIL) or payload == PAYLOADS["not compressible"]
        if not takeover:
            stream = zlib.decompressobj(-bits)


@every_window
@with_and_without_takeover
@pytest.mark.parametrize("level", [0, 1, 9])
def test_what_zlib_deflates_we_inflate(bits, takeover, level):
    peer, inflater = ReferencePeer(bits, takeover, level), Inflater(bits, takeover)
    for payload in PAYLOADS.values():
        data = peer.message(payload)
        half = len(data) // 2
        assert inflate(inflater, data[:half], data[half:]) == payload


@every_window
def test_no_reference_reaches_behind_the_window(bits):
    """zlib has no window of 8 bits; with one of 9 it must not refer back 257 to 512 bytes."""
    chance = random.Random(3)
    deflater = Deflater(bits, True)
    wire, plain = b"", b""
    for _ in range(4):
        payload = bytes(chance.choices(b"abcdef", k=2000)) + some_json(2000, chance.randrange(99))
        wire += deflater.deflate(payload) + TAIL
        plain += payload
    assert inflate_in_window(wire, bits) == plain


def test_the_reference_finds_references_behind_the_window():
    payload = bytes(random.Random(3).choices(b"abcdef", k=2000))
    wire = ReferencePeer(10).message(payload) + TAIL
    assert inflate_in_window(wire, 10) == payload
    with pytest.raises(zlib.error, match="too far back"):
        inflate_in_window(wire, 8)


def test_a_window_smaller_than_agreed_on_is_kept_to_while_inflating():
    payload = pattern(251, 1) + os.urandom(3000) + pattern(251, 1)
    wire = compressed(payload, 15)
    inflate(Inflater(12, True), wire)
    with pytest.raises(InflateError, match="too far back"):
        # a part at a time, for what is still in zlib's hands is never behind the window
        inflate(Inflater(9, True), *(wire[at : at + 64] for at in range(0, len(wire), 64)))


def test_takeover_refers_to_the_message_before():
    payload = some_json(KIB)
    taking, forgetting = Deflater(15, True), Deflater(15, False)
    first, second = taking.deflate(payload), taking.deflate(payload)
    assert len(second) < len(first) / 10
    assert forgetting.deflate(payload) == forgetting.deflate(payload) == first


def test_without_takeover_a_reference_to_the_message_before_is_broken():
    inflater = Inflater(15, False)
    assert inflate(inflater, HELLO) == b"Hello"
    with pytest.raises(InflateError, match="too far back"):
        inflate(inflater, HELLO_AGAIN)


def test_what_is_yielded_comes_in_steps():
    sizes = [len(piece) for piece in Inflater(15, True).inflate(compressed(bytes(MIB + 1)))]
    assert sizes[:4] == [64 * KIB] * 4
    assert sum(sizes) == MIB + 1


@pytest.mark.parametrize("size", [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 512 * KIB])
def test_nothing_is_left_behind_at_the_border_of_a_step(size):
    inflater = Inflater(15, True)
    for _ in range(2):
        assert inflate(inflater, compressed(bytes(size))) == bytes(size)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_deflated(kind):
    assert inflate(Inflater(15, True), Deflater(15, True).deflate(kind(b"abc" * 99))) == b"abc" * 99


# -- the RFC's examples ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "messages"),
    [
        ([encode(TEXT, HELLO, rsv=RSV1)], ["Hello"]),
        (
            [encode(TEXT, HELLO[:3], fin=False, rsv=RSV1), encode(CONTINUATION, HELLO[3:])],
            ["Hello"],
        ),
        ([encode(TEXT, HELLO, rsv=RSV1), encode(TEXT, HELLO_AGAIN, rsv=RSV1)], ["Hello"] * 2),
        ([encode(TEXT, HELLO, rsv=RSV1)] * 2, ["Hello"] * 2),
        ([encode(TEXT, HELLO_STORED, rsv=RSV1)], ["Hello"]),
        ([encode(TEXT, HELLO_FINAL + b"\0", rsv=RSV1)], ["Hello"]),
        ([encode(TEXT, HELLO_TWO_BLOCKS, rsv=RSV1)], ["Hello"]),
        ([encode(TEXT, b"\0", rsv=RSV1), encode(BINARY, b"\0", rsv=RSV1)], ["", b""]),
    ],
    ids=["whole", "fragments", "takeover", "twice", "stored", "BFINAL", "two blocks", "empty"],
)
def test_the_rfcs_examples(frames, messages):
    # https://www.rfc-editor.org/rfc/rfc7692#section-7.2.3
    wire = b"".join(frames)
    assert inflating().feed(wire) == messages
    assert feed(inflating(), wire, range(len(wire))) == messages


# -- any stream, cut anywhere ----------------------------------------------------------------------


def places(per_mille: list[int], size: int) -> list[int]:
    """Return where to cut: what is drawn must not depend on what zlib made of it."""
    return sorted(size * place // 1000 for place in per_mille)


@st.composite
def compressed_streams(draw: st.DrawFn) -> tuple[bytes, list[Message], int, bool]:
    """Any legal stream with permessage-deflate: its wire, its messages, window and takeover."""
    bits, takeover = draw(st.integers(8, 15)), draw(st.booleans())
    peer = ReferencePeer(bits, takeover, draw(st.sampled_from((0, 1, 6, 9))))
    wire: list[bytes] = []
    messages: list[Message] = []

    def maybe_control() -> None:
        if draw(st.integers(0, 3)) == 0:
            control, message = draw(control_frames())
            wire.append(encode(control.opcode, control.payload))
            messages.append(message)

    sizes = st.one_of(st.integers(0, 40), st.sampled_from((127, 1000, 5000, 70_000)))
    for _ in range(draw(st.integers(0, 6))):
        size = draw(sizes)
        if draw(st.booleans()):
            characters = draw(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4))
            text = text_of(size, characters)
            opcode, payload, message = TEXT, text.encode(), text
        else:
            payload = pattern(size, draw(st.integers(0, 255)))
            opcode, message = BINARY, payload
        rsv = 0
        if draw(st.integers(0, 3)):
            rsv = RSV1
            bounds = [0, *sorted(draw(st.lists(st.integers(0, size), max_size=3))), size]
            parts = [payload[start:stop] for start, stop in pairwise(bounds)]
            kinds = st.sampled_from(("none", "sync", "full", "final"))
            flushes = tuple(draw(kinds) for _ in parts)
            payload = peer.message(*parts, flushes=flushes, final=draw(st.integers(0, 3)) == 0)
        cuts = places(draw(st.lists(st.integers(0, 1000), max_size=4)), len(payload))
        bounds = [0, *cuts, len(payload)]
        for index, (start, stop) in enumerate(pairwise(bounds)):
            fin = index == len(bounds) - 2
            first = index == 0
            wire.append(
                encode(
                    opcode if first else CONTINUATION,
                    payload[start:stop],
                    fin=fin,
                    rsv=rsv if first else 0,
                )
            )
            if not fin:
                maybe_control()
        messages.append(message)
        maybe_control()
    if draw(st.booleans()):
        wire.append(encode(CLOSE, close_body(1000)))
        messages.append(Close(1000, ""))
    return b"".join(wire), messages, bits, takeover


@given(
    stream=compressed_streams(),
    cuts=st.lists(st.integers(0, 1000), max_size=12),
    read_size=st.sampled_from([256 * 1024, 4096]),
)
def test_a_stream_gives_the_same_messages_wherever_it_is_cut(stream, cuts, read_size):
    wire, messages, bits, takeover = stream
    cuts = places(cuts, len(wire))
    got = read(inflating(bits, takeover), wire, cuts, read_size)
    assert got == messages
    # a long frame's payload stays in the buffer that it was read to, a bytearray
    kinds = [bytes if isinstance(message, bytearray) else type(message) for message in got]
    assert kinds == [type(message) for message in messages]


@given(stream=compressed_streams())
def test_a_stream_gives_the_same_messages_a_few_bytes_at_a_time(stream):
    wire, messages, bits, takeover = stream
    step = 1 if len(wire) < 2000 else len(wire) // 500
    assert read(inflating(bits, takeover), wire, read_size=step) == messages


def test_masked_frames_are_inflated_too():
    wire = encode(TEXT, HELLO[:2], fin=False, rsv=RSV1, key=KEY) + encode(
        CONTINUATION, HELLO[2:], key=KEY
    )
    for cuts in ((), range(len(wire))):
        assert feed(inflating(masked=True), wire, cuts) == ["Hello"]


def test_messages_that_are_not_compressed_leave_the_window_alone():
    wire = (
        encode(TEXT, HELLO, rsv=RSV1)
        + encode(TEXT, b"plain")
        + encode(BINARY, b"x" * 70_000)
        + encode(TEXT, b"fra", fin=False)
        + encode(CONTINUATION, b"gments")
        + encode(TEXT, HELLO_AGAIN, rsv=RSV1)
        + encode(TEXT, b"")
        + encode(BINARY, HELLO_AGAIN, rsv=RSV1)
    )
    expected = ["Hello", "plain", b"x" * 70_000, "fragments", "Hello", "", b"Hello"]
    assert read(inflating(), wire) == read(inflating(), wire, read_size=1000) == expected


def test_a_long_compressed_frame_is_not_read_into_the_buffer_of_long_frames():
    payload = random.Random(1).randbytes(MIB)
    wire = encode(BINARY, compressed(payload), rsv=RSV1)
    receiver = inflating()
    assert receiver.feed(wire[:1000]) == []
    assert receiver.buffer() is None
    assert receiver.feed(wire[1000:]) == [payload]


def test_a_code_point_split_between_compressed_frames():
    data = compressed("a😀€".encode())
    wire = encode(TEXT, b"", fin=False, rsv=RSV1)
    wire += b"".join(
        encode(CONTINUATION, data[at : at + 1], fin=False) + encode(PING, b"?")
        for at in range(len(data))
    )
    wire += encode(CONTINUATION, b"")
    assert inflating().feed(wire) == [Ping(b"?")] * len(data) + ["a😀€"]


# -- BFINAL ----------------------------------------------------------------------------------------


@with_and_without_takeover
def test_bfinal_in_the_middle_and_at_the_end(takeover):
    inflater = Inflater(15, takeover)
    for data, plain in [
        (HELLO_FINAL + HELLO, b"HelloHello"),
        (HELLO_FINAL + HELLO_FINAL + b"\0", b"HelloHello"),
        (HELLO_FINAL + b"\0", b"Hello"),
        (HELLO, b"Hello"),
        (b"\x03\0" * 3 + HELLO_FINAL + b"\0", b"Hello"),
        (b"\0", b""),
        (HELLO, b"Hello"),
    ]:
        assert inflate(inflater, data) == plain
        assert inflate(inflater, *(data[at : at + 1] for at in range(len(data)))) == plain


@with_and_without_takeover
def test_bfinal_without_the_empty_block_that_should_follow(takeover):
    """Node's `ws` reads it so too; the tail alone would be half a block, and spoil the next one."""
    inflater = Inflater(15, takeover)
    for _ in range(2):
        assert inflate(inflater, HELLO_FINAL) == b"Hello"
        assert inflate(inflater, HELLO) == b"Hello"
        assert inflate(inflater, HELLO_FINAL) == b"Hello"


def test_the_window_ends_with_bfinal():
    # as in Chromium, which resets its zlib stream there
    inflater = Inflater(15, True)
    assert inflate(inflater, HELLO_FINAL + b"\0") == b"Hello"
    with pytest.raises(InflateError):
        inflate(inflater, HELLO_AGAIN)


def test_very_many_blocks_with_bfinal_cost_time_in_proportion():
    """zlib copies what stands behind such a block; 128 Ki of them were half a second."""
    count = 128 * KIB // SCALE
    inflater = Inflater(15, True)
    began = time.thread_time()
    assert list(inflater.inflate(b"\x03\0" * count)) == []
    several = HELLO_FINAL * (count // 8)
    assert b"".join(inflater.inflate(several + HELLO)) == b"Hello" * (count // 8 + 1)
    assert not took_too_long(time.thread_time() - began, 3)


# -- what fails ------------------------------------------------------------------------------------


def failure(messages: list[Message]) -> int:
    assert isinstance(messages[-1], Failure), messages
    return messages[-1].code


BROKEN = {
    "block type 3": b"\x07",
    "block type 3 behind data": HELLO[:-1] + b"\x06",
    "stored block whose lengths differ": b"\x00\x05\x00\xfa\xfeHello\x00",
    "reference before the beginning": HELLO_AGAIN,
    "random": b"\xff" * 20,
    "bad Huffman code": b"\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "bad data behind BFINAL": HELLO_FINAL + b"\x07",
    "zlib's own header": zlib.compress(b"Hello" * 20),
    "not compressed": b"Hello, this is plain text",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@with_and_without_takeover
def test_broken_deflate_data_is_1007(name, opcode, takeover):
    wire = encode(opcode, BROKEN[name], rsv=RSV1)
    for cuts in ((), range(len(wire))):
        receiver = inflating(15, takeover)
        messages = feed(receiver, wire, cuts)
        assert failure(messages) == 1007
        assert len(messages) == 1
        assert "\n" not in messages[0].reason
        assert receiver.feed(encode(TEXT, b"more")) == []


def test_broken_data_fails_before_its_frame_is_whole():
    wire = encode(BINARY, b"\x07" + bytes(1000), rsv=RSV1)
    assert inflating().feed(wire[:4]) == []
    assert failure(inflating().feed(wire[:6])) == 1007


@with_and_without_takeover
def test_a_truncated_stream_never_ends_in_anything_but_a_message_or_1007(takeover):
    """RFC 7692 has no end mark: what was cut shows where zlib stumbles, at the latest next time."""
    payload = some_json(2000)
    whole = compressed(payload)
    for size in range(0, len(whole), 1 if SCALE == 1 else 7):
        receiver = inflating(15, takeover)
        messages = receiver.feed(encode(BINARY, whole[:size], rsv=RSV1))
        assert len(messages) == 1
        if isinstance(messages[0], Failure):
            assert messages[0].code == 1007
        else:  # what there was, and at most what the tail adds where it is taken for data
            got = bytes(messages[0])
            assert payload.startswith(got[: max(len(got) - 1024, 0)])


def test_a_stored_block_that_ends_early_takes_the_tail_for_text_and_fails():
    data = b"\x00\x20\x00\xdf\xff" + b"Hello"
    assert failure(inflating().feed(encode(TEXT, data, rsv=RSV1))) == 1007


RESERVED = {
    "RSV1 on a continuation": (
        encode(TEXT, HELLO[:3], fin=False, rsv=RSV1) + encode(CONTINUATION, HELLO[3:], rsv=RSV1)),
    "RSV1 on the continuation of a plain message": (
        encode(TEXT, b"a", fin=False) + encode(CONTINUATION, b"b", rsv=RSV1)),
    "RSV1 on a continuation of nothing": encode(CONTINUATION, HELLO, rsv=RSV1),
    "RSV1 on a ping": encode(PING, b"", rsv=RSV1),
    "RSV1 on a ping between fragments": (
        encode(TEXT, HELLO[:3], fin=False, rsv=RSV1) + encode(PING, b"", rsv=RSV1)),
    "RSV1 on a pong": encode(PONG, b"", rsv=RSV1),
    "RSV1 on a Close": encode(CLOSE, close_body(1000), rsv=RSV1),
    "RSV1 on a reserved opcode": encode(3, HELLO, rsv=RSV1),
    "RSV1 on a reserved control opcode": encode(11, b"", rsv=RSV1),
    **{
        f"RSV {rsv:03b} on opcode {opcode}": encode(opcode, HELLO, rsv=rsv)
        for rsv in (1, 2, 3, 5, 6, 7)
        for opcode in (TEXT, BINARY, PING)
    },
    "a new compressed message within one": (
        encode(TEXT, HELLO[:3], fin=False, rsv=RSV1) + encode(TEXT, HELLO, rsv=RSV1)),
    "a new plain message within one": (
        encode(TEXT, HELLO[:3], fin=False, rsv=RSV1) + encode(BINARY, b"x")),
    "a compressed message that is masked": encode(TEXT, HELLO, rsv=RSV1, key=KEY),
}  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_bits_where_they_must_not_be_are_1002(name):
    wire = RESERVED[name]
    for cuts in ((), range(len(wire))):
        messages = feed(inflating(), wire, cuts)
        assert (len(messages), failure(messages)) == (1, 1002)


@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
def test_rsv1_without_the_extension_is_1002(opcode):
    assert failure(Receiver().feed(encode(opcode, HELLO, rsv=RSV1))) == 1002


BAD_TEXT = [b"\xff", b"a\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok \xe2\x82("]


@pytest.mark.parametrize("octets", BAD_TEXT)
def test_invalid_utf8_in_compressed_text_is_1007_at_once(octets):
    peer = ReferencePeer()
    data = peer.message(b"fine so far ", octets, b"never needed" * 100, flushes=("sync", "sync"))
    bad_ends = len(ReferencePeer().message(b"fine so far ", octets, flushes=("sync",))) + 4
    wire = encode(TEXT, data, rsv=RSV1)
    head = len(wire) - len(data)
    receiver = inflating()
    messages: list[Message] = []
    for at in range(head + bad_ends):
        messages += receiver.feed(wire[at : at + 1])
    assert (len(messages), failure(messages)) == (1, 1007)
    assert "UTF-8" in messages[0].reason


@pytest.mark.parametrize("octets", [b"\xc3", b"abc\xe2\x82", b"\xf0\x9f\x98"])
def test_compressed_text_that_ends_within_a_code_point_is_1007(octets):
    assert failure(inflating().feed(encode(TEXT, compressed(octets), rsv=RSV1))) == 1007
    assert inflating().feed(encode(BINARY, compressed(octets), rsv=RSV1)) == [octets]


# -- bombs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@with_and_without_takeover
def test_the_limit_is_on_what_is_inflated(opcode, takeover):
    for size, fits in ((1000, True), (1001, False)):
        receiver = inflating(15, takeover, max_message_size=1000)
        messages = receiver.feed(encode(opcode, compressed(b"a" * size), rsv=RSV1))
        if fits:
            assert [len(message) for message in messages] == [1000]
        else:
            assert failure(messages) == 1009
            assert "max_message_size is 1000" in messages[0].reason


def test_a_frame_longer_than_the_limit_may_hold_a_message_that_is_not():
    data = HELLO_STORED[:-1] + b"\x00\x00\x00\xff\xff" * 300 + b"\0"
    receiver = inflating(max_message_size=1000)
    assert receiver.feed(encode(TEXT, data, rsv=RSV1)) == ["Hello"]
    assert receiver.feed(encode(TEXT, data, rsv=RSV1)) == ["Hello"]


def test_the_limit_counts_each_message_anew_plain_or_compressed():
    receiver = inflating(max_message_size=1000)
    peer = ReferencePeer()
    for _ in range(3):
        wire = encode(BINARY, peer.message(bytes(1000)), rsv=RSV1) + encode(BINARY, bytes(1000))
        assert receiver.feed(wire) == [bytes(1000)] * 2
    assert failure(receiver.feed(encode(BINARY, bytes(1001)))) == 1009


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_bomb_is_cut_while_it_inflates(opcode):
    limit = MIB
    wire = encode(opcode, compressed(b"a" * (64 * MIB)), rsv=RSV1)
    assert len(wire) < 80 * KIB
    receiver = inflating(max_message_size=limit)
    with traced() as memory:
        messages = receiver.feed(wire)
    assert failure(messages) == 1009
    # The limit and one chunk, which is there twice while Python joins what zlib wrote, and a third
    # time as text; and zlib's window, and copies of the wire.
    assert memory[0] < limit + 3 * 64 * KIB + 300 * KIB
    assert memory[1] < 200 * KIB  # and what was inflated is forgotten


def test_a_bomb_in_many_small_frames_is_cut_too():
    limit = MIB
    data = compressed(bytes(16 * MIB))
    frames = [encode(BINARY, data[:5], fin=False, rsv=RSV1)]
    frames += [encode(CONTINUATION, data[at : at + 5], fin=False) for at in range(5, len(data), 5)]
    receiver = inflating(max_message_size=limit)
    with traced() as memory:
        for count, wire in enumerate(frames):  # noqa: B007
            messages = receiver.feed(wire)
            if messages:
                break
    assert failure(messages) == 1009
    assert count * 5 * 1000 < 2 * limit
    # _add_part joins small parts now and then: they and the joined ones are there at once
    assert memory[0] < 2 * limit + 600 * KIB


def test_a_bomb_of_empty_blocks_holds_no_memory():
    """Nothing is inflated, so no limit is reached; nothing is kept either."""
    receiver = inflating(max_message_size=1000)
    assert receiver.feed(encode(BINARY, b"", fin=False, rsv=RSV1)) == []
    wire = encode(CONTINUATION, (b"\x00\x00\x00\xff\xff" + b"\x03\x00") * 1000, fin=False) * 4
    with traced() as memory:
        for _ in range(20 // min(SCALE, 10)):
            assert receiver.feed(wire) == []
    assert memory[0] < 300 * KIB
    assert receiver.feed(encode(CONTINUATION, b"\0")) == [b""]


def test_a_frame_that_announces_2_to_the_63_bytes_takes_no_memory_before_they_come():
    receiver = inflating()
    with traced() as memory:
        assert receiver.feed(encode(BINARY, HELLO, rsv=RSV1, announced=(1 << 63) - 1)) == []
        assert receiver.buffer() is None
    assert memory[0] < 100 * KIB


# -- the sender ------------------------------------------------------------------------------------


def deflating(*items: Item, bits: int = 15, takeover: bool = True, masked: bool = True) -> Sender:
    sender = Sender(masked=masked)
    sender.deflater = Deflater(bits, takeover)
    sender.queue.extend(items)
    return sender


def frames_of(wire: bytes) -> list[tuple[int, int, bool, bytes]]:
    """Take unmasked frames apart: RSV bits, opcode, FIN, payload."""
    frames, at = [], 0
    while at < len(wire):
        first, size, at = wire[at], wire[at + 1], at + 2
        assert size < 128
        if size > 125:
            extended = 2 if size == 126 else 8
            size, at = int.from_bytes(wire[at : at + extended], "big"), at + extended
        frames.append((first >> 4 & 7, first & 15, first >= 0x80, wire[at : at + size]))
        assert len(frames[-1][3]) == size
        at += size
    return frames


def drain(sender: Sender) -> bytes:
    """Take all; see that `waiting` never rises and each batch says exactly what it carries."""
    wire = bytearray()
    while sender:
        before = sender.count()
        pieces, carried = sender.take()
        carried_sizes = [
            item
            if isinstance(item, int)
            else 0
            if isinstance(item, Control)
            else len(item.encode() if isinstance(item, str) else item)
            for item in carried
        ]
        assert len(pieces) == len(carried)
        assert min(carried_sizes, default=0) >= 0
        assert before - sender.count() == sum(carried_sizes)
        wire += b"".join(pieces)
    assert sender.count() == 0
    return bytes(wire)


@pytest.mark.parametrize("kind", ["text", "text that is not ASCII", "binary"])
@pytest.mark.parametrize("masked", [False, True])
def test_messages_are_compressed_from_the_threshold_on(kind, masked):
    unit = {"text": "x", "text that is not ASCII": "é", "binary": b"x"}[kind]
    width = 2 if kind == "text that is not ASCII" else 1
    opcode = BINARY if kind == "binary" else TEXT
    for size in (0, 2, THRESHOLD - 2, THRESHOLD, THRESHOLD + 2, 5000):
        message = unit * (size // width)
        wire = drain(deflating(message, masked=masked))
        assert wire[0] == 0x80 | opcode | (0x40 if size >= THRESHOLD else 0)
        if size > THRESHOLD:
            assert len(wire) < size
        assert inflating(masked=masked).feed(wire) == [message]


def test_without_the_extension_nothing_is_compressed():
    sender = Sender(masked=False)
    sender.queue.append("x" * 5000)
    assert frames_of(drain(sender)) == [(0, TEXT, True, b"x" * 5000)]


def test_control_frames_are_never_compressed():
    body = b"a" * 125
    sender = deflating(
        Control(PING, body), "x" * 5000, Control(PONG, body), Control(CLOSE, body), masked=False
    )
    frames = frames_of(drain(sender))
    assert [(rsv, opcode) for rsv, opcode, _, _ in frames] == [
        (0, PING), (RSV1, TEXT), (0, PONG), (0, CLOSE),
    ]  # fmt: skip
    assert [frame[3] for frame in frames if frame[1] >= CLOSE] == [body] * 3


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [BATCH_SIZE, BATCH_SIZE + 1, 3 * BATCH_SIZE + 7])
def test_a_long_compressed_message_stays_one_frame(masked, size):
    message = random.Random(size).randbytes(size)
    sender = deflating(b"first" * 100, message, "last" * 100, masked=masked)
    total = 500 + size + 400
    assert sender.count() == total
    seen, wire = [total], b""
    while sender:
        pieces, _ = sender.take()
        wire += b"".join(pieces)
        seen.append(sender.count())
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 0
    assert len(seen) > 1 + size // BATCH_SIZE
    if not masked:
        assert [frame[:3] for frame in frames_of(wire)] == [
            (RSV1, BINARY, True), (RSV1, BINARY, True), (RSV1, TEXT, True),
        ]  # fmt: skip
    assert read(inflating(masked=masked), wire) == [b"first" * 100, message, "last" * 100]


def test_a_long_message_that_is_compressed_to_a_half_is_counted_as_the_application_gave_it():
    # hexadecimal digits: half of it is left, still several batches
    text = random.Random(5).randbytes(2 * BATCH_SIZE).hex()
    sender = deflating(text)
    seen, pieces_seen = [sender.count()], 0
    while sender:
        pieces, carried = sender.take()
        if not pieces:  # it was compressed only, and waits as before
            assert sender.count() == seen[-1]
            continue
        pieces_seen += len(pieces)
        # each part stands for its share of the text, about twice its own size
        for piece, share in zip(pieces, carried, strict=True):
            assert isinstance(share, int)
            assert share == 0 or 1.5 * len(piece) < share < 2.5 * len(piece)
        seen.append(sender.count())
    assert seen[0] == len(text)
    assert seen[-1] == 0
    assert all(before > after for before, after in pairwise(seen))
    assert pieces_seen > 2


def test_a_message_whose_part_has_left_is_forgotten_to_the_byte():
    message = random.Random(2).randbytes(3 * BATCH_SIZE)
    sender = deflating(message, "x" * 1000)
    carried: list[int | Item] = []
    while not carried:
        _, carried = sender.take()
    sent = sum(item for item in carried if isinstance(item, int))
    assert 0 < sent < len(message)
    assert sender.clear() == len(message) + 1000 - sent
    assert sender.count() == 0
    assert not sender


def test_a_batch_ends_by_what_was_compressed_too():
    """Else one turn of the loop would compress a thousand times what it may send."""
    sender = deflating(*[bytes(BATCH_SIZE // 2)] * 8)
    taken = []
    while sender:
        taken.append(len(sender.take()[0]))
    assert taken == [2, 2, 2, 2]


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("takeover", [False, True])
def test_a_long_message_is_compressed_in_steps(counted, takeover):
    """No batch compresses more than it may send; nothing but pongs overtakes the message."""
    long = "0123456789abcdef" * (4 * MIB // 16)
    pong, ping, close = Control(PONG, b"1"), Control(PING, b"2"), Control(CLOSE, b"")
    sender = deflating("first" * 100, long, "é" * 500, ping, close, takeover=takeover)
    if counted:
        assert sender.count() == 500 + 4 * MIB + 1000
    wire = b"".join(sender.take()[0])
    batches = 1
    while True:
        assert sender
        assert not sender.in_frame
        assert sender.count() == 4 * MIB + 1000
        if batches == 5:
            sender.pongs.append(pong)
        pieces, carried = sender.take()
        batches += 1
        wire += b"".join(pieces)
        if any(isinstance(item, Begun) for item in carried):
            break
        assert carried == ([pong] if batches == 6 else [])
    assert 4 * MIB // BATCH_SIZE <= batches <= 4 * MIB // BATCH_SIZE + 3
    wire += drain(sender)
    assert sender.closed
    reader = inflating(masked=True, takeover=takeover)
    messages = read(reader, wire)
    assert messages[0] == "first" * 100
    assert [type(message).__name__ for message in messages[1:]] == [
        "Pong", "str", "str", "Ping", "Close",
    ]  # fmt: skip
    assert messages[2] == long
    assert messages[3] == "é" * 500


def test_a_long_message_that_is_being_compressed_is_forgotten():
    sender = deflating(bytes(3 * BATCH_SIZE), "x" * 1000)
    assert sender.take() == ([], [])
    assert sender.clear() == 3 * BATCH_SIZE + 1000
    assert sender.count() == 0
    assert not sender
    sender.queue.append("next")
    assert len(sender.take()[0]) == 1


@st.composite
def queued(draw: st.DrawFn) -> tuple[list[Item], list[Message]]:
    items: list[Item] = []
    messages: list[Message] = []
    sizes = st.sampled_from((0, 1, THRESHOLD - 1, THRESHOLD, 129, 1000, 5000, 70_000, 300_000))
    for _ in range(draw(st.integers(0, 6))):
        size, kind = draw(sizes), draw(st.integers(0, 4))
        if kind == 0:
            items.append(Control(PING, b"?"))
            messages.append(Ping(b"?"))
            continue
        if kind == 1:
            message: Any = text_of(
                size, draw(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4))
            )
        elif kind == 2:
            message = some_json(size, draw(st.integers(0, 3))).decode()
        elif kind == 3:
            message = pattern(size, draw(st.integers(0, 255)))
        else:
            message = random.Random(size).randbytes(size)
        items.append(message)
        messages.append(message)
    return items, messages


@given(queue=queued(), bits=st.integers(8, 15), takeover=st.booleans(), masked=st.booleans())
def test_our_receiver_reads_what_our_sender_sends(queue, bits, takeover, masked):
    items, messages = queue
    wire = drain(deflating(*items, bits=bits, takeover=takeover, masked=masked))
    assert read(inflating(bits, takeover, masked=masked), wire) == messages


@given(queue=queued(), bits=st.integers(8, 15), takeover=st.booleans(), cut=st.integers(0, 1000))
def test_websockets_decodes_what_we_encode(queue, bits, takeover, cut):
    items, messages = queue
    protocol = ServerProtocol(state=State.OPEN, max_size=None)
    protocol.extensions = [PerMessageDeflate(not takeover, False, bits, 15)]
    wire = drain(deflating(*items, bits=bits, takeover=takeover))
    protocol.receive_data(wire[:cut])
    protocol.receive_data(wire[cut:])
    assert protocol.parser_exc is None
    got: list[Message] = []
    for frame in protocol.events_received():
        assert frame.fin
        data = bytes(frame.data)
        got.append(
            data.decode() if frame.opcode == TEXT else Ping(data) if frame.opcode == PING else data
        )
    assert got == messages


@given(queue=queued(), bits=st.integers(8, 15), takeover=st.booleans())
def test_we_decode_what_websockets_encodes(queue, bits, takeover):
    _, messages = queue
    protocol = ServerProtocol(state=State.OPEN, max_size=None)
    # its zlib has no window of 8 bits either
    protocol.extensions = [PerMessageDeflate(False, not takeover, 15, max(bits, 9))]
    for message in messages:
        if isinstance(message, str):
            middle = len(message) // 2
            protocol.send_text(message[:middle].encode(), fin=False)
            protocol.send_continuation(message[middle:].encode(), fin=True)
        elif isinstance(message, Ping):
            protocol.send_ping(message.payload)
        else:
            protocol.send_binary(message)
    wire = b"".join(protocol.data_to_send())
    assert read(inflating(bits, takeover), wire) == messages


# -- memory ----------------------------------------------------------------------------------------


def test_a_context_is_made_when_its_first_compressed_message_comes():
    with traced() as memory:
        sender = deflating("short", Control(PING, b"?"))
        receiver = inflating()
        drain(sender)
        receiver.feed(encode(TEXT, b"x" * 1000) + encode(PING, b"?"))
    assert memory[1] < MEANWHILE
    assert sender.deflater is not None
    assert receiver.inflater is not None
    assert sender.deflater._stream is None
    assert receiver.inflater._stream is None


@with_and_without_takeover
def test_memory_of_a_connection_after_a_message_in_each_direction(takeover):
    """zlib takes its memory from Python's raw allocator, so the figures hold all of it."""
    message = some_json(KIB)
    data = compressed(message)
    deflater, inflater = Deflater(15, takeover), Inflater(15, takeover)
    with traced() as sending:
        deflater.deflate(message)
    with traced() as receiving:
        inflate(inflater, data)
    if takeover:
        # 64 KiB of windows and tables, zlib's state; the peer's window of 32 KiB
        assert 64 * KIB < sending[1] < 72 * KIB + MEANWHILE
        assert 32 * KIB < receiving[1] < 42 * KIB + MEANWHILE
    else:
        assert sending[1] < MEANWHILE
        assert receiving[1] < MEANWHILE


def test_a_smaller_window_takes_less_memory():
    message = some_json(KIB)
    deflater, inflater = Deflater(9, True), Inflater(9, True)
    with traced() as sending:
        deflater.deflate(message)
    with traced() as receiving:
        inflate(inflater, compressed(message, 9))
    assert sending[1] < 46 * KIB + MEANWHILE
    assert receiving[1] < 10 * KIB + MEANWHILE
