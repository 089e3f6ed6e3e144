"""Which hosts, paths and sites belong together.

Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.1
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

__all__ = [
    "default_path",
    "domain_matches",
    "is_ip",
    "is_public_suffix",
    "is_same_site",
    "path_matches",
    "site_of",
]


def domain_matches(hostname: str, domain: str) -> bool:
    """Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.1.3"""
    return hostname == domain or (hostname.endswith(f".{domain}") and not is_ip(hostname))


def path_matches(path: str, cookie_path: str) -> bool:
    """Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.1.4"""
    return path == cookie_path or (
        path.startswith(cookie_path)
        and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )


def default_path(path: str) -> str:
    """Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.1.4"""
    return path[: path.rfind("/")] or "/"


def is_ip(hostname: str) -> bool:
    """Tell whether it is an address: it has no subdomains."""
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True


def is_public_suffix(domain: str) -> bool:
    """Tell whether strangers have what is below it, as below `co.uk`."""
    return registrable(domain) is None


@lru_cache(maxsize=1024)
def registrable(hostname: str) -> str | None:
    """Return the registrable domain; None for a public suffix.

    Spec: https://url.spec.whatwg.org/#host-registrable-domain
    """
    return _public_suffixes().privatesuffix(hostname.removesuffix("."))


@lru_cache(maxsize=1)
def _public_suffixes() -> _PublicSuffixes:
    from publicsuffixlist import PublicSuffixList  # 70 ms, and not needed within one host

    return PublicSuffixList()  # type: ignore[no-any-return]


class _PublicSuffixes:
    """What we use of `publicsuffixlist.PublicSuffixList`."""

    def privatesuffix(self, domain: str) -> str | None: ...


def is_same_site(a_scheme: str, a_host: str, b_scheme: str, b_host: str) -> bool:
    """Tell whether two origins, given by scheme ("http:") and host, are of one site.

    Spec: https://html.spec.whatwg.org/multipage/browsers.html#same-site
    """
    if a_scheme != b_scheme:
        return False
    if a_host == b_host:
        return True
    if is_ip(a_host) or is_ip(b_host):
        return False
    # "a.example." is another host than "a.example", and so is its site
    site = registrable(a_host)
    return (
        site is not None
        and site == registrable(b_host)
        and a_host.endswith(".") is b_host.endswith(".")
    )


@lru_cache(maxsize=4096)
def site_of(domain: str) -> str:
    """Return what a cookie's `domain` is counted with: its registrable domain, or itself."""
    return domain if is_ip(domain) else registrable(domain) or domain
