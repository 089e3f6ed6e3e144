"""The Autobahn runner's judgement: no regression can hide behind what is expected."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}  # the suite itself calls them so


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("conformance.autobahn.runner")


def test_all_517_cases_pass_strictly_or_are_informational_by_nature(runner: Any) -> None:
    expectations = runner.Expectations.load()
    assert expectations.cases == 517
    assert expectations.informational == INFORMATIONAL
    assert expectations.non_strict == set()


@pytest.mark.parametrize(
    ("behavior", "close", "passes"),
    [
        ("OK", "OK", {"1.1.1"}),
        ("INFORMATIONAL", "INFORMATIONAL", {"7.1.6"}),
        ("INFORMATIONAL", "OK", {"7.1.6"}),
        ("OK", "INFORMATIONAL", set()),
        ("NON-STRICT", "OK", set()),
        ("UNIMPLEMENTED", "OK", set()),
        ("FAILED", "OK", set()),
        ("MISSING", "MISSING", set()),
        ("OK", "WRONG CODE", set()),
        ("OK", "UNCLEAN", set()),
        ("OK", "FAILED BY CLIENT", set()),
        ("INFORMATIONAL", "FAILED BY CLIENT", set()),
    ],
)
def test_which_verdicts_pass(runner: Any, behavior: str, close: str, passes: set[str]) -> None:
    expectations = runner.Expectations.load()
    verdict = runner.Verdict(behavior=behavior, behaviorClose=close)
    assert {case for case in ("1.1.1", "7.1.6") if expectations.met_by(case, verdict)} == passes


def test_a_case_that_was_not_run_fails_and_so_does_a_suite_that_is_not_whole(
    runner: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    expectations = runner.Expectations.load()
    plan = runner.Plan("webapi", ["*"], [], 1, 1, 1)
    good = runner.Verdict(behavior="OK", behaviorClose="OK")
    inform = replace(good, behavior="INFORMATIONAL", behaviorClose="INFORMATIONAL")
    cases = dict.fromkeys(INFORMATIONAL, inform) | {f"1.{n}": good for n in range(514)}

    def status(results: Any) -> int:
        return int(
            runner._conclude(results, plan, expectations, runner.report(results, expectations))
        )

    assert status(runner.Results(cases)) == 0
    assert status(runner.Results(cases | {"1.1": runner.Verdict()})) == 1
    assert status(runner.Results(cases | {"1.1": replace(good, behavior="NON-STRICT")})) == 1
    del cases["1.1"]
    assert status(runner.Results(cases)) == 1
    assert "517" in capsys.readouterr().out


def test_the_committed_results_are_of_the_whole_suite_without_a_deviation(runner: Any) -> None:
    results = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    expectations = runner.Expectations.load()
    verdicts = {case: runner.Verdict(**verdict) for case, verdict in results["cases"].items()}
    assert results["client"] == "webapi"
    assert len(verdicts) == expectations.cases
    assert expectations.missed_by(verdicts) == results["deviating"] == []
