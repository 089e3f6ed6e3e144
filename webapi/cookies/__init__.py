"""Cookies: RFC 6265bis on a jar of the standard library's.

Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis

`set_cookie` reads what a server sent (section 5.6), `domains` tells hosts, paths and sites apart
(5.1), and `store` keeps and finds them (5.7 and 5.8), in a jar where `filing` knows its customs.
"""

from webapi.cookies.domains import is_same_site
from webapi.cookies.store import CookieStore, Place, make_store

__all__ = ["CookieStore", "Place", "is_same_site", "make_store"]
