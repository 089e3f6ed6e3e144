"""Runs a workload: every peer in turn, a process each, several rounds, one server."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.workloads import Workload

__all__ = ["PeerFailed", "Result", "Server", "available", "call_peer", "measure"]

ROOT = Path(__file__).parent.parent
NODE = Path(__file__).parent / "node"
MODULES = {
    "webapi": ["webapi"],
    "websockets_asyncio": ["websockets"],
    "websockets_uvloop": ["websockets", "uvloop"],
    "websockets_sync": ["websockets"],
    "websocket_client": ["websocket", "wsaccel"],
    "aiohttp": ["aiohttp"],
    "picows": ["picows"],
    "picows_uvloop": ["picows", "uvloop"],
    # not peers, and not in the table
    "webapi_uvloop": ["uvloop"],
    "bare": [],
    "chart": ["matplotlib"],
}
TIMEOUT = 60  # seconds that a peer may take for a round; it takes two to five


class Server:
    """The neutral server's process, on a processor of its own where there are two."""

    def __init__(self) -> None:
        self.processors = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        if len(self.processors) > 1:
            os.sched_setaffinity(self.process.pid, self.processors[:1])
        assert self.process.stdout is not None
        self.words: dict[str, Any] = json.loads(self.process.stdout.readline())

    def url(self, path: str, task: dict[str, Any], tls: bool = False) -> str:
        """Return where `task` finds what it needs."""
        scheme, port = ("wss", "tls_port") if tls else ("ws", "port")
        query = (
            f"count={task['count']}&size={task.get('size', 32)}&kind={task.get('kind', 'ascii')}"
        )
        return f"{scheme}://127.0.0.1:{self.words[port]}/{path}?{query}"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@dataclass
class Result:
    """What one peer reached in one workload, over all rounds."""

    values: list[float] = field(default_factory=list)
    figures: list[dict[str, float]] = field(default_factory=list)
    error: str | None = None

    @property
    def median(self) -> float:
        """Return the middle one of the rounds."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return it for the file of results."""
        return asdict(self)


def available(peer: str) -> str | None:
    """Return None if `peer` can run here, or the command that installs it."""
    if peer in ("undici", "node_ws"):
        if shutil.which("node") and (NODE / "node_modules").is_dir():
            return None
        return "npm ci --prefix benchmarks/node"
    if all(find_spec(module) for module in MODULES[peer]):
        return None
    return "pip install -e '.[bench]'"


def measure(
    workload: Workload, peers: list[str], server: Server, rounds: int, scale: float
) -> dict[str, Result]:
    """Run `workload` with each peer in turn, `rounds` times."""
    results = {peer: Result() for peer in peers}
    for _ in range(rounds):
        for peer, result in results.items():
            if result.error is None:
                _run(workload, peer, server, scale, result)
    return results


def _run(workload: Workload, peer: str, server: Server, scale: float, result: Result) -> None:
    task = dict(workload.task)
    count = int(task["count"] * scale * workload.slow.get(peer, 1.0))
    task["count"] = max(count, 2 * task.get("in_flight", 1), 20)
    url = server.url(workload.path, task, workload.tls)
    words = {"url": url, "authority": server.words["authority"], **task}
    try:
        figures = call_peer(peer, workload.run, words, server)
    except PeerFailed as failure:
        result.error = str(failure)
    else:
        result.figures.append(figures)
        result.values.append(workload.figure(figures, task))


class PeerFailed(Exception):
    """A peer's process failed, or took too long."""


def call_peer(peer: str, run: str, words: dict[str, Any], server: Server) -> dict[str, float]:
    """Call the function `run` of a peer's module in a process of its own, and return its figures.

    Raises:
        PeerFailed: it gave none.
    """
    try:
        done = subprocess.run(
            [*_command(peer), run, json.dumps(words)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=TIMEOUT,
            preexec_fn=lambda: _use_other_processors(server),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"took longer than {TIMEOUT} s") from None
    if done.returncode:
        raise PeerFailed((done.stderr.strip() or f"exit status {done.returncode}").split("\n")[-1])
    try:
        figures: dict[str, float] = json.loads(done.stdout)
    except ValueError:
        raise PeerFailed(f"no figures: {done.stdout[:80]!r}") from None
    return figures


def _use_other_processors(server: Server) -> None:
    if len(server.processors) > 1:
        os.sched_setaffinity(0, server.processors[1:])


def _command(peer: str) -> list[str]:
    if peer in ("undici", "node_ws"):
        return ["node", str(NODE / f"{peer}.mjs")]
    return [sys.executable, "-m", f"benchmarks.peers.{peer}"]
