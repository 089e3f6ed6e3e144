"""`python -m benchmarks [WORKLOAD ...] [--rounds N] [--quick] [--peers a,b] [--output FOLDER]`.

Each workload runs for `webapi` and for each peer in turn, several rounds in one run, each in a
process of its own and against one server process. What counts is the ratio of the medians. A peer
that is not installed is named with the command that installs it, not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import deflate, fairness, footprint, masking, report, scaling
from benchmarks.runner import NODE as NODE_FOLDER
from benchmarks.runner import PeerFailed, Server, available, measure
from benchmarks.workloads import NODE, PYTHON_PEERS, WORKLOADS, Workload

QUICK = 0.05  # of the messages
ALONE: dict[str, Callable[[bool], None]] = {"masking": masking.main, "deflate": deflate.main}
OUT_OF_TABLE = ("webapi_uvloop", "bare")
README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
OTHERS = ("footprint", "fairness", "scaling")


def machine() -> dict[str, str]:
    """Return what the figures hold for."""
    names = (
        "websockets", "aiohttp", "picows", "websocket-client", "wsaccel", "uvloop", "numpy",
    )  # fmt: skip
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    if shutil.which("node"):
        done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        found["node"] = done.stdout.strip().lstrip("v")
    for name in ("undici", "ws", "bufferutil"):
        package = NODE_FOLDER / "node_modules" / name / "package.json"
        if package.exists():
            found[name] = json.loads(package.read_text())["version"]
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].partition(":")[2].strip() if lines else cpu
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "processors": str(os.cpu_count()),
        "cpu": cpu,
        **found,
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"{', '.join([*names, *OTHERS, *ALONE])}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a part of the messages, one round")
    parser.add_argument("--peers", help="a comma between them; default all")
    parser.add_argument(
        "--output",
        type=Path,
        help="write results.json, .svg and .md there; a whole run's go to benchmarks/results by "
        "default, and its table into README",
    )
    options = parser.parse_args()
    unknown = set(options.workload) - {*names, *OTHERS, *ALONE}
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    peers = {"webapi", *PYTHON_PEERS, *NODE, *OUT_OF_TABLE}
    unknown = set(options.peers.split(",") if options.peers else ()) - peers
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if options.rounds < 1:
        parser.error("it takes at least one round")
    return options


def main() -> int:
    """Run the workloads named on the command line, or all."""
    options = parse()
    alone = [name for name in options.workload if name in ALONE]
    for name in alone:
        ALONE[name](options.quick)
    options.workload = [name for name in options.workload if name not in ALONE]
    if alone and not options.workload:
        return 0
    rounds, scale = (1, QUICK) if options.quick else (options.rounds, 1.0)
    started = time.monotonic()
    record: dict[str, Any] = {
        "machine": machine(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "rounds": rounds,
        "scale": scale,
        "missing": {},
        "workloads": {},
    }
    with Server() as server:
        ok = True
        for workload in WORKLOADS:
            if not options.workload or workload.name in options.workload:
                ok &= run_workload(workload, options.peers, server, rounds, scale, record)
        ok &= run_others(options.workload or OTHERS, server, rounds, scale, record)
    record["seconds"] = round(time.monotonic() - started)
    whole = not options.workload and not options.quick and options.peers is None
    if options.output is not None:
        write(record, options.output)
    elif whole:
        write(record, RESULTS)
        show_in(README, record)
    return 0 if ok else 1


def run_workload(
    workload: Workload,
    peers: str | None,
    server: Server,
    rounds: int,
    scale: float,
    record: dict[str, Any],
) -> bool:
    """Run it, print and record what came of it, and tell whether we did not fail."""
    wanted = workload.peers if peers is None else peers.split(",")
    here = ["webapi"]
    others = [peer for peer in wanted if peer in OUT_OF_TABLE]
    for peer in (*workload.peers, *others):
        if peer not in wanted:
            continue
        command = available(peer)
        if command is None:
            here.append(peer)
        elif peer not in record["missing"]:  # told once
            print(f"not run: {peer}; to have it: {command}", file=sys.stderr)
            record["missing"][peer] = command
    results = measure(workload, here, server, rounds, scale)
    found = {
        "title": workload.title,
        "unit": workload.unit,
        "less": workload.less,
        "bar": workload.bar,
        "undici": workload.undici,
        "all": workload.all,
        "peers": {peer: result.to_json() for peer, result in results.items()},
    }
    record["workloads"][workload.name] = found
    report.show(found)
    return results["webapi"].error is None


def run_others(
    names: list[str] | tuple[str, ...],
    server: Server,
    rounds: int,
    scale: float,
    record: dict[str, Any],
) -> bool:
    """Run what is about us alone; tell whether nothing failed."""
    try:
        if "footprint" in names:
            record["footprint"] = footprint.measure(server, rounds)
            footprint.show(record["footprint"])
        if "fairness" in names:
            record["fairness"] = fairness.measure(server, scale)
            fairness.show(record["fairness"])
        if "scaling" in names:
            record["scaling"] = scaling.measure(server, scale)
            scaling.show(record["scaling"])
    except PeerFailed as failure:
        print(f"webapi failed: {failure}")
        return False
    return True


def write(record: dict[str, Any], folder: Path) -> None:
    """Write the results, the table and the chart."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / "results.md").write_text(report.markdown(record))
    if available("chart") is not None:
        print(f"no chart; to have it: {available('chart')}", file=sys.stderr)
        return
    from benchmarks.chart import draw

    draw(record, folder / "results.svg")


def show_in(readme: Path, record: dict[str, Any]) -> None:
    """Put the tables where README has those of the run before."""
    before, _, rest = readme.read_text().partition(f"{BEGIN}\n")
    _, _, after = rest.partition(f"\n{END}")
    readme.write_text(f"{before}{BEGIN}\n{report.markdown(record)}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
