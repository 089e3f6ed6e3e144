"""The extension parser, against a second one that takes RFC 6455 §9.1's grammar a step at a time.

The input's first byte says whether permessage-deflate was offered; the rest is the values of the
response's ``Sec-WebSocket-Extensions`` headers, one a line.
"""

from __future__ import annotations

from webapi.protocol.deflate import Parameters, negotiate
from webapi.protocol.errors import InvalidHandshake

TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
REFUSED = "refused"
LONGEST_REASON = 1000  # it goes to the log, in one line
FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
WINDOWS = ("server_max_window_bits", "client_max_window_bits")


def test_one_input(data: bytes) -> None:
    """Compare both parsers' verdicts."""
    offered = not data or data[0] & 1 != 0
    text = data[1:].decode("latin-1")
    values = text.split("\n") if text else []
    verdict: Parameters | str | None
    try:
        verdict = negotiate(values, offered)
    except InvalidHandshake as error:
        verdict, said = REFUSED, str(error)
    if verdict is REFUSED:
        assert len(said) < LONGEST_REASON
        assert "\n" not in said
    try:
        expected = _negotiate(values, offered)
    except _RefusedError:
        expected = REFUSED
    assert verdict == expected, (verdict, expected)


class _RefusedError(Exception):
    pass


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip_white(self) -> None:
        while self.next() in (" ", "\t"):
            self.at += 1

    def token(self) -> str:
        start = self.at
        while self.next() in TOKEN:
            self.at += 1
        if start == self.at:
            raise _RefusedError
        return self.text[start : self.at]

    def quoted(self) -> str:
        found = ""
        self.at += 1
        while self.next() != '"':
            if self.next() == "\\":
                self.at += 1
            if not self.next():
                raise _RefusedError
            found += self.next()
            self.at += 1
        self.at += 1
        return found


def _negotiate(values: list[str], offered: bool) -> Parameters | str | None:
    if not values:
        return None
    if not offered:
        raise _RefusedError
    scanner = _Scanner(", ".join(values))
    scanner.skip_white()
    name = scanner.token()
    scanner.skip_white()
    agreed: dict[str, bool | int] = {}
    while scanner.next() == ";":
        key, value = _parameter(scanner)
        if key in agreed:
            raise _RefusedError
        if key in FLAGS and value is None:
            agreed[key] = True
        elif key in WINDOWS and value in [str(bits) for bits in range(8, 16)]:
            assert value is not None
            agreed[key] = int(value)
        else:
            raise _RefusedError
    if name != "permessage-deflate" or scanner.next():  # a comma would begin a second extension
        raise _RefusedError
    return Parameters(**agreed)  # type: ignore[arg-type]


def _parameter(scanner: _Scanner) -> tuple[str, str | None]:
    scanner.at += 1
    scanner.skip_white()
    key = scanner.token()
    scanner.skip_white()
    value = None
    if scanner.next() == "=":
        scanner.at += 1
        scanner.skip_white()
        value = scanner.quoted() if scanner.next() == '"' else scanner.token()
        scanner.skip_white()
    return key, value
