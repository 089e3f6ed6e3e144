"""The clients that are compared: a module each, run in a process of its own.

A module has a function for each workload that it takes part in. It is called with a `Task` and
returns figures by name: `seconds` for what the clock ran, and what else the workload measures.
What is not about the workload (imports, connecting) is done before the clock starts.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil

Figures = dict[str, float]


@dataclass
class Task:
    """What a peer is asked to do; see `benchmarks/workloads.py`."""

    url: str
    authority: str
    flood_url: str = ""
    count: int = 0
    size: int = 32
    kind: str = "ascii"
    in_flight: int = 1
    sockets: int = 1
    interval: float = 1.0

    @property
    def text(self) -> bool:
        """Whether messages are text."""
        return self.kind != "binary"

    @property
    def payload(self) -> str:
        """A message of `size` ASCII characters."""
        from benchmarks.server import sample

        return sample("json" if self.kind == "json" else "ascii", self.size).decode()

    @property
    def data(self) -> bytes:
        """A message of `size` bytes that cannot be compressed."""
        return os.urandom(self.size)

    def context(self) -> Any:
        """Return the `ssl.SSLContext` for `wss:`, or None."""
        if not self.url.startswith("wss:"):
            return None
        import ssl

        return ssl.create_default_context(cafile=self.authority)


def round_trips(times: list[float]) -> Figures:
    """Return how long `times` last, and the latencies between them."""
    trips = [after - before for before, after in pairwise(times)]
    return {"seconds": times[-1] - times[0], **latencies(trips)}


def latencies(seconds: list[float]) -> Figures:
    """Return the median and the 99th percentile in µs."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"median_us": statistics.median(seconds) * 1e6, "p99_us": cuts[98] * 1e6}


class Usage:
    """What the process has used since: processor seconds, memory, threads."""

    def __init__(self) -> None:
        self.resident = psutil.Process().memory_info().rss
        self.restart()

    def restart(self) -> None:
        """Begin to count processor seconds now."""
        self.cpu = self._cpu()

    def _cpu(self) -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def figures(self, messages: int) -> Figures:
        """Return them; processor seconds for 100,000 messages."""
        return {
            "cpu_s": (self._cpu() - self.cpu) / messages * 100_000,
            "threads": psutil.Process().num_threads(),
            "resident_mb": (psutil.Process().memory_info().rss - self.resident) / 1e6,
        }


def main(
    module: str, run_on_loop: Callable[[Coroutine[Any, Any, None]], object] = asyncio.run
) -> None:
    """Run the workload that the command line names: `NAME JSON`; print the figures as JSON."""
    name, words = sys.argv[1:3]
    run: Callable[[Task], Any] = getattr(sys.modules[module], name)
    result = run(Task(**json.loads(words)))
    if asyncio.iscoroutine(result):
        run_on_loop(_report(result))
    else:
        _finish(result)


async def _report(running: Coroutine[Any, Any, Figures]) -> None:
    _finish(await running)


def _finish(figures: Figures) -> None:
    """Print, and exit at once: how thousands of connections are ended is not what is measured."""
    print(json.dumps(figures), flush=True)
    os._exit(0)


def clock() -> float:
    """Return the time in seconds."""
    return time.perf_counter()
