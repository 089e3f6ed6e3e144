"""`connect --trace`: the handshake and each frame, as the developer tools see them."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import webapi.net.settings
from webapi.cli.terminal import Span, Terminal, hex_dump
from webapi.protocol.frames import BINARY, CLOSE, PING, PONG, TEXT

__all__ = ["tracing"]

MAX_SHOWN = 256
"""Characters, or bytes, of a payload that are shown."""

_NAMES = {TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}


@contextlib.contextmanager
def tracing(wanted: bool) -> Iterator[None]:
    """Show what happens on the default page's sockets, on standard error."""
    if not wanted:
        yield
        return
    devtools, trace = webapi.net.settings.DEFAULT_PAGE.devtools, _Trace()
    listeners = {
        "webSocketWillSendHandshakeRequest": trace.request,
        "webSocketHandshakeResponseReceived": trace.response,
        "webSocketFrameSent": trace.sent,
        "webSocketFrameReceived": trace.received,
        "webSocketClosed": trace.closed,
    }
    for name, listener in listeners.items():
        devtools.on(name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            devtools.remove_listener(name, listener)


class _Trace:
    def __init__(self) -> None:
        self._terminal = Terminal(error=True)
        self._start = time.monotonic()

    def request(self, event: dict[str, Any]) -> None:
        self._line(">", "request", "")
        self._headers(event["request"]["headers"])

    def response(self, event: dict[str, Any]) -> None:
        response = event["response"]
        self._line("<", "response", f"{response['status']} {response['statusText']}".rstrip())
        self._headers(response["headers"])

    def sent(self, event: dict[str, Any]) -> None:
        self._frame(">", event["response"])

    def received(self, event: dict[str, Any]) -> None:
        self._frame("<", event["response"])

    def closed(self, _: dict[str, Any]) -> None:
        self._line("-", "end", "of the connection")

    def _frame(self, sign: str, frame: dict[str, Any]) -> None:
        opcode, data = frame["opcode"], frame["payloadData"]
        name = _NAMES[opcode]
        if opcode == TEXT:
            size = len(data.encode())
            self._line(sign, name, f"{size} bytes  ", data[:MAX_SHOWN], _rest(len(data)))
            return
        payload = base64.b64decode(data)
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else "without a code"
            self._line(sign, name, f"{code} {payload[2:].decode('utf-8', 'replace')}".rstrip())
            return
        self._line(sign, name, f"{len(payload)} bytes")
        for row in hex_dump(payload[:MAX_SHOWN]):
            self._terminal.line("          ", row)
        if rest := _rest(len(payload)):
            self._terminal.line("          ", rest)

    def _headers(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            for line in value.split("\n"):
                self._terminal.line("          ", (f"{name}: ", "bold"), line)

    def _line(self, sign: str, name: str, *spans: Span) -> None:
        milliseconds = (time.monotonic() - self._start) * 1000
        clock: Span = (f"{milliseconds:7.1f} ", "dim")
        self._terminal.line(clock, (f"{sign} ", "bold"), (f"{name:<9}", "bold"), *spans)


def _rest(size: int) -> str:
    return f"… {size - MAX_SHOWN} more" if size > MAX_SHOWN else ""
