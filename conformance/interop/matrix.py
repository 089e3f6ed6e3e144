"""The results as a matrix on a terminal and as a part of conformance/REPORT.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .battery import CHECKS

#: How the checks are called where they head a column.
HEADS = {
    "client_close": "close by us",
    "server_close": "close by it",
    "deflate": "permessage-deflate",
    "oversized": "too long",
    "killed": "killed",
    "protocols": "protocol",
}
COLUMNS = (*CHECKS, "protocols")
SIGNS = {"ok": "✓", "failed": "✗", "known": "✗", "cannot": "-"}
#: Whose details are short and are what one looks for.
TELLING = ("deflate", "client_close", "oversized", "killed", "protocols")


def head(column: str) -> str:
    """A column's name."""
    return HEADS.get(column, column)


def is_red(cell: Mapping[str, str]) -> bool:
    """Whether a check failed, expected or not."""
    return cell["outcome"] in ("failed", "known")


def is_green(row: Mapping[str, Any]) -> bool:
    """Whether a peer ran, and nothing failed."""
    return row["status"] == "ran" and not any(map(is_red, row["cells"].values()))


def sign(column: str, cell: Mapping[str, str] | None, *, telling: bool) -> str:
    """A cell of the table."""
    if cell is None:
        return ""
    shown = SIGNS[cell["outcome"]]
    if telling and cell["outcome"] == "ok" and cell["detail"] and column in TELLING:
        return f"{shown} {cell['detail']}"
    return shown


def lines(row: Mapping[str, Any]) -> list[str]:
    """What a terminal is told of one peer."""
    if row["status"] != "ran":
        return [f"{row['name']}: {row['status']}: {row['reason']}"]
    shown = [f"{row['name']} ({row['version']}), {row['seconds']:.1f} s"]
    for column, cell in row["cells"].items():
        if is_red(cell) or (cell["detail"] and cell["outcome"] == "ok"):
            shown.append(f"  {SIGNS[cell['outcome']]} {head(column)}: {cell['detail']}")
    return shown


def matrix(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """All of it for a terminal: a line a peer, a column a check."""
    width = max(len(row["name"]) for row in rows.values())
    shown = [" " * width + "  " + "  ".join(head(column) for column in COLUMNS)]
    for row in rows.values():
        if row["status"] == "ran":
            signs = (
                sign(column, row["cells"].get(column), telling=False).center(len(head(column)))
                for column in COLUMNS
            )
            shown.append(f"{row['name']:<{width}}  {'  '.join(signs)}".rstrip())
        else:
            shown.append(f"{row['name']:<{width}}  {row['status']}: {row['reason']}")
    return "\n".join(shown)


def markdown(rows: Mapping[str, Mapping[str, Any]], summary: str) -> str:
    """The section for the report."""
    shown = [
        "# Interoperability: the servers that people run",
        "",
        "`webapi.WebSocket` against the real programs on loopback. ✓ passed, ✗ failed, - means",
        "nothing there (why, below), empty: not of this kind. MDN: listed on MDN's page of",
        "WebSocket servers and tools. Too long: what the close event has when we send more",
        "than it takes; whether that is clean is mostly chance, since a server that goes away with",
        "unread data resets the connection. Idle: held past the server's ping interval, in which",
        "pings must have come (none if said to send none). A peer that speaks a protocol of its",
        "own is tried by clients of it (last column but one; they are in examples/protocols), and",
        "in the others with what needs no echo; it is killed while nothing is on its way.",
        "",
        summary,
        "",
        f"| peer | MDN | {' | '.join(map(head, COLUMNS))} | what a client must know |",
        "|---|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for row in rows.values():
        listed = "yes" if row["listed"] else ""
        if row["status"] == "ran":
            cells = [sign(column, row["cells"].get(column), telling=True) for column in COLUMNS]
        else:
            cells = [f"{row['status']}: {row['reason']}", *[""] * (len(COLUMNS) - 1)]
        parts = [row["name"], listed, *cells, row["note"]]
        shown.append(f"| {' | '.join(part.replace('|', chr(92) + '|') for part in parts)} |")
    return "\n".join([*shown, "", *_reasons(rows), *_versions(rows)])


def _reasons(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    shown = ["## Why some cells have no ✓", ""]
    for row in rows.values():
        reasons: dict[str, list[str]] = {}
        for column, cell in row["cells"].items():
            if cell["outcome"] != "ok":
                reasons.setdefault(cell["detail"], []).append(
                    f"{SIGNS[cell['outcome']]} {head(column)}"
                )
        for reason, columns in reasons.items():
            shown.append(f"- **{row['name']}**, {', '.join(columns)}: {reason}")
    return [*shown, ""]


def _versions(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    shown = ["## Versions", "", "| peer | what it is | versions | run |", "|---|---|---|---|"]
    shown += [
        f"| {row['name']} | {row['kind']} | {row['version']} | {row['date']} |"
        for row in rows.values()
    ]
    return [*shown, ""]


def summary(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence of how it went."""
    ran = [row for row in rows.values() if row["status"] == "ran"]
    green = [row for row in ran if is_green(row)]
    cells = [cell for row in ran for cell in row["cells"].values()]
    passed = sum(cell["outcome"] == "ok" for cell in cells)
    red = sum(map(is_red, cells))
    said = f"{len(green)} of {len(rows)} peers green; {passed} checks passed, {red} failed"
    if len(ran) < len(rows):
        said += f"; {len(rows) - len(ran)} not run"
    return said + "."
