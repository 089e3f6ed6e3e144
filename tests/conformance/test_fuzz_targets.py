"""The fuzzers' corpus, without the fuzzer: what it found once is found again on every Python."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "conformance" / "fuzz" / "corpus"
INPUTS = sorted(CORPUS.glob("*/*"))


@pytest.fixture
def conformance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of `conformance`, which is not part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"conformance.{name}")


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_nothing_of_the_corpus_breaks_anything(file: Path, conformance: Any) -> None:
    conformance(f"fuzz.targets.{file.parent.name}").test_one_input(file.read_bytes())


def test_every_target_has_a_corpus(conformance: Any) -> None:
    targets = conformance("fuzz.runner").TARGETS
    assert {file.parent.name for file in INPUTS} == set(targets)
    assert len(targets) >= 3


def test_a_broken_receiver_is_found(conformance: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of two readings can fail."""
    from webapi.protocol.receiver import Receiver

    target = conformance("fuzz.targets.receiver")
    feed = Receiver.feed

    def forgetful(self: Receiver, data: bytes) -> Any:
        return feed(self, data) if len(data) < 4 else feed(self, data)[1:]

    monkeypatch.setattr(Receiver, "feed", forgetful)
    with pytest.raises(AssertionError):
        target.test_one_input((CORPUS / "receiver" / "text-binary").read_bytes())


def test_the_runner_imports_no_atheris(conformance: Any) -> None:
    conformance("fuzz.runner")
    assert "atheris" not in sys.modules
