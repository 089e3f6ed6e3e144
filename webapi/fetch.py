"""Fetch's rules for where a page may connect: bad ports, and mixed content.

Spec: https://fetch.spec.whatwg.org/#port-blocking and https://www.w3.org/TR/mixed-content/
"""

from __future__ import annotations

import base64
import ipaddress
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["basic_authorization", "is_bad_port", "is_mixed_content", "is_trustworthy_host"]

# https://fetch.spec.whatwg.org/#bad-port
_BAD_PORTS: Final = frozenset(
    (0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95)
    + (101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179)
    + (389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601)
    + (636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566)
    + (6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080)
)


def is_bad_port(port: int) -> bool:
    """Tell whether a page must not connect to `port`, because another protocol lives there."""
    return port in _BAD_PORTS


@lru_cache(maxsize=256)  # a page asks for the same few again and again
def is_trustworthy_host(hostname: str) -> bool:
    """Tell whether what `hostname` sends can be trusted without TLS: it is this machine.

    Spec: https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy, steps 4 and 5
    """
    name = hostname.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(hostname.strip("[]")) in _LOOPBACK[":" in hostname]
    except ValueError:
        return False


# 127.0.0.0/8 and ::1/128, as the standard has them
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def is_mixed_content(page_scheme: str, secure: bool, hostname: str) -> bool:
    """Tell whether a page must not open a socket to `hostname`, which is `secure` for `wss:`.

    Spec: https://www.w3.org/TR/mixed-content/#should-block-fetch

    Asked, Chromium 156 and Firefox 153 agree: only pages of `https:` are strict about it, although
    the standard has it for every trustworthy origin, such as `http://localhost`. About
    `ws://0.0.0.0` they do not; that is no trustworthy host by the standard.
    """
    return page_scheme == "https:" and not secure and not is_trustworthy_host(hostname)


def basic_authorization(username: str, password: str) -> str:
    """Return the `Authorization` header for a URL's credentials, percent-encoded as they are there.

    Spec: https://www.rfc-editor.org/rfc/rfc7617#section-2, in UTF-8
    """
    credentials = unquote_to_bytes(username) + b":" + unquote_to_bytes(password)
    return f"Basic {base64.b64encode(credentials).decode()}"
