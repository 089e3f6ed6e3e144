"""What an import and an idle socket cost: workload 10."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.runner import PeerFailed, Server, available

__all__ = ["measure", "show"]

ROOT = Path(__file__).parent.parent
MODULES = {
    "webapi": "webapi",
    "websocket_client": "websocket",
    "websockets_asyncio": "websockets.asyncio.client",
    "aiohttp": "aiohttp",
    "picows": "picows",
}
IMPORT_BAR = 20.0  # ms more than `import websocket`
IDLE_BAR = 12.0  # KiB of a plain socket

# Nothing is imported before but what every Python has: memory is looked at from outside.
IMPORT = """
import sys, time
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
import {module}
print((time.perf_counter() - start) * 1e3, flush=True)
sys.stdin.readline()
"""

IDLE = """
import asyncio, gc, json, sys, tracemalloc
from webapi import WebSocket

async def main(url, count, compression):
    async def open_one():
        opened = asyncio.Event()
        ws = WebSocket(url, compression=compression, max_connecting=50)
        ws.onopen = lambda event: opened.set()
        ws.onmessage = print
        await opened.wait()
        return ws
    first = await open_one()  # what all sockets share is there
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sockets = [await open_one() for _ in range(count)]
    gc.collect()
    print(json.dumps((tracemalloc.get_traced_memory()[0] - before) / count / 1024))

asyncio.run(main(sys.argv[1], 200, sys.argv[2] == "deflate"))
"""


def _python(*arguments: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise PeerFailed((done.stderr.strip() or f"exit status {done.returncode}").split("\n")[-1])
    return json.loads(done.stdout)


def _import(module: str, folder: str) -> tuple[float, float]:
    """Import `module` in a process of its own; return ms and MiB."""
    import psutil

    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
    with subprocess.Popen(
        [sys.executable, "-c", IMPORT.format(module=module)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        memory = psutil.Process(process.pid).memory_info
        process.stdout.readline()
        before = memory().rss
        process.stdin.write("\n")
        process.stdin.flush()
        milliseconds = process.stdout.readline()
        if not milliseconds:
            raise PeerFailed(f"import {module} failed")
        return float(milliseconds), (memory().rss - before) / (1 << 20)


def imports(modules: list[str], rounds: int) -> dict[str, tuple[float, float]]:
    """Return ms and MiB for importing each module, medians of processes in turn.

    All of them from bytecode in one folder, which a first import of each fills.
    """
    taken: dict[str, list[tuple[float, float]]] = {module: [] for module in modules}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for module, values in taken.items():
                taken_now = _import(module, folder)
                if number:
                    values.append(taken_now)
    return {
        module: (
            statistics.median(value[0] for value in values),
            statistics.median(value[1] for value in values),
        )
        for module, values in taken.items()
    }


def idle_socket(server: Server) -> dict[str, float]:
    """Return the KiB of Python's memory that one open socket holds, plain and compressed."""
    base = f"ws://127.0.0.1:{server.words['port']}"
    return {
        "plain": _python(IDLE, f"{base}/drop", "plain"),  # type: ignore[dict-item]
        "compressed": _python(IDLE, f"{base}/deflate?size=1024", "deflate"),  # type: ignore[dict-item]
    }


def measure(server: Server, rounds: int) -> dict[str, Any]:
    """Return what imports and idle sockets cost."""
    here = [module for peer, module in MODULES.items() if available(peer) is None]
    return {"imports": imports(here, 5 * rounds), "idle": idle_socket(server)}


def show(found: dict[str, Any]) -> None:
    """Print it."""
    taken, idle = found["imports"], found["idle"]
    print("\nimport")
    for module, (milliseconds, mebibytes) in taken.items():
        print(f"  {module:28} {milliseconds:8.1f} ms {mebibytes:8.1f} MiB")
    if "websocket" in taken:
        more = taken["webapi"][0] - taken["websocket"][0]
        print(
            f"  bar {IMPORT_BAR:g} ms more than websocket: {_met(more, IMPORT_BAR)}, {more:.1f} ms"
        )
    print("\nan idle socket of webapi's")
    for kind, kibibytes in idle.items():
        print(f"  {kind:28} {kibibytes:8.1f} KiB")
    print(f"  bar {IDLE_BAR:g} KiB for a plain one: {_met(idle['plain'], IDLE_BAR)}")


def _met(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"
