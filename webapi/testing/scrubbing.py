"""Secrets, taken out of what a cassette writes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from webapi.protocol.frames import TEXT
from webapi.testing.json_paths import JsonPath, Steps

__all__ = ["SCRUBBED", "Scrub", "Scrubber", "is_secret"]

SCRUBBED: Final = "[scrubbed]"

Scrub = str | re.Pattern[str] | Callable[[str], str]

# A name in lower case, without what is between its words, that ends with one of these is a secret's
# ("newPassword", "X-Auth-Token"); so is one whose last word is one of the others ("authSig").
_SECRET_ENDINGS: Final = (
    "password", "passwd", "pwd", "passphrase", "passcode", "secret", "token", "jwt",
    "authorization", "cookie", "cookies", "credential", "credentials", "sessionid",
    "apikey", "accesskey", "privatekey", "secretkey",
)  # fmt: skip
_SECRET_WORDS: Final = frozenset(("pass", "sig", "signature", "session", "auth", "otp"))
# What is under these is often much more than a secret, and has names of its own.
_HOLDERS: Final = frozenset(("session", "auth"))
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Socket.IO's and Engine.IO's packets: a type, perhaps a namespace and an id, and then JSON
_PACKET: Final = re.compile(r"(\d+-?(?:/[^,]*,)?\d*)([\[{].*)", re.DOTALL)
_STOMP_HEAD: Final = re.compile(r"[A-Z]+\r?\n(?:[^\r\n:]+:[^\r\n]*\r?\n)*\r?\n")
_STOMP_HEADER: Final = re.compile(r"^([^\r\n:]+):([^\r\n]+)", re.MULTILINE)

_MOST_REASON: Final = 123
"""Bytes that a close reason has at most (RFC 6455 §5.5)."""


def is_secret(name: str) -> bool:
    """Return whether what is called `name` is a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(words) and (words[-1] in _SECRET_WORDS or "".join(words).endswith(_SECRET_ENDINGS))


class Scrubber:
    """Takes secrets out of what is written.

    Raises:
        ValueError: a rule is none, or a string that begins with "$" and is no JSON path.
    """

    def __init__(self, rules: Iterable[Scrub]) -> None:
        self._paths: list[JsonPath] = []
        self._literal: list[Callable[[str], str]] = []
        self._rules: list[Callable[[str], str]] = []
        for rule in rules:
            if isinstance(rule, str) and rule.startswith("$"):
                self._paths.append(JsonPath(rule))
            elif isinstance(rule, str) and rule:
                self._add(lambda text, rule=rule: text.replace(rule, SCRUBBED))  # type: ignore[misc]
            elif isinstance(rule, re.Pattern) and isinstance(rule.pattern, str):
                self._add(lambda text, rule=rule: rule.sub(SCRUBBED, text))  # type: ignore[misc]
            elif callable(rule):
                self._rules.append(rule)
            else:
                raise ValueError(f"scrub holds {rule!r}: no path, string, pattern or callable")

    def _add(self, rule: Callable[[str], str]) -> None:
        self._literal.append(rule)
        self._rules.append(rule)

    # -- messages

    def text(self, text: str) -> str:
        """Return a message's text without its secrets."""
        packet = _PACKET.fullmatch(text)
        before, content = packet.groups() if packet else ("", text)
        try:
            value = json.loads(content)
        except ValueError:
            if _STOMP_HEAD.match(text):
                text = _scrub_stomp(text)
        else:
            clean = self._value(value, ())
            if clean != value:
                text = before + json.dumps(clean, ensure_ascii=text.isascii())
        return self._plain(text)

    def data(self, data: bytes) -> bytes:
        """Return a binary message without its secrets: one that is UTF-8 as text.

        Of others strings and patterns are taken out; callables are not asked, as they expect text.
        """
        try:
            return self.text(data.decode()).encode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "surrogateescape")
            for rule in self._literal:
                text = rule(text)
            return text.encode("utf-8", "surrogateescape")

    def _plain(self, text: str) -> str:
        for rule in self._rules:
            text = rule(text)
        return text

    def _value(self, value: Any, steps: Steps, secret: bool = False) -> Any:
        """Return a JSON value without its secrets; where it is one, its shape is all that is left.

        A true or false stays: it says whether there is a secret, not which.
        """
        if any(path.fits(steps) for path in self._paths):
            return SCRUBBED
        if isinstance(value, dict):
            return {
                key: self._value(item, (*steps, key), _stays_secret(key, item, secret))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._value(item, (*steps, i), secret) for i, item in enumerate(value)]
        return SCRUBBED if secret and not isinstance(value, bool | None) else value

    # -- what is around them

    def url(self, url: str) -> str:
        """Return a URL without its credentials, and the values of secret parameters."""
        try:
            parts = urlsplit(url)
        except ValueError:  # of a Location header
            return self._plain(url)
        parts = parts._replace(
            netloc=parts.netloc.rpartition("@")[2],
            query=_scrub_query(parts.query),
            fragment=_scrub_query(parts.fragment),
        )
        return self._plain(urlunsplit(parts))

    def entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a HAR entry without secrets."""
        request, response = entry["request"], entry["response"]
        for half in (request, response):
            half["headers"] = [self._header(header) for header in half["headers"]]
            half["cookies"] = [{**cookie, "value": SCRUBBED} for cookie in half["cookies"]]
        request["url"] = self.url(request["url"])
        query = parse_qsl(urlsplit(request["url"]).query, keep_blank_values=True)
        request["queryString"] = [{"name": name, "value": value} for name, value in query]
        response["statusText"] = self._plain(response["statusText"])
        response["redirectURL"] = self.url(response["redirectURL"])
        response["_error"] = response["_error"] and self._plain(response["_error"])
        entry["_webSocketMessages"] = [self._message(m) for m in entry["_webSocketMessages"]]
        entry["_webSocketClosing"] = [
            {**closing, "reason": self._reason(closing["reason"])}
            for closing in entry["_webSocketClosing"]
        ]
        return entry

    def page(self, page: dict[str, Any]) -> dict[str, Any]:
        """Return a HAR page without secrets; its title is its URL."""
        return {**page, "title": self.url(page["title"])}

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        data = message["data"]
        if message["type"] == "error":
            data = self._plain(data)
        elif message["opcode"] == TEXT:
            data = self.text(data)
        else:
            data = base64.b64encode(self.data(base64.b64decode(data))).decode()
        return {**message, "data": data}

    def _reason(self, reason: str) -> str:
        clean = self.text(reason)
        return clean.encode()[:_MOST_REASON].decode("utf-8", "ignore")

    def _header(self, header: dict[str, str]) -> dict[str, str]:
        name, value = header["name"], header["value"]
        if is_secret(name):
            return {**header, "value": SCRUBBED}
        if name.lower() == "location":
            return {**header, "value": self.url(value)}
        return {**header, "value": self._plain(value)}


def _stays_secret(name: str, value: Any, inside: bool) -> bool:
    if inside or not isinstance(value, dict):
        return inside or is_secret(name)
    return is_secret(name) and _WORD.findall(name)[-1].lower() not in _HOLDERS


def _scrub_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(is_secret(name) for name, _ in pairs):
        return query
    return urlencode([(n, SCRUBBED if is_secret(n) else v) for n, v in pairs], safe="[]")


def _scrub_stomp(text: str) -> str:
    """Spec: https://stomp.github.io/stomp-specification-1.2.html#Augmented_BNF"""
    head = _STOMP_HEAD.match(text)
    assert head is not None
    clean = _STOMP_HEADER.sub(lambda m: f"{m[1]}:{SCRUBBED}" if is_secret(m[1]) else m[0], head[0])
    return clean + text[head.end() :]
