"""What is in a jar, found by what storing a cookie asks for; and how much may be.

A hostile response may bring 4,000 cookies, to a jar of thousands: a walk of the jar for each would
take seconds.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from http.cookiejar import Cookie, CookieJar
from typing import Final

from webapi.cookies.domains import domain_matches, path_matches, site_of
from webapi.cookies.filing import (
    Identity,
    Key,
    apart,
    are_one,
    filed_host,
    host_of,
    identity,
    key_of,
)

__all__ = ["MAX_COOKIES", "MAX_OF_SITE", "Contents", "last_access"]

# How many cookies a hostile server may leave: Chromium's figures.
MAX_OF_SITE: Final = 180
MAX_COOKIES: Final = 3300

_Rank = tuple[bool, bool, int]


def last_access(cookie: Cookie) -> int:
    """Return when it was last sent or set: a number that grows; 0 where that is not known."""
    return getattr(cookie, "_webapi_used", 0)


class Contents:
    """The cookies of a jar.

    Args:
        jar: the jar, which `put` and `remove` change.
        cookies: what is in it.
    """

    def __init__(self, jar: CookieJar, cookies: Iterable[Cookie]) -> None:
        self._jar = jar
        self._now = 0
        self._by_key: dict[Key, Cookie] = {}
        self._by_identity: dict[Identity, Cookie] = {}
        for cookie in cookies:
            self._note(cookie)
        # Made when first asked for: most responses bring one cookie, which none of it concerns.
        self._secure: dict[str, list[Cookie]] | None = None  # by name
        self._of_site: dict[str, int] | None = None
        self._heaps: dict[str, list[tuple[_Rank, int, Cookie]]] = {}

    def begin(self) -> None:
        """Begin with a response: forget what may have changed with time."""
        self._now = int(time.time())
        self._heaps.clear()

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, cookie: Cookie, home: str) -> Cookie | None:
        """Return the cookie that `cookie` would replace; those of `home` may have no domain."""
        same = identity(cookie)
        found = self._by_identity.get(same)
        host = host_of(cookie)
        if found is None and host is not None:
            found = self._of_others((filed_host(host), *same[1:]))
            if found is None and host == home:
                found = self._of_others(("", *same[1:]))
        if found is not None and found.is_expired(self._now):
            self.remove(found)
            return None
        return found

    def _of_others(self, same: Identity) -> Cookie | None:
        """Return one that others made, whose way does not tell `app` from `app.local`."""
        found = self._by_identity.get(same)
        return None if found is None or host_of(found) is not None else found

    def overlays_a_secure_one(self, new: Cookie) -> bool:
        """Step 16 of section 5.7."""
        if self._secure is None:
            self._secure = defaultdict(list)
            for cookie in self._by_key.values():
                if cookie.secure:
                    self._secure[identity(cookie)[2]].append(cookie)
        domain = _domain(new)
        return any(
            path_matches(new.path, old.path or "/")
            and not old.is_expired(self._now)
            and (domain_matches(_domain(old), domain) or domain_matches(domain, _domain(old)))
            and self._is_here(old)
            for old in self._secure.get(identity(new)[2], ())
        )

    def put(self, cookie: Cookie, instead_of: Cookie | None) -> None:
        """Add a cookie, instead of an older one of its identity if there is one."""
        if instead_of is None:
            self._make_room(cookie)
        else:
            self.remove(instead_of)
        self._file(cookie)
        if cookie.secure:
            self._secure = None
        if self._of_site is not None:
            self._of_site[_site(cookie)] += 1
        for crowd, heap in self._heaps.items():
            if crowd in ("", _site(cookie)):
                heapq.heappush(heap, self._ranked(cookie, crowd))

    def remove(self, cookie: Cookie) -> None:
        """Remove it from the jar."""
        self._forget(cookie)
        if self._of_site is not None:
            self._of_site[_site(cookie)] -= 1

    def _file(self, cookie: Cookie) -> None:
        rival = self._by_key.get(key_of(cookie))
        if rival is not None:
            self._forget(rival)
            if not are_one(rival, cookie):
                # The odd one first: to who loads them from a file they are one, the latter.
                for each in apart(rival, cookie):
                    self._file(each)
                return
        self._note(cookie)
        self._jar.set_cookie(cookie)

    def _forget(self, cookie: Cookie) -> None:
        self._by_key.pop(key_of(cookie), None)
        if self._by_identity.get(identity(cookie)) is cookie:
            del self._by_identity[identity(cookie)]
        with suppress(KeyError):  # whoever shares the jar was faster
            self._jar.clear(cookie.domain, cookie.path, cookie.name)

    def _note(self, cookie: Cookie) -> None:
        self._by_key[key_of(cookie)] = cookie
        self._by_identity[identity(cookie)] = cookie

    def _is_here(self, cookie: Cookie) -> bool:
        return self._by_key.get(key_of(cookie)) is cookie

    # -- the limits

    def _make_room(self, new: Cookie) -> None:
        """Remove one if there would be too many.

        Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.7, end
        """
        if len(self._by_key) < MAX_OF_SITE:
            return  # and no public suffix is asked for
        if self._of_site is None:
            self._of_site = defaultdict(int)
            for cookie in self._by_key.values():
                self._of_site[_site(cookie)] += 1
        if self._of_site[_site(new)] >= MAX_OF_SITE:
            self._remove_first_of(_site(new))
        elif len(self._by_key) >= MAX_COOKIES:
            self._remove_first_of("")

    def _remove_first_of(self, crowd: str) -> None:
        """Remove the first to go of a site, or, where it is "", of all."""
        if crowd not in self._heaps:
            members = (c for c in self._by_key.values() if crowd in ("", _site(c)))
            self._heaps[crowd] = [self._ranked(cookie, crowd) for cookie in members]
            heapq.heapify(self._heaps[crowd])
        heap = self._heaps[crowd]
        while heap:
            cookie = heapq.heappop(heap)[-1]
            if self._is_here(cookie):
                self.remove(cookie)
                return

    def _ranked(self, cookie: Cookie, crowd: str) -> tuple[_Rank, int, Cookie]:
        stays = not cookie.is_expired(self._now)
        # only within a site do those that are not Secure go first
        rank = (stays, crowd != "" and cookie.secure, last_access(cookie))
        return rank, id(cookie), cookie


def _domain(cookie: Cookie) -> str:
    return host_of(cookie) or cookie.domain.removeprefix(".").lower()


def _site(cookie: Cookie) -> str:
    return site_of(_domain(cookie))
