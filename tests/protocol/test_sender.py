"""RFC 6455 §5 and §6.1: what leaves, and what waits."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wire_streams import (
    BORDER_SIZES,
    CHARACTERS,
    encode,
    pattern,
    read,
    reference_mask,
    text_of,
)

from webapi.protocol import masking
from webapi.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    Ping,
    Pong,
    close_body,
)
from webapi.protocol.receiver import Message, Receiver
from webapi.protocol.sender import (
    BATCH_SIZE,
    LONG,
    Control,
    Item,
    Sender,
    frame,
    header,
    payload_size,
    utf8,
)

both_roles = pytest.mark.parametrize("masked", [False, True], ids=["server", "client"])


def sender_of(*items: Item, masked: bool = True) -> Sender:
    sender = Sender(masked=masked)
    sender.queue.extend(items)
    return sender


def drain(sender: Sender) -> bytes:
    """Take all that can leave, and see that `waiting` falls by what each batch says it carries."""
    wire = bytearray()
    while sender:
        before = sender.count()
        pieces, carried = sender.take()
        assert pieces
        assert len(pieces) == len(carried)
        assert before - sender.count() == sum(map(carried_size, carried))
        wire += b"".join(pieces)
    return bytes(wire)


def carried_size(carried: int | Item) -> int:
    return carried if isinstance(carried, int) else payload_size(carried)


def parse(wire: bytes) -> list[tuple[int, bool, bytes | None, bytes]]:
    """Take frames apart by RFC 6455 §5.2: opcode, FIN, masking key, payload unmasked."""
    frames, at = [], 0
    while at < len(wire):
        first, second = wire[at], wire[at + 1]
        assert not first & 0x70
        size, at = second & 0x7F, at + 2
        if size > 125:
            extended = 2 if size == 126 else 8
            size = int.from_bytes(wire[at : at + extended], "big")
            assert size > (125 if extended == 2 else 65535)
            at += extended
        key = None
        if second & 0x80:
            key, at = wire[at : at + 4], at + 4
        payload = wire[at : at + size]
        assert len(payload) == size
        if key is not None:
            payload = reference_mask(payload, key)
        frames.append((first & 0x0F, first >= 0x80, key, payload))
        at += size
    return frames


@st.composite
def queued(draw: st.DrawFn, *, close: bool = True) -> tuple[list[Item], list[Message]]:
    """What an application may queue, and the messages that its peer gets."""
    items: list[Item] = []
    messages: list[Message] = []
    sizes = st.one_of(
        st.integers(0, 30),
        st.sampled_from((*BORDER_SIZES, 300_000)),
        st.sampled_from((BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 1, BATCH_SIZE + 5)),
    )
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(("text", "text", "binary", "control")))
        if kind == "control":
            opcode = draw(st.sampled_from((PING, PONG)))
            body = pattern(draw(st.sampled_from((0, 4, 125))), 1)
            items.append(Control(opcode, body))
            messages.append(Ping(body) if opcode == PING else Pong(body))
        elif kind == "text":
            characters = draw(st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4))
            text = text_of(draw(sizes), characters)
            items.append(text)
            messages.append(text)
        else:
            payload = pattern(draw(sizes), draw(st.integers(0, 255)))
            items.append(draw(st.sampled_from((bytes, bytearray, memoryview)))(payload))
            messages.append(payload)
    if close and draw(st.booleans()):
        items.append(Control(CLOSE, close_body(1000, b"bye")))
        messages.append(Close(1000, "bye"))
    return items, messages


# -- one frame -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (frame(TEXT, b"Hello"), b"\x81\x05Hello"),
        (
            frame(TEXT, b"Hello", masking_key=b"\x37\xfa\x21\x3d"),
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        ),
        (frame(TEXT, b"Hel", fin=False), b"\x01\x03Hel"),
        (frame(CONTINUATION, b"lo"), b"\x80\x02lo"),
        (frame(PING, b"Hello"), b"\x89\x05Hello"),
        (frame(BINARY, bytes(256)), b"\x82\x7e\x01\x00" + bytes(256)),
        (
            frame(BINARY, bytes(65536)),
            b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536),
        ),
    ],
)
def test_the_rfcs_examples(wire, expected):
    # https://www.rfc-editor.org/rfc/rfc6455#section-5.7
    assert wire == expected


@given(
    opcode=st.integers(0, 15),
    size=st.one_of(st.integers(0, 300), st.sampled_from(BORDER_SIZES)),
    key=st.one_of(st.none(), st.binary(min_size=4, max_size=4)),
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    kind=st.sampled_from((bytes, bytearray, memoryview)),
)
def test_frame_writes_any_frame_right_or_wrong(opcode, size, key, fin, rsv, kind):
    payload = pattern(size, opcode)
    wire = frame(opcode, kind(payload), masking_key=key, fin=fin, rsv=rsv)
    assert wire == encode(opcode, payload, fin=fin, key=key, rsv=rsv)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, b"\x82\x80"),
        (125, b"\x82\xfd"),
        (126, b"\x82\xfe\x00\x7e"),
        (65535, b"\x82\xfe\xff\xff"),
        (65536, b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00"),
        ((1 << 63) - 1, b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ],
)
def test_a_length_is_written_in_the_fewest_bytes(size, expected):
    assert header(0x82, size, 0x80) == expected


# -- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("", b""),
        ("aé€😀", "aé€😀".encode()),
        ("\ud800", b"\xef\xbf\xbd"),
        ("a\udfffb", b"a\xef\xbf\xbdb"),
        ("\ud83d\ude00", "😀".encode()),
        ("\ude00\ud83d", b"\xef\xbf\xbd\xef\xbf\xbd"),
    ],
)
def test_text_is_utf8_with_lone_surrogates_replaced_and_pairs_joined(text, octets):
    assert utf8(text) == octets
    assert payload_size(text) == len(octets)
    for masked in (False, True):
        (taken,) = parse(drain(sender_of(text, masked=masked)))
        assert taken[0] == TEXT
        assert taken[3] == octets


@pytest.mark.parametrize(
    ("item", "size"),
    [("abc", 3), ("é😀", 6), (b"abc", 3), (memoryview(b"ab"), 2), (Control(PING, b"abc"), 0)],
)
def test_payload_size_counts_the_applications_bytes(item, size):
    assert payload_size(item) == size


# -- batches ---------------------------------------------------------------------------------------


@both_roles
def test_all_that_waits_leaves_in_one_batch_in_order(masked):
    items = ["one", b"two", Control(PING, b"three"), "vier ö", bytearray(b"five"), ""]
    sender = sender_of(*items, masked=masked)
    pieces, carried = sender.take()
    assert carried == items
    assert [parse(piece)[0][3] for piece in pieces] == [
        b"one", b"two", b"three", "vier ö".encode(), b"five", b"",
    ]  # fmt: skip
    assert [parse(piece)[0][0] for piece in pieces] == [TEXT, BINARY, PING, TEXT, BINARY, TEXT]
    assert not sender
    assert sender.take() == ([], [])


@both_roles
def test_a_batch_ends_at_its_size_and_the_rest_waits(masked):
    sender = sender_of(*[bytes(100_000)] * 5, masked=masked)
    sizes = []
    while sender:
        sizes.append(sum(map(len, sender.take()[0])))
    assert len(sizes) == 2
    assert BATCH_SIZE - LONG < sizes[0] <= BATCH_SIZE + 14


@both_roles
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, str])
@pytest.mark.parametrize("extra", [1, 2, 3, 4, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 3])
def test_a_long_message_is_cut_into_pieces_of_one_frame(masked, kind, extra):
    size = BATCH_SIZE + extra
    payload = pattern(size, 0) if kind is not str else text_of(size, "é").encode()
    item = payload.decode() if kind is str else kind(payload)
    sender = sender_of("before", item, b"after", masked=masked)
    pieces, carried = [], []
    while sender:
        some, what = sender.take()
        assert max(map(len, some)) <= BATCH_SIZE
        assert sum(map(len, some)) < BATCH_SIZE + LONG
        pieces += some
        carried += what
    # The frame's header carries nothing of the application's.
    assert carried[0] == "before"
    assert sum(carried[1:-1]) == size
    assert carried[-1] == b"after"
    opcode = TEXT if kind is str else BINARY
    assert [(frame[0], frame[1]) for frame in parse(b"".join(pieces))] == [
        (TEXT, True), (opcode, True), (BINARY, True),
    ]  # fmt: skip
    messages = read(Receiver(masked=masked), b"".join(pieces))
    assert messages == ["before", payload.decode() if kind is str else payload, b"after"]


def test_the_first_piece_of_a_long_message_leaves_with_its_header():
    sender = sender_of(bytes(BATCH_SIZE + 1))
    (piece,), (size,) = sender.take()
    assert BATCH_SIZE - 16 <= len(piece) <= BATCH_SIZE
    assert len(piece) == size + 14
    assert sender
    assert sender.count() == BATCH_SIZE + 1 - size
    (rest,), _ = sender.take()
    assert len(rest) == BATCH_SIZE + 1 - size
    assert not sender


@pytest.mark.parametrize("sizes", [[5000] * 60, [LONG, 7, LONG + 1] * 40, [BATCH_SIZE - 4, 9000]])
@pytest.mark.parametrize("numpy", [True, False])
def test_long_messages_fill_batches_in_the_room_that_is_given(sizes, numpy, monkeypatch):
    if not numpy:
        monkeypatch.setattr(masking, "_long_way", lambda: masking._mask_by_translate)
    messages = [pattern(size, index) for index, size in enumerate(sizes)]
    sender, room, wire = sender_of(*messages), memoryview(bytearray(BATCH_SIZE)), bytearray()
    batches = []
    while sender:
        pieces, _ = sender.take(room)
        wire += b"".join(pieces)
        batches.append(sum(map(len, pieces)))
    assert read(Receiver(masked=True), bytes(wire)) == messages
    assert all(size > BATCH_SIZE - LONG for size in batches[:-1])


def test_short_messages_follow_the_end_of_a_long_one_in_its_batch():
    sender = sender_of(bytes(BATCH_SIZE + 10), "next")
    sender.take()
    sender_rest = sender.count() - 4
    pieces, carried = sender.take()
    assert carried == [sender_rest, "next"]
    assert len(pieces) == 2


@both_roles
@given(queue=queued())
def test_our_receiver_decodes_what_our_sender_encodes(masked, queue):
    items, messages = queue
    sender = sender_of(*items, masked=masked)
    assert read(Receiver(masked=masked), drain(sender)) == messages
    assert sender.count() == 0


@given(queue=queued(close=False), more=st.lists(st.sampled_from(["x", "😀" * 50, b"yz"])))
def test_waiting_is_exact_while_more_is_queued_between_batches(queue, more):
    items, _ = queue
    sender = sender_of(*items)
    queued_bytes = sum(map(payload_size, items))
    taken = 0
    assert sender.count() == queued_bytes
    while sender or more:
        if more:
            item = more.pop()
            sender.queue.append(item)
            queued_bytes += payload_size(item)
            assert sender.count() == queued_bytes - taken
        taken += sum(map(carried_size, sender.take()[1]))
        assert sender.count() == queued_bytes - taken
    assert taken == queued_bytes


# -- what waits ------------------------------------------------------------------------------------


def test_an_empty_sender_gives_nothing():
    sender = Sender(masked=True)
    assert not sender
    assert sender.count() == 0
    assert sender.take() == ([], [])
    assert sender.clear() == 0


def test_waiting_counts_utf8_and_no_control_frames():
    sender = sender_of("aé😀", b"12345", Control(PING, b"ping"), "\ud800")
    assert sender.count() == 7 + 5 + 3
    assert sender


def test_clear_forgets_all_and_tells_how_much_it_was():
    sender = sender_of(bytes(BATCH_SIZE + 7), "é", Control(PING, b"ping"))
    (taken,) = sender.take()[1]
    assert sender.count() == BATCH_SIZE + 7 - taken + 2
    assert sender.clear() == BATCH_SIZE + 9 - taken
    assert sender.count() == 0
    assert not sender
    assert sender.take() == ([], [])


# -- Close -----------------------------------------------------------------------------------------


@both_roles
def test_after_a_close_frame_no_data_leave_and_still_wait(masked):
    # https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1
    close = Control(CLOSE, close_body(1000))
    sender = sender_of("before", close, "after", b"more", masked=masked)
    assert not sender.closed
    pieces, carried = sender.take()
    assert carried == ["before", close]
    assert parse(pieces[-1])[0][3] == b"\x03\xe8"
    assert sender.closed
    assert not sender
    assert sender.count() == 9
    assert sender.take() == ([], [])
    assert sender.count() == 9
    assert sender.clear() == 9


@both_roles
def test_after_a_close_frame_pings_and_pongs_still_leave(masked):
    # RFC 6455 §5.5.1 forbids data only; a pong may answer a ping until the server's Close comes.
    sender = sender_of(Control(CLOSE, b""), "late", masked=masked)
    sender.take()
    sender.queue.append(Control(PONG, b"1"))
    sender.queue.append(b"later")
    sender.queue.append(Control(PING, b"2"))
    assert sender
    pieces, carried = sender.take()
    assert carried == [Control(PONG, b"1"), Control(PING, b"2")]
    assert [parse(piece)[0][0] for piece in pieces] == [PONG, PING]
    assert not sender
    assert list(sender.queue) == ["late", b"later"]
    assert sender.count() == 9


def test_control_frames_queued_behind_a_close_frame_leave_after_it():
    sender = sender_of(Control(CLOSE, b""), Control(PONG, b"1"), "late")
    assert sender.take()[1] == [Control(CLOSE, b"")]
    assert sender
    assert sender.take()[1] == [Control(PONG, b"1")]
    assert not sender


@both_roles
def test_a_pong_leaves_before_what_waits_but_not_within_a_frame(masked):
    sender = sender_of("first", bytes(3 * BATCH_SIZE), "last", masked=masked)
    wire = b"".join(sender.take()[0])
    assert sender.in_frame
    sender.pongs.append(Control(PONG, b"1"))
    wire += drain(sender)
    assert not sender.in_frame
    assert [frame[0] for frame in parse(wire)] == [TEXT, BINARY, PONG, TEXT]
    sender.queue.extend(["waits", Control(CLOSE, b"")])
    sender.count()
    sender.pongs.extend([Control(PONG, b"2"), Control(PONG, b"3")])
    assert [frame[0] for frame in parse(drain(sender))] == [PONG, PONG, TEXT, CLOSE]
    sender.pongs.append(Control(PONG, b"4"))
    assert [frame[0] for frame in parse(drain(sender))] == [PONG]
    sender.pongs.append(Control(PONG, b"5"))
    sender.clear()
    assert not sender


def test_there_is_one_close_frame_only():
    """Both ends may start the closing handshake at once, and each queue a Close frame."""
    first, second = Control(CLOSE, close_body(1000)), Control(CLOSE, close_body(1001))
    sender = sender_of(first, second, Control(PONG, b"1"))
    wire = drain(sender)
    assert [frame[0] for frame in parse(wire)] == [CLOSE, PONG]
    assert parse(wire)[0][3] == close_body(1000)
    sender.queue.append(second)
    assert not sender
    assert sender.take() == ([], [])


def test_no_control_frame_after_a_close_frame_is_lost_at_a_batchs_end():
    sender = sender_of(Control(CLOSE, b""))
    sender.take()
    sender.queue.extend([Control(PONG, pattern(125, 0))] * 3000)
    assert len(parse(drain(sender))) == 3000


# -- masking keys ----------------------------------------------------------------------------------


def test_each_frame_has_a_masking_key_of_its_own():
    # https://www.rfc-editor.org/rfc/rfc6455#section-5.3
    wire = drain(sender_of(*["short", b"x" * 200, Control(PING, b"")] * 1000))
    keys = Counter(key for _, _, key, _ in parse(wire))
    assert len(keys) > 2990  # 3000 of 2**32; one pair alike in 950 runs
    assert None not in keys


def test_two_connections_have_other_keys():
    wires = [drain(sender_of(*["same"] * 100)) for _ in range(2)]
    first, second = ({key for _, _, key, _ in parse(wire)} for wire in wires)
    assert len(first & second) < 2


def test_keys_are_drawn_from_the_systems_source(monkeypatch):
    generator = random.Random(6455)
    monkeypatch.setattr("os.urandom", generator.randbytes)
    wire = drain(sender_of("a", b"b" * 3000, bytes(BATCH_SIZE + 1)))
    block = random.Random(6455).randbytes(4096)
    assert [key for _, _, key, _ in parse(wire)] == [block[:4], block[4:8], block[8:12]]


@pytest.mark.parametrize("size", [0, 5, 125, 126, 70_000, BATCH_SIZE + 1])
def test_servers_mask_nothing(size):
    wire = drain(sender_of(bytes(size), masked=False))
    assert wire == encode(BINARY, bytes(size))


# -- what others decode ----------------------------------------------------------------------------


def decoded(protocol: ClientProtocol | ServerProtocol, wire: bytes, cut: int) -> list[Message]:
    """Have `websockets` decode, as messages of ours."""
    protocol.receive_data(wire[:cut])
    protocol.receive_data(wire[cut:])
    assert protocol.parser_exc is None
    messages: list[Message] = []
    for event in protocol.events_received():
        assert event.fin
        data = bytes(event.data)
        if event.opcode == TEXT:
            messages.append(data.decode())
        elif event.opcode == BINARY:
            messages.append(data)
        elif event.opcode == PING:
            messages.append(Ping(data))
        elif event.opcode == PONG:
            messages.append(Pong(data))
        else:
            messages.append(Close(int.from_bytes(data[:2], "big"), data[2:].decode()))
    return messages


@given(queue=queued(), cut=st.integers(0, 1000))
def test_websockets_servers_decode_what_our_client_encodes(queue, cut):
    items, messages = queue
    protocol = ServerProtocol(state=State.OPEN, max_size=None)
    assert decoded(protocol, drain(sender_of(*items)), cut) == messages


@given(queue=queued(), cut=st.integers(0, 1000))
def test_websockets_clients_decode_what_our_server_encodes(queue, cut):
    items, messages = queue
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=None)
    assert decoded(protocol, drain(sender_of(*items, masked=False)), cut) == messages


def test_both_ends_of_a_conversation_understand_one_another():
    """`websockets` answers our ping and our Close frame, and we read its answers."""
    server = ServerProtocol(state=State.OPEN)
    sender = sender_of("hi", Control(PING, b"?"), Control(CLOSE, close_body(1000)))
    server.receive_data(drain(sender))
    wire = b"".join(server.data_to_send())
    assert Receiver().feed(wire) == [Pong(b"?"), Close(1000, "")]
