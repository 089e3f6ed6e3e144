"""``python -m conformance.fuzz.harness TARGET [libFuzzer's arguments]``: fuzz one target.

Run by the runner in the fuzzing environment, the only place where atheris is.
"""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    """Fuzz until libFuzzer's arguments end it."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["webapi"]):
        target = importlib.import_module(f"{__package__}.targets.{name}")
    atheris.Setup(sys.argv, target.test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
