"""JSON paths, by which a cassette's rules name what is in a message.

Spec: https://www.rfc-editor.org/rfc/rfc9535 without filters, slices, unions and negative indices;
a name after a dot may hold anything but ".", "[" and "]".
"""

from __future__ import annotations

import json
import re
from typing import Final

__all__ = ["JsonPath", "Steps", "shown_path"]

Steps = tuple[str | int, ...]
"""Where a value is: the names of members and the indices of items that lead there."""

# Steps in one text, on which a path is a pattern: what is before each says which kind it is of.
_MEMBER, _ITEM = "\0", "\1"
_ANY_STEP: Final = r"[\0\1][^\0\1]*"

_SELECTOR: Final = re.compile(
    r"(?P<dots>\.\.?)(?:(?P<star>\*)|(?P<name>[^.\[\]*]+))"
    r"|(?P<deep>\.\.)?\[\s*(?:(?P<any>\*)|(?P<index>\d+)"
    r"|'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\")\s*\]"
)


class JsonPath:
    """A path: "$.a[0].b", "$['a b']", "$.items[*].time", "$.*", "$..nonce" (at any depth).

    Raises:
        ValueError: it is none, or has a selector that is not supported.
    """

    def __init__(self, text: str) -> None:
        if not text.startswith("$"):
            raise ValueError(f"{text!r} is no JSON path: it does not begin with '$'")
        pattern, position = "", 1
        while position < len(text):
            match = _SELECTOR.match(text, position)
            if match is None:
                raise ValueError(
                    f"{text!r} is no JSON path that is supported, from {text[position:]!r} on: "
                    "there are .name, ['name'], [0], [*], .* and ..name"
                )
            pattern += _compiled(match)
            position = match.end()
        self._pattern = re.compile(pattern, re.DOTALL)

    def fits(self, steps: Steps) -> bool:
        """Return whether `steps` lead to what the path means."""
        text = "".join((_MEMBER if isinstance(s, str) else _ITEM) + str(s) for s in steps)
        return self._pattern.fullmatch(text) is not None


def _compiled(match: re.Match[str]) -> str:
    deep = f"(?:{_ANY_STEP})*" if match["dots"] == ".." or match["deep"] else ""
    if match["star"] or match["any"]:
        return deep + _ANY_STEP
    if match["index"]:
        return deep + _ITEM + str(int(match["index"]))
    if match["name"]:
        # a member's name may hold dots, which "$.a.b" can mean, too
        return f"{deep}[{_MEMBER}.]" + re.escape(match["name"])
    quoted = match["single"] if match["single"] is not None else match["double"]
    return deep + _MEMBER + re.escape(_unquoted(quoted))


def _unquoted(text: str) -> str:
    """Spec: https://www.rfc-editor.org/rfc/rfc9535#section-2.3.1.1, whose escapes are JSON's."""
    escaped = re.sub(r'\\.|"', lambda m: {"\\'": "'", '"': '\\"'}.get(m[0], m[0]), text)
    try:
        return str(json.loads(f'"{escaped}"', strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is no name in a JSON path: it has a wrong escape") from None


def shown_path(steps: Steps) -> str:
    """Return the path to one value in words."""
    return "$" + "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in steps)
