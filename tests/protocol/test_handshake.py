"""RFC 6455 §4: the response's head, read from any cuts and checked to the letter."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapi.protocol.handshake import (
    MAX_HEAD_SIZE,
    Accepted,
    Head,
    InvalidHandshake,
    accept_value,
    check_response,
    head_end,
    head_start,
    parse_head,
    parse_status,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n"
)


def response(
    *lines: str, without: str = "", status: str = "HTTP/1.1 101 Switching Protocols"
) -> Head:
    """Return a good response's head with `lines` added, and one header left out."""
    kept = [
        line
        for line in GOOD.decode().split("\r\n")[1:-1]
        if not without or not line.startswith(without)
    ]
    return parse_head("\r\n".join([status, *kept, *lines, "", ""]).encode("latin-1"))


def refusal(head: Head, *protocols: str) -> str:
    with pytest.raises(InvalidHandshake) as caught:
        check_response(head, KEY, protocols)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        ("Upgrade", ()),
        ("Connection", ()),
        ("Sec-WebSocket-Accept", ()),
        ("Sec-WebSocket-Protocol", ()),
        ("Sec-WebSocket-Protocol", ("chat",)),
        ("Sec-WebSocket-Extensions", ()),
    ],
)
def test_of_a_long_header_the_log_gets_a_short_line(name, protocols):
    head = response(f"{name}: {'x' * 60_000}", without=name)
    assert "x'..." in refusal(head, *protocols)
    assert len(refusal(head, *protocols)) < 250
    status = response(status=f"HTTP/1.1 404 {'x' * 60_000}")
    assert len(refusal(status)) < 250


def test_a_head_is_bounded():
    assert MAX_HEAD_SIZE == 64 * 1024


# -- where a head ends -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\n\r\n"])
@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"\x81\x01a", b"\r\n\r\n"])
def test_a_head_ends_at_its_first_empty_line(end, kind, after):
    head = b"HTTP/1.1 101 OK\r\nA: b" + end
    assert head_end(kind(head + after)) == len(head)


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"HTTP/1.1 101 OK\r\nA: b\r\n", b"a\r\n\r", b"a\n\r"]
)
def test_a_head_without_an_empty_line_has_no_end_yet(data):
    assert head_end(data) == -1


@given(
    lines=st.lists(st.sampled_from([b"A: b", b"Long: " + b"x" * 300, b"\rodd"]), min_size=1),
    ends=st.lists(st.sampled_from([b"\r\n", b"\n"]), min_size=1),
    after=st.sampled_from([b"", b"\x81\x05Hello", b"\r\n\r\n", b"\n"]),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
)
def test_the_end_is_found_over_split_reads(lines, ends, after, cuts):
    data = b"".join(line + ends[index % len(ends)] for index, line in enumerate(lines))
    data += ends[-1]
    expected = len(data)
    data += after
    seen, end = 0, -1
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        end = head_end(data[:cut], seen)
        if end >= 0:
            break
        assert cut < expected
        seen = cut
    assert end == expected


def test_the_end_is_found_byte_by_byte():
    data = GOOD + b"\r\n"
    ends = [head_end(data[: size + 1], size) for size in range(len(data))]
    assert ends == [-1] * (len(data) - 1) + [len(data)]


# -- parsing ---------------------------------------------------------------------------------------


def test_a_head_is_its_first_line_and_its_headers_in_order_in_lower_case():
    head = parse_head(b"HTTP/1.1 200 OK\r\nServer: x\r\nX-A:1\r\nServer:\t y \t\r\n\r\n")
    assert head == Head("HTTP/1.1 200 OK", (("server", "x"), ("x-a", "1"), ("server", "y")))
    assert head.all("server") == ["x", "y"]
    assert head.all("Server") == []


def test_a_head_may_have_no_headers():
    assert parse_head(b"HTTP/1.1 101 OK\r\n\r\n") == Head("HTTP/1.1 101 OK", ())


def test_line_feeds_alone_are_taken_as_browsers_do():
    assert parse_head(GOOD.replace(b"\r\n", b"\n") + b"\n") == parse_head(GOOD + b"\r\n")


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"A: one\r\n two\r\n", "one two"),
        (b"A: one\r\n\t  two  \r\n three\r\n", "one two three"),
        (b"A: one\n two\n", "one two"),
        (b"A:\r\n one\r\n", "one"),
        (b"A: one\r\n \r\n", "one"),
        (b"A: one\r\n \xa0two\xa0\r\n", "one \xa0two\xa0"),
    ],
)
def test_folded_lines_are_joined_by_a_space(lines, value):
    # https://www.rfc-editor.org/rfc/rfc9112#section-5.2; white space is SP and HTAB only
    assert parse_head(b"HTTP/1.1 101 OK\r\nB: c\r\n" + lines + b"\r\n").headers == (
        ("b", "c"),
        ("a", value),
    )


def test_a_folded_accept_header_still_opens():
    head = response(f"Sec-WebSocket-Accept:\r\n {ACCEPT}", without="Sec-WebSocket-Accept")
    assert check_response(head, KEY, ()) == Accepted("", "")


def test_lines_without_a_colon_are_passed_over():
    head = parse_head(b"HTTP/1.1 101 OK\r\nnonsense\r\n folded\r\nA: b\r\nmore nonsense\r\n\r\n")
    assert head.headers == (("a", "b"),)


@pytest.mark.parametrize("white", [b" ", b"\t"])
def test_a_line_with_white_space_before_the_first_header_is_passed_over(white):
    # as in Chromium and Firefox: conformance browsers, handshake/space-before-*
    head = parse_head(b"HTTP/1.1 101 OK\r\n" + white + b"A: b\r\nC: d\r\n\r\n")
    assert head == Head("HTTP/1.1 101 OK", (("c", "d"),))


@pytest.mark.parametrize("data", [b"HTTP/1.1 101", b"HTTP/", b"\r\n\r\nHTTP/1.1", b"abcdHTTP/"])
def test_up_to_four_bytes_before_the_status_line_are_passed_over(data):
    assert head_start(data) == data.index(b"HTTP/")


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP", b"\r\n\r\n", b"abcd", b"abcdHTTP", b"HHTT"])
def test_the_status_line_may_still_begin(data):
    assert head_start(data) == -1


@pytest.mark.parametrize(
    "data", [b"abcde", b"abcdeHTTP/", b"SSH-2.0", b"\r\n\r\n\n", b"HTTPS/xx", b"\0HTTP/"]
)
def test_what_cannot_become_a_status_line_is_refused(data):
    with pytest.raises(InvalidHandshake, match="the server does not speak HTTP"):
        head_start(data)


def test_more_spaces_may_stand_before_the_status():
    assert parse_status(Head("HTTP/1.1   101 X", ())) == 101


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 101 \0\r\n\r\n", b"HTTP/1.1 101 OK\r\nA: \0\r\n\r\n", GOOD + b"\0: b\r\n\r\n"],
)
def test_a_nul_anywhere_is_refused(data):
    with pytest.raises(InvalidHandshake, match="NUL"):
        parse_head(data)


@pytest.mark.parametrize("name", ["", "A B", "A ", "Ä", "A(", "A\x7f", "A@", "x" * 100 + " "])
def test_a_line_whose_name_is_no_token_is_passed_over_with_what_is_folded_to_it(name):
    head = parse_head(f"HTTP/1.1 101 OK\r\nA: b\r\n{name}: c\r\n d\r\n\r\n".encode("latin-1"))
    assert head.headers == (("a", "b"),)


def test_a_value_may_hold_colons_and_any_octets():
    head = parse_head(b"HTTP/1.1 101 OK\r\nA: b: c\xff\x80\r\n\r\n")
    assert head.headers == (("a", "b: c\xff\x80"),)


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ([], []),
        (["L: a"], ["a"]),
        (["L: a, b\t,c"], ["a", "b", "c"]),
        (["L: a", "L: b, c"], ["a", "b", "c"]),
        (["L: ,a,,b"], ["", "a", "", "b"]),
        (["L:"], []),
    ],
)
def test_a_list_is_one_over_repeated_headers(lines, values):
    # https://www.rfc-editor.org/rfc/rfc9110#section-5.3
    assert response(*lines).values("l") == values


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(data):
    for head in (data, GOOD + data + b"\r\n\r\n"):
        with suppress(InvalidHandshake):
            parse_head(head)


# -- the status line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("HTTP/1.1 101 Switching Protocols", 101),
        ("HTTP/1.1 101", 101),
        ("HTTP/1.1 404 ", 404),
        ("HTTP/1.1 200 Schön\x85 \rso", 200),
        ("HTTP/1.2 101 OK", 101),
    ],
)
def test_a_status_line_has_a_version_and_a_code(line, status):
    assert parse_status(Head(line, ())) == status


@pytest.mark.parametrize(
    "line",
    [
        "", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 10", "HTTP/1.1 1011",
        "http/1.1 101", "HTTP/2 101", "HTTP/1.10 101", "HTTP/1.1 1o1", " HTTP/1.1 101",
        "HTTP/1.1 \u0661\u0660\u0661",
        "ICY 200 OK", "SSH-2.0-OpenSSH_9.6",
    ],
)  # fmt: skip
def test_what_is_no_status_line_is_refused(line):
    with pytest.raises(InvalidHandshake, match="the server does not speak HTTP"):
        parse_status(Head(line, ()))


def test_http_1_0_cannot_upgrade():
    assert "HTTP/1.0" in refusal(response(status="HTTP/1.0 101 Switching Protocols"))


# -- the response's checks -------------------------------------------------------------------------


def test_accept_value_is_the_rfcs_example():
    # https://www.rfc-editor.org/rfc/rfc6455#section-1.3
    assert accept_value(KEY) == ACCEPT


def test_the_rfcs_response_opens():
    assert check_response(parse_head(GOOD + b"\r\n"), KEY, ()) == Accepted("", "")


@pytest.mark.parametrize("status", ["100", "102", "200", "301", "401", "404", "426", "500"])
def test_only_101_opens(status):
    assert refusal(response(status=f"HTTP/1.1 {status} No")) == (
        f"the server answered '{status} No', not 101"
    )


@pytest.mark.parametrize("name", ["Upgrade", "Sec-WebSocket-Accept"])
def test_a_missing_header_is_refused(name):
    assert refusal(response(without=name)) == f"the header {name} is missing"


@pytest.mark.parametrize(
    "line", ["Upgrade: websocket", f"Sec-WebSocket-Accept: {ACCEPT}", "Sec-WebSocket-Accept: x"]
)
def test_a_repeated_header_is_refused(line):
    assert refusal(response(line)) == f"the header {line.partition(':')[0]} came 2 times"


@pytest.mark.parametrize("value", ["WebSocket", "WEBSOCKET", "  websocket\t"])
def test_the_upgrade_headers_case_does_not_matter(value):
    head = response(f"Upgrade: {value}", without="Upgrade")
    assert check_response(head, KEY, ()) == Accepted("", "")


@pytest.mark.parametrize("value", ["", "h2c", "websocket, h2c", "websocket/13", "websockets"])
def test_an_upgrade_to_anything_else_is_refused(value):
    reason = refusal(response(f"Upgrade: {value}", without="Upgrade"))
    assert reason == f"the Upgrade header is {value!r}, not 'websocket'"


@pytest.mark.parametrize("lines", [["upgrade"], ["keep-alive, UPGRADE"], ["keep-alive", "Upgrade"]])
def test_the_connection_header_is_a_list_with_upgrade(lines):
    head = response(*(f"Connection: {line}" for line in lines), without="Connection")
    assert check_response(head, KEY, ()) == Accepted("", "")


@pytest.mark.parametrize("lines", [[], [""], ["close"], ["Upgraded"], ["up grade", "close"]])
def test_a_connection_header_without_upgrade_is_refused(lines):
    head = response(*(f"Connection: {line}" for line in lines), without="Connection")
    assert refusal(head) == f"the Connection header is {', '.join(lines)!r}, without 'Upgrade'"


def test_white_space_around_the_accept_value_does_not_matter():
    head = response(f"Sec-WebSocket-Accept:  {ACCEPT}\t ", without="Sec-WebSocket-Accept")
    assert check_response(head, KEY, ()) == Accepted("", "")


@pytest.mark.parametrize(
    "value",
    [
        ACCEPT.lower(), ACCEPT.upper(), ACCEPT.swapcase(), ACCEPT[:-1], f"{ACCEPT}=", f'"{ACCEPT}"',
        f"{ACCEPT}, {ACCEPT}", "", KEY, accept_value("AAAAAAAAAAAAAAAAAAAAAA=="),
        ACCEPT.replace("+", "-"),
    ],
)  # fmt: skip
def test_an_accept_value_that_is_not_right_to_the_letter_is_refused(value):
    head = response(f"Sec-WebSocket-Accept: {value}", without="Sec-WebSocket-Accept")
    assert refusal(head) == f"the Sec-WebSocket-Accept header is {value!r}, not {ACCEPT!r}"


# -- the subprotocol -------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["chat.v2", "chat.v1"])
def test_the_server_chooses_one_of_the_subprotocols_asked_for(chosen):
    head = response(f"Sec-WebSocket-Protocol: {chosen}")
    assert check_response(head, KEY, ("chat.v2", "chat.v1")) == Accepted(chosen, "")


@pytest.mark.parametrize("value", ["chat", ""])
def test_an_unasked_subprotocol_is_refused(value):
    reason = refusal(response(f"Sec-WebSocket-Protocol: {value}"))
    assert reason == f"the server chose the subprotocol {value!r}, but none was asked for"


@pytest.mark.parametrize("value", ["Chat", "CHAT", "chat2", "", "chat, soap", "chat;q=1"])
def test_a_subprotocol_that_is_none_of_those_asked_for_is_refused(value):
    # RFC 6455 §4.1, the response's check 6; case matters
    reason = refusal(response(f"Sec-WebSocket-Protocol: {value}"), "chat", "soap")
    assert "which is none of ['chat', 'soap']" in reason
    assert repr(value) in reason


def test_a_subprotocol_asked_for_must_be_answered():
    # https://websockets.spec.whatwg.org/#concept-websocket-establish
    assert refusal(response(), "chat") == "the header Sec-WebSocket-Protocol is missing"


def test_two_answers_of_a_subprotocol_are_refused():
    head = response("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat")
    assert refusal(head, "chat") == "the header Sec-WebSocket-Protocol came 2 times"


# -- extensions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["permessage-deflate", "permessage-deflate; client_max_window_bits", "x; y=1, z", ""]
)
def test_an_unasked_extension_is_refused(value):
    # RFC 6455 §4.1, the response's check 5
    reason = refusal(response(f"Sec-WebSocket-Extensions: {value}"))
    assert reason == f"the server chose the extension {value!r}, but none was asked for"


def test_headers_that_mean_nothing_here_change_nothing():
    head = response("Set-Cookie: a=b", "Set-Cookie: c=d", "Server: x", "Content-Length: 5")
    assert check_response(head, KEY, ()) == Accepted("", "")


def test_what_websockets_answers_opens():
    """PyPI `websockets`' server side answers a request with RFC 6455 §1.3's key."""
    from websockets.server import ServerProtocol

    server = ServerProtocol(subprotocols=["chat"])
    server.receive_data(
        b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n\r\n"
    )
    (request,) = server.events_received()
    server.send_response(server.accept(request))
    data = b"".join(server.data_to_send())
    assert head_end(data) == len(data)
    assert check_response(parse_head(data), KEY, ("chat",)) == Accepted("chat", "")
