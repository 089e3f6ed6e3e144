"""The benchmarks' command line, and what their table says of a run that was not whole."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import footprint, runner
from benchmarks.report import markdown, show
from benchmarks.runner import Server, available, call_peer
from benchmarks.server import ticks
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def record() -> dict[str, Any]:
    """The last whole run's."""
    return json.loads((ROOT / "benchmarks/results/results.json").read_text())  # type: ignore[no-any-return]


def row(record: dict[str, Any], title: str) -> list[str]:
    """Its row of the first table."""
    found = next(line for line in markdown(record).splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in found.split("|")[1:-1]]


def fail(record: dict[str, Any], workload: str, peer: str, after: int) -> None:
    """As if `peer` had failed once it had done `after` rounds."""
    result = record["workloads"][workload]["peers"][peer]
    for name in ("values", "figures"):
        del result[name][after:]
    result["error"] = "took longer than 60 s"


def test_a_peer_that_fails_in_one_round_is_named(
    record: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "failed" not in markdown(record)
    fail(record, "echo-64", "picows", after=1)
    note = "picows failed in round 2, and has the median of those before: took longer than 60 s"
    assert f"echo of 32 B, 64 in flight: {note}" in markdown(record)
    show(record["workloads"]["echo-64"])
    assert "picows failed in round 2: took longer than 60 s" in capsys.readouterr().out


def test_a_peer_that_fails_at_once_is_named(record: dict[str, Any]) -> None:
    fail(record, "echo-64", "aiohttp", after=0)
    assert row(record, "echo of 32 B, 64 in flight")[4] == ""
    note = "echo of 32 B, 64 in flight: aiohttp failed in round 1: took longer than 60 s"
    assert note in markdown(record)


def test_a_workload_that_webapi_fails_in_stays_in_the_table(record: dict[str, Any]) -> None:
    fail(record, "echo-64", "webapi", after=0)
    assert row(record, "echo of 32 B, 64 in flight")[2] == "failed"
    assert "echo of 32 B, 64 in flight: webapi failed in round 1" in markdown(record)


def test_a_run_says_when_it_was_what_was_missing_and_that_it_was_quick(
    record: dict[str, Any],
) -> None:
    record.update(date="2026-01-02", missing={"undici": "npm ci"}, scale=0.05, rounds=1)
    record["machine"].update(node="20.1.0", undici="7.0.0", ws="8.0.0")
    caption = markdown(record).splitlines()[-1]
    assert "node 20.1.0, undici 7.0.0, ws 8.0.0" in caption
    assert "medians of 1 round of 5 % of the messages; 2026-01-02." in caption
    assert "Not installed: undici." in caption


def test_the_record_names_what_node_brings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "ws" / "package.json"
    package.parent.mkdir(parents=True)
    package.write_text('{"version": "8.1.2"}')
    monkeypatch.setattr(command, "NODE_FOLDER", tmp_path)
    assert command.machine()["ws"] == "8.1.2"
    assert "undici" not in command.machine()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--peers", "pikows"], "no such peer: pikows"),
        (["--rounds", "0"], "at least one round"),
        (["flud"], "no such workload: flud"),
    ],
)
def test_a_slip_on_the_command_line_is_told(
    arguments: list[str],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.parse()
    assert ended.value.code == 2
    assert fault in capsys.readouterr().err


def test_what_is_measured_alone_does_not_hide_the_workloads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = []
    monkeypatch.setitem(command.ALONE, "masking", lambda quick: ran.append("masking"))
    monkeypatch.setattr(
        command, "run_workload", lambda workload, *_: ran.append(workload.name) or True
    )
    monkeypatch.setattr(sys, "argv", ["benchmarks", "masking", "flood"])
    assert command.main() == 0
    assert ran == ["masking", "flood"]


def test_a_title_says_the_sizes_that_the_server_sends() -> None:
    sizes = [len(text) for text in ticks()]
    (title,) = [workload.title for workload in WORKLOADS if workload.name == "flood-ticks"]
    assert title == f"flood, JSON of {min(sizes)} to {max(sizes)} B, mixed"
    same = sum(before == after for before, after in pairwise(sizes))
    assert same < len(sizes) / 4


def test_each_workload_is_held_to_being_first(record: dict[str, Any]) -> None:
    """Issue: first in every workload among all Python peers."""
    assert [workload.name for workload in WORKLOADS if not (workload.bar or workload.all)] == []
    for workload in WORKLOADS:
        said = record["workloads"][workload.name]
        assert (said["bar"], said["undici"], said["all"], said["title"]) == (
            workload.bar, workload.undici, workload.all, workload.title
        )  # fmt: skip


def test_latencies_are_shown_as_medians_of_the_rounds(
    record: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    workload = record["workloads"]["echo-1"]
    rounds = zip((90.0, 100.0, 900.0), workload["peers"]["webapi"]["figures"], strict=True)
    for p99, figures in rounds:
        figures.update(median_us=61.4, p99_us=p99)
    assert "| echo of 32 B, one in flight | 61 / 100 | " in markdown(record)
    show(workload)
    assert "p99_us 100.0" in capsys.readouterr().out


def test_threads_are_those_that_the_system_counts() -> None:
    """Node has some of libuv's and V8's; that it has one was only said."""
    if available("undici") is not None:
        pytest.skip("needs Node's peers: npm ci --prefix benchmarks/node")
    task = {"count": 20, "sockets": 2, "interval": 0.01, "size": 32}
    with Server() as server:
        words = {"url": server.url("echo", task), "authority": "", **task}
        figures = {peer: call_peer(peer, "many", words, server) for peer in ("undici", "webapi")}
    assert figures["undici"]["threads"] > 1
    assert figures["webapi"]["threads"] == 1


def test_a_failure_at_the_end_does_not_lose_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(footprint, "IDLE", "import sys; sys.exit('no memory')")
    monkeypatch.setattr(footprint, "MODULES", {})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "footprint", "--output", str(tmp_path)])
    assert command.main() == 1
    assert "webapi failed: no memory" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["rounds"] == 3


def test_a_peer_that_prints_no_figures_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_command", lambda peer: [sys.executable, "-c", "print('oh')"])
    with Server() as server, pytest.raises(runner.PeerFailed, match="no figures: 'oh"):
        call_peer("webapi", "flood", {}, server)


def test_a_whole_run_shows_its_tables_in_readme(record: dict[str, Any], tmp_path: Path) -> None:
    """Issue: one command, whose table and chart README shows."""
    readme = tmp_path / "README.md"
    shown = (ROOT / "README.md").read_text()
    assert markdown(record) in shown
    readme.write_text(shown.replace(markdown(record), "an older run's\n"))
    command.show_in(readme, record)
    assert readme.read_text() == shown
