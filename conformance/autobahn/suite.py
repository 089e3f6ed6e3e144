"""The Autobahn test suite: its own pinned environment, and its fuzzing server.

The suite is Python 2 source. It is never installed next to webapi but in an environment of its
own, made on first use in a cache folder that is named after everything that goes into it:

* where there is a Python 2.7, exactly as published, with the requirements it states;
* elsewhere on the Python 3 that runs this module, converted by :mod:`.port`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import SuiteError, cache_folder, clean_environment, locked, run
from .control import Control, ControlError

HERE = Path(__file__).parent
HOST = "127.0.0.1"

#: The last virtualenv that makes environments for Python 2.7.
VIRTUALENV = ("virtualenv==20.21.1", "setuptools==69.5.1")
#: What has to be there before the Python 3 requirements, which include old source releases.
BUILD_TOOLS = ("setuptools==69.5.1", "wheel==0.45.1")

START_SECONDS = 60.0
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Environment:
    """Where the suite is installed."""

    python: Path
    flavour: str
    """``"2"`` (as published) or ``"3"`` (converted)."""


def prepare(flavour: str = "auto") -> Environment:
    """The suite's environment, made now if it is not there yet.

    ``flavour`` is ``"2"`` or ``"3"``, or ``"auto"`` for 2 where possible and else 3.
    """
    python2 = None if flavour == "3" else find_python2()
    if python2 is not None:
        try:
            return _prepared("2", python2, _make_python2)
        except SuiteError as error:
            if flavour == "2":
                raise
            print(f"the suite on Python 2.7: {error}\ntrying Python 3", file=sys.stderr)
    elif flavour == "2":
        raise SuiteError("there is no Python 2.7 here")
    return _prepared("3", Path(sys.executable), _make_python3)


def find_python2() -> Path | None:
    """A Python 2.7 that runs, from the search path or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which("python2.7")
    candidates = [Path(on_path)] if on_path else []
    candidates += sorted(pyenv.glob("versions/2.7.*/bin/python2.7"), reverse=True)
    # A pyenv shim is on the path even where it leads nowhere, so each is asked what it is.
    question = "import sys; print(sys.executable if sys.version_info[:2] == (2, 7) else '')"
    for candidate in candidates:
        answer = subprocess.run([candidate, "-c", question], capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip():
            return Path(answer.stdout.strip())
    return None


def _cache_folder(flavour: str, interpreter: Path) -> Path:
    """The folder for that environment, named after all that decides what is in it."""
    names = (f"requirements-py{flavour}.txt", "port.py", "latin1.py")
    pins = repr((VIRTUALENV, BUILD_TOOLS)).encode()
    return cache_folder("autobahn", interpreter, pins, *((HERE / n).read_bytes() for n in names))


def _prepared(flavour: str, interpreter: Path, make: Callable[[Path, Path], None]) -> Environment:
    folder = _cache_folder(flavour, interpreter)
    python = folder / "env" / "bin" / "python"
    ready = folder / "ready"
    with locked(folder.with_suffix(".lock")):
        if not ready.exists():
            print(f"setting up the Autobahn test suite on Python {flavour} ...", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(interpreter, folder)
            run(python, "-c", "import autobahntestsuite.wstest")
            ready.touch()
    return Environment(python, flavour)


def _make_python2(interpreter: Path, folder: Path) -> None:
    tool = folder / "tool" / "bin" / "python"
    run(sys.executable, "-m", "venv", folder / "tool")
    run(tool, "-m", "pip", "install", *VIRTUALENV)
    run(tool, "-m", "virtualenv", "--python", interpreter, folder / "env")
    python = folder / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-r", HERE / "requirements-py2.txt")


def _make_python3(interpreter: Path, folder: Path) -> None:
    python = folder / "env" / "bin" / "python"
    install = ("-m", "pip", "install", "--no-deps")
    run(interpreter, "-m", "venv", folder / "env")
    run(python, *install, *BUILD_TOOLS)
    # Without build isolation, since today's setuptools no longer builds those releases.
    run(python, *install, "--no-build-isolation", "-r", HERE / "requirements-py3.txt")
    run(python, HERE / "port.py")


@dataclass(frozen=True)
class Server:
    """A running fuzzing server."""

    control: Control
    reports: Path


@contextlib.asynccontextmanager
async def serve(
    environment: Environment, folder: Path, cases: Sequence[str], exclude: Sequence[str] = ()
) -> AsyncIterator[Server]:
    """Run a fuzzing server with the cases that match; it works in ``folder`` and is then stopped.

    Patterns are the suite's own: ``1.2.*`` or a case's name.
    """
    folder.mkdir(parents=True)
    port = _free_port()
    reports = folder / "reports"
    spec = folder / "fuzzingserver.json"
    spec.write_text(
        json.dumps(
            {
                "url": f"ws://{HOST}:{port}",
                "outdir": str(reports),
                "cases": list(cases),
                "exclude-cases": list(exclude),
                "exclude-agent-cases": {},
            }
        )
    )
    with (folder / "log").open("wb") as log:
        # The pipe to its standard input is what ends the server if we are killed: see server.py.
        process = await asyncio.create_subprocess_exec(
            environment.python,
            *("-W", "ignore", HERE / "server.py"),
            *("-m", "fuzzingserver", "-s", spec, "-u", "0"),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        control = Control(HOST, port)
        await _until_ready(process, control, folder / "log")
        yield Server(control, reports)
    finally:
        await _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _until_ready(process: asyncio.subprocess.Process, control: Control, log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline and process.returncode is None:
        with contextlib.suppress(ControlError):
            await control.case_count(timeout=5)
            return
        await asyncio.sleep(0.1)
    said = log.read_text(errors="replace")[-3000:]
    raise SuiteError(f"the fuzzing server did not start:\n{said}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
            return
