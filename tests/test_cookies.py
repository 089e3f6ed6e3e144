"""Cookies: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis"""

from __future__ import annotations

import sys
import threading
import time
from http.cookiejar import CookieJar, LWPCookieJar, MozillaCookieJar
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapi.cookies import CookieStore, Place, domains, is_same_site, make_store
from webapi.cookies.set_cookie import cookie_date

HOME = Place("app.example.com", "/room/7", secure=True)


INSECURE = HOME._replace(secure=False)


def at(hostname: str = "app.example.com", path: str = "/", secure: bool = True) -> Place:
    return Place(hostname, path, secure)


def stored(*texts: str, place: Place = HOME, **options: Any) -> CookieStore:
    store = CookieStore(CookieJar())
    for text in texts:
        store.store(text, place, **options)
    return store


# -- a set-cookie-string (section 5.6) -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a=b", "a=b"),
        ("  a =\tb  ; x", "a=b"),
        ("a=", "a="),
        ("a=b=c", "a=b=c"),
        ('a="b c"', 'a="b c"'),
        ("a=b, c=d", "a=b, c=d"),
        ("=b", "b"),
        ("==b", ""),
        ("=a=b", ""),
        ("b", "b"),
        ("a\tb=c\td", "a\tb=c\td"),
        ("a=\xe9", "a=\xe9"),
        ("a=%20", "a=%20"),
        ("", ""),
        (";", ""),
        ("=", ""),
        ("  =  ; Path=/", ""),
        ("a=b\0", ""),
        ("a=b\x1f", ""),
        ("a=b; X=\x7f", ""),
        ("a=" + "x" * 4095, "a=" + "x" * 4095),
        ("a=" + "x" * 4096, ""),
    ],
)
def test_name_and_value(text: str, sent: str) -> None:
    assert stored(text).string_for(HOME) == sent


def days(count: float) -> float:
    return count * 24 * 3600


@pytest.mark.parametrize(
    ("attributes", "lives"),
    [
        ("Max-Age=10", 10),
        ("max-age=10; Max-Age=20", 20),
        ("Max-Age=20; Max-Age=x", None),  # so do Chromium and Firefox, against the standard
        ("Max-Age=x; Max-Age=20", 20),
        ("Max-Age=0; Max-Age=", None),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=x", None),
        ("Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Max-Age=0", 0),
        ("Max-Age=-1", 0),
        ("Max-Age=-", 0),
        ("Max-Age=", None),
        ("Max-Age=+5", None),
        ("Max-Age=1.5", None),
        ("Max-Age=\u0665", None),
        ("Max-Age=" + "9" * 400, days(400)),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", days(400)),
        ("Expires=nonsense", None),
        ("Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 10),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=0", 0),
        ("Max-Age=" + " " * 2000 + "10", 10),
        ("Max-Age=" + "0" * 1023 + "10", None),
    ],
)
def test_expiry(attributes: str, lives: float | None) -> None:
    store = stored(f"a=b; {attributes}")
    cookies = list(store.jar)
    if lives == 0:
        assert cookies == []
    elif lives is None:
        assert cookies[0].expires is None
        assert cookies[0].discard
    else:
        assert cookies[0].expires == pytest.approx(time.time() + lives, abs=5)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Sun, 06 Nov 2044 08:49:37 GMT", (2044, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-44 08:49:37 GMT", (2044, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 2044", (2044, 11, 6, 8, 49, 37)),
        ("6 november 2044 8:9:7", (2044, 11, 6, 8, 9, 7)),
        ("08:49:37x 6th NOVEL 2044y", (2044, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 2044", None),
        ("08:49:37 Nov 2044", None),
        ("31 Feb 2044 08:49:37", None),
        ("6 Nov 2044 24:00:00", None),
        ("6 Nov 1600 00:00:00", None),
        ("6 Nov 20444 00:00:00", None),
        ("008:49:37 6 Nov 2044", None),
        ("6 Nov 99 00:00:00", (1999, 11, 6, 0, 0, 0)),
        ("6 Nov 69 00:00:00", (2069, 11, 6, 0, 0, 0)),
    ],
)
def test_cookie_dates(text: str, parsed: tuple[int, ...] | None) -> None:
    from datetime import datetime, timezone

    found = cookie_date(text)
    if parsed is None:
        assert found is None
    else:
        assert datetime.fromtimestamp(found or 0, timezone.utc).timetuple()[:6] == parsed


# -- domain and path -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("", {"app.example.com"}),
        ("Domain=app.example.com", {"app.example.com", "x.app.example.com"}),
        ("Domain=.example.com", {"app.example.com", "x.app.example.com", "example.com"}),
        ("Domain=EXAMPLE.com", {"app.example.com", "x.app.example.com", "example.com"}),
        ("Domain=com", set()),
        ("Domain=other.com", set()),
        ("Domain=x.app.example.com", set()),
        ("Domain=ple.com", set()),
        ("Domain=example.com; Domain=", {"app.example.com"}),
        ("Domain=b\xfccher.com", set()),
    ],
)
def test_domains(domain: str, hosts: set[str]) -> None:
    store = stored(f"a=b; {domain}")
    all_hosts = ("app.example.com", "x.app.example.com", "example.com", "com", "badexample.com")
    assert {host for host in all_hosts if store.string_for(at(host, "/room"))} == hosts


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "co.uk", "github.io"])
def test_hosts_that_have_no_subdomains_keep_their_cookies(host: str) -> None:
    for domain in ("", f"; Domain={host}"):
        store = stored(f"a=b{domain}", place=at(host))
        assert store.string_for(at(host)) == "a=b"
        assert store.string_for(at(f"x.{host}")) == ""


def test_an_ip_address_has_no_subdomains() -> None:
    assert stored("a=b; Domain=0.0.1", place=at("127.0.0.1")).string_for(at("127.0.0.1")) == ""


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", {"/room", "/room/", "/room/7", "/room/7/x"}),
        ("Path=/room/7", {"/room/7", "/room/7/x"}),
        ("Path=/room/", {"/room/", "/room/7", "/room/7/x"}),
        ("Path=/", {"/", "/room", "/room/", "/room/7", "/room/7/x", "/rooms"}),
        ("Path=relative", {"/room", "/room/", "/room/7", "/room/7/x"}),
        ("Path=/ROOM", set()),
    ],
)
def test_paths(path: str, sent: set[str]) -> None:
    store = stored(f"a=b; {path}")
    paths = ("/", "/room", "/room/", "/room/7", "/room/7/x", "/rooms")
    assert {path for path in paths if store.string_for(at(path=path))} == sent


def test_longer_paths_come_first_then_the_older() -> None:
    store = stored(
        "a=1; Path=/", "b=2; Path=/room", "c=3; Path=/", "d=4; Path=/room/7", "a=5; Path=/"
    )
    assert store.string_for(at(path="/room/7")) == "d=4; b=2; a=5; c=3"


# -- Secure, HttpOnly, SameSite and prefixes -------------------------------------------------------


def test_secure_cookies_go_the_secure_way_only() -> None:
    store = stored("a=1; Secure", "b=2")
    assert store.string_for(HOME) == "a=1; b=2"
    assert store.string_for(HOME._replace(secure=False)) == "b=2"
    assert stored("a=1; Secure", place=HOME._replace(secure=False)).string_for(HOME) == ""


def test_an_insecure_place_does_not_overwrite_a_secure_cookie() -> None:
    insecure = HOME._replace(secure=False)
    store = stored("a=1; Secure; Path=/room", "b=1; Path=/")
    for text in ("a=2; Path=/room", "a=2; Path=/room/x", "a=2; Path=/room; Domain=example.com"):
        store.store(text, insecure)
    store.store("b=2; Path=/", insecure)
    store.store("a=3; Path=/", insecure)  # does not overlay it: its path is shorter
    assert store.string_for(at(path="/room/x")) == "a=1; b=2; a=3"


def test_http_only_cookies_are_no_scripts_business() -> None:
    store = stored("a=1; HttpOnly", "b=2")
    assert store.string_for(HOME, http=False) == "b=2"
    store.store("a=3", HOME, http=False)
    store.store("c=4; HttpOnly", HOME, http=False)
    store.store("a=; Max-Age=0", HOME, http=False)
    assert store.string_for(HOME) == "a=1; b=2"
    store.store("a=5", HOME)
    assert store.string_for(HOME, http=False) == "a=5; b=2"


def test_same_site() -> None:
    texts = (
        "strict=1; SameSite=Strict", "lax=1; SameSite=lax", "none=1; SameSite=None; Secure",
        "default=1", "odd=1; SameSite=odd", "insecure=1; SameSite=None",
    )  # fmt: skip
    store = stored(*texts)
    assert store.string_for(HOME) == "strict=1; lax=1; none=1; default=1; odd=1"
    assert store.string_for(HOME, same_site=False) == "none=1"
    assert stored(*texts, same_site=False).string_for(HOME) == "none=1"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("__Secure-a=1", ""),
        ("__Secure-a=1; Secure", "__Secure-a=1"),
        ("__secure-a=1", ""),
        ("__Host-a=1; Secure", ""),
        ("__Host-a=1; Path=/", ""),
        ("__Host-a=1; Secure; Path=/room", ""),
        ("__Host-a=1; Secure; Path=/; Domain=app.example.com", ""),
        ("__Host-a=1; Secure; Path=/", "__Host-a=1"),
        ("=__Host-a=1; Secure; Path=/", ""),
        ("__Host-a; Secure; Path=/", ""),
        ("__Http-a=1; Secure", ""),
        ("__Http-a=1; HttpOnly", ""),
        ("__Http-a=1; Secure; HttpOnly", "__Http-a=1"),
        ("__http-a=1", ""),
        ("__Http-a; Secure; HttpOnly", ""),
        ("__Host-Http-a=1; Secure; Path=/", ""),
        ("__Host-Http-a=1; Secure; HttpOnly; Path=/room", ""),
        ("__Host-Http-a=1; Secure; HttpOnly; Path=/", "__Host-Http-a=1"),
        ("__Secure-a; Secure", ""),
    ],
)
def test_prefixes(text: str, sent: str) -> None:
    assert stored(text).string_for(HOME) == sent


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("https app.example.com", "https ws.example.com", True),
        ("https app.example.com", "https example.com", True),
        ("https app.example.com", "http app.example.com", False),
        ("https a.co.uk", "https b.co.uk", False),
        ("https a.github.io", "https b.github.io", False),
        ("http localhost", "http localhost", True),
        ("http localhost", "http 127.0.0.1", False),
        ("http 127.0.0.1", "http 127.0.0.1", True),
        ("http 1.127.0.0", "http 2.127.0.0", False),
        ("http 10.0.0.1", "http 11.0.0.1", False),
        ("http a.localhost", "http b.a.localhost", True),
        ("http localhost", "http a.localhost", False),
        ("https a.example.com.", "https b.example.com.", True),
        ("https a.example.com.", "https b.example.com", False),
    ],
)
def test_sites(a: str, b: str, same: bool) -> None:
    (a_scheme, a_host), (b_scheme, b_host) = a.split(), b.split()
    assert is_same_site(f"{a_scheme}:", a_host, f"{b_scheme}:", b_host) is same


# -- limits, and anything at all -------------------------------------------------------------------


def test_a_server_cannot_fill_the_memory() -> None:
    store = stored("keep=1; Secure; Path=/", *(f"a{n}=1; Path=/" for n in range(500)))
    assert len(store.jar) == 180
    assert store.string_for(at()).startswith("keep=1; a321=1; ")
    for n in range(60):
        place = at(f"app.h{n}.example")
        store.store_all([f"b{m}=1" for m in range(70)], place)
    assert len(store.jar) == 3300


def test_a_few_cookies_ask_for_no_public_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list takes 70 ms to load, on the event loop; who stays within one host needs none."""
    monkeypatch.setattr(domains, "registrable", lambda hostname: pytest.fail(hostname))
    domains.site_of.cache_clear()
    store = stored("a=1; Path=/", "b=2; Secure", "a=2; Path=/", "c=3", place=HOME)
    store.store("d=4", INSECURE)
    assert store.string_for(HOME).count("=") == 4


def test_a_sites_hosts_share_its_limit() -> None:
    """Else a server that has names enough would drive out what others set."""
    store = stored("keep=1; Path=/")
    labels = [f"l{n}" for n in range(20)]
    host = ".".join([*labels, "evil.example"])
    for level in range(20):
        domain = ".".join([*labels[level:], "evil.example"])
        lines = [f"x{n}=1; Domain={domain}; Path=/" for n in range(180)]
        store.store_all(lines, at(host))
    assert len(store.jar) == 181
    assert store.string_for(HOME) == "keep=1"


def test_what_was_not_used_for_longest_goes_first() -> None:
    store = stored(*(f"a{n}=1; Path=/" for n in range(90)))
    for n in range(90):
        store.store(f"b{n}=1; Path=/b", HOME)
    assert store.string_for(at(path="/")).startswith("a0=1; ")  # uses those of this path
    for n in range(90):
        store.store(f"c{n}=1; Path=/c", HOME)
    assert store.string_for(at(path="/b")).count("b") == 0
    assert store.string_for(at(path="/")).count("a") == 90


def test_many_cookies_in_one_response_take_no_longer_each() -> None:
    """Counted, not timed: the calls that a full jar takes for what a response brings."""

    def calls(count: int) -> int:
        store = CookieStore(CookieJar())
        for n in range(40):
            store.store_all([f"b{m}=1; Secure" for m in range(100)], at(f"app.h{n}.example"))
        made = 0

        def note(*_: object) -> None:
            nonlocal made
            made += 1

        sys.setprofile(note)
        store.store_all([f"a{n}=1" for n in range(count)], INSECURE)
        sys.setprofile(None)
        return made

    few, many = calls(500), calls(2500)
    assert many < 5 * few


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_any_text_is_taken_or_ignored(texts: list[str]) -> None:
    store = stored(*texts)
    sent = store.string_for(HOME)
    assert not any(char in sent for char in "\r\n\0")


@given(st.text(alphabet="0123456789:-JanFebGMT ,/"))
def test_any_date_is_taken_or_ignored(text: str) -> None:
    stored(f"a=b; Expires={text}")


# -- jars ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LWPCookieJar, MozillaCookieJar])
def test_a_jar_is_saved_and_loaded(kind: type[Any], tmp_path: Path) -> None:
    jar = kind(str(tmp_path / "cookies.txt"))
    store = CookieStore(jar)
    for text in ("a=1; HttpOnly; Secure; Max-Age=60", "b=2; Domain=example.com; Path=/", "c=3"):
        store.store(text, HOME)
    store.store("d=4; SameSite=None; Secure; Path=/", HOME)
    jar.save(ignore_discard=True)
    loaded = kind(str(tmp_path / "cookies.txt"))
    loaded.load(ignore_discard=True)
    again = CookieStore(loaded)
    assert sorted(again.string_for(HOME).split("; ")) == ["a=1", "b=2", "c=3", "d=4"]
    assert again.string_for(at("x.example.com", path="/room/")) == "b=2"
    assert "a=1" not in again.string_for(HOME, http=False)
    assert "a=1" not in again.string_for(HOME._replace(secure=False))
    if kind is LWPCookieJar:  # Mozilla's format has no place for SameSite
        assert again.string_for(HOME, same_site=False) == "d=4"


def test_what_may_be_given_as_cookies() -> None:
    import httpx
    import requests

    jar = CookieJar()
    assert make_store(jar, "h").jar is jar
    session, client = requests.Session(), httpx.Cookies()
    assert make_store(session.cookies, "h").jar is session.cookies
    assert make_store(client, "h").jar is client.jar
    assert make_store({"a": "1", "b": "x=\u00fc"}, "h").string_for(at("h")) == "a=1; b=x=\xc3\xbc"
    assert list(make_store(None, "h").jar) == []
    for wrong in ("a=1", 5, ["a"], {"a": 1}, {1: "a"}):
        with pytest.raises(TypeError, match="cookies"):
            make_store(wrong, "h")
    for bad in ({"a b": "c"}, {"a": "b;c"}, {"a": "b\r\nX: y"}, {"": "b"}, {"a=b": "c"}):
        with pytest.raises(ValueError, match="cannot be sent"):
            make_store(bad, "h")
    with pytest.raises(ValueError, match="longer than 4096 bytes"):
        make_store({"a": "\xfc" * 2048}, "h")


@pytest.mark.parametrize(
    "name", ["__Host-sid", "__Secure-sid", "__host-sid", "__Http-sid", "__Host-Http-sid"]
)
def test_given_cookies_may_have_a_prefix_and_are_secure_then(name: str) -> None:
    store = make_store({name: "7"}, "app.example.com")
    assert bool(store.string_for(at(path="/"), http=False)) is ("Http" not in name)
    assert store.string_for(at(path="/")) == f"{name}=7"
    assert store.string_for(at(path="/")._replace(secure=False)) == ""


def test_cookies_without_a_name_are_one() -> None:
    store = stored("one; Path=/", "=two; Path=/", "a=1; Path=/")
    assert store.string_for(HOME) == "two; a=1"
    store.store("three; Path=/; Max-Age=0", HOME)
    assert store.string_for(HOME) == "a=1"


@pytest.mark.parametrize(
    ("texts", "then", "place", "http", "sent"),
    [
        (["sid=1; HttpOnly; Path=/"], "sid; Path=/", HOME, False, "sid=1; sid"),
        (["sid=1; HttpOnly; Path=/"], "=sid; Path=/", HOME, False, "sid=1; sid"),
        (["sid=1; Secure; Path=/"], "sid; Path=/", INSECURE, True, "sid=1; sid"),
        (["sid=1; HttpOnly; Path=/"], "=sid; Path=/; Max-Age=0", HOME, False, "sid=1"),
        (["sid; Path=/"], "sid=1; Path=/", HOME, True, "sid; sid=1"),
        (["sid; Path=/", "sid=1; Path=/"], "x; Path=/", HOME, True, "x; sid=1"),
        (["sid; Path=/", "sid=1; Path=/"], "x; Path=/; Max-Age=0", HOME, True, "sid=1"),
        (["sid; Path=/", "sid=1; Path=/"], "sid=2; Path=/", HOME, True, "sid; sid=2"),
        (["sid; Path=/", "sid=1; Path=/"], "sid=; Path=/; Max-Age=0", HOME, True, "sid"),
        (["a; Secure; Path=/"], "b; Path=/", INSECURE, True, "a"),
        (["a; HttpOnly; Path=/"], "b; Path=/", HOME, False, "a"),
    ],
)
def test_a_nameless_cookie_is_another_than_one_of_that_name(
    texts: list[str], then: str, place: Place, http: bool, sent: str
) -> None:
    store = stored(*texts)
    store.store(then, place, http=http)
    assert store.string_for(HOME) == sent


def test_of_two_that_a_file_cannot_tell_apart_the_one_with_a_name_stays(tmp_path: Path) -> None:
    for texts in (("sid=1; Path=/", "sid; Path=/"), ("sid; Path=/", "sid=1; Path=/")):
        jar = LWPCookieJar(str(tmp_path / "cookies.txt"))
        store = CookieStore(jar)
        for text in texts:
            store.store(text, HOME)
        jar.save(ignore_discard=True)
        again = LWPCookieJar(str(tmp_path / "cookies.txt"))
        again.load(ignore_discard=True)
        assert CookieStore(again).string_for(HOME) == "sid=1"


@pytest.mark.parametrize("hosts", [("app", "app.local"), ("app.local", "app")])
def test_hosts_that_the_jar_files_alike_keep_cookies_of_one_name(hosts: tuple[str, str]) -> None:
    one, other = (at(host) for host in hosts)
    store = stored("sid=1; HttpOnly; Path=/", "sid; Path=/", place=one)
    store.store("sid=2; Path=/", other)
    store.store("=sid; Path=/", other)
    assert store.string_for(one) == "sid=1; sid"
    assert store.string_for(other) == "sid=2; sid"
    store.store("sid=3; Path=/", one)
    store.store("sid=; Path=/; Max-Age=0", other)
    assert store.string_for(one) == "sid=3; sid"
    assert store.string_for(other) == "sid"


def test_two_stores_of_one_jar_see_what_the_other_stores() -> None:
    class Jar(CookieJar):
        meanwhile: Any = None

        def set_cookie(self, cookie: Any) -> None:
            super().set_cookie(cookie)
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()

    jar = Jar()
    one, other = CookieStore(jar), CookieStore(jar)
    jar.meanwhile = lambda: other.store("sid=1; HttpOnly", HOME)
    one.store("a=1", HOME)
    one.store("sid=2", HOME, http=False)
    assert sorted(one.string_for(HOME).split("; ")) == ["a=1", "sid=1"]


def test_two_threads_with_one_jar() -> None:
    jar = CookieJar()
    stores = CookieStore(jar), CookieStore(jar)
    faults = []

    def work(store: CookieStore, own: str) -> None:
        for n in range(300):
            store.store(f"{own}{n % 7}={n}; HttpOnly; Path=/", HOME)
            store.store(f"{own}{n % 7}=script; Path=/", HOME, http=False)
            if "script" in store.string_for(HOME):
                faults.append(n)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(stores, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(jar) == 14


def test_an_expired_cookie_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored("a=1; HttpOnly; Max-Age=60", "b=1; Secure; Max-Age=60")
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    store.store("a=2", HOME, http=False)
    store.store("b=2", INSECURE)
    assert store.string_for(HOME) == "a=2; b=2"


def test_a_cookie_without_a_domain_is_replaced_by_the_pages() -> None:
    import httpx

    store = make_store(httpx.Cookies({"sid": "1"}), "app.example.com")
    store.store("sid=2; Path=/", HOME)
    assert store.string_for(HOME) == "sid=2"
    store.store("sid=; Path=/; Max-Age=0", HOME)
    assert store.string_for(HOME) == ""


@pytest.mark.parametrize("odd", [{"path": None}, {"rest": None}])
def test_a_foreign_cookie_with_odd_attributes(odd: dict[str, Any]) -> None:
    store = foreign(**odd)
    store.store("b=2; Path=/", INSECURE)
    assert store.string_for(HOME) == "a=1; b=2"


def test_a_foreign_cookie_of_a_name_without_a_dot_is_replaced() -> None:
    store = foreign(domain="app.local")
    assert store.string_for(at("app")) == "a=1"
    store.store("a=2; Path=/", at("app"))
    assert store.string_for(at("app")) == "a=2"
    assert len(store.jar) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a=1", "a=2", "a", "=b", "b=1", "a=; Max-Age=0", "=a; Max-Age=0"]),
            st.sampled_from(["app", "app.local", "x.app.local"]),
            st.sampled_from(["", "; Domain=app.local"]),
        ),
        max_size=12,
    )
)
def test_the_jars_customs_do_not_show(sets: list[tuple[str, str, str]]) -> None:
    """Whatever is set: as if each identity had a place of its own."""
    store = CookieStore(CookieJar())
    model: dict[tuple[str, str], str] = {}
    for text, host, domain in sets:
        store.store(f"{text}; Path=/{domain}", at(host))
        if domain and host == "app":
            continue  # refused: not its own
        name = text.split("=")[0] if "=" in text else ""
        owner = ".app.local" if domain else host
        if "Max-Age" in text:
            model.pop((owner, name), None)
        else:
            model[owner, name] = text.removeprefix("=")
    for host in ("app", "app.local", "x.app.local"):
        owners = [host] if host == "app" else [host, ".app.local"]
        expected = sorted(text for (owner, _), text in model.items() if owner in owners)
        assert sorted(filter(None, store.string_for(at(host)).split("; "))) == expected


# -- what others put into a shared jar -------------------------------------------------------------


def foreign(**attributes: Any) -> CookieStore:
    """Return a store whose jar has a cookie that our rules never saw."""
    from requests.cookies import RequestsCookieJar

    jar = RequestsCookieJar()
    jar.set(**{"name": "a", "value": "1", "domain": "app.example.com", **attributes})
    return CookieStore(jar)


@pytest.mark.parametrize("value", ["1\r\nX-Evil: 1", "1\nX", "1\0"])
def test_a_foreign_cookie_cannot_break_the_request(value: str) -> None:
    store = foreign(value=value)
    store.store("b=2", HOME)
    assert store.string_for(HOME) == "b=2"
    assert foreign(name=value, value="").string_for(HOME) == ""


def test_a_foreign_cookies_text_goes_out_in_utf_8() -> None:
    assert foreign(value="\u20ac").string_for(HOME) == "a=\xe2\x82\xac"
    assert foreign(value="\udc80").string_for(HOME) == "a=?"


def test_a_foreign_cookie_for_a_public_suffix_is_the_suffixs_own() -> None:
    """`http.cookiejar`'s rules take it."""
    store = foreign(domain=".co.uk")
    assert store.string_for(at("bank.co.uk", path="/")) == ""
    assert store.string_for(at("co.uk", path="/")) == "a=1"
    assert foreign(domain=".example.com").string_for(HOME) == "a=1"


def test_hosts_that_the_jar_files_alike_do_not_share() -> None:
    store = stored("a=1; Path=/", place=at("app"))
    assert store.string_for(at("app.local")) == ""
    assert store.string_for(at("app")) == "a=1"
    store.store("b=2; Path=/", at("app.local"))
    assert store.string_for(at("app.local")) == "b=2"
    assert store.string_for(at("app")) == "a=1"


def test_a_cookie_that_another_removed_first_is_no_error() -> None:
    class Racing(CookieJar):
        def clear(self, *_: str | None) -> None:
            super().clear()  # another thread
            raise KeyError

    store = CookieStore(Racing())
    store.store("a=1; Path=/", HOME)
    store.store("a=; Path=/; Max-Age=0", HOME)
    assert store.string_for(HOME) == ""


def test_the_older_comes_first_in_a_jar_of_two_windows() -> None:
    jar = CookieJar()
    one, other = CookieStore(jar), CookieStore(jar)
    for number in "123":
        one.store(f"b{number}=1; Path=/", at("x.example"))
    one.store("b=1; Domain=example.com; Path=/", HOME)
    other.store("a=2; Path=/", HOME)
    assert one.string_for(HOME) == other.string_for(HOME) == "b=1; a=2"


def test_cookies_that_requests_and_httpx_make_without_a_domain_are_the_pages() -> None:
    import httpx
    import requests

    session, client = requests.Session(), httpx.Client()
    session.cookies.set("sid", "1")
    client.cookies.set("sid", "1")
    for cookies in (session.cookies, client.cookies):
        store = make_store(cookies, "app.example.com")
        assert store.string_for(HOME) == "sid=1"
        assert store.string_for(at("other.example.com")) == ""
    client.close()
