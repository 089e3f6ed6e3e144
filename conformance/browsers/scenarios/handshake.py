"""Every answer to the opening handshake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import (
    CLOSE_IT,
    FIN,
    GOOD_HEAD,
    RESET,
    SERVE,
    Scenario,
    accept,
    call,
    close,
    head,
    pause,
    raw,
    respond,
    scenario,
    state,
    text,
    write,
    ws,
)

STATUS, UPGRADE, CONNECTION, ACCEPTED = GOOD_HEAD
EMPTY = "Content-Length: 0"

#: Heads that are no (right) acceptance, or might be one.
HEADS: dict[str, tuple[str, ...]] = {
    **{
        f"status-{status}": (f"HTTP/1.1 {status} Whatever", EMPTY)
        for status in (200, 201, 204, 304, 400, 403, 404, 405, 410, 426, 429, 500, 501, 503, 999)
    },
    **{
        f"status-{status}-with-the-headers": (f"HTTP/1.1 {status} X", *GOOD_HEAD[1:], EMPTY)
        for status in (200, 201, 400)
    },
    **{
        f"redirect-{status}": (f"HTTP/1.1 {status} X", "Location: /elsewhere", EMPTY)
        for status in (301, 302, 303, 307, 308)
    },
    "status-401": ("HTTP/1.1 401 X", 'WWW-Authenticate: Basic realm="x"', EMPTY),
    "status-407": ("HTTP/1.1 407 X", 'Proxy-Authenticate: Basic realm="x"', EMPTY),
    "http-1.0": ("HTTP/1.0 101 Switching Protocols", *GOOD_HEAD[1:]),
    "http-2": ("HTTP/2 101 Switching Protocols", *GOOD_HEAD[1:]),
    "http-lower-case": ("http/1.1 101 Switching Protocols", *GOOD_HEAD[1:]),
    "not-http": ("hello",),
    "icy": ("ICY 101 X", *GOOD_HEAD[1:]),
    "no-reason-phrase": ("HTTP/1.1 101", *GOOD_HEAD[1:]),
    "odd-reason-phrase": ("HTTP/1.1 101 200 OK \u00e4", *GOOD_HEAD[1:]),
    "two-spaces-before-status": ("HTTP/1.1  101 X", *GOOD_HEAD[1:]),
    "long-status": ("HTTP/1.1 1010 X", *GOOD_HEAD[1:]),
    "no-upgrade": (STATUS, CONNECTION, ACCEPTED),
    "other-upgrade": (STATUS, "Upgrade: h2c", CONNECTION, ACCEPTED),
    "upgrade-in-capitals": (STATUS, "UPGRADE: WEBSOCKET", CONNECTION, ACCEPTED),
    "upgrade-of-two": (STATUS, "Upgrade: websocket, h2c", CONNECTION, ACCEPTED),
    "upgrade-with-a-folded-line": (STATUS, UPGRADE, " X: y", CONNECTION, ACCEPTED),
    "upgrade-twice": (STATUS, UPGRADE, UPGRADE, CONNECTION, ACCEPTED),
    "upgrade-empty": (STATUS, "Upgrade:", CONNECTION, ACCEPTED),
    "no-connection": (STATUS, UPGRADE, ACCEPTED),
    "connection-close": (STATUS, UPGRADE, "Connection: close", ACCEPTED),
    "connection-list": (STATUS, UPGRADE, "Connection: keep-alive, Upgrade", ACCEPTED),
    "connection-in-capitals": (STATUS, UPGRADE, "Connection: UPGRADE", ACCEPTED),
    "connection-twice": (STATUS, UPGRADE, "Connection: keep-alive", CONNECTION, ACCEPTED),
    "connection-same-twice": (STATUS, UPGRADE, CONNECTION, CONNECTION, ACCEPTED),
    "connection-quoted": (STATUS, UPGRADE, 'Connection: "Upgrade"', ACCEPTED),
    "no-accept": (STATUS, UPGRADE, CONNECTION),
    "empty-accept": (STATUS, UPGRADE, CONNECTION, "Sec-WebSocket-Accept:"),
    "wrong-accept": (*GOOD_HEAD[:3], "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
    "accept-spaces-around": (*GOOD_HEAD[:3], "Sec-WebSocket-Accept:\t {accept} \t"),
    "accept-with-more": (*GOOD_HEAD[:3], "Sec-WebSocket-Accept: {accept}x"),
    "accept-quoted": (*GOOD_HEAD[:3], 'Sec-WebSocket-Accept: "{accept}"'),
    "accept-twice": (*GOOD_HEAD, ACCEPTED),
    "name-without-case": (*GOOD_HEAD[:3], "sec-websocket-ACCEPT: {accept}"),
    "space-before-colon": (*GOOD_HEAD[:3], "Sec-WebSocket-Accept : {accept}"),
    "folded": (STATUS, UPGRADE, "Connection: keep-alive,", " Upgrade", ACCEPTED),
    "line-without-colon": (*GOOD_HEAD[:2], "nonsense", *GOOD_HEAD[2:]),
    "space-before-headers": (STATUS, " x", *GOOD_HEAD[1:]),
    "space-before-first-header": (STATUS, " A: b", *GOOD_HEAD[1:]),
    "space-before-upgrade": (STATUS, " Upgrade: websocket", CONNECTION, ACCEPTED),
    "space-before-headers-after-reason": ("HTTP/1.1 101", "\tA: b", *GOOD_HEAD[1:]),
    "empty-name": (STATUS, ": x", *GOOD_HEAD[1:]),
    "space-in-name": (STATUS, "a b: x", *GOOD_HEAD[1:]),
    "bracket-in-name": (STATUS, "(a): x", *GOOD_HEAD[1:]),
    "bad-name-then-folded": (STATUS, "(a): x", " y", *GOOD_HEAD[1:]),
    "nul-in-name": (STATUS, "a\0b: x", *GOOD_HEAD[1:]),
    "nul": (STATUS, "X: a\0b", *GOOD_HEAD[1:]),
    "not-ascii-value": (STATUS, "X: \u00e4\u00ff", *GOOD_HEAD[1:]),
    "not-ascii-name": (STATUS, "\u00e4: x", *GOOD_HEAD[1:]),
    "bare-carriage-return": (STATUS, "X: a\rb", *GOOD_HEAD[1:]),
    "content-length": (*GOOD_HEAD, EMPTY),
    "transfer-encoding": (*GOOD_HEAD, "Transfer-Encoding: chunked"),
    "many-headers": (*GOOD_HEAD, *(f"X-{number}: y" for number in range(100))),
    "long-header": (*GOOD_HEAD, f"X: {'y' * 8000}"),
    "long-head": (*GOOD_HEAD, *(f"X-{number}: {'y' * 1000}" for number in range(40))),
}

PROTOCOL = "Sec-WebSocket-Protocol"
#: What was asked for, and the header lines of the answer.
PROTOCOLS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unasked": ([], (f"{PROTOCOL}: a",)),
    "unasked-empty": ([], (f"{PROTOCOL}:",)),
    "none-chosen": (["a", "b"], ()),
    "second-chosen": (["a", "b"], (f"{PROTOCOL}: b",)),
    "other-chosen": (["a"], (f"{PROTOCOL}: c",)),
    "other-case": (["a"], (f"{PROTOCOL}: A",)),
    "two-chosen": (["a", "b"], (f"{PROTOCOL}: a, b",)),
    "two-headers": (["a", "b"], (f"{PROTOCOL}: a", f"{PROTOCOL}: b")),
    "same-twice": (["a"], (f"{PROTOCOL}: a", f"{PROTOCOL}: a")),
    "empty-chosen": (["a"], (f"{PROTOCOL}:",)),
    "spaces-around": (["a"], (f"{PROTOCOL}: \ta ",)),
    "with-comma": (["a"], (f"{PROTOCOL}: a,",)),
}

EXTENSIONS = "Sec-WebSocket-Extensions"
DEFLATE = {
    "plain": "permessage-deflate",
    "capitals": "Permessage-Deflate",
    "server-no-takeover": "permessage-deflate; server_no_context_takeover",
    "client-no-takeover": "permessage-deflate; client_no_context_takeover",
    "both-no-takeover": "permessage-deflate;server_no_context_takeover;client_no_context_takeover",
    "server-window-8": "permessage-deflate; server_max_window_bits=8",
    "server-window-10": "permessage-deflate; server_max_window_bits=10",
    "server-window-15": "permessage-deflate; server_max_window_bits=15",
    "server-window-quoted": 'permessage-deflate; server_max_window_bits="15"',
    "server-window-7": "permessage-deflate; server_max_window_bits=7",
    "server-window-16": "permessage-deflate; server_max_window_bits=16",
    "server-window-015": "permessage-deflate; server_max_window_bits=015",
    "server-window-valueless": "permessage-deflate; server_max_window_bits",
    "client-window-9": "permessage-deflate; client_max_window_bits=9",
    "client-window-15": "permessage-deflate; client_max_window_bits=15",
    "client-window-valueless": "permessage-deflate; client_max_window_bits",
    "client-window-x": "permessage-deflate; client_max_window_bits=x",
    "unknown-parameter": "permessage-deflate; x=1",
    "takeover-with-value": "permessage-deflate; server_no_context_takeover=1",
    "parameter-twice": (
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover"
    ),
    "twice": "permessage-deflate, permessage-deflate",
    "other-extension": "x-webkit-deflate-frame",
    "and-another": "permessage-deflate, mux",
    "empty": "",
    "broken": "permessage-deflate; =",
    "trailing-semicolon": "permessage-deflate;",
    "odd-spaces": " permessage-deflate ;  server_no_context_takeover ",
}


def _tried(name: str, *server: Any, protocols: Any = ()) -> Scenario:
    """A socket that asks for `protocols`, and that closes as soon as it is open."""
    script = [ws("{ws}/", *protocols, open=[CLOSE_IT])]
    return scenario("handshake", name, script, *server)


def scenarios() -> Iterator[Scenario]:
    for name, lines in HEADS.items():
        yield _tried(name, respond(*lines), SERVE)
    for name, (asked, lines) in PROTOCOLS.items():
        script = [ws("{ws}/", asked, open=[CLOSE_IT])]
        yield scenario("handshake", f"protocol-{name}", script, accept(*lines), SERVE)
    for name, value in DEFLATE.items():
        script = [ws("{ws}/", open=[call("a.send", "x" * 200)], message=[CLOSE_IT])]
        yield scenario(
            "handshake", f"deflate-{name}", script, accept(f"{EXTENSIONS}: {value}"), SERVE
        )
    yield _tried("deflate-two-headers", accept(*[f"{EXTENSIONS}: permessage-deflate"] * 2), SERVE)
    yield from _cut()
    yield from _interim()
    yield from _behind()


def _cut() -> Iterator[Scenario]:
    """The connection ends before the head does."""
    yield _tried("end-at-once", FIN)
    yield _tried("reset-at-once", RESET)
    yield _tried("end-in-status-line", write(raw(b"HTTP/1.1 10".hex())), FIN)
    yield _tried("end-after-status-line", write(raw(b"HTTP/1.1 101 X\r\n".hex())), FIN)
    yield _tried("reset-after-status-line", write(raw(b"HTTP/1.1 101 X\r\n".hex())), RESET)
    lines = ("HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade")
    yield _tried("end-after-headers", write(raw("\r\n".join(lines).encode().hex())), FIN)
    yield scenario(
        "handshake",
        "close-while-the-server-is-silent",
        [ws(open=[CLOSE_IT]), {"after": [{"after": [{"after": [state(), CLOSE_IT, state()]}]}]}],
        ["wait"],
        aborts=True,
    )


def _interim() -> Iterator[Scenario]:
    for status in (100, 102, 103):
        yield _tried(f"interim-{status}", respond(f"HTTP/1.1 {status} X"), accept(), SERVE)
    yield _tried("interim-twice", *[respond("HTTP/1.1 103 X", "X: y")] * 2, accept(), SERVE)
    yield _tried("interim-then-404", respond("HTTP/1.1 100 X"), respond("HTTP/1.1 404 X", EMPTY))
    yield _tried("interim-and-head-in-one", write(head("HTTP/1.1 100 X"), head(*GOOD_HEAD)), SERVE)


def _behind() -> Iterator[Scenario]:
    """What comes in the same segment as the head."""
    first = head(*GOOD_HEAD)
    script = [ws(open=[state()], message=[CLOSE_IT])]
    yield scenario("handshake", "message-with-the-head", script, write(first, text("hi")), SERVE)
    script = [ws(open=[state()], message=[state()])]
    yield scenario(
        "handshake", "all-with-the-head", script, write(first, text("hi"), close(3000, "x")), FIN
    )
    yield scenario("handshake", "close-with-the-head", script, write(first, close()), FIN)
    yield scenario("handshake", "end-with-the-head", script, write(first), FIN)
    yield scenario("handshake", "failure-with-the-head", script, write(first, raw("8f00")), FIN)
    yield scenario(
        "handshake",
        "head-in-pieces",
        [ws(open=[CLOSE_IT])],
        write(raw(b"HTTP/1.1 101 X\r".hex())),
        pause(),
        write(raw(b"\nUpgrade: webs".hex())),
        pause(),
        write(raw(b"ocket\r\nConnection: Upgrade\r\n".hex())),
        pause(),
        write(head("Sec-WebSocket-Accept: {accept}")),
        SERVE,
    )
    line_feeds = "\n".join(("HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade", ""))
    yield scenario(
        "handshake",
        "line-feeds-only",
        [ws(open=[CLOSE_IT])],
        write(raw(line_feeds.encode().hex()), head("Sec-WebSocket-Accept: {accept}")),
        SERVE,
    )
    for name, junk in {
        "blank-line": "0d0a",
        "blank-lines": "0d0a" * 2,
        "three-blank-lines": "0d0a" * 3,
        "line-feed": "0a",
        "four-line-feeds": "0a" * 4,
        "five-line-feeds": "0a" * 5,
        "space": "20",
        "letters": "616263",
        "four-letters": "61626364",
        "nul": "00",
        "five-letters": "6162636465",
    }.items():
        yield _tried(f"{name}-before", write(raw(junk), first), SERVE)
