"""Scripts in processes of their own, and a server that sees how they end."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent.parent
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from lifetime_server import DEADLINE, LifetimeServer  # noqa: E402
from machine import let_it_settle  # noqa: E402


@pytest.fixture(scope="session")
def lifetime_server() -> Iterator[LifetimeServer]:
    server = LifetimeServer()
    yield server
    server.stop()


@pytest.fixture
def name() -> str:
    """A name for this test's connections at the server."""
    return uuid.uuid4().hex


# In debug mode (`-X dev`) asyncio says of each step that took 0.1 s, and on a busy machine any may.
SLOW_STEP = re.compile(r"Executing <.*> took \d+\.\d{3} seconds\n")


LONG_UNLOAD = "import webapi.html.background as page; page.UNLOAD_TIMEOUT = 60; del page\n"


@dataclass
class Result:
    code: int
    out: str
    err: str
    """Without asyncio's lines on slow steps."""
    seconds: float
    """From the last signal or line that the test waited for to the end."""


class Script:
    """A Python process, whose output is read as it comes."""

    def __init__(self, arguments: list[str], cwd: Path, **options: Any) -> None:
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        # What the process that runs the tests sets would change what a user sees.
        for variable in ("PYTHONDEVMODE", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONASYNCIODEBUG"):
            environment.pop(variable, None)
        environment.update(options.pop("environment", {}))
        options = {"stdin": subprocess.DEVNULL, **options}
        self.process = subprocess.Popen(
            [sys.executable, *arguments], cwd=cwd, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        self.since = time.monotonic()
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def wait_line(self, line: str) -> None:
        """Wait until the script prints `line`."""
        while True:
            try:
                found = self._queue.get(timeout=DEADLINE)
            except queue.Empty:
                pytest.fail(f"no line {line!r} came; {self.lines} {self.errors}")
            if found == line:
                self.since = time.monotonic()
                return
            if found is None:
                self.process.wait(DEADLINE)
                self._readers[1].join(DEADLINE)
                pytest.fail(f"it ended without {line!r}; {self.lines} {''.join(self.errors)}")

    def interrupt(self) -> None:
        """Press Ctrl-C, as a person does: a while after what they saw."""
        let_it_settle(self.process.pid)
        self.since = time.monotonic()
        self.process.send_signal(signal.SIGINT)

    def end(self) -> Result:
        """Wait for the end, within the deadline."""
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"it does not end; {self.lines} {''.join(self.errors)}")
        seconds = time.monotonic() - self.since
        for reader in self._readers:
            reader.join(DEADLINE)
        errors = [line for line in self.errors if not SLOW_STEP.fullmatch(line)]
        return Result(code, "".join(self.lines), "".join(errors), seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for reader in self._readers:
            reader.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def start_script(
    tmp_path: Path, lifetime_server: LifetimeServer, name: str
) -> Iterator[Callable[..., Script]]:
    """Start `source` as a script: `URL` in it becomes the server's URL for this test.

    Args of the function: the source; Python's own options; `kind`, what the server does; `host`.
    At its exit the script waits for a minute, not for 2 s, where it should not wait at all: so that
    a test can tell that from a machine which stands still for a while.
    """
    started: list[Script] = []
    # A shell without job control starts what it runs in the background with SIGINT ignored, and
    # children would inherit that; a handler they do not.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(
        source: str,
        *python_options: str,
        kind: str = "echo",
        host: str = "127.0.0.1",
        arguments: list[str] | None = None,
        url: str | None = None,
        **options: Any,
    ) -> Script:
        where = url or lifetime_server.url(kind, name, host)
        text = LONG_UNLOAD + textwrap.dedent(source).replace("URL", repr(where))
        path = tmp_path / f"script{len(started)}.py"
        path.write_text(text)
        script = Script([*python_options, *(arguments or [str(path)])], tmp_path, **options)
        started.append(script)
        return script

    yield start
    for script in started:
        script.close()


@pytest.fixture
def run_script(start_script: Callable[..., Script]) -> Callable[..., Result]:
    """Run `source` as a script to its end."""

    def run(source: str, *python_options: str, **options: Any) -> Result:
        return start_script(source, *python_options, **options).end()

    return run
