"""The `Document` of a page that shows nothing: its URL and cookies.

Spec: https://html.spec.whatwg.org/multipage/dom.html#the-document-object
"""

from __future__ import annotations

from webapi.cookies import CookieStore, Place
from webapi.html.location import Location
from webapi.webidl import USVString

__all__ = ["Document"]


class Document:
    """A page's document.

    Spec: https://html.spec.whatwg.org/multipage/dom.html#document
    """

    __slots__ = ("_cookies", "_location", "_place")

    def __init__(self, location: Location, cookies: CookieStore, place: Place | None) -> None:
        self._location = location
        self._cookies = cookies
        self._place = place  # None: averse to cookies

    @property
    def URL(self) -> str:
        """The page's URL."""
        return self._location.href

    @property
    def location(self) -> Location:
        """The page's URL and its parts."""
        return self._location

    @property
    def cookie(self) -> str:
        """The cookies that a script may see: "a=1; b=2", without those that are `HttpOnly`.

        Spec: https://html.spec.whatwg.org/multipage/dom.html#dom-document-cookie

        Set one cookie at a time: "name=value; Path=/; Max-Age=60". What the rules of RFC 6265bis
        forbid is ignored, as there. A page of another scheme than http and https has none.
        """
        if self._place is None:
            return ""
        octets = self._cookies.string_for(self._place, http=False)
        return octets.encode("latin-1", "replace").decode("utf-8", "replace")

    @cookie.setter
    def cookie(self, value: object) -> None:
        if self._place is not None:
            octets = USVString(value, "cookie").encode().decode("latin-1")
            self._cookies.store(octets, self._place, http=False)
