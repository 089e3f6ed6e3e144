"""RFC 6455 §4.1: the request, as websocket-client composes it behind our guard."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

import pytest
import websocket._handshake
from websockets.server import ServerProtocol

from webapi.net import opening
from webapi.net.opening import compose_request
from webapi.net.settings import Options, check_headers
from webapi.protocol.handshake import Head, parse_head
from webapi.url import get_url_record


def compose(
    url: str = "ws://example.com/",
    protocols: tuple[str, ...] = (),
    headers: tuple[tuple[str, str], ...] = (),
) -> Head:
    """Return the request's head, checked for what every one must be."""
    request, key = compose_request(
        Options(url=get_url_record(url), protocols=protocols, headers=headers)
    )
    assert request.endswith(b"\r\n\r\n")
    assert request.count(b"\r\n\r\n") == 1
    assert request.count(b"\n") == request.count(b"\r") == request.count(b"\r\n")
    head = parse_head(request)
    assert head.all("upgrade") == ["websocket"]
    assert head.all("connection") == ["Upgrade"]
    assert head.all("sec-websocket-version") == ["13"]
    assert head.all("sec-websocket-key") == [key]
    assert len(base64.b64decode(key, validate=True)) == 16
    assert len(head.all("host")) == len(head.all("origin")) == 1
    assert head.all("sec-websocket-extensions") == ["permessage-deflate; client_max_window_bits"]
    return head


def test_compression_can_be_left_out() -> None:
    request, _ = compose_request(Options(url=get_url_record("ws://h/"), compression=False))
    assert parse_head(request).all("sec-websocket-extensions") == []


@pytest.fixture
def foreign_cookies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another user of websocket-client in this process has cookies for example.com."""
    jar = websocket._cookiejar.SimpleCookieJar()
    jar.add("foreign=1; domain=example.com")
    assert jar.get("example.com") == jar.get("www.example.com") == "foreign=1"
    monkeypatch.setattr(websocket._handshake, "CookieJar", jar)
    yield
    assert jar.get("example.com") == "foreign=1"


# -- the request line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("ws://example.com", "/"),
        ("ws://example.com/chat", "/chat"),
        ("ws://example.com/chat;params", "/chat;params"),
        ("ws://example.com/a;b/c;d=1?e;f", "/a;b/c;d=1?e;f"),
        ("ws://example.com/?", "/?"),
        ("ws://example.com?", "/?"),
        ("ws://example.com?a=b", "/?a=b"),
        ("ws://example.com/chat?a=b&c=d?e", "/chat?a=b&c=d?e"),
        ("ws://example.com//double//slash", "//double//slash"),
        ("ws://example.com/a/../b/./c", "/b/c"),
        ("ws://example.com/ä b?ü", "/%C3%A4%20b?%C3%BC"),
        ("ws://example.com/%0d%0aX: y", "/%0d%0aX:%20y"),
        ("ws://example.com/a\r\n\tb", "/ab"),
        ("ws://user:secret@example.com/x", "/x"),
        ("wss://example.com/@a:b//c", "/@a:b//c"),
    ],
)
def test_the_request_line_has_path_and_query_as_the_url_has_them(url, target):
    # RFC 6455 §3, "resource-name"
    assert compose(url).start_line == f"GET {target} HTTP/1.1"


# -- Host and Origin -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        ("ws://example.com/", "example.com", "http://example.com"),
        ("ws://example.com:80/", "example.com", "http://example.com"),
        ("wss://example.com:443/", "example.com", "https://example.com"),
        ("ws://example.com:443/", "example.com:443", "http://example.com:443"),
        ("wss://example.com:80/", "example.com:80", "https://example.com:80"),
        ("ws://example.com:8080/", "example.com:8080", "http://example.com:8080"),
        ("wss://EXAMPLE.com:8443/", "example.com:8443", "https://example.com:8443"),
        ("ws://[::1]/", "[::1]", "http://[::1]"),
        ("ws://[2001:DB8:0:0::1]:9000/", "[2001:db8::1]:9000", "http://[2001:db8::1]:9000"),
        ("wss://[::1]:443/", "[::1]", "https://[::1]"),
        ("ws://127.1:81/", "127.0.0.1:81", "http://127.0.0.1:81"),
        ("ws://bücher.example/", "xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("ws://user:secret@example.com/", "example.com", "http://example.com"),
        ("https://example.com/", "example.com", "https://example.com"),
        ("ws://example.com./", "example.com.", "http://example.com."),
        ("ws://a_b.example!$&'()*+,;=/", "a_b.example!$&'()*+,;=", "http://a_b.example!$&'()*+,;="),
    ],
)
def test_host_and_origin_have_the_port_only_where_it_is_not_the_schemes(url, host, origin):
    # RFC 6455 §4.1, the request's item 4, and RFC 6454 §6.2
    head = compose(url)
    assert head.all("host") == [host]
    assert head.all("origin") == [origin]


@pytest.mark.parametrize("name", ["Origin", "origin", "ORIGIN"])
@pytest.mark.parametrize("value", ["https://page.example", "null"])
def test_a_given_origin_is_the_only_one(name, value):
    assert compose(headers=((name, value),)).all("origin") == [value]


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("ws://user:secret@example.com/", b"user:secret"),
        ("ws://user@example.com/", b"user:"),
        ("ws://:secret@example.com/", b":secret"),
        ("ws://a%40b:p%3As%25@example.com/", b"a@b:p:s%"),
        ("ws://\u00fc:\u20ac@example.com/", "\u00fc:\u20ac".encode()),
    ],
)
def test_credentials_in_the_url_are_http_basic(url, credentials):
    [header] = compose(url).all("authorization")
    assert header == f"Basic {base64.b64encode(credentials).decode()}"


def test_a_given_authorization_stands_in_for_the_urls():
    head = compose("ws://user:secret@example.com/", headers=(("authorization", "Bearer x"),))
    assert head.all("authorization") == ["Bearer x"]


def test_headers_stand_in_chromiums_order():
    # as Chromium 156 sent them, without Accept-Encoding and Accept-Language
    head = compose(
        "ws://u:p@example.com/", protocols=("chat",), headers=(("X-B", "1"), ("X-A", "2"))
    )
    assert [name for name, _ in head.headers] == [
        "host", "connection", "pragma", "cache-control", "authorization", "user-agent", "upgrade",
        "origin", "sec-websocket-version", "x-b", "x-a", "sec-websocket-key",
        "sec-websocket-extensions", "sec-websocket-protocol",
    ]  # fmt: skip


def test_there_is_a_user_agent_and_no_referer():
    head = compose()
    [agent] = head.all("user-agent")
    assert agent.startswith("Mozilla/5.0 (compatible; webapi/")
    assert head.all("referer") == []
    assert compose(headers=(("User-agent", "mine"),)).all("user-agent") == ["mine"]
    url = get_url_record("ws://h/")
    for given, sent in (("mine/1", ["mine/1"]), ("", [])):
        request, _ = compose_request(Options(url=url, user_agent=given))
        assert parse_head(request).all("user-agent") == sent


@pytest.mark.parametrize("name", ["Pragma", "cache-control"])
def test_a_given_header_is_sent_once(name):
    assert compose(headers=((name, "mine"),)).all(name.lower()) == ["mine"]


# -- subprotocols and headers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocols", [("chat",), ("chat.v2", "chat.v1"), ("Chat", "b!#$%&'*+-.^_`|~")]
)
def test_subprotocols_are_one_list_in_order(protocols):
    assert compose(protocols=protocols).all("sec-websocket-protocol") == [", ".join(protocols)]


def test_without_subprotocols_there_is_no_such_header():
    assert compose().all("sec-websocket-protocol") == []


def test_headers_are_sent_as_given_and_in_order():
    head = compose(headers=(("X-B", "1"), ("X-A", "a: b, c"), ("X-B", "2"), ("X-Empty", "")))
    assert [pair for pair in head.headers if pair[0].startswith("x-")] == [
        ("x-b", "1"), ("x-a", "a: b, c"), ("x-b", "2"), ("x-empty", ""),
    ]  # fmt: skip


def test_the_browsers_cache_headers_are_sent():
    # https://websockets.spec.whatwg.org/#concept-websocket-establish: cache mode "no-store"
    head = compose()
    assert head.all("pragma") == head.all("cache-control") == ["no-cache"]


def test_every_request_has_a_key_of_its_own():
    keys = {compose().all("sec-websocket-key")[0] for _ in range(50)}
    assert len(keys) == 50


def test_websockets_server_side_takes_the_request():
    request, _ = compose_request(
        Options(url=get_url_record("ws://example.com/a;b?"), protocols=("chat",))
    )
    server = ServerProtocol(subprotocols=["chat"])
    server.receive_data(request)
    (event,) = server.events_received()
    assert event.path == "/a;b?"
    response = server.accept(event)
    assert response.status_code == 101
    assert response.headers["Sec-WebSocket-Protocol"] == "chat"


# -- nothing of the process's leaks in -------------------------------------------------------------


@pytest.mark.parametrize("url", ["ws://example.com/", "wss://www.EXAMPLE.com:8443/x"])
def test_the_process_wide_cookie_jar_does_not_leak_in(foreign_cookies, url):
    assert compose(url).all("cookie") == []


@pytest.mark.parametrize("name", ["Cookie", "cookie"])
def test_the_cookie_jar_does_not_leak_in_beside_a_given_cookie(foreign_cookies, name):
    assert compose(headers=((name, "mine=2"),)).all("cookie") == ["mine=2"]


def test_proxies_of_the_environment_change_nothing(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://user:secret@proxy.invalid:3128")
    for url in ("ws://example.com/", "wss://example.com/"):
        head = compose(url)
        assert head.start_line == "GET / HTTP/1.1"
        assert head.all("proxy-authorization") == []


def test_websocket_clients_default_timeout_changes_nothing():
    before = websocket.getdefaulttimeout()
    websocket.setdefaulttimeout(0.5)
    try:
        assert compose().start_line == "GET / HTTP/1.1"
    finally:
        websocket.setdefaulttimeout(before)


# -- check_headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "checked"),
    [
        (None, ()),
        ({}, ()),
        ([], ()),
        ({"A": "b", "C": "d"}, (("A", "b"), ("C", "d"))),
        ([("A", "b"), ["A", "c"]], (("A", "b"), ("A", "c"))),
        ((pair for pair in [("A", "")]), (("A", ""),)),
        ({"Cookie": "a=b; c=d"}, (("Cookie", "a=b; c=d"),)),
        ({"Authorization": "Basic eDp5"}, (("Authorization", "Basic eDp5"),)),
        ({"!#$%&'*+-.^_`|~09AZaz": "x"}, (("!#$%&'*+-.^_`|~09AZaz", "x"),)),
    ],
)
def test_check_headers_takes_a_mapping_or_pairs(headers, checked):
    assert check_headers(headers) == checked


def test_check_headers_takes_any_mapping():
    class Case(Mapping):
        def __getitem__(self, name):
            return "b"

        def __iter__(self):
            return iter(["A"])

        def __len__(self):
            return 1

    assert check_headers(Case()) == (("A", "b"),)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ("A: b", "a mapping or pairs"),
        (7, "a mapping or pairs"),
        (["A: b"], "a pair"),
        ([("A",)], "a pair"),
        ([("A", "b", "c")], "a pair"),
        (b"AB", "a pair"),
        ([{"A", "b"}], "a pair"),
        ({"A": 1}, "two strings"),
        ({"A": None}, "two strings"),
        ({"A": b"b"}, "two strings"),
        ({1: "b"}, "two strings"),
        ([("A", ["b"])], "two strings"),
    ],
)
def test_check_headers_refuses_wrong_types(headers, message):
    with pytest.raises(TypeError, match=f"^headers .*{message}"):
        check_headers(headers)


@pytest.mark.parametrize("name", ["", "A B", "A:", "A\r\nB", "Ä", "A\0", " A", "A ", "(A)", "A\n"])
def test_check_headers_refuses_what_is_no_token(name):
    with pytest.raises(ValueError, match="is no header name"):
        check_headers({name: "b"})


@pytest.mark.parametrize(
    "name",
    [
        "Host", "host", "Upgrade", "CONNECTION", "Content-Length", "Transfer-Encoding",
        "Sec-WebSocket-Key", "sec-websocket-version", "Sec-WebSocket-Protocol",
        "SEC-WEBSOCKET-EXTENSIONS", "Sec-WebSocket-Anything",
    ],
)  # fmt: skip
def test_check_headers_refuses_the_handshakes_own(name):
    with pytest.raises(ValueError, match=f"the header {name} is the handshake's own"):
        check_headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "ä", "€", "a\x7f", "a\x1b[0m", "\u2028"]
)
def test_check_headers_refuses_values_that_are_not_printable_ascii(value):
    with pytest.raises(ValueError, match="printable ASCII only"):
        check_headers({"A": value})


def test_nothing_that_may_be_secret_is_kept() -> None:
    url = get_url_record("ws://never-seen.example/")
    opening._around_key.cache_clear()
    for options in (
        Options(url=url, headers=(("X-Token", "hunter2"),)),
        Options(url=url, protocols=("token.hunter2",)),
        Options(url=get_url_record("ws://user:hunter2@never-seen.example/")),
    ):
        compose_request(options)
        assert opening._around_key.cache_info().currsize == 0
    compose_request(Options(url=get_url_record("ws://never-seen.example/?token=hunter2")))
    compose_request(Options(url=url))
    assert opening._around_key.cache_info().currsize == 1
