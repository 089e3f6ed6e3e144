"""A set-cookie-string: what a server, or a script, says of a cookie.

Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.6

Asked (Chromium 150, Firefox 140), browsers agree against it, and so do we with them: of several
attributes of a name the last counts, and if that is invalid, none; a lone dot is no domain. They
agree on two rules of the next standard, too: the prefixes `__Http-` and `__Host-Http-`, and no "="
in the value of a cookie without a name
(https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-layered-cookies).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Final, NamedTuple

__all__ = ["CONTROL", "MAX_PAIR", "SetCookie", "cookie_date", "parse", "prefix_allows"]

# Octets.
MAX_PAIR: Final = 4096
_MAX_ATTRIBUTE: Final = 1024
_MAX_AGE: Final = 400 * 24 * 3600  # seconds

CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WHITE: Final = " \t"


class SetCookie(NamedTuple):
    """What it says, an octet a character."""

    name: str
    value: str
    expires: int | None
    domain: str
    path: str
    path_given: bool
    secure: bool
    http_only: bool
    same_site: str
    """ "strict", "lax", "none" or "default"."""


def parse(text: str, default_path: str) -> SetCookie | None:
    """Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.6"""
    if CONTROL.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", name
    name, value = name.strip(_WHITE), value.strip(_WHITE)
    if not (name or value) or len(name) + len(value) > MAX_PAIR:
        return None
    if not name and "=" in value:
        return None
    found = _attributes(attributes)
    domain = found.get("domain", "")
    if domain == ".":
        return None
    same_site = found.get("samesite", "").lower()
    path = found.get("path", "")
    return SetCookie(
        name,
        value,
        _expiry(found.get("max-age", ""), found.get("expires", "")),
        domain.removeprefix(".").lower(),
        path if path.startswith("/") else default_path,
        path_given="path" in found,
        secure="secure" in found,
        http_only="httponly" in found,
        same_site=same_site if same_site in ("strict", "lax", "none") else "default",
    )


def _attributes(texts: Iterable[str]) -> dict[str, str]:
    """Return the last of each attribute."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        name, value = name.strip(_WHITE).lower(), value.strip(_WHITE)
        if len(value) <= _MAX_ATTRIBUTE:
            found[name] = value
    return found


def _expiry(max_age: str, expires: str) -> int | None:
    """Return when it expires, in seconds since the epoch; None at the end of the session."""
    now = int(time.time())
    if _AGE.fullmatch(max_age):
        negative = max_age.startswith("-") or not max_age.strip("0")
        return 0 if negative else now + int(min(float(max_age), _MAX_AGE))
    date = cookie_date(expires)
    return None if date is None else min(date, now + _MAX_AGE)


_AGE: Final = re.compile(r"-?[0-9]+|-", re.ASCII)
_DELIMITERS: Final = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_DAY: Final = re.compile(r"([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_YEAR: Final = re.compile(r"([0-9]{2,4})(?:[^0-9].*)?", re.DOTALL)
_MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip


def cookie_date(text: str) -> int | None:
    """Parse a date as cookies have it; None where it is none.

    Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.1.1
    """
    clock = day = month = year = None
    for token in _DELIMITERS.split(text):
        if clock is None and (match := _TIME.fullmatch(token)):
            clock = tuple(map(int, match.groups()))
        elif day is None and (match := _DAY.fullmatch(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.fullmatch(token)):
            year = int(match[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year <= 99:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    try:
        hour, minute, second = clock
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        return int(moment.timestamp())
    except ValueError:
        return None


def prefix_allows(parsed: SetCookie, host_only: bool) -> bool:
    """Spec: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3"""
    name = (parsed.name or parsed.value).lower()
    if not name.startswith(("__secure-", "__host-", "__http-")):
        return True
    if not (parsed.name and parsed.secure):
        return False  # a server that reads a value as a name must not be deceived
    if name.startswith(("__http-", "__host-http-")) and not parsed.http_only:
        return False  # that of a script was refused before
    if name.startswith("__host-"):
        return host_only and parsed.path_given and parsed.path == "/"
    return True
