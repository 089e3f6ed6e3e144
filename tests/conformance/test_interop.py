"""The interoperability suite itself: real processes, and what it says of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conformance.interop import matrix, runner
from conformance.interop.peer import (
    HERE,
    SERVERS,
    Apt,
    Example,
    Peer,
    Place,
    Process,
    all_peers,
)
from conformance.interop.running import Certificates

GUARD = HERE / "guard.py"


def peer(source: str | None = "websockets_server.py", **options: object) -> Peer:
    """A peer on this interpreter, which has PyPI's websockets."""
    program = [SERVERS / source] if source else ["-c", "raise SystemExit"]
    command = [sys.executable, *program]
    return Peer(
        **{
            "name": "here",
            "kind": "Python",
            "needs": (),
            "start": lambda place: [Process(command, place.port)],
            "version": lambda _place: "1",
            **options,
        }  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def run(tried: Peer, certificates: Certificates) -> dict[str, object]:
    return runner.run_peer(tried, certificates, apt=False, verbose=False)


def outcomes(row: dict[str, object]) -> dict[str, str]:
    cells: dict[str, dict[str, str]] = row["cells"]  # type: ignore[assignment]
    return {name: cell["outcome"] for name, cell in cells.items()}


def test_a_good_server_is_green_and_nothing_of_it_is_left(certificates: Certificates) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    row = run(peer(), certificates)
    assert set(outcomes(row).values()) == {"ok"}, row["cells"]
    assert runner.as_expected(row)
    after = {child.pid for child in psutil.Process().children(recursive=True)}
    assert after <= before


def test_what_is_known_to_fail_must_fail(certificates: Certificates) -> None:
    row = run(peer(known={"ws": "it never opens"}), certificates)
    assert outcomes(row)["ws"] == "failed"
    assert row["cells"]["ws"]["detail"].startswith("passed, but is marked as known")  # type: ignore[index]
    assert not runner.as_expected(row)


def test_a_wrong_server_is_red_with_its_reason(certificates: Certificates) -> None:
    # The same server, told another subprotocol than the battery asks for.
    environment = {"INTEROP_SUBPROTOCOL": "another.v1"}
    why = "it has another one"
    known = run(peer(environment=environment, known={"subprotocol": why}), certificates)
    assert outcomes(known)["subprotocol"] == "known"
    assert known["cells"]["subprotocol"]["detail"] == (  # type: ignore[index]
        "it has another one (did not open: close 1006)"
    )
    assert runner.as_expected(known)
    assert not matrix.is_green(known)


def test_that_a_server_pings_what_is_idle_must_show(certificates: Certificates) -> None:
    silent = run(peer(environment={"INTEROP_PING": "3600"}), certificates)
    assert silent["cells"]["idle"] == {  # type: ignore[index]
        "outcome": "failed",
        "detail": "no pings, 2.5 s: it is said to ping",
    }
    pings = run(peer(ping_seconds=None), certificates)
    assert outcomes(pings)["idle"] == "failed"
    assert pings["cells"]["idle"]["detail"].endswith(": it is said never to ping")  # type: ignore[index]


def test_a_server_that_ends_at_once_is_not_started(certificates: Certificates) -> None:
    row = run(peer(source=None), certificates)
    assert row["status"] == "not started"
    assert "did not start" in str(row["reason"])
    assert not runner.as_expected(row)


def test_a_missing_runtime_is_told_with_what_installs_it(certificates: Certificates) -> None:
    needs = (Apt(("no-such-package",), ("no-such-program-of-webapi",)),)
    row = run(peer(needs=needs), certificates)
    assert row["status"] == "not run"
    assert row["reason"] == "install: apt-get install no-such-package (--apt does it)"
    assert runner.as_expected(row)
    assert "not run: install: apt-get install no-such-package" in matrix.matrix({"here": row})


def test_an_example_that_prints_something_else_is_a_failure(certificates: Certificates) -> None:
    example = Example("signalr.py", "http://127.0.0.1:1/hub", ("started",))
    row = run(peer(raw=False, tls=False, examples=(example,)), certificates)
    assert outcomes(row)["protocols"] == "failed"
    assert "should print 'started'" in row["cells"]["protocols"]["detail"]  # type: ignore[index]


def test_a_peer_with_a_protocol_of_its_own_is_tried_as_far_as_no_echo_is_needed(
    certificates: Certificates,
) -> None:
    row = run(peer(raw=False, protocols=("interop.v1",)), certificates)
    names = ["ws", "wss", "subprotocol", "deflate", "client_close", "killed"]
    assert outcomes(row) == dict.fromkeys(names, "ok"), row["cells"]
    assert row["cells"]["subprotocol"]["detail"] == "interop.v1"  # type: ignore[index]
    assert row["cells"]["deflate"]["detail"].startswith("yes")  # type: ignore[index]
    refused = run(peer(raw=False, tls=False, protocols=("another",)), certificates)
    assert outcomes(refused)["ws"] == "failed"
    assert list(outcomes(run(peer(raw=False, tls=False), certificates))) == [
        *("ws", "wss", "deflate", "client_close", "killed")
    ]


def test_what_is_not_as_expected_is_run_once_more_and_that_counts(
    certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first start leaves a file and fails, the second finds it.
    been = tmp_path / "been"
    ends = f"import os; open({str(been)!r}, 'w')"

    def start(place: Place) -> list[Process]:
        command = [SERVERS / "websockets_server.py"] if been.exists() else ["-c", ends]
        return [Process([sys.executable, *command], place.port)]

    tried = peer(raw=False, start=start)
    assert runner.as_expected(runner.run_twice(tried, certificates, apt=False, verbose=False))
    assert "here: not started" in (said := capsys.readouterr().out)
    assert "here is run once more" in said
    row = runner.run_twice(peer(source=None), certificates, apt=False, verbose=False)
    assert row["status"] == "not started"


def test_the_results_of_one_peer_are_put_among_the_others(tmp_path: Path) -> None:
    row = {
        "name": "one",
        "listed": True,
        "kind": "C",
        "note": "a | b",
        "date": "2026-01-01",
        "version": "1",
        "seconds": 1.0,
        "status": "ran",
        "cells": {
            "ws": {"outcome": "ok", "detail": ""},
            "deflate": {"outcome": "ok", "detail": "declined"},
            "killed": {"outcome": "known", "detail": "it lives"},
        },
    }
    path = tmp_path / "results" / "interop.json"
    runner.write(path, {"one": row}, ["one", "two"])
    runner.write(path, {"two": {**row, "name": "two"}}, ["one", "two"])
    assert list(json.loads(path.read_text())["peers"]) == ["one", "two"]
    report = path.with_suffix(".md").read_text()
    assert "0 of 2 peers green; 4 checks passed, 2 failed." in report
    assert "| one | yes | ✓ |" in report
    assert "✓ declined" in report
    assert "a \\| b" in report
    assert "- **one**, ✗ killed: it lives" in report


def record(**statuses: str) -> dict[str, dict[str, object]]:
    """Rows that have a status, or ran with a check of an outcome."""
    return {
        name: {
            "name": name,
            "reason": "install: it",
            "status": "ran" if status in matrix.SIGNS else status,
            "cells": {"ws": {"outcome": status, "detail": ""}} if status in matrix.SIGNS else {},
        }
        for name, status in statuses.items()
    }


def test_a_run_in_which_nothing_ran_is_not_green(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = (Apt(("no-such-package",), ("no-such-program-of-webapi",)),)
    peers = {"one": peer(needs=needs), "two": peer(absent="nobody has it")}
    monkeypatch.setattr(runner, "all_peers", lambda: peers)
    assert runner.main(["--output", ""]) == 2
    said = capsys.readouterr().out
    assert "here: not run: install: apt-get install no-such-package (--apt does it)" in said
    assert said.endswith("not run: here, here\nnothing ran\n")


def test_a_recorded_peer_that_does_not_run_is_named_and_where_it_must_run_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded = record(green="ok", red="known", absent="not run")
    rows = record(green="not run", red="not run", absent="not run", new="not run", here="ok")
    assert runner.verdict(rows, recorded, must_run=False) == 0
    assert capsys.readouterr().out == "not run: green, red, absent, new\npassed\n"
    assert runner.verdict(rows, recorded, must_run=True) == 1
    assert capsys.readouterr().out == (
        "not run: green, red, absent, new\n"
        "green is recorded, and did not run: install: it\n"
        "red is recorded, and did not run: install: it\n"
        "FAILED\n"
    )
    assert runner.verdict(record(absent="not run", here="ok"), recorded, must_run=True) == 0


def test_a_peer_that_is_recorded_as_green_must_be_green_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded = record(one="ok", two="known")
    assert runner.verdict(record(one="ok", two="known"), recorded, must_run=False) == 0
    assert runner.verdict(record(one="known", two="known"), recorded, must_run=False) == 1
    assert "one is recorded as green, and is not\nFAILED\n" in capsys.readouterr().out
    assert runner.verdict(record(two="failed"), recorded, must_run=False) == 1


def test_what_did_not_run_here_leaves_the_record_of_where_it_ran(tmp_path: Path) -> None:
    told = {"listed": True, "kind": "C", "note": "", "date": "2026-01-01", "version": "1"}
    path = tmp_path / "interop.json"
    for status in ("ok", "not run", "not started"):
        rows = {name: row | told for name, row in record(one=status).items()}
        runner.write(path, rows, ["one"])
        kept = json.loads(path.read_text())["peers"]["one"]["status"]
        assert kept == ("not started" if status == "not started" else "ran")


def test_every_peer_is_described() -> None:
    for name, found in all_peers().items():
        assert found.name, name
        assert found.ping_seconds is None or found.ping_seconds < found.idle_seconds, name
        assert found.kind, name
        assert set(found.cannot) <= set(runner.CHECKS), name
        assert set(found.known) <= {*runner.CHECKS, "protocols"}, name
        assert found.raw or found.examples or found.absent, name
        assert found.tls or "wss" in found.cannot, name
        for example in found.examples:
            assert (runner.EXAMPLES / example.script).exists(), name


# A child that ignores SIGTERM, in a session of its own, below one that prints its number.
STUBBORN = """
import os, signal, subprocess, sys, time
child = '''import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(600)'''
made = subprocess.Popen(
    [sys.executable, '-c', child], start_new_session=True, stdout=subprocess.PIPE
)
made.stdout.readline()
print(made.pid, flush=True)
if 'orphan' in sys.argv: os._exit(0)
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["kill", "stop", "eof", "orphan"])
def test_the_guard_lets_nothing_live(how: str) -> None:
    guard = subprocess.Popen(
        [sys.executable, "-S", GUARD, sys.executable, "-c", STUBBORN, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    child = psutil.Process(int(guard.stdout.readline()))
    if how in ("kill", "stop"):
        guard.stdin.write(f"{how}\n".encode())
    began = time.monotonic()
    if how != "orphan":
        guard.stdin.close()
    guard.wait(15)
    took = time.monotonic() - began
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert how != "kill" or took < 3
    guard.stdout.close()
    if how == "orphan":
        guard.stdin.close()
