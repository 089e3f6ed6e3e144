"""How a jar of `http.cookiejar`'s has a cookie that our rules made.

Three of its customs must be kept for a jar that is shared: a cookie for subdomains too has a dot
before its domain; a host without any dot, such as `localhost`, is filed as `localhost.local`; and a
cookie without a name has its value for one, and None as its value.

So two cookies may want one place there, that are two for the standard: `sid=1` and a nameless
`sid`, or those of `app` and of `app.local`. Then one of them is filed otherwise (`apart`), which we
read as well.
"""

from __future__ import annotations

from http.cookiejar import Cookie

from webapi.cookies.set_cookie import CONTROL, SetCookie

__all__ = [
    "Identity",
    "apart",
    "are_one",
    "filed_host",
    "host_of",
    "identity",
    "is_http_only",
    "is_nameless",
    "key_of",
    "new_cookie",
    "pair",
    "same_site_of",
]

Key = tuple[str, str, str]
"""Where a jar has a cookie: domain, path and name."""

Identity = tuple[str, str, str]
"""What two cookies have in common that are one: host or domain, path and name."""


def new_cookie(said: SetCookie, hostname: str, domain: str) -> Cookie:
    """Return the cookie that a host set.

    Args:
        said: what was set.
        hostname: the host.
        domain: the domain that it is for; "" for the host alone.
    """
    rest: dict[str, str] = {}
    if said.http_only:
        rest["HTTPOnly"] = ""  # as MozillaCookieJar knows it
    if said.same_site != "default":
        rest["SameSite"] = said.same_site.title()
    cookie = Cookie(
        version=0,
        name=said.name or said.value,
        value=said.value if said.name else None,
        port=None,
        port_specified=False,
        domain=f".{domain}" if domain else filed_host(hostname),
        domain_specified=bool(domain),
        domain_initial_dot=bool(domain),
        path=said.path,
        path_specified=said.path_given,
        secure=said.secure,
        expires=said.expires,
        discard=said.expires is None,
        comment=None,
        comment_url=None,
        rest=rest,
    )
    if not domain:
        cookie._webapi_host = hostname  # type: ignore[attr-defined]
    return cookie


def filed_host(hostname: str) -> str:
    """Return the domain under which `http.cookiejar` files the cookies of a host itself."""
    name = f"[{hostname}]" if ":" in hostname else hostname
    return name if "." in name else f"{name}.local"


def are_one(one: Cookie, other: Cookie) -> bool:
    """Tell whether two that want the same place are one for the standard, too."""
    hosts = {host_of(one), host_of(other)} - {None}
    return is_nameless(one) == is_nameless(other) and len(hosts) < 2


def apart(one: Cookie, other: Cookie) -> tuple[Cookie, Cookie]:
    """File otherwise one of two that want the same place; return that one, and the other."""
    if is_nameless(one) != is_nameless(other):
        odd, usual = (one, other) if is_nameless(one) else (other, one)
        odd.name, odd.value = "", odd.name
    else:
        odd, usual = (one, other) if "." not in (host_of(one) or "") else (other, one)
        odd.domain = host_of(odd) or odd.domain
    return odd, usual


# -- what a cookie is ------------------------------------------------------------------------------


def key_of(cookie: Cookie) -> Key:
    """Return where the jar has it."""
    return (cookie.domain, cookie.path, cookie.name)


def host_of(cookie: Cookie) -> str | None:
    """Return the host that it is for alone; None for one for subdomains too, or another's."""
    return getattr(cookie, "_webapi_host", None)


def is_nameless(cookie: Cookie) -> bool:
    """Tell whether it has no name; its text is the name then, or the value."""
    return cookie.value is None or not cookie.name


def identity(cookie: Cookie) -> Identity:
    """Return by what it is known: step 22 of section 5.7."""
    name = "" if is_nameless(cookie) else cookie.name
    return (host_of(cookie) or cookie.domain, cookie.path, name)


def pair(cookie: Cookie) -> str:
    """Return what is sent, a character an octet; "" if that would break the request.

    Who shares the jar may have put anything into it.
    """
    text = cookie.value or cookie.name if is_nameless(cookie) else f"{cookie.name}={cookie.value}"
    if CONTROL.search(text):
        return ""
    if any(char > "\xff" for char in text):
        return text.encode("utf-8", "replace").decode("latin-1")
    return text


def _rest(cookie: Cookie) -> dict[str, str | None]:
    """Return the attributes that `http.cookiejar` does not know, with names in lower case."""
    rest: dict[str, str | None] = cookie._rest or {}  # type: ignore[attr-defined]
    return {name.lower(): value for name, value in rest.items()}


def is_http_only(cookie: Cookie) -> bool:
    """Tell whether it is hidden from scripts."""
    return "httponly" in _rest(cookie)


def same_site_of(cookie: Cookie) -> str:
    """Return "strict", "lax", "none" or "default"."""
    return (_rest(cookie).get("samesite") or "default").lower()
