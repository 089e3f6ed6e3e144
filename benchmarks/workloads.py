"""What is measured: the table of workloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.peers import Figures

__all__ = ["NODE", "PYTHON_PEERS", "WORKLOADS", "Workload"]

ASYNCIO: Final = ("websockets_asyncio", "websockets_uvloop", "aiohttp", "picows", "picows_uvloop")
SYNC: Final = ("websocket_client", "websockets_sync")
PYTHON_PEERS: Final = (*ASYNCIO, *SYNC)
NODE: Final = ("undici", "node_ws")
DEFLATE: Final = ("websockets_asyncio", "websockets_uvloop", "aiohttp", "websockets_sync", *NODE)


@dataclass
class Workload:
    """One line of the table.

    Args:
        name: how the command line and the JSON call it.
        title: what the table says.
        run: the function of a peer's module.
        path: of the server's URL.
        unit: of the figure that is compared; more is better unless `less` is set.
        figure: makes it of what the peer measured and the task.
        task: what the peer is asked to do; `count` for the fastest of them.
        slow: the part of `count` that slow peers do; a rate is the same.
        peers: who takes part.
        tls: whether it runs on `wss:`.
        less: whether less of the unit is better.
        bar: the ratio to the best Python peer that we hold ourselves to.
        undici: the same to Node's own WebSocket.
        all: whether we are to be first of all.
    """

    name: str
    title: str
    run: str
    path: str
    unit: str
    figure: Callable[[Figures, dict[str, Any]], float]
    task: dict[str, Any]
    peers: tuple[str, ...] = (*PYTHON_PEERS, *NODE)
    slow: dict[str, float] = field(default_factory=dict)
    tls: bool = False
    less: bool = False
    bar: float | None = None
    undici: float | None = None
    all: bool = False


def rate(figures: Figures, task: dict[str, Any]) -> float:
    """Return messages (or connections) a second."""
    return float(task["count"]) / figures["seconds"]


def megabytes(figures: Figures, task: dict[str, Any]) -> float:
    """Return MB (10^6 bytes) a second."""
    return rate(figures, task) * float(task["size"]) / 1e6


def named(name: str) -> Callable[[Figures, dict[str, Any]], float]:
    """Return what the peer calls `name`."""
    return lambda figures, task: figures[name]


# How much slower than the fastest these are, roughly: they do a part of the messages, or a round
# would take minutes.
SLOW: Final = {
    "websocket_client": 0.05,
    "websockets_sync": 0.05,
    "websockets_asyncio": 0.1,
    "websockets_uvloop": 0.1,
    "aiohttp": 0.5,
    "node_ws": 0.5,
}

WORKLOADS: Final = [
    Workload("flood", "flood, text of 32 B", "flood", "flood", "messages/s", rate,
             {"count": 1_000_000, "size": 32}, slow=SLOW, bar=1.0, undici=0.9),
    Workload("flood-ticks", "flood, JSON of 24 to 33 B, mixed", "flood", "flood",
             "messages/s", rate, {"count": 1_000_000, "size": 32, "kind": "ticks"}, slow=SLOW,
             bar=1.0),
    Workload("flood-16k", "flood, binary of 16 KiB", "flood", "flood", "MB/s", megabytes,
             {"count": 60_000, "size": 16384, "kind": "binary"}, slow={"websocket_client": 0.3},
             bar=1.0, undici=1.0),
    Workload("flood-1m", "flood, binary of 1 MiB", "flood", "flood", "MB/s", megabytes,
             {"count": 1500, "size": 1 << 20, "kind": "binary"}, slow={"websocket_client": 0.3},
             bar=1.0, undici=1.0),
    Workload("flood-1m-ascii", "flood, ASCII text of 1 MiB", "flood", "flood", "MB/s", megabytes,
             {"count": 1000, "size": 1 << 20}, slow={"websocket_client": 0.3}, bar=1.0, undici=1.0),
    Workload("flood-1m-unicode", "flood, other text of 1 MiB", "flood", "flood", "MB/s", megabytes,
             {"count": 400, "size": 1 << 20, "kind": "unicode"}, slow={"websocket_client": 0.3},
             bar=1.0, undici=1.0),
    Workload("echo-1", "echo of 32 B, one in flight", "latency", "echo", "round trips/s", rate,
             {"count": 20_000}, bar=0.98),
    Workload("echo-64", "echo of 32 B, 64 in flight", "echo", "echo", "messages/s", rate,
             {"count": 400_000, "in_flight": 64}, slow=SLOW, bar=2.0, undici=1.0),
    Workload("echo-1000", "echo of 32 B, 1,000 in flight", "echo", "echo", "messages/s", rate,
             {"count": 600_000, "in_flight": 1000}, slow=SLOW, bar=2.0, undici=1.0),
    Workload("upload-16k", "upload, binary of 16 KiB", "upload", "sink", "MB/s", megabytes,
             {"count": 40_000, "size": 16384}, slow={"websocket_client": 0.3}, bar=1.0, undici=1.0),
    Workload("upload-1m", "upload, binary of 1 MiB", "upload", "sink", "MB/s", megabytes,
             {"count": 1000, "size": 1 << 20}, slow={"websocket_client": 0.3}, bar=1.0, undici=1.0),
    Workload("deflate-1k", "permessage-deflate, JSON of 1 KiB, 64 in flight", "deflate", "deflate",
             "messages/s", rate, {"count": 20_000, "size": 1024, "in_flight": 64, "kind": "json"},
             DEFLATE, all=True),
    Workload("deflate-64k", "permessage-deflate, JSON of 64 KiB, 64 in flight", "deflate",
             "deflate", "messages/s", rate,
             {"count": 1500, "size": 65536, "in_flight": 64, "kind": "json"},
             DEFLATE, all=True),
    Workload("tls-flood", "TLS 1.3: flood, text of 32 B", "flood", "flood", "messages/s", rate,
             {"count": 1_000_000, "size": 32}, slow=SLOW, tls=True, bar=1.0),
    Workload("tls-echo-1", "TLS 1.3: echo of 32 B, one in flight", "latency", "echo",
             "round trips/s", rate, {"count": 15_000}, tls=True, bar=1.0),
    Workload("tls-echo-64", "TLS 1.3: echo of 32 B, 64 in flight", "echo", "echo", "messages/s",
             rate, {"count": 300_000, "in_flight": 64}, slow=SLOW, tls=True, bar=1.0),
    Workload("tls-echo-1000", "TLS 1.3: echo of 32 B, 1,000 in flight", "echo", "echo",
             "messages/s", rate, {"count": 600_000, "in_flight": 1000}, slow=SLOW, tls=True,
             bar=1.0),
    Workload("many", "1,000 sockets, an echo a second each, processor time",
             "many", "echo", "s for 100,000", named("cpu_s"),
             {"count": 5000, "sockets": 1000, "interval": 1.0}, (*ASYNCIO, *NODE),
             less=True, all=True),
    Workload("opening-1", "opening handshakes, one at a time", "opening", "drop", "1/s", rate,
             {"count": 1500, "in_flight": 1}, bar=1.0),
    Workload("opening-200", "opening handshakes, 200 under way", "opening", "drop", "1/s", rate,
             {"count": 3000, "in_flight": 200}, bar=1.0),
    Workload("foreign", "echo of 32 B, 64 in flight, sent by the main thread", "foreign", "echo",
             "messages/s", rate, {"count": 100_000, "in_flight": 64}, SYNC, slow=SLOW, bar=1.0),
]  # fmt: skip
