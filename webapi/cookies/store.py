"""The cookies of a page, in a jar that others may use too.

Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.7

The jar is any `http.cookiejar.CookieJar`, because that is what `requests` and `httpx` have, and
what can be saved and loaded. The rules are ours: those of `http.cookiejar` are Netscape's and RFC
2965's, which know no `SameSite`, no prefixes and no public suffixes, and send a host's own cookies
to its subdomains.

What others put into a shared jar was never checked by these rules. So what would be a leak, or
break the request, is checked again when cookies are sent: public suffixes, and control characters.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterable, Mapping
from http.cookiejar import Cookie, CookieJar
from typing import Any, Final, NamedTuple

from webapi.cookies.contents import Contents
from webapi.cookies.domains import (
    default_path,
    domain_matches,
    is_ip,
    is_public_suffix,
    path_matches,
)
from webapi.cookies.filing import (
    filed_host,
    host_of,
    is_http_only,
    new_cookie,
    pair,
    same_site_of,
)
from webapi.cookies.set_cookie import CONTROL, MAX_PAIR, SetCookie, parse, prefix_allows

__all__ = ["CookieStore", "Place", "make_store"]

# Creations and accesses, in their order; of all stores, because several may have one jar.
_order: Final = itertools.count(1)


class Place(NamedTuple):
    """Where a cookie comes from or goes to."""

    hostname: str
    """In lower case, an IPv6 address without brackets."""
    path: str
    """Without the query."""
    secure: bool
    """Whether the way there is: TLS, or this machine."""


class CookieStore:
    """The cookies of one page, in `jar`, which others may use too.

    Args:
        jar: the jar.
        home: the host of the page: a cookie in the jar without a domain, as `requests` and `httpx`
            make them on request, is for this host.
    """

    def __init__(self, jar: CookieJar, home: str = "") -> None:
        self.jar = jar
        self._home = home
        # The jar's own lock, which its methods take; a subclass may have none.
        self._lock: Any = getattr(jar, "_cookies_lock", None) or threading.RLock()
        self._index: Contents | None = None
        self._known: list[Cookie] = []  # what was in the jar when we last changed it

    def store(self, text: str, place: Place, *, same_site: bool = True, http: bool = True) -> None:
        """Take a `Set-Cookie` header's value, or what a script set.

        Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.7

        Args:
            text: the value; each character is an octet.
            place: where it came from.
            same_site: whether the request was same-site.
            http: whether it came with a response; False for a script's.
        """
        self.store_all([text], place, same_site=same_site, http=http)

    def store_all(
        self, texts: Iterable[str], place: Place, *, same_site: bool = True, http: bool = True
    ) -> None:
        """`store` each of `texts`; for many that is much quicker."""
        path = default_path(place.path)
        said = [parsed for text in texts if (parsed := parse(text, path)) is not None]
        if not said:
            return
        with self._lock:
            contents = self._contents()
            for one in said:
                cookie = self._make(one, place, contents, same_site, http)
                if cookie is not None:
                    self._insert(cookie, contents, http)
            self._known = self._snapshot()
            if len(self._known) != len(contents):  # somebody else stored meanwhile
                self._index = None

    def string_for(self, place: Place, *, same_site: bool = True, http: bool = True) -> str:
        """Return the `Cookie` header's value for a request, or what a script may read.

        Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.8.3
        """
        now = time.time()
        found = [
            cookie
            for cookie in self._snapshot()
            if not cookie.is_expired(int(now))
            and self._is_for_host(cookie, place.hostname)
            and path_matches(place.path, cookie.path or "/")
            and (place.secure or not cookie.secure)
            and (http or not is_http_only(cookie))
            and (same_site or same_site_of(cookie) == "none")
        ]
        # sort() keeps the jar's order, which is that of creation, where ours is not known
        found.sort(
            key=lambda cookie: (-len(cookie.path or "/"), getattr(cookie, "_webapi_order", 0))
        )
        for cookie in found:
            cookie._webapi_used = next(_order)  # type: ignore[attr-defined]
        return "; ".join(filter(None, map(pair, found)))

    def _snapshot(self) -> list[Cookie]:
        # what list(jar) does takes forty times as long: 4 ms for 3,300 cookies
        domains: dict[str, dict[str, dict[str, Cookie]]] | None
        domains = getattr(self.jar, "_cookies", None)
        with self._lock:
            if domains is None:
                return list(self.jar)
            return [
                cookie
                for paths in domains.values()
                for names in paths.values()
                for cookie in names.values()
            ]

    def _contents(self) -> Contents:
        """Return what is in the jar: as we left it, or looked through anew."""
        present = self._snapshot()
        if self._index is None or present != self._known:
            self._index = Contents(self.jar, present)
        self._index.begin()
        return self._index

    # -- which are for whom

    def _is_for_host(self, cookie: Cookie, hostname: str) -> bool:
        domain = cookie.domain.lower()
        if not domain:
            return hostname == self._home
        if domain in (hostname, filed_host(hostname)):
            return (host_of(cookie) or hostname) == hostname
        if not (cookie.domain_specified or domain.startswith(".")):
            return False
        domain = domain.removeprefix(".")
        return domain == hostname or (
            domain_matches(hostname, domain) and not is_public_suffix(domain)
        )

    # -- storing, in the steps of section 5.7

    def _make(
        self, said: SetCookie, place: Place, contents: Contents, same_site: bool, http: bool
    ) -> Cookie | None:
        domain = said.domain
        if not domain.isascii():  # step 8
            return None
        if domain and (is_ip(domain) or is_public_suffix(domain)):  # step 9
            if domain != place.hostname:
                return None
            domain = ""
        if domain and not domain_matches(place.hostname, domain):  # step 10
            return None
        if said.secure and not place.secure:  # step 13
            return None
        if said.http_only and not http:  # step 15
            return None
        cookie = new_cookie(said, place.hostname, domain)
        if not said.secure and not place.secure and contents.overlays_a_secure_one(cookie):
            return None  # step 16
        if said.same_site != "none" and http and not same_site:  # step 18
            return None
        if said.same_site == "none" and not said.secure:  # step 19
            return None
        return cookie if prefix_allows(said, not domain) else None  # steps 20 and 21

    def _insert(self, cookie: Cookie, contents: Contents, http: bool) -> None:
        """Steps 22 and 23."""
        old = contents.find(cookie, self._home)
        if old is not None and is_http_only(old) and not http:
            return
        if cookie.is_expired(int(time.time())):
            if old is not None:
                contents.remove(old)
            return
        now = next(_order)
        created = now if old is None else getattr(old, "_webapi_order", 0)
        cookie._webapi_order = created  # type: ignore[attr-defined]
        cookie._webapi_used = now  # type: ignore[attr-defined]
        contents.put(cookie, old)


def make_store(cookies: object, home: str) -> CookieStore:
    """Return the store for what a user gave as `cookies`.

    Args:
        cookies: None for a new jar; a `CookieJar`; something that has one as its `jar`, as
            `httpx.Cookies`; or a mapping of names to values, which are set for the host `home`.
        home: the page's host.

    Raises:
        TypeError: it is something else.
    """
    jar = CookieJar() if cookies is None else cookies
    if not isinstance(jar, CookieJar):
        jar = getattr(cookies, "jar", None)
    if isinstance(jar, CookieJar):
        return CookieStore(jar, home)
    if not isinstance(cookies, Mapping):
        raise TypeError(
            f"cookies is {cookies!r}, where a mapping of names to values, an "
            "http.cookiejar.CookieJar (as of a requests session) or an httpx.Cookies is expected"
        )
    store = CookieStore(CookieJar(), home)
    for name, value in cookies.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"cookies holds {name!r}: {value!r}, where two strings are expected")
        if not re.fullmatch(r"[!-:<>-~]+", name) or CONTROL.search(value) or ";" in value:
            raise ValueError(
                f"the cookie {name!r}: {value!r} cannot be sent "
                "(https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1)"
            )
        octets = value.encode().decode("latin-1")
        if len(name) + len(octets) > MAX_PAIR:
            raise ValueError(
                f"the cookie {name!r} is longer than {MAX_PAIR} bytes "
                "(https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.6)"
            )
        prefix = re.match("__(secure|host-http|host|http)-", name.lower())
        needs = "; Secure" if prefix else ""  # else it could not be set
        needs += "; HttpOnly" if prefix and prefix[1].endswith("http") else ""
        store.store(f"{name}={octets}; Path=/{needs}", Place(home, "/", secure=True))
    return store
