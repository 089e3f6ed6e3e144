"""A tap on a socket: everything that happens on it, in order, and waits for it.

In a plain function its waits block; where an asyncio loop runs, they are awaited:

    event = tap.wait_for("open")          # def test_...
    event = await tap.wait_for("open")    # async def test_...
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from webapi.protocol import frames
from webapi.protocol.sender import Control
from webapi.testing.matching import Match, PredicateError, shown
from webapi.testing.timeline import Entry, Timeline
from webapi.testing.waiting import Failed, Until, Waits, wait

if TYPE_CHECKING:
    from webapi.testing.page import Page
    from webapi.websockets.websocket import WebSocket

__all__ = ["Tap"]

_TYPES: Final = ("open", "message", "error", "close")
_CANDIDATES: Final = 10


class Tap:
    """What happens on one socket; get it by `page.tap(ws)`.

    A message that a wait returned is not returned again: two waits for the same are for two
    messages. Others before it stay there for later waits.
    """

    def __init__(self, page: Page, ws: WebSocket, timeline: Timeline) -> None:
        self._page = page
        self.ws = ws
        self.timeline = timeline
        # Whoever taps a socket listens to it: it lives on, and its events need not wait.
        for type in _TYPES:
            ws.addEventListener(type, _nothing)

    # -- what happened so far

    @property
    def events(self) -> list[Any]:
        """The events so far, as they were dispatched."""
        return [entry.event for entry in self._entries() if entry.kind == "event"]

    @property
    def received(self) -> list[str | bytes]:
        """The data of the messages received so far."""
        return self._data("received")

    @property
    def sent(self) -> list[str | bytes]:
        """The data of the messages that left so far."""
        return self._data("sent")

    def _entries(self) -> list[Entry]:
        with self.timeline.board.condition:
            return list(self.timeline.entries)

    def _data(self, kind: str) -> list[str | bytes]:
        return [entry.value for entry in self._entries() if entry.kind == kind and entry.is_data]

    def snapshot(self) -> str:
        """Return the session as text that is the same in each run that does the same.

        Messages are there whole, JSON in one canonical form; there are no times and no pings. It
        fits `assert tap.snapshot() == snapshot` of syrupy, and a plain file.
        """
        lines = []
        for entry in _open_first(self._entries()):
            if entry.is_data:
                arrow = "↑" if entry.kind == "sent" else "↓"
                lines.append(f"{arrow} {_canonical(entry.value)}")
            elif entry.opcode == frames.CLOSE:
                lines.append(entry.line())
            elif entry.kind == "event" and not entry.is_message:
                lines.append(entry.text)
        return "\n".join(lines) + "\n"

    # -- waits

    def wait_for(self, type: str, *, timeout: float | None = None, **match: Any) -> Any:
        """Wait for an event, and return it, once its listeners have run.

        Args:
            type: "open", "message", "error" or "close".
            timeout: seconds; default the page's, 5.
            match: for "message", what it must be: see `wait_for_message`.

        Raises:
            Failed: it did not come within the time, or can come no more; with the whole timeline.
        """
        __tracebackhide__ = True
        if type not in _TYPES:
            raise ValueError(f"there is no event {type!r} on a WebSocket, but {', '.join(_TYPES)}")
        if type == "message":
            return self.wait_for_message(timeout=timeout, **match)
        if match:
            raise TypeError(f"wait_for({type!r}) takes a timeout only, not {', '.join(match)}")
        return wait(self._for_event(type, timeout), self.timeline.board)

    def _for_event(self, type: str, timeout: float | None) -> Waits[Any]:
        __tracebackhide__ = True

        def found() -> Entry | None:
            entries = self.timeline.entries
            return next((e for e in entries if e.kind == "event" and e.event.type == type), None)

        entry = yield from self._find(found, f"the event {type!r}", timeout)
        return entry.event

    def wait_for_message(self, *, timeout: float | None = None, **match: Any) -> Any:
        """Wait for a message, and return its `MessageEvent`, once its listeners have run.

        Args:
            timeout: seconds; default the page's, 5.
            match: what it must be: `text=`, `data=`, `json=` (a subset), `where=` (a callable that
                takes the data); see `Match`. Default any.

        Raises:
            Failed: as `wait_for`; with the messages that came, and why each was another.
        """
        __tracebackhide__ = True
        return wait(self._for_message(Match(**match), timeout), self.timeline.board)

    def _for_message(self, match: Match, timeout: float | None) -> Waits[Any]:
        __tracebackhide__ = True
        entry = yield from self._find_message(match, timeout, lambda e: e.is_message)
        return entry.event

    def wait_for_sent(self, *, timeout: float | None = None, **match: Any) -> Any:
        """Wait for a message that the page sends, and return its data; else as `wait_for_message`.

        Raises:
            Failed: as `wait_for_message`.
        """
        __tracebackhide__ = True
        return wait(self._for_sent(Match(**match, direction="sent"), timeout), self.timeline.board)

    def _for_sent(self, match: Match, timeout: float | None) -> Waits[Any]:
        __tracebackhide__ = True
        sent = yield from self._find_message(
            match, timeout, lambda e: e.kind == "sent" and e.is_data
        )
        return sent.value

    def _find_message(
        self, match: Match, timeout: float | None, meant: Callable[[Entry], bool]
    ) -> Waits[Entry]:
        __tracebackhide__ = True
        looked_at: dict[int, str | None] = {}  # by number, why it is another

        def found() -> Entry | None:
            for number, entry in enumerate(self.timeline.entries):
                if entry.taken or not meant(entry):
                    continue
                if number not in looked_at:
                    looked_at[number] = match.fault(entry.value)
                if looked_at[number] is None:
                    entry.taken = True
                    return entry
            return None

        def candidates() -> list[str]:
            entries = self.timeline.entries
            for number, entry in enumerate(entries):
                if entry.taken and meant(entry) and _is_meant(match, entry):
                    looked_at[number] = "an earlier wait has returned it: each is returned once"
            return [
                f"{shown(entries[n].value)}\n      {why}" for n, why in sorted(looked_at.items())
            ]

        entry: Entry = yield from self._find(found, match.describe(), timeout, candidates)
        return entry

    def wait_for_sequence(
        self, *items: str | Match, timeout: float | None = None, strict: bool = False
    ) -> Any:
        """Wait until all `items` happened in this order, and return them: events, and sent data.

        Args:
            items: "open", "error", "close", or what `message(...)` and `sent(...)` of this package
                return.
            timeout: seconds for all; default the page's, 5.
            strict: whether nothing else may happen in between; default False.

        Raises:
            Failed: they did not; it says how far it got.
        """
        __tracebackhide__ = True
        for item in items:
            if not isinstance(item, Match) and item not in ("open", "error", "close"):
                raise TypeError(
                    f"the sequence holds {item!r}, where 'open', 'error', 'close', message(...) "
                    "or sent(...) is expected"
                )
        return wait(self._for_sequence(items, timeout, strict), self.timeline.board)

    def _for_sequence(
        self, items: tuple[str | Match, ...], timeout: float | None, strict: bool
    ) -> Waits[list[Any]]:
        __tracebackhide__ = True
        best: list[str] = []

        def found() -> list[Entry] | None:
            entries = [e for e in self.timeline.entries if e.kind == "event" or _is_sent(e)]
            starts = range(len(entries)) if strict else range(1)
            for start in starts:
                matched = _match_sequence(entries[start:], items, strict)
                if len(matched) == len(items):
                    return matched
                if len(matched) >= len(best):
                    best[:] = [_words(item) for item in items[: len(matched)]]
            return None

        def progress() -> list[str]:
            done, open_ = best, [_words(item) for item in items[len(best) :]]
            return [f"came: {words}" for words in done] + [f"not yet: {words}" for words in open_]

        what = "the sequence of " + ", ".join(map(_words, items))
        matched = yield from self._find(found, what, timeout, progress, "its steps:")
        return [entry.event if entry.kind == "event" else entry.value for entry in matched]

    def barrier(self, *, timeout: float | None = None) -> Any:
        """Wait until all that the server sent so far has come, and its listeners have run.

        A ping goes out, and the server's pong comes back behind what it sent before
        (https://www.rfc-editor.org/rfc/rfc6455#section-5.5.2). On a closed socket it returns at
        once.

        Raises:
            Failed: no pong came within the time.
        """
        __tracebackhide__ = True
        return wait(self._barrier(timeout, "a pong"), self.timeline.board)

    def _barrier(self, timeout: float | None, what: str) -> Waits[bool]:
        __tracebackhide__ = True
        if self.timeline.over or self.ws.readyState != self.ws.OPEN:
            return False
        payload = b"barrier " + os.urandom(6).hex().encode()
        connection = self.ws._connection
        connection.sender.queue.append(Control(frames.PING, payload))
        connection.schedule()

        def found() -> bool:
            if self.timeline.over:
                return True
            entries = self.timeline.entries
            return any(
                e.opcode == frames.PONG and e.value == payload and e.kind == "received"
                for e in reversed(entries)
            )

        yield from self._find(found, what, timeout)
        # The pong shows before what came with it in one read is dispatched.
        yield from self._find(self._dispatched, "all messages to be dispatched", timeout)
        return True

    def _dispatched(self) -> bool:
        entries = self.timeline.entries
        came = sum(1 for e in entries if e.kind == "received" and e.is_data)
        fired = sum(1 for e in entries if e.is_message)
        return fired >= came or self.timeline.over or self.ws.readyState != self.ws.OPEN

    def none_for(self, seconds: float, **match: Any) -> Any:
        """Wait `seconds`, and fail if a message comes that is not wanted.

        What the server sent before the end of that time counts, however slow this machine is: a
        ping goes out at the end, and what came before its pong is looked at, too.

        Args:
            seconds: how long; 0 for what was sent until now.
            match: as `wait_for_message`; default any message.

        Raises:
            Failed: a message came; or the server does not answer a ping.
        """
        __tracebackhide__ = True
        return wait(self._none_for(seconds, Match(**match)), self.timeline.board)

    def _none_for(self, seconds: float, match: Match) -> Waits[None]:
        __tracebackhide__ = True
        start = len(self._entries())

        def found() -> Entry | None:
            for entry in self.timeline.entries[start:]:
                if entry.kind == "received" and entry.is_data and match.fault(entry.value) is None:
                    return entry
            return None

        look = self._with_story(found)
        entry = yield Until(self.timeline.board, look, seconds)
        if not entry:
            yield from self._barrier(None, "a pong, to be sure that nothing is on its way")
            entry = look()
        if entry:
            raise Failed(
                f"{shown(entry.value)} came, where {match.describe()} was not to come "
                f"for {seconds:g} s\n{self._story()}"
            )

    # -- the judges

    def conforms_to(self, document: Any, *, channel: str | None = None, **options: Any) -> None:
        """Check each message so far, of both directions, against an AsyncAPI document.

        Spec: https://www.asyncapi.com/docs/reference/specification/v3.0.0

        Args:
            document: the path of an AsyncAPI 2 or 3 document (YAML or JSON), or it as a dict.
            channel: the channel's name or address; default the one whose address fits the URL.
            options: `perspective="server"` (default), where the document describes the server, or
                "client".

        Raises:
            Failed: a message is none of those that the channel has, with the path of its fault.
            ValueError: the document is not one, or has no such channel.
        """
        __tracebackhide__ = True
        from webapi.testing.asyncapi import check

        check(self, document, channel=channel, **options)

    # -- how a wait fails

    def _seconds(self, timeout: float | None) -> float:
        return self._page.default_timeout if timeout is None else timeout

    def _find(
        self,
        found: Callable[[], Any],
        what: str,
        timeout: float | None,
        candidates: Callable[[], list[str]] | None = None,
        heading: str = "those that came were others:",
    ) -> Waits[Any]:
        __tracebackhide__ = True
        seconds = self._seconds(timeout)
        over: list[bool] = []
        look = self._with_story(found)

        def found_or_over() -> Any:
            value = look()
            if not value and self.timeline.over:
                over.append(True)
            return value or bool(over)

        value = yield Until(self.timeline.board, found_or_over, seconds)
        if value and not over:
            return value
        with self.timeline.board.condition:
            when = "before the socket was closed" if over else f"within {seconds:g} s"
            lines = [f"{what} did not come {when}"]
            others = candidates() if candidates else []
            if others:
                lines.append(f"  {heading}")
                lines += [f"    {other}" for other in others[-_CANDIDATES:]]
        raise Failed("\n".join([*lines, self._story()]))

    def _with_story(self, found: Callable[[], Any]) -> Callable[[], Any]:
        """Have a predicate of the user's that raises tell of the message and the timeline."""

        def look() -> Any:
            __tracebackhide__ = True
            try:
                return found()
            except PredicateError as error:
                raise Failed(f"{error}\n{self._story()}") from error.__cause__

        return look

    def _story(self) -> str:
        lines = [str(self.timeline), f"  {'now':>7}  {_state(self.ws)}"]
        lines += [f"meanwhile: {_headline(error)}" for error in self._page.problems.peek()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Tap on {self.ws!r}, {len(self.timeline.entries)} entries>"


def _nothing(event: Any) -> None:
    pass


def _state(ws: WebSocket) -> str:
    return ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[ws.readyState]


def _headline(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    # A fault of the kit's says what differs before its timeline.
    end = text.find("\ntimeline of ") if isinstance(error, Failed) else text.find("\n")
    return text if end < 0 else text[:end].replace("\n", "\n  ")


def _is_sent(entry: Entry) -> bool:
    return entry.kind == "sent" and entry.is_data


def _is_meant(match: Match, entry: Entry) -> bool:
    try:
        return match.fault(entry.value) is None
    except PredicateError:
        return False


def _words(item: str | Match) -> str:
    return item.describe() if isinstance(item, Match) else repr(item)


def _match_sequence(
    entries: list[Entry], items: tuple[str | Match, ...], strict: bool
) -> list[Entry]:
    matched: list[Entry] = []
    for entry in entries:
        if len(matched) == len(items):
            break
        if _fits(entry, items[len(matched)]):
            matched.append(entry)
        elif strict:
            break
    return matched


def _fits(entry: Entry, item: str | Match) -> bool:
    if isinstance(item, str):
        return entry.kind == "event" and bool(entry.event.type == item)
    meant = entry.is_message if item.direction == "received" else _is_sent(entry)
    return meant and item.fault(entry.value) is None


def _open_first(entries: list[Entry]) -> list[Entry]:
    """Return `entries` in a page's order: `open` comes before what is received.

    On the background loop it may wait for its listener, while frames come.
    """
    fired = (at for at, entry in enumerate(entries) if entry.kind == "event")
    opened = next((at for at in fired if entries[at].event.type == "open"), 0)
    first = next((at for at, entry in enumerate(entries) if entry.kind == "received"), opened)
    if first < opened:
        entries.insert(first, entries.pop(opened))
    return entries


def _canonical(data: str | bytes) -> str:
    if isinstance(data, bytes):
        return f"<{len(data)} bytes> {data.hex()}"
    try:
        value = json.loads(data)
    except ValueError:
        return data
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
