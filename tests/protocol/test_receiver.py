"""RFC 6455 §5 and §6.2: what arrives, and every rule by which the connection fails."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wire_streams import KEY, Stream, encode, feed, pattern, read, streams, text_of

from webapi.protocol import receiver as receiver_module
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
    Pong,
    close_body,
    is_valid_close_code,
)
from webapi.protocol.receiver import DEFAULT_MAX_MESSAGE_SIZE, LONG_FRAME, Receiver

MIB = 1024 * 1024

# Under coverage each line costs ten times as much; the bounds are then tried on a 16th.
SCALE = 16 if sys.gettrace() else 1

KEYS = (b"\x37\xfa\x21\x3d", b"\x00\x00\x00\x00", b"\xff\x00\x80\x7f")

both_roles = pytest.mark.parametrize("masked", [False, True], ids=["client", "server"])


def keys_for(masked: bool) -> Iterator[bytes] | None:
    """Masking keys for what a receiver in the role `masked` gets."""
    return cycle(KEYS) if masked else None


def only_failure(messages: list[object]) -> Failure:
    assert len(messages) == 1, messages
    assert isinstance(messages[0], Failure)
    return messages[0]


@contextmanager
def traced() -> Iterator[list[int]]:
    """Trace memory; the list holds the peak of what was allocated within (bytes)."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def least_peak(steps: Callable[[], object]) -> int:
    """Return the least of three peaks: what another test's thread allocates adds to one."""
    peaks = []
    for _ in range(3):
        with traced() as peak:
            assert steps() == []
        peaks += peak
    return min(peaks)


# -- the RFC's examples ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masked", "wire", "message"),
    [
        (False, b"\x81\x05Hello", "Hello"),
        (True, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "Hello"),
        (False, b"\x01\x03Hel\x80\x02lo", "Hello"),
        (False, b"\x89\x05Hello", Ping(b"Hello")),
        (True, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", Pong(b"Hello")),
        (False, b"\x82\x7e\x01\x00" + bytes(256), bytes(256)),
        (False, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536), bytes(65536)),
    ],
)
def test_the_rfcs_examples(masked, wire, message):
    # https://www.rfc-editor.org/rfc/rfc6455#section-5.7
    assert Receiver(masked=masked).feed(wire) == [message]


# -- any stream, cut anywhere ----------------------------------------------------------------------


@both_roles
@given(stream=streams(), data=st.data())
def test_a_stream_gives_the_same_messages_wherever_it_is_cut(masked, stream, data):
    wire = stream.wire(keys_for(masked))
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=12), "cuts")
    read_size = data.draw(st.sampled_from([256 * 1024, 70_000, 4096]), "read size")
    assert read(Receiver(masked=masked), wire, cuts, read_size) == stream.messages


@both_roles
@given(stream=streams(), data=st.data())
def test_a_stream_gives_the_same_messages_through_feed_alone(masked, stream, data):
    wire = stream.wire(keys_for(masked))
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=12), "cuts")
    assert feed(Receiver(masked=masked), wire) == stream.messages
    assert feed(Receiver(masked=masked), wire, cuts) == stream.messages


@both_roles
@given(stream=streams(long=False))
def test_a_stream_gives_the_same_messages_byte_by_byte(masked, stream):
    wire = stream.wire(keys_for(masked))
    assert read(Receiver(masked=masked), wire, read_size=1) == stream.messages


@both_roles
@given(stream=streams(long=False), data=st.data())
def test_each_message_comes_with_the_very_byte_that_completes_it(masked, stream, data):
    """What a prefix gives is what came before, and no byte later than it could."""
    keys = keys_for(masked)
    receiver = Receiver(masked=masked)
    got = []
    for frame in stream.frames:
        wire = Stream([frame]).wire(keys)
        got += receiver.feed(wire[:-1])
        before = len(got)
        got += receiver.feed(wire[-1:])
        assert len(got) - before == (frame.fin or frame.opcode >= CLOSE)
    assert got == stream.messages


@pytest.mark.parametrize("size", [125, 126, 1024, 1025, 65535, 65536, 300_000])
@pytest.mark.parametrize("characters", ["a", "é", "€", "😀", "a😀"])
@both_roles
def test_a_text_of_every_length_form_and_width_of_character(masked, size, characters):
    text = text_of(size, characters)
    wire = encode(TEXT, text.encode(), key=KEY if masked else None)
    assert Receiver(masked=masked).feed(wire + wire) == [text, text]
    cuts = [1, 2, 3, 9, 10, 13, 14, 15, size // 2, len(wire) - 1]
    assert feed(Receiver(masked=masked), wire + wire, cuts) == [text, text]


def test_a_short_message_that_is_not_ascii_beside_ascii_ones():
    wire = b"".join(encode(TEXT, text.encode()) for text in ("one", "zwö", "", "три", "four"))
    assert Receiver().feed(wire) == ["one", "zwö", "", "три", "four"]


@pytest.mark.parametrize("size", [0, 1, 8, 125])
@pytest.mark.parametrize("count", [7, 8, 9, 100, 5000])
@pytest.mark.parametrize(
    "end", [b"", b"\x81", b"\x81\x08", b"\x81\x03abc", b"\x89\x00", b"\xc1\x00", b"\x82\x01a"]
)
def test_a_run_of_messages_of_one_size_is_read_as_any_others(size, count, end):
    """Text that looks like a header is in it, and what ends the run comes through too."""
    payloads = [(b"%d \x01\x08" % number * 64)[:size] for number in range(count)]
    wire = b"".join(bytes([0x81, size]) + payload for payload in payloads) + end
    whole, bytewise = Receiver(), Receiver()
    expected = [message for byte in wire for message in bytewise.feed(bytes([byte]))]
    assert whole.feed(wire) == expected
    assert expected[:count] == [payload.decode() for payload in payloads]


@pytest.mark.parametrize("at", [0, 1, 7, 8, 63, 64, 299])
@pytest.mark.parametrize("odd", ["é é", "€a", "\x80é"])
def test_a_text_in_a_run_that_is_not_ascii(at, odd):
    words = ["abcde"[: len(odd.encode())]] * 300
    words[at] = odd
    wire = b"".join(bytes([0x81, len(word.encode())]) + word.encode() for word in words)
    assert Receiver().feed(wire) == words


def test_a_text_in_a_run_that_is_no_utf_8():
    good, bad = b"\x81\x04abcd" * 200, b"\x81\x04ab\xffd"
    *before, failure = Receiver().feed(good + bad + good)
    assert before == ["abcd"] * 200
    assert failure.code == 1007


def test_text_is_str_and_binary_is_bytes():
    messages = Receiver().feed(encode(TEXT, b"a") + encode(BINARY, b"a"))
    assert [type(message) for message in messages] == [str, bytes]


def test_nothing_comes_of_no_bytes():
    receiver = Receiver()
    assert receiver.feed(b"") == []
    receiver.feed(b"\x81\x02a")
    assert receiver.feed(b"") == []
    assert receiver.feed(b"b") == ["ab"]


@both_roles
def test_a_code_point_may_be_split_between_frames_and_by_empty_ones(masked):
    octets = "a😀€".encode()
    frames = b"".join(
        encode(
            TEXT if index == 0 else CONTINUATION,
            octets[index : index + 1],
            fin=False,
            key=KEY if masked else None,
        )
        + encode(CONTINUATION, b"", fin=False, key=KEY if masked else None)
        + encode(PING, b"!", key=KEY if masked else None)
        for index in range(len(octets))
    )
    end = encode(CONTINUATION, b"", key=KEY if masked else None)
    messages = Receiver(masked=masked).feed(frames + end)
    assert messages == [Ping(b"!")] * len(octets) + ["a😀€"]


@both_roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_empty_messages_whole_and_in_empty_fragments(masked, opcode):
    key = KEY if masked else None
    wire = (
        encode(opcode, b"", key=key)
        + encode(opcode, b"", fin=False, key=key)
        + encode(CONTINUATION, b"", fin=False, key=key)
        + encode(CONTINUATION, b"", key=key)
    )
    assert Receiver(masked=masked).feed(wire) == ["" if opcode == TEXT else b""] * 2


# -- the buffer of a long binary frame ---------------------------------------------------------


def test_a_long_binary_frame_is_read_into_a_buffer_that_grows_as_it_comes():
    size = 5 * MIB
    receiver = Receiver()
    assert receiver.buffer() is None
    receiver.feed(encode(BINARY, b"xyz", announced=size))
    reads, lengths = [], set()
    filled = 3
    while (buffer := receiver.buffer()) is not None:
        lengths.add(len(buffer.obj))
        count = len(buffer)
        reads.append(count)
        buffer[:] = pattern(size, 0)[filled : filled + count]
        del buffer
        filled += count
        messages = receiver.filled(count)
    assert lengths == {MIB, 2 * MIB, 3 * MIB, 4 * MIB, 5 * MIB}
    assert max(reads) == MIB // 4
    assert messages == [b"xyz" + pattern(size, 0)[3:]]


def test_a_very_long_binary_message_is_not_copied_once_it_is_whole():
    size = MIB + 1
    receiver = Receiver()
    receiver.feed(encode(BINARY, b"", announced=size))
    while (buffer := receiver.buffer()) is not None:
        held, count = buffer.obj, len(buffer)
        buffer[:] = bytes(count)
        del buffer
        messages = receiver.filled(count)
    assert messages[0] is held


def test_the_buffer_of_one_message_serves_the_next_and_does_not_change_it():
    receiver, messages, buffers = Receiver(), [], set()
    for byte in (b"a", b"b", b"c"):
        receiver.feed(encode(BINARY, b"", announced=MIB))
        while (buffer := receiver.buffer()) is not None:
            buffers.add(id(buffer.obj))
            count = len(buffer)
            buffer[:] = byte * count
            del buffer
            messages += receiver.filled(count)
    assert messages == [b"a" * MIB, b"b" * MIB, b"c" * MIB]
    assert len(buffers) == 1


def test_what_a_read_gave_may_be_overwritten():
    wire = bytearray()
    for size in (1, 125, 126, 5000, 5000, 70_000):
        wire += encode(BINARY, b"b" * size) + encode(TEXT, b"t" * size)
    wire += encode(PING, b"ping") + b"\x81"  # half a header
    receiver, messages, page = Receiver(), [], bytearray(1000)
    for start in range(0, len(wire), 1000):
        some = wire[start : start + 1000]
        page[: len(some)] = some
        messages += receiver.feed(memoryview(page)[: len(some)])
        page[:] = bytes(1000)
    assert messages[:-1] == [
        kind * size for size in (1, 125, 126, 5000, 5000, 70_000) for kind in (b"b", "t")
    ]
    assert receiver.feed(b"\x01a") == ["a"]


def test_binary_messages_are_of_the_kind_that_is_asked_for():
    class Kind(bytes):
        pass

    receiver = Receiver()
    receiver.binary = Kind
    for size in (126, 5000, 70_000):
        (message,) = receiver.feed(encode(BINARY, bytes(size)))
        assert type(message) is Kind
    receiver.feed(encode(BINARY, b"", announced=MIB))
    messages = []
    while (buffer := receiver.buffer()) is not None:
        messages += receiver.filled(len(buffer))
    (message,) = messages
    assert type(message) is Kind


@pytest.mark.parametrize("text", ["a" * MIB, "aé€😀" * (MIB // 10), "a" * (MIB - 3) + "é" * 9])
@pytest.mark.parametrize("reads", [[262144], [1000, 262144], [262144, 262144, 7], [99_999]])
def test_a_long_text_is_decoded_with_what_reads_gave(text, reads):
    wire, receiver, messages = memoryview(encode(TEXT, text.encode())), Receiver(), []
    sizes = cycle(reads)
    while wire:
        size, buffer = next(sizes), receiver.buffer()
        if buffer is None:
            messages += receiver.feed(wire[:size])
        else:
            size = min(size, len(buffer), len(wire))
            buffer[:size] = wire[:size]
            del buffer
            messages += receiver.filled(size)
        wire = wire[size:]
    assert messages == [text]


def test_a_bad_byte_fails_a_long_text_with_the_read_that_brought_it():
    receiver = Receiver()
    assert receiver.feed(encode(TEXT, b"a" * 1000, announced=MIB)) == []
    buffer = receiver.buffer()
    buffer[:5] = b"abc\xffd"
    (failure,) = receiver.filled(5)
    assert failure.code == 1007


def test_a_buffer_is_offered_only_where_it_pays():
    long = LONG_FRAME
    short, masked = Receiver(), Receiver(masked=True)
    short.feed(encode(BINARY, b"a", announced=long))
    masked.feed(encode(BINARY, b"", key=KEY, announced=long))
    assert (short.buffer(), masked.buffer()) == (None, None)
    whole = Receiver()
    whole.feed(encode(BINARY, bytes(long)))
    assert whole.buffer() is None


def test_the_last_short_piece_of_a_long_frame_may_come_through_feed():
    payload = pattern(LONG_FRAME + 1000, 0)
    receiver = Receiver()
    receiver.feed(encode(BINARY, b"", announced=len(payload)))
    buffer = receiver.buffer()
    buffer[:1001] = payload[:1001]
    del buffer
    assert receiver.filled(1001) == []
    assert receiver.feed(payload[1001:] + b"\x81\x01a") == [payload, "a"]


def test_feed_may_follow_buffer_at_any_point():
    payload = pattern(3 * LONG_FRAME, 0)
    receiver = Receiver()
    receiver.feed(encode(BINARY, b"", announced=len(payload)))
    receiver.buffer()  # asked for, and not used
    assert receiver.feed(payload[:10]) == []
    buffer = receiver.buffer()
    buffer[:10] = payload[10:20]
    del buffer
    assert receiver.filled(10) == []
    assert receiver.feed(payload[20:30]) == []
    at = 30
    while (buffer := receiver.buffer()) is not None:
        count = len(buffer)
        buffer[:] = payload[at : at + count]
        del buffer
        messages = receiver.filled(count)
        at += count
    assert messages == [payload]


def test_long_fragments_are_joined():
    first, second = pattern(LONG_FRAME + 7, 1), pattern(2 * LONG_FRAME, 2)
    wire = (
        encode(BINARY, first, fin=False)
        + encode(PING, b"now")
        + encode(CONTINUATION, second, fin=False)
        + encode(CONTINUATION, b"end")
    )
    assert read(Receiver(), wire, read_size=4096) == [Ping(b"now"), first + second + b"end"]


# -- every failure rule ------------------------------------------------------------------------

PROTOCOL_ERRORS = [
    pytest.param(encode(TEXT, b"a", rsv=4), "reserved bit", id="RSV1"),
    pytest.param(encode(TEXT, b"a", rsv=2), "reserved bit", id="RSV2"),
    pytest.param(encode(BINARY, b"a", rsv=1), "reserved bit", id="RSV3"),
    pytest.param(encode(PING, b"a", rsv=4), "reserved bit", id="RSV1 of a ping"),
    *(
        pytest.param(encode(opcode, b""), f"opcode {opcode} is reserved", id=f"opcode {opcode}")
        for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)
    ),
    pytest.param(encode(PING, b"", fin=False), "must not be fragmented", id="fragmented ping"),
    pytest.param(encode(PONG, b"", fin=False), "must not be fragmented", id="fragmented pong"),
    pytest.param(encode(CLOSE, b"", fin=False), "must not be fragmented", id="fragmented close"),
    pytest.param(encode(PING, bytes(126)), "at most 125 bytes", id="long ping"),
    pytest.param(encode(PONG, bytes(65536)), "at most 125 bytes", id="very long pong"),
    pytest.param(encode(CLOSE, close_body(1000, b"a" * 124)), "at most 125 bytes", id="long close"),
    pytest.param(
        encode(PING, b"", length_bytes=2), "at most 125 bytes", id="ping's length in two bytes"
    ),
    pytest.param(encode(TEXT, b"a", length_bytes=2), "fewest bytes", id="1 in two bytes"),
    pytest.param(encode(TEXT, bytes(125), length_bytes=2), "fewest bytes", id="125 in two bytes"),
    pytest.param(encode(BINARY, b"a", length_bytes=8), "fewest bytes", id="1 in eight bytes"),
    pytest.param(
        encode(BINARY, bytes(126), length_bytes=8), "fewest bytes", id="126 in eight bytes"
    ),
    pytest.param(
        encode(BINARY, bytes(65535), length_bytes=8), "fewest bytes", id="65535 in eight bytes"
    ),
    pytest.param(encode(BINARY, b"", announced=1 << 63), "highest bit", id="2**63"),
    pytest.param(encode(TEXT, b"", announced=(1 << 64) - 1), "highest bit", id="2**64-1"),
    pytest.param(encode(CONTINUATION, b"a"), "no message is unfinished", id="continuation first"),
    pytest.param(
        encode(CONTINUATION, b"a", fin=False), "no message is unfinished", id="fragment first"
    ),
    pytest.param(encode(CLOSE, b"\x03"), "one byte", id="one-byte close"),
    *(
        pytest.param(encode(CLOSE, close_body(code)), f"the code {code}", id=f"close {code}")
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
]


def masked_form(wire: bytes) -> bytes:
    """Give a frame that was written unmasked the key of four zeros, which changes no payload."""
    second = wire[1] & 0x7F
    at = 2 + {126: 2, 127: 8}.get(second, 0)
    return bytes([wire[0], wire[1] | 0x80]) + wire[2:at] + bytes(4) + wire[at:]


@both_roles
@pytest.mark.parametrize("read_size", [MIB, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(("frame", "reason"), PROTOCOL_ERRORS)
def test_a_broken_rule_fails_with_1002_and_nothing_comes_after(masked, read_size, frame, reason):
    hello = encode(TEXT, b"Hello", key=KEY if masked else None)
    wire = hello + (masked_form(frame) if masked else frame)
    receiver = Receiver(masked=masked)
    hello_message, *failure = read(receiver, wire + hello, read_size=read_size)
    assert hello_message == "Hello"  # what came before, in the same read too, is not lost
    assert only_failure(failure).code == 1002
    assert reason in failure[0].reason
    assert receiver.finished
    assert receiver.feed(hello) == []
    assert receiver.buffer() is None


def test_a_masked_frame_from_a_server_fails():
    failure = only_failure(Receiver().feed(encode(TEXT, b"Hello", key=KEY)))
    assert failure == Failure(1002, "a server's frame must not be masked")
    assert only_failure(Receiver().feed(encode(PING, b"", key=KEY))) == failure


def test_an_unmasked_frame_from_a_client_fails():
    failure = only_failure(Receiver(masked=True).feed(encode(TEXT, b"Hello")))
    assert failure == Failure(1002, "a client's frame must be masked")
    assert only_failure(Receiver(masked=True).feed(encode(CLOSE, b""))) == failure


@both_roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_new_message_within_a_fragmented_one_fails(masked, opcode):
    key = KEY if masked else None
    wire = encode(BINARY, b"a", fin=False, key=key) + encode(opcode, b"b", key=key)
    failure = only_failure(Receiver(masked=masked).feed(wire))
    assert failure.code == 1002
    assert "before the last one was finished" in failure.reason


@both_roles
def test_a_continuation_after_a_finished_fragmented_message_fails(masked):
    key = KEY if masked else None
    wire = (
        encode(TEXT, b"a", fin=False, key=key)
        + encode(CONTINUATION, b"b", key=key)
        + encode(CONTINUATION, b"c", key=key)
    )
    message, failure = Receiver(masked=masked).feed(wire)
    assert message == "ab"
    assert failure.code == 1002


@both_roles
def test_a_control_frame_does_not_end_the_fragmented_message_around_it(masked):
    key = KEY if masked else None
    wire = (
        encode(BINARY, b"a", fin=False, key=key)
        + encode(PONG, b"", key=key)
        + encode(CONTINUATION, b"b", key=key)
        + encode(CONTINUATION, b"c", key=key)
    )
    assert Receiver(masked=masked).feed(wire)[:2] == [Pong(b""), b"ab"]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (0xC1, 0x7F, "reserved bit"),
        (0x83, 0x7F, "opcode 3 is reserved"),
        (0x81, 0xFF, "must not be masked"),
        (0x09, 0x01, "must not be fragmented"),
        (0x89, 0x7E, "at most 125 bytes"),
        (0x80, 0x7E, "no message is unfinished"),
    ],
)
def test_two_bytes_are_enough_to_fail_on(first, second, reason):
    assert reason in only_failure(Receiver().feed(bytes([first, second]))).reason


@pytest.mark.parametrize("masked", [False, True], ids=["client", "server"])
def test_a_bad_length_fails_before_the_masking_key_or_payload_comes(masked):
    for wire in (b"\x82\x7e\x00\x7d", b"\x82\x7f" + b"\xff" * 8, b"\x82\x7f" + bytes(8)):
        receiver = Receiver(masked=masked)
        if masked:
            wire = wire[:1] + bytes([wire[1] | 0x80]) + wire[2:]
        assert receiver.feed(wire[:-1]) == []
        assert only_failure(receiver.feed(wire[-1:])).code == 1002


def kinds(messages: list[object]) -> list[object]:
    """Take the reasons off the failures: they say where in one piece an octet is wrong."""
    return [item.code if isinstance(item, Failure) else item for item in messages]


@given(wire=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
@example(wire=b"\x88\x02\x03\xe8\x81\x01a", cuts=[])
@example(wire=b"\x82\x7e\x01\x00", cuts=[])
def test_garbage_is_read_alike_wherever_it_is_cut_and_never_raises(wire, cuts):
    whole = Receiver()
    messages = whole.feed(wire)
    assert kinds(read(Receiver(), wire, cuts)) == kinds(messages)
    assert kinds(read(Receiver(), wire, read_size=1)) == kinds(messages)
    ends = [index for index, item in enumerate(messages) if isinstance(item, (Close, Failure))]
    assert ends == ([len(messages) - 1] if whole.finished else [])


@given(wire=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_masked_garbage_is_read_alike_wherever_it_is_cut_and_never_raises(wire, cuts):
    wire = b"\x01\x84abcd" + wire if len(wire) & 1 else wire
    messages = kinds(Receiver(masked=True).feed(wire))
    assert kinds(read(Receiver(masked=True), wire, cuts)) == messages
    assert kinds(read(Receiver(masked=True), wire, read_size=1)) == messages


# -- Close ---------------------------------------------------------------------------------------


@both_roles
@given(code=st.integers(0, 65535), reason=st.text(max_size=30))
def test_a_close_frame_gives_its_code_and_reason_if_the_code_is_valid(masked, code, reason):
    wire = encode(CLOSE, close_body(code, reason.encode()), key=KEY if masked else None)
    (message,) = Receiver(masked=masked).feed(wire)
    if is_valid_close_code(code):
        assert message == Close(code, reason)
    else:
        assert message.code == 1002


@both_roles
def test_a_close_frame_without_a_body_has_no_code(masked):
    wire = encode(CLOSE, b"", key=KEY if masked else None)
    assert Receiver(masked=masked).feed(wire) == [Close(None, "")]


def test_a_reason_may_fill_the_frame():
    wire = encode(CLOSE, close_body(1000, b"x" * 123))
    assert Receiver().feed(wire) == [Close(1000, "x" * 123)]


@both_roles
@pytest.mark.parametrize("reason", [b"\xff", b"ok\xc3", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_a_reason_that_is_not_utf8_fails_with_1007(masked, reason):
    # RFC 6455 §8.1: also in a Close frame
    wire = encode(CLOSE, close_body(1000, reason), key=KEY if masked else None)
    failure = only_failure(Receiver(masked=masked).feed(wire))
    assert failure.code == 1007
    assert "reason is not UTF-8" in failure.reason


@both_roles
@pytest.mark.parametrize("read_size", [MIB, 1])
def test_nothing_comes_after_a_close_frame(masked, read_size):
    key = KEY if masked else None
    wire = encode(TEXT, b"a", key=key) + encode(CLOSE, b"", key=key)
    rest = encode(TEXT, b"b", key=key) + encode(PING, b"", key=key) + b"\xff\xff"
    receiver = Receiver(masked=masked)
    assert read(receiver, wire + rest, read_size=read_size) == ["a", Close(None, "")]
    assert receiver.finished
    assert receiver.feed(rest) == []
    assert receiver.buffer() is None


def test_a_close_frame_within_a_fragmented_message_drops_that():
    receiver = Receiver()
    assert receiver.feed(encode(TEXT, b"a", fin=False) + encode(CLOSE, b"")) == [Close(None, "")]
    assert receiver.feed(encode(CONTINUATION, b"b")) == []


# -- UTF-8 as it arrives ---------------------------------------------------------------------------


def first_bad_octet(octets: bytes) -> int | None:
    """Return where `octets` cannot be UTF-8 any more, by the Unicode Standard's Table 3-7."""
    following: list[tuple[int, int]] = []
    for index, octet in enumerate(octets):
        if following:
            low, high = following.pop(0)
            if not low <= octet <= high:
                return index
        elif octet < 0x80:
            continue
        elif 0xC2 <= octet <= 0xDF:
            following = [(0x80, 0xBF)]
        elif 0xE0 <= octet <= 0xEF:
            low = 0xA0 if octet == 0xE0 else 0x80
            following = [(low, 0x9F if octet == 0xED else 0xBF), (0x80, 0xBF)]
        elif 0xF0 <= octet <= 0xF4:
            low = 0x90 if octet == 0xF0 else 0x80
            following = [(low, 0x8F if octet == 0xF4 else 0xBF), (0x80, 0xBF), (0x80, 0xBF)]
        else:
            return index
    return None


BAD_UTF8 = [
    b"\x80", b"\xbf", b"\xc0", b"\xc1\xbf", b"\xc3\x28", b"\xe0\x80\x80", b"\xe0\x9f\xbf",
    b"\xe2\x28", b"\xe2\x82\x28", b"\xe2\x82\xff", b"\xed\xa0\x80", b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98\x28", b"\xf0\x9f\x28",
    b"\xf4\x90\x80\x80", b"\xf5", b"\xf8", b"\xfe", b"\xff",
]  # fmt: skip


def assert_fails_at(receiver: Receiver, octets: bytes, key: bytes | None) -> None:
    """Feed a text of 1000 bytes that begins with `octets`, and see at which of them it fails."""
    bad = first_bad_octet(octets)
    assert bad is not None
    frame = encode(TEXT, octets + b"z" * (1000 - len(octets)), key=key)
    header = len(frame) - 1000
    assert receiver.feed(frame[:header]) == []
    for index in range(bad):
        assert receiver.feed(frame[header + index : header + index + 1]) == []
    failure = only_failure(receiver.feed(frame[header + bad : header + bad + 1]))
    assert failure.code == 1007
    assert "not UTF-8" in failure.reason


@both_roles
@pytest.mark.parametrize("before", [b"", b"plain ", "é€😀".encode()])
@pytest.mark.parametrize("bad", BAD_UTF8)
def test_invalid_utf8_fails_with_1007_at_the_very_octet(masked, before, bad):
    # RFC 6455 §8.1, and Autobahn's cases 6.3 and 6.4: before the frame ends
    assert_fails_at(Receiver(masked=masked), before + bad, KEY if masked else None)


@both_roles
@given(octets=st.binary(min_size=1, max_size=40).filter(lambda octets: first_bad_octet(octets)))
def test_any_invalid_utf8_fails_at_the_very_octet(masked, octets):
    assert_fails_at(Receiver(masked=masked), octets, KEY if masked else None)


@both_roles
@pytest.mark.parametrize("bad", BAD_UTF8)
def test_invalid_utf8_fails_in_a_fragment_before_the_message_ends(masked, bad):
    key = KEY if masked else None
    wire = encode(TEXT, "é".encode(), fin=False, key=key) + b"".join(
        encode(CONTINUATION, bytes([octet]), fin=False, key=key) for octet in bad
    )
    assert only_failure(Receiver(masked=masked).feed(wire)).code == 1007


@both_roles
@pytest.mark.parametrize("bad", BAD_UTF8)
@pytest.mark.parametrize("size", [0, 130, 2000])
def test_invalid_utf8_fails_in_a_whole_frame(masked, bad, size):
    key = KEY if masked else None
    before = encode(TEXT, b"before", key=key)
    wire = before + encode(TEXT, b"z" * size + bad, key=key) + before
    message, failure = Receiver(masked=masked).feed(wire)
    assert message == "before"
    assert failure.code == 1007


@both_roles
@pytest.mark.parametrize("cut", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
@pytest.mark.parametrize("fragmented", [False, True])
@pytest.mark.parametrize("read_size", [MIB, 1])
def test_a_text_that_ends_within_a_code_point_fails_with_1007(masked, cut, fragmented, read_size):
    key = KEY if masked else None
    wire = encode(TEXT, b"ok" + cut, fin=not fragmented, key=key)
    if fragmented:
        wire += encode(CONTINUATION, b"", key=key)
    failure = only_failure(read(Receiver(masked=masked), wire, read_size=read_size))
    assert failure.code == 1007


@both_roles
def test_a_new_text_does_not_inherit_the_last_ones_half_code_point(masked):
    key = KEY if masked else None
    wire = encode(TEXT, "😀".encode(), key=key) + encode(TEXT, b"\x98\x80", key=key)
    message, failure = read(Receiver(masked=masked), wire, read_size=1)
    assert message == "😀"
    assert failure.code == 1007


def test_binary_messages_may_hold_any_bytes():
    every = bytes(range(256))
    assert read(Receiver(), encode(BINARY, every), read_size=3) == [every]


# -- max_message_size ------------------------------------------------------------------------------


def test_the_default_is_128_mib():
    assert DEFAULT_MAX_MESSAGE_SIZE == 128 * MIB
    assert Receiver().max_message_size == 128 * MIB


@both_roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("limit", [0, 10, 125, 126, 65535, 65536])
@pytest.mark.parametrize("read_size", [MIB, 7])
def test_a_message_of_the_limit_is_taken_and_one_byte_more_fails_with_1009(
    masked, opcode, limit, read_size
):
    key = KEY if masked else None
    wire = encode(opcode, b"x" * limit, key=key) + encode(opcode, b"x" * (limit + 1), key=key)
    receiver = Receiver(masked=masked, max_message_size=limit)
    message, failure = read(receiver, wire, read_size=read_size)
    assert len(message) == limit
    assert failure.code == 1009
    assert f"at least {limit + 1} bytes" in failure.reason
    assert f"max_message_size is {limit}" in failure.reason


@both_roles
@pytest.mark.parametrize("size", [129 * MIB, 1 << 40, (1 << 63) - 1])
def test_the_limit_is_checked_from_the_header_before_any_memory_is_taken(masked, size):
    header = encode(BINARY, b"", announced=size)
    if masked:
        header = masked_form(header)[:10]  # not even the masking key is waited for
    receiver = Receiver(masked=masked)
    with traced() as peak:
        assert receiver.feed(header[:-1]) == []
        failure = only_failure(receiver.feed(header[-1:]))
    assert failure.code == 1009
    assert receiver.buffer() is None
    assert peak[0] < MIB


@both_roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("read_size", [MIB, 1])
def test_the_limit_holds_over_several_fragments(masked, opcode, read_size):
    key = KEY if masked else None
    first = encode(opcode, b"x" * 60, fin=False, key=key)
    ping = encode(PING, b"y" * 100, key=key)  # counts for nothing
    second = encode(CONTINUATION, b"", fin=False, key=key)
    third = encode(CONTINUATION, b"x" * 40, key=key)
    message = "x" * 100 if opcode == TEXT else b"x" * 100
    receiver = Receiver(masked=masked, max_message_size=100)
    wire = first + ping + second + third
    assert read(receiver, wire + wire, read_size=read_size) == [Ping(b"y" * 100), message] * 2
    longer = first + second + ping + encode(CONTINUATION, b"x" * 41, key=key)
    _, failure = read(receiver, longer, read_size=read_size)
    assert failure.code == 1009
    assert "at least 101 bytes" in failure.reason


def test_the_limit_over_fragments_is_checked_from_the_header():
    receiver = Receiver(max_message_size=MIB)
    assert receiver.feed(encode(BINARY, b"x" * 1000, fin=False)) == []
    header = encode(CONTINUATION, b"", announced=MIB - 999)
    assert receiver.feed(header[:-1]) == []
    assert only_failure(receiver.feed(header[-1:])).code == 1009


# -- bounded memory and time -----------------------------------------------------------------------


def test_a_million_empty_fragments_take_no_memory():
    receiver = Receiver()
    receiver.feed(encode(TEXT, b"", fin=False))
    chunk = encode(CONTINUATION, b"", fin=False) * (31_250 // SCALE)
    for _ in range(31):
        assert receiver.feed(chunk) == []
    assert least_peak(lambda: receiver.feed(chunk)) < 16 * 1024
    assert receiver.feed(encode(CONTINUATION, b"a")) == ["a"]


def test_empty_masked_fragments_take_no_memory():
    receiver = Receiver(masked=True)
    receiver.feed(encode(BINARY, b"", fin=False, key=KEY))
    chunk = encode(CONTINUATION, b"", fin=False, key=KEY) * (25_000 // SCALE)
    assert least_peak(lambda: receiver.feed(chunk)) < 16 * 1024
    assert receiver.feed(encode(CONTINUATION, b"a", key=KEY)) == [b"a"]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(
    ("masked", "size", "step"),
    [
        pytest.param(False, 128 * 1024, 1, id="128 KiB in 1-byte frames"),
        pytest.param(False, 4 * MIB, 128, id="4 MiB in 128-byte frames"),
        pytest.param(True, 32 * 1024, 1, id="32 KiB in masked 1-byte frames"),
    ],
)
def test_a_message_in_tiny_frames_takes_little_more_memory_than_its_size(
    masked, size, step, opcode
):
    size //= SCALE
    receiver = Receiver(masked=masked)
    key = KEY if masked else None
    octet = b"a" if opcode == TEXT else b"\xfe"
    receiver.feed(encode(opcode, b"", fin=False, key=key))
    chunk = encode(CONTINUATION, octet * step, fin=False, key=key) * 1024
    with traced() as peak:
        for _ in range(size // step // 1024):
            assert receiver.feed(chunk) == []
    # 1024 small parts, each with its object's head, and what they are joined to.
    assert peak[0] < size + 1024 * (step + 64) + 192 * 1024
    (message,) = receiver.feed(encode(CONTINUATION, b"", key=key))
    assert message == (octet.decode() if opcode == TEXT else octet) * size


@pytest.mark.parametrize("characters", ["a", "€"])
def test_a_text_frame_in_tiny_reads_takes_little_more_memory_than_its_size(characters):
    size = 96 * 1024 // SCALE
    receiver = Receiver()
    octets = characters.encode()
    pieces = [octets[index : index + 1] for index in range(len(octets))]
    receiver.feed(encode(TEXT, b"", announced=size))
    with traced() as peak:
        for _ in range(size // len(octets) - 1):
            for piece in pieces:
                receiver.feed(piece)
    assert peak[0] < size + 256 * 1024
    assert receiver.feed(octets) == [characters * (size // len(octets))]


def dribble(receiver: Receiver, pieces: int, piece: bytes) -> float:
    """Feed `piece` so many times; return the processor's seconds, for this thread alone."""
    start = time.thread_time()
    for _ in range(pieces):
        receiver.feed(piece)
    return time.thread_time() - start


def test_a_4_mib_text_in_one_byte_reads_takes_time_in_proportion():
    size, tiny = 4 * MIB, MIB // 2 // SCALE
    receiver = Receiver()
    receiver.feed(encode(TEXT, b"", announced=size + 1))
    first = dribble(receiver, tiny, b"a")
    dribble(receiver, (size - 2 * tiny) // 256, b"a" * 256)  # the last shall not pay for these
    last = dribble(receiver, tiny, b"a")
    assert receiver.feed(b"z") == ["a" * size + "z"]
    assert last < 4 * first + 0.5


def test_a_4_mib_text_in_one_byte_frames_takes_time_in_proportion():
    size, tiny = 4 * MIB, MIB // 2 // SCALE
    receiver = Receiver()
    receiver.feed(encode(TEXT, b"", fin=False))
    chunk = encode(CONTINUATION, b"a", fin=False) * (tiny // 16)
    first = dribble(receiver, 16, chunk)
    dribble(receiver, (size - 2 * tiny) // 256, encode(CONTINUATION, b"a" * 256, fin=False))
    last = dribble(receiver, 16, chunk)
    assert receiver.feed(encode(CONTINUATION, b"z")) == ["a" * size + "z"]
    assert last < 4 * first + 0.5


@both_roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_that_announces_100_mib_which_never_come_takes_1_mib_at_most(masked, opcode):
    receiver = Receiver(masked=masked)
    header = encode(opcode, b"", announced=100 * MIB)
    with traced() as peak:
        assert receiver.feed(masked_form(header) if masked else header) == []
        assert read(receiver, b"x" * 1000, read_size=100) == []
    assert peak[0] < MIB + 64 * 1024


def test_the_buffer_follows_what_has_come():
    receiver = Receiver()
    receiver.feed(encode(BINARY, b"", announced=100 * MIB))
    piece = bytes(256 * 1024)
    with traced() as peak:
        for _ in range(12):  # 3 of the 100 MiB
            assert read(receiver, piece) == []
    assert peak[0] < 4 * MIB + 2 * MIB + 512 * 1024  # it doubled to 4 MiB, with 2 MiB of zeros


def test_a_long_message_takes_little_more_memory_than_its_size():
    size = 32 * MIB
    receiver = Receiver()
    piece = bytes(64 * 1024)
    with traced() as peak:
        receiver.feed(encode(BINARY, b"", announced=size))
        for _ in range(size // len(piece)):
            messages = read(receiver, piece)
    assert messages == [bytes(size)]
    # The buffer, and while it doubles for the last time the zeros that are added to it.
    assert peak[0] < 1.5 * size + MIB


def test_a_control_frame_that_never_ends_is_bounded_by_its_length():
    receiver = Receiver()
    wire = encode(PING, bytes(125))
    for index in range(len(wire) - 1):
        assert receiver.feed(wire[index : index + 1]) == []
        assert len(receiver._head) == index + 1
    assert receiver.feed(wire[-1:] + b"\x8a") == [Ping(bytes(125))]
    assert receiver._head == b"\x8a"


def test_after_a_failure_nothing_of_the_message_is_kept():
    receiver = Receiver(max_message_size=2 * MIB)
    receiver.feed(encode(BINARY, bytes(MIB), fin=False))
    assert only_failure(receiver.feed(encode(TEXT, b"a"))).code == 1002
    assert receiver._parts == []


def test_small_parts_are_joined_now_and_then_and_long_ones_left_alone(monkeypatch):
    monkeypatch.setattr(receiver_module, "_MANY_PARTS", 4)
    monkeypatch.setattr(receiver_module, "_SMALL_PART", 8)
    receiver = Receiver()
    receiver.feed(encode(BINARY, b"0123456789", fin=False))
    for _ in range(10):
        receiver.feed(encode(CONTINUATION, b"ab", fin=False))
    assert receiver._parts[0] == b"0123456789"
    assert len(receiver._parts) < 7
    assert receiver.feed(encode(CONTINUATION, b"!")) == [b"0123456789" + b"ab" * 10 + b"!"]


@pytest.mark.parametrize("many", [3, 1000])
@given(texts=st.lists(st.text("aé漢😀", max_size=12), max_size=30), cut=st.integers(1, 40))
def test_a_long_text_is_the_same_whatever_of_it_is_kept_undecoded(many, texts, cut):
    wire = encode(TEXT, b"", fin=False)
    for text in texts:
        wire += encode(CONTINUATION, text.encode(), fin=False)
    wire += encode(CONTINUATION, b"!")
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("_LONG_TEXT", 10), ("_STR", 50), ("_MANY_PARTS", many)):
            patch.setattr(receiver_module, name, size)
        patch.setattr(receiver_module, "_SMALL_PART", 16)
        receiver = Receiver()
        messages = []
        for at in range(0, len(wire), cut):
            messages += receiver.feed(wire[at : at + cut])
    assert messages == ["".join(texts) + "!"]


# -- what others encode ----------------------------------------------------------------------------


def send_through(protocol: ClientProtocol | ServerProtocol, stream: Stream) -> bytes:
    """Have `websockets` encode the stream."""
    for frame in stream.frames:
        if frame.opcode == TEXT:
            protocol.send_text(frame.payload, fin=frame.fin)
        elif frame.opcode == BINARY:
            protocol.send_binary(frame.payload, fin=frame.fin)
        elif frame.opcode == CONTINUATION:
            protocol.send_continuation(frame.payload, fin=frame.fin)
        elif frame.opcode == PING:
            protocol.send_ping(frame.payload)
        elif frame.opcode == PONG:
            protocol.send_pong(frame.payload)
        elif frame.payload:
            code = int.from_bytes(frame.payload[:2], "big")
            protocol.send_close(code, frame.payload[2:].decode())
        else:
            protocol.send_close()
    return b"".join(protocol.data_to_send())


@given(stream=streams(), read_size=st.sampled_from([256 * 1024, 4096]))
def test_what_websockets_servers_encode_our_client_decodes(stream, read_size):
    wire = send_through(ServerProtocol(state=State.OPEN, max_size=None), stream)
    assert read(Receiver(), wire, read_size=read_size) == stream.messages


@given(stream=streams(), read_size=st.sampled_from([256 * 1024, 4096]))
def test_what_websockets_clients_encode_our_server_decodes(stream, read_size):
    uri = parse_uri("ws://127.0.0.1/")
    wire = send_through(ClientProtocol(uri, state=State.OPEN, max_size=None), stream)
    assert read(Receiver(masked=True), wire, read_size=read_size) == stream.messages


@pytest.mark.parametrize("payload", [b"a" * 99 + b"\xff", b"a" * 98 + b"\xed\xa0"])
def test_text_that_waits_for_the_next_read_can_be_decoded_without_it(payload, monkeypatch):
    """A read that took all there was room for leaves it waiting; a bad byte shows all the same."""
    monkeypatch.setattr(receiver_module, "_READ", 100)
    receiver = Receiver()
    receiver.feed(encode(TEXT, b"", announced=MIB))
    buffer = receiver.buffer()
    assert len(buffer) == 100
    buffer[:] = payload
    assert receiver.filled(100) == []
    assert receiver.undecoded == 100
    [end] = receiver.decode_now()
    assert (type(end), end.code) == (Failure, 1007)
    assert receiver.finished
    assert receiver.undecoded == 0
    assert receiver.decode_now() == []


def test_text_that_was_decoded_early_goes_on():
    receiver = Receiver()
    text = "größe 😀" * 60_000
    wire = encode(TEXT, text.encode())
    messages = receiver.feed(wire[:14])
    at = 14
    while at < len(wire):
        buffer = receiver.buffer()
        if buffer is None:
            messages += receiver.feed(wire[at:])
            break
        count = min(len(buffer), len(wire) - at)
        buffer[:count] = wire[at : at + count]
        del buffer
        messages += receiver.filled(count)
        at += count
        assert receiver.decode_now() == []
    assert messages == [text]
