"""The `Location` interface, of a page that does not navigate.

Spec: https://html.spec.whatwg.org/multipage/nav-history-apis.html#the-location-interface
"""

from __future__ import annotations

from webapi.url import PageURL, without_credentials

__all__ = ["Location"]


class Location:
    """A page's URL and its parts, read-only: a `Window` here stays where it is.

    Spec: https://html.spec.whatwg.org/multipage/nav-history-apis.html#location
    """

    __slots__ = ("_url",)

    def __init__(self, url: PageURL) -> None:
        self._url = url

    @property
    def href(self) -> str:
        """The whole URL."""
        return self._url.href

    @property
    def origin(self) -> str:
        """The serialised origin, or "null"."""
        return self._url.origin

    @property
    def protocol(self) -> str:
        """The scheme with its colon, for example "https:"."""
        return self._url.protocol

    @property
    def host(self) -> str:
        """Host and port, the port only where it is not the scheme's own."""
        return self._url.host

    @property
    def hostname(self) -> str:
        """The host without its port."""
        return self._url.hostname

    @property
    def port(self) -> str:
        """The port, or "" where it is the scheme's own."""
        return self._url.port

    @property
    def pathname(self) -> str:
        """The path."""
        return self._url.pathname

    @property
    def search(self) -> str:
        """The query with its question mark, or ""."""
        return self._url.search

    @property
    def hash(self) -> str:
        """The fragment with its number sign, or ""."""
        return self._url.hash

    def toString(self) -> str:
        """Return `href`."""
        return self._url.href

    __str__ = toString

    def __repr__(self) -> str:
        return f"<Location {without_credentials(self._url.href)}>"
