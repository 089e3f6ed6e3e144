"""Environments of their own for what a suite needs, in a cache folder, made on first use.

None of it is ever installed next to webapi. A folder is named after everything that decides what is
in it, so that another pin is another folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


class SuiteError(Exception):
    """A suite could not be set up, or could not be started."""


def cache_folder(name: str, interpreter: Path, *decisive: bytes) -> Path:
    """The folder for the environment ``name``; its name has a digest of all that decides."""
    version = subprocess.run([interpreter, "-VV"], capture_output=True, text=True)
    digest = hashlib.sha256((version.stdout + version.stderr).encode())
    digest.update(str(interpreter).encode())
    for part in decisive:
        digest.update(part)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "webapi-conformance" / f"{name}-{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``: two runs at once set up one environment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command: str | Path) -> None:
    """Run a command of a set-up; its output is shown only where it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=clean_environment(),
    )
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        raise SuiteError(f"{shown} failed ({done.returncode}):\n{done.stdout[-3000:]}")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would make another Python see our packages."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if key not in dropped}
