"""Construction: URLs, protocols, and arguments of all types."""

from __future__ import annotations

from collections.abc import Iterator

from .words import CLOSE_IT, UNDEFINED, Scenario, Value, accept, call, get, new, scenario, state, ws

#: These connect; what the server is asked for is in the trace.
GOOD = {
    "plain": "{ws}/",
    "no-path": "{ws}",
    "query": "{ws}/?a=b&c",
    "empty-query": "{ws}/?",
    "two-question-marks": "{ws}/a?b?c",
    "space": "{ws}/a b?c d",
    "not-ascii": "{ws}/\u00e4\U0001f600?\u00e4\U0001f600",
    "lone-percent": "{ws}/%?%",
    "percent-encoded": "{ws}/%41%2f%e4?%41",
    "dots": "{ws}/a/../b/./c/%2e%2E/d",
    "semicolon": "{ws}/a;b=c;d?e;f",
    "backslash": "{ws}\\a\\b?c\\d",
    "quotes": "{ws}/\"'`<>{|}^?\"'`<>{|}^",
    "white-space-around": " \t\n{ws}/ \r\n",
    "newline-within": "{ws}/a\nb\tc\rd",
    "http": "{http}/x",
    "upper-case-scheme": "WS:{rest}/x",
    "upper-case-http": "HTTP:{rest}/x",
    "one-slash": "ws:/{host}{path}/x",
    "four-slashes": "ws:////{host}{path}/x",
    "backslashes": "ws:\\\\{host}{path}/x",
    "credentials": "ws://user:pass@{host}{path}/x",
    "empty-credentials": "ws://:@{host}{path}/x",
}

#: These are never connected to: the socket is closed at once, only `url` matters.
CLOSED_AT_ONCE = {
    "default-port": "ws://127.0.0.1:80/",
    "default-port-wss": "wss://127.0.0.1:443/",
    "default-port-http": "http://127.0.0.1:80/x",
    "default-port-https": "https://127.0.0.1:443/x",
    "other-scheme's-port": "ws://127.0.0.1:443/",
    "port-with-zeros": "ws://127.0.0.1:00080/",
    "empty-port": "ws://127.0.0.1:/",
    "hexadecimal-host": "ws://0x7f.1/",
    "octal-host": "ws://0177.0.0.1/",
    "decimal-host": "ws://2130706433/",
    "upper-case-host": "ws://LOCALHOST/",
    "encoded-host": "ws://%6cocalhost/",
    "full-width-host": "ws://\uff11\uff12\uff17.0.0.1/",
    "ipv6": "ws://[0:0:0:0:0:0:0:1]/",
    "ipv6-of-ipv4": "ws://[::127.0.0.1]/",
    "bad-port": "ws://127.0.0.1:1/",
}

BAD = {
    "no-host": "ws://",
    "no-host-slash": "ws:///",
    "scheme-only": "ws:",
    "port-only": "ws://:80",
    "ftp": "ftp://127.0.0.1/",
    "about": "about:blank",
    "mailto": "mailto:x@y",
    "javascript": "javascript:1",
    "data": "data:,",
    "file": "file:///x",
    "blob": "blob:http://127.0.0.1/x",
    "unknown-scheme": "wsx://127.0.0.1/",
    "space-in-host": "ws://a b/",
    "half-ipv6": "ws://[::1/",
    "bad-ipv6": "ws://[1::2::3]/",
    "bad-ipv4": "ws://1.2.3.256/",
    "long-port": "ws://127.0.0.1:65536/",
    "negative-port": "ws://127.0.0.1:-1/",
    "port-in-letters": "ws://127.0.0.1:http/",
    "fragment": "{ws}/#f",
    "empty-fragment": "{ws}/#",
    "fragment-http": "{http}/#f",
    "fragment-wss": "wss:{rest}/?a#b",
    "nul-in-host": "ws://a\0b/",
    "encoded-nul-in-host": "ws://a%00b/",
    "less-than-in-host": "ws://a<b/",
    "percent-in-host": "ws://a%zz/",
    "empty-punycode": "ws://xn--/",
    "caret-in-host": "ws://a^b/",
    "soft-hyphen-host": "ws://\u00ad/",
}

RELATIVE = {
    "empty": "",
    "path": "/x",
    "name": "x y",
    "query": "?q",
    "fragment": "#f",
    "null": None,
    "number": 42,
    "true": True,
    "undefined": UNDEFINED,
}

GOOD_PROTOCOLS: dict[str, Value] = {
    "one": "chat",
    "list-of-one": ["chat"],
    "two": ["chat", "superchat"],
    "every-character": ["!#$%&'*+-.^_`|~09azAZ", "chat"],
    "differ-in-case": ["chat", "Chat"],
    "numbers": [1, 2.5, "chat"],
    "others": [None, True, False, "chat"],
    "undefined-within": [UNDEFINED, "chat"],
}

BAD_PROTOCOLS: dict[str, Value] = {
    "empty-string": "",
    "list-of-empty": [""],
    "space": " ",
    "space-within": "a b",
    "comma": "a,b",
    "comma-space": "a, b",
    "nul": "a\0",
    "delete": "\x7f",
    "tab": "a\tb",
    "newline": "a\n",
    "not-ascii": "\u00e9",
    "beyond-bmp": "\U0001f600",
    "twice": ["a", "a"],
    "twice-apart": ["a", "b", "a"],
    "good-then-bad": ["a", "b c"],
    "nested-list": [["a", "b"]],
    **{f"separator-{ord(char):02x}": char for char in '()<>@:\\"/[]?={}'},
}


def scenarios() -> Iterator[Scenario]:
    for name, url in GOOD.items():
        yield scenario("construction", f"url-{name}", [ws(url, open=[CLOSE_IT]), state()])
    for name, url in CLOSED_AT_ONCE.items():
        yield scenario("construction", f"url-{name}", [ws(url), CLOSE_IT, state()])
    for name, url in BAD.items():
        yield scenario("construction", f"bad-url-{name}", [ws(url)])
    for name, url in RELATIVE.items():
        yield scenario("construction", f"relative-url-{name}", [ws(url), CLOSE_IT])
    yield from _protocols()
    yield from _arguments()


def _protocols() -> Iterator[Scenario]:
    for name, protocols in GOOD_PROTOCOLS.items():
        yield scenario(
            "construction",
            f"protocols-{name}",
            [ws("{ws}/", protocols, open=[CLOSE_IT]), state()],
            accept("Sec-WebSocket-Protocol: chat"),
            ["serve"],
        )
    for name, protocols in BAD_PROTOCOLS.items():
        yield scenario("construction", f"bad-protocols-{name}", [ws("{ws}/", protocols)])
    for name, value in {"undefined": UNDEFINED, "empty-list": []}.items():
        yield scenario(
            "construction", f"protocols-{name}", [ws("{ws}/", value, open=[CLOSE_IT]), state()]
        )
    for name, value in {"null": None, "number": 7, "true": True}.items():
        shown = {"null": "null", "number": "7", "true": "true"}[name]
        yield scenario(
            "construction",
            f"protocols-{name}",
            [ws("{ws}/", value, open=[CLOSE_IT]), state()],
            accept(f"Sec-WebSocket-Protocol: {shown}"),
            ["serve"],
        )


def _arguments() -> Iterator[Scenario]:
    yield scenario("construction", "no-arguments", [new("WebSocket", name="a")])
    yield scenario("construction", "url-is-checked-first", [ws("ws:", "a b")])
    yield scenario("construction", "more-arguments", [ws("{ws}/", [], 1, 2, open=[CLOSE_IT])])
    yield scenario("construction", "bad-port-fires", [ws("ws://127.0.0.1:1/"), state()])
    yield scenario("construction", "refused", [ws("{refused}/"), state()])
    yield scenario(
        "construction",
        "constants",
        [
            ws(open=[CLOSE_IT]),
            *(
                get(f"{owner}.{constant}")
                for owner in ("WebSocket", "a")
                for constant in ("CONNECTING", "OPEN", "CLOSING", "CLOSED")
            ),
        ],
    )
    yield scenario(
        "construction",
        "two-sockets-in-order",
        [
            ws("{ws}/", name="a", open=[call("a.send", "1")], message=[CLOSE_IT]),
            ws("{ws}/b", name="b", close=[ws("{ws}/c", name="c", open=[call("c.close")])],
               open=[call("b.close", 3000, "b")]),
        ][:1],
    )  # fmt: skip
    yield scenario(
        "construction",
        "a-socket-in-a-handler",
        [
            ws(
                "{ws}/a",
                open=[CLOSE_IT],
                close=[ws("{ws}/b", name="b", open=[call("b.close", 3000, "b")]), state("b")],
            ),
        ],
    )
    yield scenario(
        "construction",
        "wrong-scheme-of-server",
        [ws("wss:{rest}/")],
    )
