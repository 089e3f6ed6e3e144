"""The differential oracle: it runs, every difference is explained, and it can fail."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wsproto", reason="needs wsproto: pip install -e '.[test]'")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of `conformance.oracle`, which is not part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"conformance.oracle.{name}")


def test_every_difference_is_explained(oracle: Any, tmp_path: Path) -> None:
    output = tmp_path / "oracle.json"
    assert oracle("runner").main(["--streams", "500", "--seed", "7", "--output", str(output)]) == 0
    results = json.loads(output.read_text(encoding="utf-8"))
    assert results["unexplained"] == 0
    for peer, same in results["same"].items():
        theirs = [line["streams"] for line in results["differences"] if line["peer"] == peer]
        assert same + sum(theirs) == results["streams"]


def test_the_committed_results_are_of_the_explanations_in_the_tree(oracle: Any) -> None:
    results = json.loads(oracle("runner").RESULTS.read_text(encoding="utf-8"))
    table = oracle("explanations").EXPLANATIONS
    assert results["unexplained"] == 0
    lines = [(line["peer"], line["name"], line["theirs"]) for line in results["differences"]]
    assert lines == [(line.peer, line.name, line.theirs) for line in table]
    assert all(line["streams"] for line in results["differences"]), "one explains nothing"


def test_the_readme_has_every_explanation(oracle: Any) -> None:
    readme = (ROOT / "conformance" / "README.md").read_text(encoding="utf-8")
    for line in oracle("explanations").EXPLANATIONS:
        assert f"| `{line.peer}` | `{line.name}` | {line.theirs} | {line.ours} |" in readme


def test_a_receiver_that_takes_what_it_must_not_is_found(
    oracle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from webapi.protocol import receiver

    monkeypatch.setattr(receiver, "_check_length", lambda size, extended: None)
    found = oracle("runner").compare(oracle("streams").generated(300, 7))
    assert any("our receiver is not what the RFCs say" in fault for fault in found.faults)


def test_a_peculiarity_that_is_not_known_is_found(
    oracle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = oracle("runner")
    monkeypatch.setattr(runner, "KNOWN", runner.KNOWN - {("websockets", "length")})
    found = runner.compare(oracle("streams").generated(300, 7))
    assert found.faults
    assert all("websockets differs" in fault for fault in found.faults)


@pytest.mark.parametrize("peer", ["", "websockets", "wsproto"])
def test_the_model_reads_what_nobody_differs_on(oracle: Any, peer: str) -> None:
    stream = oracle("readers").Stream(b"\x81\x02hi\x89\x01p\x82\x00\x88\x02\x03\xe8")
    verdict, played = oracle("model").read(stream, peer)
    assert verdict[:3] == (("hi", ("ping", b"p"), b""), "closed", 1000)
    assert played == []
