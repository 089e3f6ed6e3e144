"""HAR 1.2 of what a page's sockets did, as Chrome exports it.

Spec: http://www.softwareishard.com/blog/har-12-spec/; `_webSocketMessages` is Chrome's own.
"""

from __future__ import annotations

import base64
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from webapi.protocol.frames import BINARY, CLOSE, TEXT
from webapi.url import without_credentials
from webapi.version import __version__

if TYPE_CHECKING:
    from webapi.net.devtools import DevTools

__all__ = ["Recording"]


# What Chrome's "Export HAR (sanitized)" leaves out.
_SENSITIVE: Final = frozenset(("authorization", "cookie", "set-cookie"))


class _Exchange:
    """What is known of one socket. Times are in seconds since the epoch."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.started = time.time()
        self.sent = self.answered = self.closed = 0.0
        self.request: dict[str, str] = {}
        self.response: dict[str, Any] | None = None
        self.messages: list[dict[str, Any]] = []
        self.closing: list[dict[str, Any]] = []
        self.error = ""


class Recording:
    """Listens to `devtools`, and keeps what it hears."""

    def __init__(self, devtools: DevTools) -> None:
        self._page_url = devtools.page_url
        self._lock = threading.Lock()  # sockets may live on several loops
        self._exchanges: dict[str, _Exchange] = {}
        self._started = time.time()
        devtools.on("webSocketCreated", self._created)
        devtools.on("webSocketWillSendHandshakeRequest", self._will_send)
        devtools.on("webSocketHandshakeResponseReceived", self._answered)
        devtools.on("webSocketFrameSent", lambda event: self._frame("send", event))
        devtools.on("webSocketFrameReceived", lambda event: self._frame("receive", event))
        devtools.on("webSocketFrameError", self._failed)
        devtools.on("webSocketClosed", self._closed)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._exchanges.clear()

    # -- what is heard

    def _created(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._exchanges[event["requestId"]] = _Exchange(event["url"])

    def _of(self, event: dict[str, Any]) -> _Exchange:
        # of a socket that is older than the recording, nobody is told
        return self._exchanges.get(event["requestId"]) or _Exchange("")

    def _will_send(self, event: dict[str, Any]) -> None:
        exchange = self._of(event)
        exchange.sent = event["wallTime"]
        exchange.request = event["request"]["headers"]

    def _answered(self, event: dict[str, Any]) -> None:
        exchange = self._of(event)
        exchange.answered = _wall_time(event)
        exchange.response = event["response"]

    def _frame(self, type: str, event: dict[str, Any]) -> None:
        frame = event["response"]
        opcode, data = frame["opcode"], frame["payloadData"]
        entry = {"type": type, "time": _wall_time(event)}
        if opcode in (TEXT, BINARY):  # as Chrome: no control frames
            entry |= {"opcode": opcode, "data": data}
            self._of(event).messages.append(entry)
        elif opcode == CLOSE:
            body = base64.b64decode(data)
            entry["code"] = int.from_bytes(body[:2], "big") if body else 1005
            entry["reason"] = body[2:].decode("utf-8", "replace")
            self._of(event).closing.append(entry)

    def _failed(self, event: dict[str, Any]) -> None:
        exchange = self._of(event)
        exchange.error = event["errorMessage"]
        entry = {"type": "error", "time": _wall_time(event), "opcode": -1}
        exchange.messages.append({**entry, "data": event["errorMessage"]})

    def _closed(self, event: dict[str, Any]) -> None:
        exchange = self._of(event)
        exchange.closed = _wall_time(event)
        opened = (exchange.response or {}).get("status") == 101
        if opened and not exchange.closing and not exchange.error:
            # TCP ended without a Close frame; 1006 is on no wire (RFC 6455 §7.4.1)
            end = {"type": "receive", "time": exchange.closed, "code": 1006, "reason": ""}
            exchange.closing.append(end)

    # -- what is written

    def har(self, sensitive: bool) -> dict[str, Any]:
        """Return all of it; what is `sensitive` only if asked for."""
        with self._lock:
            exchanges = list(self._exchanges.values())
        started = _iso(self._started)
        page = {
            "startedDateTime": started,
            "id": "page_1",
            "title": self._page_url if sensitive else without_credentials(self._page_url),
            "pageTimings": {"onContentLoad": -1, "onLoad": -1},
        }
        return {
            "log": {
                "version": "1.2",
                "creator": {"name": "webapi", "version": __version__},
                "pages": [page],
                "entries": [_entry(exchange, sensitive) for exchange in exchanges],
            }
        }


def _entry(exchange: _Exchange, sensitive: bool) -> dict[str, Any]:
    ended = exchange.closed or time.time()
    connect = max(exchange.sent - exchange.started, 0) * 1000 if exchange.sent else -1
    wait = max(exchange.answered - exchange.sent, 0) * 1000 if exchange.answered else 0
    receive = max(ended - (exchange.answered or exchange.sent or exchange.started), 0) * 1000
    request, response = _request(exchange), _response(exchange)
    if not sensitive:
        request["url"] = without_credentials(request["url"])
        for half in (request, response):
            half["cookies"] = []
            half["headers"] = [h for h in half["headers"] if h["name"].lower() not in _SENSITIVE]
    return {
        "_initiator": {"type": "script"},
        "_priority": "High",
        "_resourceType": "websocket",
        "_webSocketMessages": list(exchange.messages),
        "_webSocketClosing": list(exchange.closing),
        "pageref": "page_1",
        "startedDateTime": _iso(exchange.started),
        "time": max(connect, 0) + wait + receive,  # the sum of what is known, by the standard
        "request": request,
        "response": response,
        "cache": {},
        "timings": {
            "blocked": -1, "dns": -1, "ssl": -1, "connect": connect,
            "send": 0, "wait": wait, "receive": receive,
        },
    }  # fmt: skip


def _request(exchange: _Exchange) -> dict[str, Any]:
    query = parse_qsl(urlsplit(exchange.url).query, keep_blank_values=True)
    return {
        "method": "GET",
        "url": exchange.url,
        "httpVersion": "HTTP/1.1",
        "headers": _pairs(exchange.request),
        "queryString": [{"name": name, "value": value} for name, value in query],
        "cookies": [
            _cookie(text)
            for line in _values(exchange.request, "cookie")
            for text in line.split("; ")
        ],
        "headersSize": -1,
        "bodySize": 0,
    }


def _response(exchange: _Exchange) -> dict[str, Any]:
    """Return the response; where none came it has status 0 and the error, as Chrome has it."""
    response = exchange.response or {}
    headers: dict[str, str] = response.get("headers", {})
    return {
        "status": response.get("status", 0),
        "statusText": response.get("statusText", ""),
        "httpVersion": response.get("headersText", "HTTP/1.1")[:8],
        "headers": _pairs(headers),
        "cookies": [_cookie(line.partition(";")[0]) for line in _values(headers, "set-cookie")],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "".join(_values(headers, "location")[:1]),
        "headersSize": len(response.get("headersText", "")) or -1,
        "bodySize": -1,
        "_transferSize": 0,
        "_error": exchange.error or None,
    }


def _pairs(headers: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"name": name, "value": line}
        for name, value in headers.items()
        for line in value.split("\n")
    ]


def _values(headers: dict[str, str], name: str) -> list[str]:
    """Return each value of the header `name` (lower case)."""
    return [pair["value"] for pair in _pairs(headers) if pair["name"].lower() == name]


def _cookie(text: str) -> dict[str, str]:
    name, _, value = text.partition("=")
    return {"name": name.strip(), "value": value.strip()}


def _wall_time(event: dict[str, Any]) -> float:
    return float(time.time() - (time.monotonic() - event["timestamp"]))


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
