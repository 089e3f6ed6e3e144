"""``python -m conformance interop [peer ...]``: webapi.WebSocket against the servers people run.

Each peer (a module of :mod:`.peers`) is installed into a cache folder of its own, started on ports
of the loopback that the system chooses, put through :mod:`.battery`, and stopped. What needs Debian
packages is looked for on this machine; ``--apt`` installs them. A peer whose runtime is missing is
reported with what installs it.

The exit status says whether every check that ran ended as expected - passed, or failed for the
reason that the peer's module gives as known - and whether what `results/interop.json` has holds:
a peer that is green there must be green again, and with ``--apt``, which leaves no runtime out, one
that ran there must run. Without it, what does not run is named; if nothing runs, the status is 2.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import fnmatch
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import webapi

from .. import report
from ..environment import SuiteError
from . import matrix
from .battery import CHECKS, CONNECTING_CHECKS, Battery, CheckError, Connecting
from .peer import ROOT, Example, MissingError, Peer, all_peers
from .running import Certificates, Running, running

CONFORMANCE = ROOT / "conformance"
RESULTS = CONFORMANCE / "results" / "interop.json"

EXAMPLES = ROOT / "examples" / "protocols"
EXAMPLE_SECONDS = 60.0

Cells = dict[str, dict[str, str]]


async def run_battery(peer: Peer, run: Running, context: ssl.SSLContext) -> Cells:
    """All checks that mean something for this peer, one after the other."""
    battery = (Battery if peer.raw else Connecting)(run, context)
    checks = list(CHECKS if peer.raw else CONNECTING_CHECKS)
    if not peer.raw and not peer.protocols:
        checks.remove("subprotocol")
    cells: Cells = {}

    async def check(name: str, action: Any) -> None:
        if name in peer.cannot:
            cells[name] = {"outcome": "cannot", "detail": peer.cannot[name]}
            return
        try:
            detail = await action()
        except Exception as error:  # whatever happens is that check's failure, not the run's
            cells[name] = _failed(peer, name, error)
        else:
            known = peer.known.get(name)
            # An expected failure that did not happen is told, or the table would lie.
            cells[name] = (
                {"outcome": "failed", "detail": f"passed, but is marked as known: {known}"}
                if known
                else {"outcome": "ok", "detail": detail}
            )

    async with contextlib.AsyncExitStack() as stack:

        async def idle() -> str:
            if isinstance(opened, Exception):
                raise opened
            return await opened()

        opened: Any = None
        if "idle" in checks and "idle" not in peer.cannot:
            try:
                opened = await stack.enter_async_context(battery.idle())
            except CheckError as error:
                opened = error
        for name in checks:
            if name == "wss" and not peer.tls:
                why = peer.cannot.get("wss", "it terminates no TLS here")
                cells[name] = {"outcome": "cannot", "detail": why}
            else:
                await check(name, idle if name == "idle" else getattr(battery, name))
    return cells


def _failed(peer: Peer, name: str, error: Exception) -> dict[str, str]:
    detail = str(error) if isinstance(error, CheckError) else f"{type(error).__name__}: {error}"
    if name in peer.known:
        return {"outcome": "known", "detail": f"{peer.known[name]} ({detail})"}
    return {"outcome": "failed", "detail": detail}


def run_examples(peer: Peer, run: Running) -> dict[str, str]:
    """The clients under examples/protocols, each as a program of its own."""
    for example in peer.examples:
        try:
            run_example(example, run)
        except CheckError as error:
            return _failed(peer, "protocols", error)
    scripts = ", ".join(example.script for example in peer.examples)
    return {"outcome": "ok", "detail": scripts}


def run_example(example: Example, run: Running) -> None:
    """Run one, and compare what it prints."""
    place = run.place
    url = example.url.format(port=place.port, tls_port=place.tls_port, inner_port=place.inner_port)
    try:
        done = subprocess.run(
            [sys.executable, "-u", EXAMPLES / example.script, url],
            env=os.environ | ({"PYTHONPATH": str(place.packages)} if example.library else {}),
            capture_output=True,
            text=True,
            timeout=EXAMPLE_SECONDS,
        )
    except subprocess.TimeoutExpired as expired:
        said = (expired.stdout or b"").decode(errors="replace")[-700:]
        late = f"{example.script} still runs after {EXAMPLE_SECONDS:g} s; it said {said!r}"
        raise CheckError(late) from None
    printed = done.stdout.splitlines()
    matching = len(printed) == len(example.prints) and all(
        fnmatch.fnmatchcase(line, pattern.replace("[", "[[]"))
        for line, pattern in zip(printed, example.prints, strict=True)
    )
    if done.returncode or not matching:
        wanted = " / ".join(example.prints)
        said = (done.stdout + done.stderr)[-700:].strip()
        raise CheckError(f"{example.script} should print {wanted!r}; it said {said!r}")


def run_peer(peer: Peer, certificates: Certificates, *, apt: bool, verbose: bool) -> dict[str, Any]:
    """Install, start, try, stop; one row of the results."""
    row: dict[str, Any] = {
        "name": peer.name,
        "listed": peer.listed,
        "kind": peer.kind,
        "note": peer.note,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "version": "",
        "seconds": 0.0,
        "cells": {},
    }
    if peer.absent:
        return row | {"status": "not run", "reason": peer.absent}
    try:
        peer.provide(system=apt)
    except MissingError as error:
        return row | {"status": "not run", "reason": f"install: {error}"}
    except SuiteError as error:
        return row | {"status": "not installed", "reason": str(error)}
    context = ssl.create_default_context(cafile=certificates.authority)
    started = time.monotonic()
    try:
        with running(peer, certificates) as run:
            row["version"] = peer.version(run.place)
            # The examples first: the last check of the battery kills the peer.
            protocols = run_examples(peer, run) if peer.examples else None
            cells = asyncio.run(run_battery(peer, run, context))
            if protocols:
                cells["protocols"] = protocols
            if verbose or any(cell["outcome"] == "failed" for cell in cells.values()):
                print(f"--- {peer.name} printed:\n{run.said()}---", file=sys.stderr)
    except SuiteError as error:
        return row | {"status": "not started", "reason": str(error)}
    row["seconds"] = round(time.monotonic() - started, 1)
    return row | {"status": "ran", "cells": cells}


def run_twice(
    peer: Peer, certificates: Certificates, *, apt: bool, verbose: bool
) -> dict[str, Any]:
    """Run a peer; what does not go as expected is run once more, and that counts.

    A port may be taken just when it was free, a registry may not answer, a machine may stand still:
    a fault is one both times.
    """
    row = run_peer(peer, certificates, apt=apt, verbose=verbose)
    if not as_expected(row):
        print("\n".join([*matrix.lines(row), f"{peer.name} is run once more"]), flush=True)
        row = run_peer(peer, certificates, apt=apt, verbose=verbose)
    return row


def as_expected(row: dict[str, Any]) -> bool:
    """Whether nothing but the known failed; a missing runtime is no failure."""
    if row["status"] != "ran":
        return bool(row["status"] == "not run")
    return all(cell["outcome"] != "failed" for cell in row["cells"].values())


def lapses(rows: Mapping[str, Any], recorded: Mapping[str, Any], *, must_run: bool) -> list[str]:
    """What the record says of these peers and is not so any more, a line each."""
    lines = []
    for name, row in rows.items():
        before = recorded.get(name)
        if before is None or before["status"] != "ran":
            continue
        if row["status"] == "not run":
            if must_run:
                lines.append(f"{row['name']} is recorded, and did not run: {row['reason']}")
        elif matrix.is_green(before) and not matrix.is_green(row):
            lines.append(f"{row['name']} is recorded as green, and is not")
    return lines


def verdict(rows: Mapping[str, Any], recorded: Mapping[str, Any], *, must_run: bool) -> int:
    """Say how it went; the exit status."""
    absent = [row["name"] for row in rows.values() if row["status"] == "not run"]
    if absent:
        print(f"not run: {', '.join(absent)}")
    lapsed = lapses(rows, recorded, must_run=must_run)
    print(*lapsed, sep="\n", end="\n" if lapsed else "")
    if lapsed or not all(map(as_expected, rows.values())):
        print("FAILED")
        return 1
    if len(absent) == len(rows):
        print("nothing ran")
        return 2
    print("passed")
    return 0


def main(argv: Sequence[str]) -> int:
    """Run the peers that are asked for; the exit status."""
    peers = all_peers()
    options = _parse(argv, list(peers))
    if options.list:
        for name, peer in peers.items():
            print(f"{name:<16} {peer.kind}")
        return 0
    chosen = options.peers or [name for name in peers if peers[name].ci or not options.quick]
    recorded = _recorded(RESULTS)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="interop-tls-") as folder:
        certificates = Certificates(Path(folder))
        for name in chosen:
            rows[name] = run_twice(
                peers[name], certificates, apt=options.apt, verbose=options.verbose
            )
            print("\n".join(matrix.lines(rows[name])), flush=True)
    print(f"\n{matrix.matrix(rows)}\n\n{matrix.summary(rows)}")
    if options.output:
        write(options.output, rows, list(peers))
    return verdict(rows, recorded, must_run=options.apt)


def _recorded(path: Path) -> dict[str, Any]:
    """The rows that a results' file has."""
    peers: dict[str, Any] = json.loads(path.read_text())["peers"] if path.exists() else {}
    return peers


def write(path: Path, rows: dict[str, Any], order: Sequence[str]) -> None:
    """Put the rows among those that the file has, and write the report that has them as a table.

    What did not run here does not take the place of what ran elsewhere. The report is REPORT.md
    for the results in the tree, a file beside them for others.
    """
    known = _recorded(path)
    ran = {name for name, row in known.items() if row["status"] == "ran"}
    merged = known | {
        name: row for name, row in rows.items() if row["status"] != "not run" or name not in ran
    }
    merged = {name: merged[name] for name in order if name in merged}
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "webapi": webapi.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "summary": matrix.summary(merged),
        "peers": merged,
    }
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    if path == RESULTS:
        report.write()
    else:
        path.with_suffix(".md").write_text(matrix.markdown(merged, matrix.summary(merged)))


def _parse(argv: Sequence[str], names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance interop",
        description="webapi.WebSocket against the servers that people run, the real programs.",
    )
    parser.add_argument("peers", nargs="*", metavar="peer", help="some of --list; default all")
    parser.add_argument("--list", action="store_true", help="name the peers")
    parser.add_argument("--quick", action="store_true", help="only what is installed quickly")
    parser.add_argument("--apt", action="store_true", help="install missing Debian packages")
    parser.add_argument("--verbose", action="store_true", help="show what the servers print")
    parser.add_argument(
        *("--output", "-o"),
        type=lambda value: Path(value) if value else None,
        default=RESULTS,
        help="the results' file; default conformance/results/interop.json, '' for none",
    )
    options = parser.parse_args(argv)
    if unknown := [name for name in options.peers if name not in names]:
        parser.error(f"no peer {', '.join(unknown)}; there are {', '.join(names)}")
    return options
