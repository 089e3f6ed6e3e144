"""RFC 6455 §7.4 and §5.5: which codes a Close frame carries, and its body."""

from __future__ import annotations

import pytest

from webapi.protocol import frames
from webapi.protocol.frames import close_body, is_valid_close_code


def test_opcodes_are_those_of_the_registry():
    # https://www.rfc-editor.org/rfc/rfc6455#section-11.8
    assert (frames.CONTINUATION, frames.TEXT, frames.BINARY) == (0, 1, 2)
    assert (frames.CLOSE, frames.PING, frames.PONG) == (8, 9, 10)


def test_valid_close_codes_are_the_registered_ones_and_3000_to_4999():
    # https://www.iana.org/assignments/websocket, "Close Code Number Registry": 1004 is reserved;
    # 1005, 1006 and 1015 must not be set in a frame (RFC 6455 §7.4.1).
    registered = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}
    expected = registered | set(range(3000, 5000))
    assert {code for code in range(65536) if is_valid_close_code(code)} == expected


@pytest.mark.parametrize(
    ("code", "reason", "body"),
    [
        (None, b"", b""),
        (1000, b"", b"\x03\xe8"),
        (1000, b"done", b"\x03\xe8done"),
        (4999, "schön".encode(), b"\x13\x87sch\xc3\xb6n"),
    ],
)
def test_close_body_is_two_bytes_in_network_order_then_the_reason(code, reason, body):
    assert close_body(code, reason) == body
