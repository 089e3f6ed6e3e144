"""`examples/testing/`: each folder's tests pass, as its reader runs them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "testing"

NEEDS = {
    "channels_chat": ("django", "channels"),
    "fastapi_prices": ("fastapi", "uvicorn", "websockets", "pytest_asyncio"),
    "graphql_subscription": ("strawberry", "uvicorn", "websockets"),
    "devtools_session": (),
}


def test_all_are_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(NEEDS)


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_an_example(name: str, tmp_path: Path) -> None:
    for module in NEEDS[name]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install 'webapi[test]'")
    folder = tmp_path / name  # away from this repository's configuration
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        capture_output=True, text=True, timeout=100, cwd=folder,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"[1-9]\d* passed", ended.stdout)
    assert "skipped" not in ended.stdout
