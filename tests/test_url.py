"""URLs of WebSockets: https://websockets.spec.whatwg.org/#get-a-url-record"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webapi import DOMException
from webapi import url as url_module
from webapi.url import WebSocketURL, get_url_record


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("ws://h", "ws://h/"),
        ("wss://h", "wss://h/"),
        ("http://h/p", "ws://h/p"),
        ("https://h/p", "wss://h/p"),
        ("HTTPS://H:443/p", "wss://h/p"),
        ("WS://EXAMPLE.com/Path", "ws://example.com/Path"),
        ("ws://h:80/", "ws://h/"),
        ("wss://h:443/", "wss://h/"),
        ("http://h:80/", "ws://h/"),
        ("ws://h:443/", "ws://h:443/"),
        ("wss://h:80/", "wss://h:80/"),
        ("http://h:443/", "ws://h:443/"),
        ("ws://h:/", "ws://h/"),
        ("ws://h:0/", "ws://h:0/"),
        ("ws://h:00080/", "ws://h/"),
        ("ws:h", "ws://h/"),
        ("ws:/h", "ws://h/"),
        ("ws:\\\\h\\a", "ws://h/a"),
        ("  ws://h/\n", "ws://h/"),
        ("w\ts://h/a\nb", "ws://h/ab"),
        ("ws://h/a/../b/./c", "ws://h/b/c"),
        ("ws://h/%2e%2E/x", "ws://h/x"),
        ("ws://h/a b?c d", "ws://h/a%20b?c%20d"),
        ("ws://h/é?é", "ws://h/%C3%A9?%C3%A9"),
        ("ws://h/?", "ws://h/?"),
        ("ws://h?x=1", "ws://h/?x=1"),
        ("ws://h/%23", "ws://h/%23"),
        ("ws://h/'\"?'\"", "ws://h/'%22?%27%22"),
        ("ws://user:pa ss@h/", "ws://user:pa%20ss@h/"),
        ("ws://bücher.example/", "ws://xn--bcher-kva.example/"),
        ("ws://faß.example/", "ws://xn--fa-hia.example/"),
        ("ws://127.1/", "ws://127.0.0.1/"),
        ("ws://0x7f.1/", "ws://127.0.0.1/"),
        ("ws://[::1]/", "ws://[::1]/"),
        ("ws://[0:0:0:0:0:0:0:1]:9/", "ws://[::1]:9/"),
        ("ws://%65xample/", "ws://example/"),
    ],
)
def test_a_url_is_parsed_and_serialised_as_the_url_standard_says(url, href):
    assert get_url_record(url).href == href


@pytest.mark.parametrize(
    ("url", "base", "href"),
    [
        ("/chat", "https://h:8443/page/", "wss://h:8443/chat"),
        ("chat?x", "http://h/page/here?y", "ws://h/page/chat?x"),
        ("../chat", "http://h/a/b/", "ws://h/a/chat"),
        ("//other/x", "https://h/", "wss://other/x"),
        ("?q", "http://h/p", "ws://h/p?q"),
        ("", "https://h/p?q#f", "wss://h/p?q"),
        ("null", "http://h/a", "ws://h/null"),
        ("ws://x/", "https://h/", "ws://x/"),
        ("/x", "ws://h/", "ws://h/x"),
    ],
)
def test_a_relative_url_starts_from_the_base(url, base, href):
    assert get_url_record(url, base).href == href


@pytest.mark.parametrize(
    "url", ["", "chat", "/chat", "//h/chat", "?q", "#f", "null", "undefined", "1", "example.com/"]
)
def test_a_relative_url_without_a_base_is_a_syntax_error(url):
    with pytest.raises(DOMException, match="a relative URL needs a page's URL") as caught:
        get_url_record(url)
    assert (caught.value.name, caught.value.code) == ("SyntaxError", 12)


@pytest.mark.parametrize(
    "url",
    [
        "ws://",
        "ws:",
        "http://",
        "ws://h:99999",
        "ws://h:-1",
        "ws://h:1a",
        "ws://256.1.1.1/",
        "ws://1.2.3.4.5/",
        "ws://[::1",
        "ws://[::1::]/",
        "ws://a b/",
        "ws://a%00b/",
        "ws://a<b/",
        "ws://é.xn--a/",
        "ws://user@/",
        "wss://:443/",
    ],
)
@pytest.mark.parametrize("base", [None, "https://h/"])
def test_a_url_that_cannot_be_parsed_is_a_syntax_error(url, base):
    if base is not None and url in ("ws:", "http://", "ws://"):
        base = None  # still a failure there, for the scheme is another
    with pytest.raises(DOMException, match="no valid URL") as caught:
        get_url_record(url, base)
    assert caught.value.name == "SyntaxError"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["ftp://h/", "data:text/plain,x", "file:///x", "file:", "blob:http://h/x", "mailto:a@b"]
    + ["about:blank", "about:", "javascript:1", "wsx://h/", "httpx://h/", "h:80/x"],
)
def test_another_scheme_is_a_syntax_error(url):
    with pytest.raises(DOMException, match="the scheme of") as caught:
        get_url_record(url)
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize("url", ["ws://h/#f", "ws://h/#", "https://h/?q#f", "ws://h#f", "ws:h#"])
def test_a_fragment_is_a_syntax_error(url):
    with pytest.raises(DOMException, match="has a fragment") as caught:
        get_url_record(url)
    assert caught.value.name == "SyntaxError"


def test_a_relative_urls_fragment_is_a_syntax_error():
    with pytest.raises(DOMException, match="has a fragment"):
        get_url_record("#f", "https://h/")


@pytest.mark.parametrize(
    ("url", "secure", "hostname", "port", "host", "resource", "origin", "http_origin"),
    [
        ("ws://h", False, "h", 80, "h", "/", "ws://h", "http://h"),
        ("wss://h", True, "h", 443, "h", "/", "wss://h", "https://h"),
        ("ws://h:8080/a;b?c=d", False, "h", 8080, "h:8080", "/a;b?c=d", "ws://h:8080", None),
        ("wss://H:80/?", True, "h", 80, "h:80", "/?", "wss://h:80", "https://h:80"),
        ("ws://h:0/", False, "h", 0, "h:0", "/", "ws://h:0", None),
        ("ws://[::1]:9/x", False, "::1", 9, "[::1]:9", "/x", "ws://[::1]:9", None),
        ("ws://[::1]/", False, "::1", 80, "[::1]", "/", "ws://[::1]", None),
        ("ws://u:p%2F@h/x//y?//z", False, "h", 80, "h", "/x//y?//z", "ws://h", "http://h"),
        ("ws://é.example?q", False, "xn--9ca.example", 80, "xn--9ca.example", "/?q", None, None),
    ],
)
def test_a_record_has_the_parts_that_a_connection_needs(
    url, secure, hostname, port, host, resource, origin, http_origin
):
    record = get_url_record(url)
    assert (record.secure, record.hostname, record.port) == (secure, hostname, port)
    assert (record.host, record.resource) == (host, resource)
    if origin:
        assert record.origin == origin
    if http_origin:
        assert record.http_origin == http_origin


def test_a_secret_in_a_url_is_not_kept(monkeypatch):
    asked: list[object] = []

    def keep(url: str, base: str | None) -> WebSocketURL:
        asked.append((url, base))
        return url_module._parse(url, base)

    monkeypatch.setattr(url_module, "_parse_and_keep", keep)
    for url, base in (
        ("ws://user:hunter2@h/", None),
        ("ws://h/?token=hunter2", None),
        ("/", "https://user:hunter2@h/"),
        ("", "https://h/?token=hunter2"),
    ):
        assert "hunter2" in str(get_url_record(url, base))
    assert asked == [("ws://h/", None)]


_PIECES = st.sampled_from(
    ["ws://", "wss:", "http://h", "//", "/", "?", "#", "@", ":", "[::1]", "%41", "..", "\\", "ß"]
) | st.characters(max_codepoint=0x17F)
_BASES = st.sampled_from([None, "https://b.example/p/q", "https://b.example/?z", "about:blank"])


@example("ws:h ?", None)
@example("ws:h\0?", None)
@example("?x", "https://b.example/?z")
@given(st.lists(_PIECES, max_size=12).map("".join), _BASES)
def test_a_url_whose_path_was_parsed_before_is_parsed_as_if_it_was_not(
    url: str, base: str | None
) -> None:
    def outcome(parse: Callable[[str, str | None], WebSocketURL]) -> object:
        try:
            return parse(url, base)
        except DOMException as exception:
            return str(exception)

    assert outcome(get_url_record) == outcome(url_module._parse)
