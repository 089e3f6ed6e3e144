"""The chart of a run: a row for each workload, a dot for each peer, a line that is `webapi`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import medians, ratio

__all__ = ["draw"]

# What each peer is drawn as: its name, colour and form.
PEERS = {
    "picows_uvloop": ("picows on uvloop", "#f0a93b", "D"),
    "picows": ("picows", "#d9711c", "D"),
    "aiohttp": ("aiohttp", "#3f9b5b", "o"),
    "websockets_uvloop": ("websockets on uvloop", "#4f2b8f", "o"),
    "websockets_asyncio": ("websockets", "#7b52c4", "o"),
    "websockets_sync": ("websockets, sync", "#b79be6", "o"),
    "websocket_client": ("websocket-client", "#b9504b", "o"),
    "undici": ("Node's own (undici)", "#444444", "s"),
    "node_ws": ("Node's ws", "#999999", "s"),
}
LEAST, MOST = 0.02, 3.0


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the chart as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "webapi"  # the same run gives the same file
    import matplotlib.pyplot as plt

    workloads = [w for w in record["workloads"].values() if "webapi" in medians(w)]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.3 * len(workloads)))
    for row, workload in enumerate(workloads):
        axes.axhline(-row, color="#eeeeee", linewidth=0.8, zorder=0)
        for peer, (_, colour, form) in PEERS.items():
            if peer in medians(workload):
                share = min(max(1 / ratio(workload, peer), LEAST), MOST)
                axes.scatter(share, -row, s=26, color=colour, marker=form, zorder=2)
    for name, colour, form in PEERS.values():
        axes.scatter([], [], s=26, color=colour, marker=form, label=name)
    axes.axvline(1, color="#2f6fdb", linewidth=2, zorder=1, label="webapi")
    axes.set_xscale("log")
    axes.set_xlim(LEAST * 0.9, MOST * 1.1)
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks([-row for row in range(len(workloads))], [w["title"] for w in workloads])
    axes.tick_params(labelsize=7, length=0)
    axes.set_xlabel(
        "how fast a peer is, where webapi is 1: to the left of the line it is slower", fontsize=8
    )
    axes.legend(fontsize=7, ncols=5, loc="lower center", bbox_to_anchor=(0.35, 1), frameon=False)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
