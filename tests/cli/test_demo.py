"""`python -m webapi demo`, as a command; its server is our own scriptable one."""

from __future__ import annotations

import inspect
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from webapi.cli import demo, main

DEADLINE = 60.0
"""Seconds; the demo itself gives up after 20."""

WITHOUT_EXTRAS = """
import sys
for name in ("rich", "prompt_toolkit"):
    sys.modules[name] = None  # importing it raises ImportError
from webapi.cli import main
sys.exit(main(["demo"]))
"""


def run_demo(
    *command: str, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-W", "error", *(command or ("-m", "webapi", "demo"))],
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        cwd=cwd,
        env={**environment, "PYTHONIOENCODING": "utf-8", **env},
        check=False,
    )


def on_a_terminal(**env: str) -> str:
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "webapi", "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **env},
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            data = b""
        if not data:
            break
        output += data
    os.close(ours)
    assert process.wait(DEADLINE) == 0, output.decode()
    return output.decode()


def without_port(text: str) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)


def test_demo_shows_the_main_job_and_exits_with_0(tmp_path: Path) -> None:
    result = run_demo(cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [
        re.sub(r" {2,}", "  ", line.strip()) for line in without_port(result.stdout).split("\n")
    ]
    timeline = [line for line in lines if line[:1] in ("●", "→", "✖", "✔")]
    # How the log goes on is the receiver's to word.
    timeline = [re.sub("(a reserved bit is set).*", r"\1…", line) for line in timeline]
    assert timeline == [
        "● CONNECTING  ws://127.0.0.1:PORT/",
        "● OPEN  open  protocol='demo.v1'",
        "● OPEN  bufferedAmount=15",
        "→ server  got text  Grüße, 世界",
        "● OPEN  message  Grüße, 世界",
        "● OPEN  bufferedAmount=4",
        "→ server  got binary de ad be ef",
        "● OPEN  message  ArrayBuffer de ad be ef",
        "● OPEN  bufferedAmount=7",
        "→ server  got text  ping me",
        "→ server  got pong  b'are you there?'",
        "● CLOSING  bufferedAmount=0",
        "→ server  got close  code=1000 reason='that was all'",
        "● CLOSED  close  code=1000 reason='that was all' wasClean=True",
        "● CONNECTING  ws://127.0.0.1:PORT/faulty",
        "● OPEN  open  protocol=''",
        "✖ console  WebSocket connection to 'ws://127.0.0.1:PORT/faulty' failed: "
        "a reserved bit is set…",
        "● CLOSED  error  no reason here: see the console",
        "● CLOSED  close  code=1006 reason='' wasClean=False",
        "→ server  got close  code=1002 reason=''",
        "✔ All 6 steps went as they say.",
    ]


def test_demo_shows_the_source_of_what_ran() -> None:
    shown = [line.strip()[2:] for line in run_demo().stdout.split("\n") if "│ " in line]
    for step in demo.STEPS:
        assert step.code in step.shows
        for function in step.shows:
            for line in filter(None, inspect.getsource(function).split("\n")):
                assert line in shown


def test_demo_is_the_same_each_time_but_for_the_port() -> None:
    assert without_port(run_demo().stdout) == without_port(run_demo().stdout)


def test_demo_is_the_same_without_the_extras() -> None:
    result = run_demo("-c", WITHOUT_EXTRAS)
    assert (result.returncode, result.stderr) == (0, "")
    assert without_port(result.stdout) == without_port(run_demo().stdout)


def test_demo_is_coloured_on_a_terminal_and_says_the_same() -> None:
    coloured = on_a_terminal()
    assert "\x1b[" in coloured
    text = re.sub(r"\x1b\[[0-9;]*m", "", coloured).replace("\r\n", "\n")
    # A terminal's long line is broken with an indent.
    words = without_port(text).split()
    assert words == without_port(run_demo().stdout).split()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_demo_is_plain_on_a_terminal_that_does_not_want_colour(env: dict[str, str]) -> None:
    assert "\x1b" not in on_a_terminal(**env)


def test_demo_is_coloured_in_a_pipe_when_forced() -> None:
    assert "\x1b[" in run_demo(FORCE_COLOR="1").stdout


def test_demo_shows_ascii_signs_where_the_encoding_has_no_others() -> None:
    result = run_demo(PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert result.stdout.isascii()
    assert "* OPEN" in result.stdout


SPOILED = """
import sys
from webapi.cli import demo, main
from webapi.testing.server import Peer

demo.DEADLINE = 5

async def {what}(self, *arguments, **options):
    {does}

Peer.{what} = {what}
sys.exit(main(["demo"]))
"""


@pytest.mark.parametrize(
    ("what", "does", "says"),
    [
        pytest.param(
            "send",
            "await self.send_frame(1, b'hi')",
            'in step "Text" there was to be <OPEN message Grüße, 世界>, '
            "but there was <OPEN message hi>",
            id="another answer",
        ),
        pytest.param(
            "ping",
            "self.reset()",
            "in step \"A ping from the server\" there was to be <server got pong b'are you there?'>",  # noqa: E501
            id="a reset",
        ),
        pytest.param(
            "answer_close",
            "await self.wait_end()",
            'in step "A clean close" there was to be <CLOSED close code=1000 '
            "reason='that was all' wasClean=True>, but there was nothing more",
            id="no answer",
        ),
        pytest.param(
            "receive_any",
            "raise ZeroDivisionError('oh')",
            'in step "',  # the first or the second: the server may end before either
            id="an exception in the server",
        ),
    ],
)
def test_demo_fails_with_a_clear_line_when_something_goes_another_way(
    what: str, does: str, says: str
) -> None:
    result = run_demo("-c", SPOILED.format(what=what, does=does))
    assert result.returncode == 1
    assert result.stderr.startswith(f"✖ The demo failed: {says}")
    assert result.stderr.count("\n") == 1
    assert "✔" not in result.stdout


def test_demo_tells_of_an_exception_of_its_server_and_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STEPS", ())

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(demo, "run", broken)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "✖ The demo failed: ZeroDivisionError('oh')\n"
