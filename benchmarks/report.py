"""What a run's record says: ratios, the bars they are held against, and README's table."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

from benchmarks.workloads import NODE, PYTHON_PEERS

__all__ = ["Bar", "bars", "markdown", "medians", "ratio", "show"]

# A column of README's table, and the peers whose best it shows.
COLUMNS = {
    "picows": ("picows", "picows_uvloop"),
    "aiohttp": ("aiohttp",),
    "websockets": ("websockets_asyncio", "websockets_uvloop", "websockets_sync"),
    "websocket-client": ("websocket_client",),
    "undici": ("undici",),
    "ws": ("node_ws",),
}


class Bar(NamedTuple):
    """What a ratio should reach."""

    against: str
    ratio: float
    least: float

    @property
    def met(self) -> bool:
        """Whether it is reached, to the two digits that are shown."""
        return round(self.ratio, 2) >= self.least

    def __str__(self) -> str:
        met = "met" if self.met else "MISSED"
        return f"bar {self.least:g} of {self.against}: {met}, {self.ratio:.2f}"


def medians(workload: dict[str, Any]) -> dict[str, float]:
    """Return each peer's median over the rounds, of those that ran."""
    return {
        peer: statistics.median(result["values"])
        for peer, result in workload["peers"].items()
        if result["values"]
    }


def ratio(workload: dict[str, Any], peer: str) -> float:
    """Return how many times as good as `peer` we are."""
    found = medians(workload)
    ours, theirs = found["webapi"], found[peer]
    return theirs / ours if workload["less"] else ours / theirs


def best(workload: dict[str, Any], among: tuple[str, ...]) -> str | None:
    """Return who of `among` did best."""
    found = medians(workload)
    ran = [peer for peer in among if peer in found]
    return min(ran, key=lambda peer: ratio(workload, peer)) if ran else None


def bars(workload: dict[str, Any]) -> list[Bar]:
    """Return what we are held against, as far as those ran."""
    if "webapi" not in medians(workload):
        return []
    wanted = [
        (PYTHON_PEERS, workload["bar"]),
        (("undici",), workload["undici"]),
        ((*PYTHON_PEERS, *NODE), 1.0 if workload["all"] else None),
    ]
    found = [(best(workload, peers), least) for peers, least in wanted if least is not None]
    return [Bar(peer, ratio(workload, peer), least) for peer, least in found if peer is not None]


def show(workload: dict[str, Any]) -> None:
    """Print a workload's part of the table."""
    less = ", less is better" if workload["less"] else ""
    print(f"\n{workload['title']} ({workload['unit']}{less})")
    found = medians(workload)
    for peer, result in workload["peers"].items():
        if not result["values"]:
            print(f"  {peer:20} {'failed':>14}   {result['error']}")
            continue
        more = "".join(
            f"   {name} {value:,.1f}"
            for name, value in figures(result).items()
            if name != "seconds"
        )
        of_it = f"{ratio(workload, peer):6.2f}" if "webapi" in found else ""
        print(f"  {peer:20} {found[peer]:14,.1f}   webapi is {of_it} of it{more}")
        if result["error"] is not None:
            print(f"  {'':20} {peer} failed in {failed_round(result)}: {result['error']}")
    for bar in bars(workload):
        print(f"  {bar}")


def figures(result: dict[str, Any]) -> dict[str, float]:
    """Return what else a peer measured: of each figure the median over the rounds."""
    rounds = result["figures"]
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def failed_round(result: dict[str, Any]) -> str:
    """Return which round a peer failed in: the one after those that it has figures of."""
    return f"round {len(result['values']) + 1}"


def shown(value: float) -> str:
    """Return a figure in three digits."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def markdown(record: dict[str, Any]) -> str:
    """Return the tables that README shows: how many times as good we are, and the latencies."""
    parts = (_ratios(record), _latencies(record), _caption(record))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: list[str], line: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, line, *rows))


def _ratios(record: dict[str, Any]) -> str:
    rows = []
    for workload in record["workloads"].values():
        found = medians(workload)
        row = [workload["title"], workload["unit"]]
        if "webapi" not in found:
            rows.append([*row, "failed", *["" for _ in COLUMNS], ""])
            continue
        row.append(f"**{shown(found['webapi'])}**")
        for peers in COLUMNS.values():
            peer = best(workload, peers)
            row.append("" if peer is None else f"{ratio(workload, peer):.2f}")
        held = bars(workload)
        missed = [f"{bar.least:g} of {bar.against}" for bar in held if not bar.met]
        row.append(f"not {' nor '.join(missed)}" if missed else "met" if held else "")
        rows.append(row)
    return _table(
        ["workload", "unit", "webapi", *COLUMNS, "bar"],
        ["---", "---", "---:", *["---:" for _ in COLUMNS], "---"],
        rows,
    )


def _latencies(record: dict[str, Any]) -> str:
    """Return the median and the 99th percentile, each of the peer that the ratio is to."""
    rows = []
    for workload in record["workloads"].values():
        row = [workload["title"].removesuffix(", processor time")]
        for peers in (("webapi",), *COLUMNS.values()):
            peer = best(workload, peers) if "webapi" in medians(workload) else None
            found = figures(workload["peers"][peer]) if peer is not None else {}
            some = "p99_us" in found
            row.append(f"{found['median_us']:,.0f} / {found['p99_us']:,.0f}" if some else "")
        if any(row[1:]):
            rows.append(row)
    if not rows:
        return ""
    return _table(
        ["latency in µs: median / p99", "webapi", *COLUMNS],
        ["---", "---:", *["---:" for _ in COLUMNS]],
        rows,
    )


def _caption(record: dict[str, Any]) -> str:
    """Return what the figures hold for, and who failed or was not there."""
    machine, rounds = record["machine"], record["rounds"]
    others = ("python", "system", "cpu", "processors")
    versions = ", ".join(f"{name} {machine[name]}" for name in machine if name not in others)
    said = (
        f"CPython {machine['python']} on {machine['system']}, {machine['processors']} "
        f"processors ({machine['cpu']}); {versions}; medians of {rounds} "
        f"round{'s' if rounds != 1 else ''}"
    )
    if record.get("scale", 1.0) != 1.0:
        said += f" of {record['scale'] * 100:g} % of the messages"
    said += f"; {record['date']}." if "date" in record else "."
    if record.get("missing"):
        said += f" Not installed: {', '.join(record['missing'])}."
    notes = [
        f"- {workload['title']}: {peer} failed in {failed_round(result)}"
        f"{', and has the median of those before' if result['values'] else ''}: {result['error']}"
        for workload in record["workloads"].values()
        for peer, result in workload["peers"].items()
        if result["error"] is not None
    ]
    return "\n".join([said, "", *notes]) if notes else said
