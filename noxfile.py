"""The test suite on every CPython that is at hand: `nox`; CI takes the oldest and the newest."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import nox

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False


def find(version: str) -> str | None:
    """Return the path of a CPython `version`, on PATH or under pyenv, or None."""
    on_path = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    of_pyenv = sorted(root.glob(f"{version}.*/bin/python")) if root.is_dir() else []
    if of_pyenv:
        return str(of_pyenv[-1])
    # a shim of pyenv's exists for every version and works for none that is not activated
    return None if on_path is None or "shims" in on_path else on_path


FOUND = {version: path for version in PYTHONS if (path := find(version)) is not None}


COVERAGE = ["--cov", "--cov-report=term:skip-covered", "--cov-fail-under=95"]


def run_tests(session: nox.Session, version: str, *arguments: str) -> None:
    """Run the suite on `version` in an environment of its own."""
    home = Path(session.create_tmp()).resolve() / f"python{version}"
    session.run(FOUND[version], "-m", "venv", str(home), external=True)
    python = str(home / "bin" / "python")
    session.run(
        python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test]",
        external=True,
    )  # fmt: skip
    session.run(
        python, "-m", "pytest", "-q", "-n", "2", *arguments, *session.posargs,
        external=True,
        env={"TMPDIR": None},  # nox's own is in here, and tests run pytest as a user elsewhere
    )  # fmt: skip


def report_missing(session: nox.Session) -> None:
    """Say which of the supported Pythons are not here."""
    for version in PYTHONS:
        if version not in FOUND:
            session.warn(f"CPython {version} is not at hand: install it, for example with pyenv")


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """Run the suite on every CPython found."""
    report_missing(session)
    for version in FOUND:
        run_tests(session, version)


@nox.session(python=False, name="tests-oldest-and-newest")
def tests_oldest_and_newest(session: nox.Session) -> None:
    """Run the suite on the oldest CPython found, with branch coverage, and on the newest."""
    report_missing(session)
    oldest, newest = next(iter(FOUND)), next(reversed(FOUND))
    run_tests(session, oldest, *COVERAGE)
    if newest != oldest:
        run_tests(session, newest)


@nox.session(python=False)
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, install the wheel elsewhere, and run the demo from it."""
    out = Path(session.create_tmp()).resolve()
    for old in out.glob("webapi-*"):
        old.unlink()
    session.run(sys.executable, "-m", "build", "--outdir", str(out), external=True)
    [wheel] = out.glob("*.whl")
    assert list(out.glob("*.tar.gz")), "no sdist was built"
    home = out / "elsewhere"
    session.run(sys.executable, "-m", "venv", "--clear", str(home), external=True)
    python = str(home / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", str(wheel), external=True)
    with session.chdir(str(out)):
        installed = session.run(
            python, "-c", "import webapi; print(webapi.__file__)", external=True, silent=True
        )
        assert re.search("elsewhere", str(installed)), installed
        session.run(python, "-m", "webapi", "demo", external=True)
