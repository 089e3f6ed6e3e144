"""Cassettes: a page's sockets recorded to a HAR file, and replayed from one without a network.

Spec: http://www.softwareishard.com/blog/har-12-spec/; `_webSocketMessages` is Chrome's own. A file
that Chrome's Network panel exported replays here, and one that was recorded here opens there.
How a connection ended is in `_webSocketClosing`, which is ours: Chrome's files do not have it.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from webapi.protocol.deflate import Parameters, negotiate
from webapi.protocol.frames import TEXT
from webapi.protocol.handshake import Head, InvalidHandshake, accept_value, check_response
from webapi.testing.json_paths import JsonPath, Steps, shown_path
from webapi.testing.matching import shown
from webapi.testing.script_peer import ScriptPeer
from webapi.testing.scrubbing import SCRUBBED, Scrub, Scrubber
from webapi.testing.server import PeerGone
from webapi.testing.waiting import Failed, Problems

if TYPE_CHECKING:
    from webapi.testing.page import Page

__all__ = ["Cassette"]

MODES: Final = ("once", "new", "all", "none")


class Cassette:
    """A HAR file of a test's, and what may differ from it.

    Args:
        path: the file.
        record: when to record: "once" (default), if there is no file yet; "new": connections that
            the file does not have, too; "all": everything anew; "none": never.
        match: which recorded connection a URL is for: "url" (default), "path" (host and port may be
            others), or a callable that takes the recorded URL and the URL.
        order: "strict" (default): the page sends what it sent then, in that order; "any": in any
            order, but what the server sent waits for all that the page had sent before it.
        ignore: JSON paths of what may differ in what the page sends: "$.id", "$['first name']",
            "$.items[*].time", "$..nonce" (at any depth).
        scrub: what is not to be written, beside headers, cookies, query parameters and JSON members
            that are named as secrets are: JSON paths, strings, compiled patterns, or callables that
            take and return a text. They reach text and binary messages, close reasons, URLs and
            headers; callables get no binary message that is not UTF-8.

    Raises:
        ValueError: an argument is none of those.
        FileNotFoundError: `record` is "none" and there is no file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        record: str = "once",
        match: str | Callable[[str, str], object] = "url",
        order: str = "strict",
        ignore: Iterable[str] = (),
        scrub: Iterable[Scrub] = (),
    ) -> None:
        self.path = Path(path)
        if record not in MODES:
            raise ValueError(f"record is {record!r}, where {', '.join(MODES)} are allowed")
        if match not in ("url", "path") and not callable(match):
            raise ValueError(f"match is {match!r}, where 'url', 'path' or a callable is allowed")
        if order not in ("strict", "any"):
            raise ValueError(f"order is {order!r}, where 'strict' or 'any' is allowed")
        exists = self.path.exists()
        if record == "none" and not exists:
            raise FileNotFoundError(
                f"there is no cassette {self.path}, and nothing is recorded: run it once with "
                "--websocket-record=once"
            )
        self.order = order
        self.replays = exists and record != "all"
        self.records = not exists or record in ("new", "all")
        self._match = match
        self._ignore = [JsonPath(path) for path in ignore]
        self._scrubber = Scrubber(scrub)
        self._lock = threading.Lock()
        self._har: dict[str, Any] = {}
        self._connections = self._load() if self.replays else []
        self._pages: list[Page] = []
        self._replayed: list[str] = []

    def _load(self) -> list[_Connection]:
        try:
            self._har = json.loads(self.path.read_text(encoding="utf-8-sig"))
            entries = self._har["log"]["entries"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is no HAR file: {error!r}") from None
        connections = []
        for number, entry in enumerate(entries, 1):
            try:
                if "_webSocketMessages" in entry or entry.get("_resourceType") == "websocket":
                    connections.append(_Connection(entry))
            except ValueError as error:
                url = entry["request"]["url"]
                raise ValueError(f"{self.path}, entry {number} ({url}): {error}") from None
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{self.path}, entry {number} is none: {error!r}") from None
        return connections

    # -- in a page

    def attach(self, page: Page) -> None:
        """Record what happens in `page`, or replay it there."""
        self._pages.append(page)
        if self.replays:
            page.route(lambda url: not self.records or self._find(url) is not None).handle(
                self._replay, handshake=False
            )
        if self.records:
            page.devtools.record()

    def _find(self, url: str, claim: bool = False) -> _Connection | None:
        url = self._scrubber.url(url)
        with self._lock:
            for connection in self._connections:
                if not connection.claimed and self._fits(self._scrubber.url(connection.url), url):
                    connection.claimed = claim
                    return connection
        return None

    def _fits(self, recorded: str, url: str) -> bool:
        if callable(self._match):
            return bool(self._match(recorded, url))
        if self._match == "path":
            return urlsplit(recorded)[2:4] == urlsplit(url)[2:4]
        return recorded == url

    def _replay(self, peer: ScriptPeer) -> None:
        url = peer.timeline.url
        connection = self._find(url, claim=True)
        if connection is None:
            recorded = ", ".join(
                c.url + (" (used)" if c.claimed else "") for c in self._connections
            )
            # The handshake is refused after this is noted, so that the page's test, which fails of
            # that, shows it.
            raise Failed(
                f"{self.path} has no connection to {url} left; it has: {recorded or 'none'}\n"
                "record it with --websocket-record=new, or all"
            )
        self._replayed.append(url)
        _Replay(self, connection, peer).run()

    # -- the end

    def finish(self, problems: Problems, failed: bool = False) -> None:
        """Write what was recorded, unless the test failed; note what was not replayed."""
        for connection in self._connections:
            if not connection.claimed and not failed:
                problems.add(
                    Failed(f"{self.path} has a connection to {connection.url} that was not made")
                )
        if self.records and not failed:
            self._write()

    def _write(self) -> None:
        recorded = [page.devtools.har(sensitive=True)["log"] for page in self._pages]
        for url in self._replayed:  # what came from the file stays as it is there
            _forget(url, recorded)
        if not recorded or (self.replays and not any(log["entries"] for log in recorded)):
            return
        # A file that is there keeps all that it has, also what is no socket's.
        log = {**recorded[0], "pages": [], "entries": [], **self._har.get("log", {})}
        for one in recorded:
            if one["entries"] or not log["pages"]:
                self._add(one, log)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        text = json.dumps({**self._har, "log": log}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(self.path)

    def _add(self, recorded: dict[str, Any], log: dict[str, Any]) -> None:
        """Add what was recorded in one page to a file's log."""
        [page] = recorded["pages"]
        taken = {old.get("id") for old in log["pages"]}
        taken |= {entry.get("pageref") for entry in log["entries"]}
        id = next(f"page_{n}" for n in itertools.count(1) if f"page_{n}" not in taken)
        log["pages"] = [*log["pages"], self._scrubber.page({**page, "id": id})]
        added = [self._scrubber.entry({**entry, "pageref": id}) for entry in recorded["entries"]]
        log["entries"] = [*log["entries"], *added]

    # -- what may differ

    def differences(self, recorded: str | bytes, data: str | bytes) -> list[str]:
        """Return how `data` differs from what was recorded, a line each; none where it does not."""
        recorded, data = self._scrubbed(recorded), self._scrubbed(data)
        if isinstance(recorded, str) and isinstance(data, str):
            try:
                pair = json.loads(recorded), json.loads(data)
            except ValueError:
                pass
            else:
                return list(_differences(*pair, self._ignore))
        same = recorded == data
        return [] if same else [f"recorded: {shown(recorded)}", f"now:      {shown(data)}"]

    def _scrubbed(self, data: str | bytes) -> str | bytes:
        return self._scrubber.text(data) if isinstance(data, str) else self._scrubber.data(data)


def _forget(url: str, logs: list[dict[str, Any]]) -> None:
    """Take the first entry for `url` out of `logs`."""
    for log in logs:
        for entry in log["entries"]:
            if entry["request"]["url"] == url:
                log["entries"].remove(entry)
                return


class _Connection:
    """One recorded connection."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.claimed = False
        self.url = re.sub("^http", "ws", entry["request"]["url"])
        response = entry.get("response") or {}
        self.status = int(response.get("status") or 0)
        self.asked, self.answered = _head(entry["request"]), _head(response)
        self.protocol = next(iter(self.answered.all("sec-websocket-protocol")), None)
        messages = list(enumerate(entry.get("_webSocketMessages") or (), 1))
        self.messages = [
            (message["type"] == "send", _data(message, f"message {number}"))
            for number, message in messages
            if message.get("type") in ("send", "receive")
        ]
        self.errors = [message for _, message in messages if message.get("type") == "error"]
        closing = entry.get("_webSocketClosing") or ()
        for number, close in enumerate(closing, 1):
            for member in ("type", "code"):
                _member(close, member, f"closing {number}")
        self.opened = bool(self.messages or closing) or (
            self.status == 101 and (not self.errors or self._was_valid())
        )
        self.first_close = closing[0] if closing else None
        self.close_answer = next((c for c in closing[1:] if c["type"] == "receive"), None)

    def _was_valid(self) -> bool:
        """Return whether a page takes the response; where nobody can tell, it does."""
        if not self.asked.all("sec-websocket-key") or not self.answered.headers:
            return True
        try:
            check_response(
                self.answered,
                self.asked.all("sec-websocket-key")[0],
                self.asked.values("sec-websocket-protocol"),
                bool(self.asked.all("sec-websocket-extensions")),
            )
        except InvalidHandshake:
            return False
        return True

    @property
    def server_closes(self) -> bool:
        """Whether the first Close frame, or the end without one, was the server's."""
        return self.first_close is not None and self.first_close["type"] == "receive"

    @property
    def breaks(self) -> bool:
        """Whether it broke before anybody closed it."""
        first = self.first_close
        if not self.errors or first is None:
            return bool(self.errors)
        return bool(self.errors[0].get("time", 0) <= first.get("time", 0))

    @property
    def deflate(self) -> tuple[str, Parameters] | None:
        """What the server said of compression, and what it means."""
        values = self.answered.all("sec-websocket-extensions")
        try:
            agreed = negotiate(values, True)
        except InvalidHandshake:
            return None
        return None if agreed is None else (", ".join(values), agreed)


def _member(holder: dict[str, Any], name: str, what: str) -> Any:
    if name not in holder:
        raise ValueError(f"{what} has no {name!r}")
    return holder[name]


def _data(message: dict[str, Any], what: str) -> str | bytes:
    opcode, data = _member(message, "opcode", what), _member(message, "data", what)
    if not isinstance(data, str):
        raise ValueError(f"the data of {what} are {data!r}, which is no string")
    if opcode == TEXT:
        return data
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except ValueError as error:
        raise ValueError(
            f"the data of {what}, whose opcode is {opcode!r}, are no base64: {error}"
        ) from None


def _head(half: dict[str, Any]) -> Head:
    headers = half.get("headers") or ()
    return Head(
        "HTTP/1.1 101 Switching Protocols",
        tuple((header["name"].lower(), header["value"]) for header in headers),
    )


class _Replay:
    """The server's part in one recorded connection."""

    def __init__(self, cassette: Cassette, connection: _Connection, peer: ScriptPeer) -> None:
        self.cassette, self.connection, self.peer = cassette, connection, peer
        self.left = list(enumerate(connection.messages, 1))

    def run(self) -> None:
        connection, peer = self.connection, self.peer
        if not connection.opened:
            self._refuse()
            return
        self._accept()
        try:
            self._messages()
        except PeerGone:
            self._check_all_sent()
            return
        if connection.breaks:
            peer.reset()
            return
        if connection.server_closes:
            self._close(connection.first_close or {})
            return
        for data in peer:
            raise Failed(f"{self._where()}: the page sends more than was recorded: {shown(data)}")

    def _refuse(self) -> None:
        connection, peer = self.connection, self.peer
        if connection.status != 101:
            peer.reject(connection.status or 502)
            return
        # It was accepted in a way that no page takes: again, but for this page's key.
        [key], asked = peer._core.head.all("sec-websocket-key"), connection.asked
        right = accept_value(asked.all("sec-websocket-key")[0])
        lines = [
            f"{name}: {accept_value(key) if value == right else value}"
            for name, value in connection.answered.headers
            if value != SCRUBBED
        ]
        peer._core.answered = True
        peer.send_raw("\r\n".join([connection.answered.start_line, *lines, "", ""]).encode())
        peer.end()

    def _accept(self) -> None:
        connection, peer = self.connection, self.peer
        headers = {}
        if connection.deflate is not None and peer._core._offers():
            headers["Sec-WebSocket-Extensions"], agreed = connection.deflate
            peer._core.use_deflate(agreed)
        peer._core.close_answer = self._close_answer()
        asked = peer.subprotocols
        protocol = connection.protocol or (asked[0] if asked else None)
        peer.accept(subprotocol=protocol, headers=headers)

    def _close_answer(self) -> Callable[[], Awaitable[object]] | None:
        """Return how the server answered the page's Close frame, if not with the same."""
        connection, core = self.connection, self.peer._core
        first, answer = connection.first_close, connection.close_answer
        if first is None or connection.server_closes or connection.breaks:
            return None
        if answer is not None:
            code, reason = _close_body(answer)
            same = (code, reason) == _close_body(first)
            return None if same else lambda: core.send_close(code, reason)
        if connection.errors:  # there was none: the connection broke, or the page's patience ended
            waited = "no Close frame" in str(connection.errors[0].get("data"))
            return core.finish if waited else core.reset_now
        return None

    def _close(self, close: dict[str, Any]) -> None:
        if close["code"] == 1006:
            self.peer.end()
        else:
            self.peer.close(*_close_body(close))

    def _messages(self) -> None:
        while self.left:
            is_send, data = self.left[0][1]
            if not is_send:
                del self.left[0]
                self.peer.send(data)
                continue
            self._take(self.peer._do(self.peer._core.next_message(None)))

    def _take(self, data: str | bytes) -> None:
        strict = self.cassette.order == "strict"
        candidates = [i for i, (_, (is_send, _)) in enumerate(self.left) if is_send]
        best: list[str] | None = None
        for index in candidates[:1] if strict else candidates:
            number, (_, recorded) = self.left[index]
            faults = self.cassette.differences(recorded, data)
            if not faults:
                del self.left[index]
                return
            if best is None or len(faults) < len(best) - 1:
                best = [f"message {number} of {len(self.connection.messages)} differs:", *faults]
        lines = "\n  ".join(best or ())
        raise Failed(
            f"{self._where()}: the page sends another message than was recorded\n"
            f"  {lines}\n  it sends: {shown(data)}\n{self.peer.timeline}"
        )

    def _check_all_sent(self) -> None:
        left = [f"{n}: {shown(data)}" for n, (is_send, data) in self.left if is_send]
        if left:
            lines = "\n  ".join(left)
            raise Failed(
                f"{self._where()}: the page did not send all that was recorded; missing:\n"
                f"  {lines}\n{self.peer.timeline}"
            ) from None

    def _where(self) -> str:
        return f"{self.cassette.path}, {self.connection.url}"


def _close_body(close: dict[str, Any]) -> tuple[int | None, str]:
    code = close["code"]
    return None if code == 1005 else code, close.get("reason", "")


# -- differences


def _differences(
    recorded: Any, now: Any, ignore: list[JsonPath], steps: Steps = ()
) -> Iterator[str]:
    if any(path.fits(steps) for path in ignore):
        return
    where = shown_path(steps)
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in [*recorded, *(key for key in now if key not in recorded)]:
            inside = (*steps, key)
            if any(path.fits(inside) for path in ignore):
                continue
            if key not in now:
                yield f"{shown_path(inside)}: {_json(recorded[key])} is missing now"
            elif key not in recorded:
                yield f"{shown_path(inside)}: {_json(now[key])} was not there"
            else:
                yield from _differences(recorded[key], now[key], ignore, inside)
    elif isinstance(recorded, list) and isinstance(now, list):
        if len(recorded) != len(now):
            yield f"{where}: recorded {len(recorded)} items, now {len(now)}"
        for index, (before, after) in enumerate(zip(recorded, now, strict=False)):
            yield from _differences(before, after, ignore, (*steps, index))
    elif recorded == SCRUBBED and not isinstance(now, (dict, list)):
        pass  # by another rule: nobody knows what was there
    elif not _same(recorded, now):
        yield f"{where}: recorded {_json(recorded)}, now {_json(now)}"


def _same(recorded: Any, now: Any) -> bool:
    """Return whether they are one value in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(recorded, bool) or isinstance(now, bool):
        return recorded is now
    return bool(recorded == now)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
