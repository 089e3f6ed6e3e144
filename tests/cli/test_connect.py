"""`python -m webapi connect`, as a command, against PyPI `websockets` and our scriptable server."""

from __future__ import annotations

import contextlib
import os
import pty
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from machine import let_it_settle
from servers import websockets_echo

from webapi.testing import Peer, Server

DEADLINE = 30.0


def connect(
    *arguments: str, stdin: bytes = b"", timeout: float = DEADLINE, **env: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "webapi", "connect", *arguments],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
    )


def until(condition: Callable[[], object]) -> None:
    """Wait for what the server's thread does when the command has ended already, or give up."""
    deadline = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_pipe_sends_its_lines_and_gets_the_replies(echo_url: str) -> None:
    ended = connect(echo_url, stdin="a\nGrüße\r\n\nlast".encode())
    assert ended.stdout.decode() == "a\nGrüße\n\nlast\n"
    assert ended.returncode == 0
    assert "open" in ended.stderr.decode()
    assert "close 1000" in ended.stderr.decode()


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_a_pipe_gets_utf_8_whatever_the_locale(echo_url: str, env: dict[str, str]) -> None:
    ended = connect(echo_url, stdin="é€😀\n".encode(), **env)
    assert ended.stdout.decode() == "é€😀\n"
    assert ended.returncode == 0


def test_wait_0_closes_at_once(websockets_server: Any) -> None:
    received: list[Any] = []

    async def script(connection: Any) -> None:
        received.extend([message async for message in connection])

    ended = connect(websockets_server(script), "--wait", "0", stdin=b"x\n" * 1000)
    assert ended.returncode == 0
    until(lambda: received)
    assert received == ["x"] * 1000


def test_binary_and_hex(echo_url: str) -> None:
    ended = connect(echo_url, "--binary", stdin=b"\xffab\n")
    assert ended.returncode == 0
    assert b"ff 61 62" in ended.stdout
    ended = connect(echo_url, "--hex", stdin=b"de ad\nbeef\n")
    assert ended.returncode == 0
    assert b"de ad" in ended.stdout
    assert b"be ef" in ended.stdout
    ended = connect(echo_url, "--hex", stdin=b"no hex\n")
    assert ended.returncode == 2
    assert b"is not hexadecimal" in ended.stderr


def test_protocol_header_and_close_arguments(websockets_server: Any) -> None:
    seen: list[Any] = []

    async def script(connection: Any) -> None:
        seen.append((connection.subprotocol, connection.request.headers["X-Token"]))
        await connection.wait_closed()
        seen.append((connection.close_code, connection.close_reason))

    url = websockets_server(script, subprotocols=["b"])
    ended = connect(
        url, "--protocol", "a", "--protocol", "b", "--header", "X-Token: 7",
        "--close-code", "4001", "--close-reason", "bye", "--wait", "0",
    )  # fmt: skip
    assert ended.returncode == 0
    until(lambda: len(seen) == 2)
    assert seen == [("b", "7"), (4001, "bye")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "is no valid URL"),
        (["ftp://h/"], "the scheme of"),
        (["ws://h/", "--protocol", "a b"], "is no token"),
        (["ws://h/", "--header", "no colon"], "'Name: value' is expected"),
        (["ws://h/", "--header", "Host: x"], "the handshake's own"),
        (["ws://h/", "--close-code", "999"], "--close-code is 999"),
        (["ws://h/", "--close-reason", "é" * 62], "124 bytes"),
        (["ws://h/", "--cafile", "/no/such/file"], "--cafile /no/such/file"),
        (["ws://h/", "--idle", "-1"], "--idle: '-1' is given, where seconds are"),
        (["ws://h/", "--idle", "nan"], "--idle: 'nan' is given, where seconds are"),
        (["ws://h/", "--wait", "inf"], "--wait: 'inf' is given, where seconds are"),
        (["ws://h/", "--wait", "soon"], "--wait: 'soon' is given, where seconds are"),
        ([], "URL"),
    ],
)
def test_wrong_usage_is_one_clear_line(arguments: list[str], says: str) -> None:
    ended = connect(*arguments)
    assert ended.returncode == 2
    assert says in ended.stderr.decode()
    assert ended.stderr.count(b"\n") == 1
    assert not ended.stdout


def test_a_failure_says_why_and_exits_with_1(closed_port: int) -> None:
    ended = connect(f"ws://127.0.0.1:{closed_port}/")
    assert ended.returncode == 1
    assert b"Connection refused" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_an_end_without_a_handshake_exits_with_1() -> None:
    async def script(peer: Peer) -> None:
        await peer.receive()

    with Server(script) as server:
        ended = connect(server.url, stdin=b"x\n")
    assert ended.returncode == 1
    assert b"without a closing handshake" in ended.stderr


def test_a_server_that_closes_ends_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.send("hello")
        await peer.close(4000, "that is all")

    with Server(script) as server, open_stdin() as stdin:
        ended = subprocess.run(
            [sys.executable, "-m", "webapi", "connect", server.url],
            stdin=stdin, capture_output=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
    assert ended.returncode == 0
    assert ended.stdout == b"hello\n"
    assert b"4000 that is all" in ended.stderr


@contextlib.contextmanager
def open_stdin() -> Iterator[int]:
    """A standard input that never ends."""
    ours, theirs = os.pipe()
    try:
        yield ours
    finally:
        os.close(ours)
        os.close(theirs)


def test_tls_with_cafile_and_insecure(
    websockets_server: Any, server_context: Any, authority: Any, tmp_path: Any
) -> None:
    url = websockets_server(websockets_echo, ssl=server_context)
    cafile = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(cafile))
    assert connect(url, "--cafile", str(cafile), stdin=b"x\n").stdout == b"x\n"
    assert connect(url, "--insecure", stdin=b"x\n").stdout == b"x\n"
    ended = connect(url, stdin=b"x\n")
    assert ended.returncode == 1
    assert b"not trusted" in ended.stderr


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *command: str, **env: str) -> None:
        self.ours, theirs = pty.openpty()
        # Where the tests run in a shell's background, SIGINT is ignored, and that is inherited.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "webapi", "connect", *command],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **env},
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)
        os.close(theirs)
        self.output = b""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while text.encode() not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.output.decode(errors='replace')}"
            if select.select([self.ours], [], [], left)[0] and not self._read():
                break
        assert text.encode() in self.output, self.output.decode(errors="replace")

    def _read(self) -> bytes:
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # the other side is closed
            data = b""
        if b"\x1b[6n" in data:  # prompt_toolkit asks where the cursor is
            os.write(self.ours, b"\x1b[1;1R")
        self.output += data
        return data

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def end(self) -> int:
        """Return the exit status."""
        deadline = time.monotonic() + DEADLINE
        while True:
            left = deadline - time.monotonic()
            assert left > 0, self.output.decode(errors="replace")
            if select.select([self.ours], [], [], left)[0] and not self._read():
                break
        return self.process.wait(DEADLINE)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_on_a_terminal_lines_are_sent_and_ctrl_d_closes(echo_url: str, term: str) -> None:
    with Terminal(echo_url, TERM=term) as terminal:
        terminal.wait_for("open" if term == "dumb" else "↑")  # the prompt's sign
        terminal.type(b"hello\r" if term != "dumb" else b"hello\n")
        terminal.wait_for("↓")
        terminal.type(b"\x04")
        assert terminal.end() == 0
    assert b"1000" in terminal.output


def test_ctrl_c_ends_at_once_with_1001(websockets_server: Any) -> None:
    codes: list[int] = []

    async def script(connection: Any) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    url = websockets_server(script)
    with Terminal(url, TERM="dumb") as terminal:
        terminal.wait_for("open")
        let_it_settle(terminal.process.pid)
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 130
    assert b"Traceback" not in terminal.output
    until(lambda: codes)
    assert codes == [1001]


INTERRUPTED_BEFORE_THE_FIRST_LINE = """
import signal, sys
from webapi.cli import connect, main
signal.signal(signal.SIGINT, signal.default_int_handler)
connect.has_prompt = lambda: signal.raise_signal(signal.SIGINT)
sys.exit(main(["connect", sys.argv[1]]))
"""


def test_ctrl_c_before_the_first_line_is_read_leaves_no_traceback(echo_url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", INTERRUPTED_BEFORE_THE_FIRST_LINE, echo_url],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert ended.returncode == 130
    assert b"Traceback" not in ended.stderr
    assert b"never retrieved" not in ended.stderr


def test_control_characters_of_the_server_are_never_interpreted() -> None:
    async def script(peer: Peer) -> None:
        await peer.send("\x1b[31mred\x07 [bold]markup[/bold]\n\x9b1m")
        await peer.close()

    with Server(script) as server:
        with Terminal(server.url, TERM="dumb") as terminal:
            assert terminal.end() == 0
    assert b"\x1b[31mred" not in terminal.output
    assert b"\x07" not in terminal.output
    assert "\x9b".encode() not in terminal.output
    assert b"[bold]markup[/bold]" in terminal.output


def test_no_key_is_lost_between_two_lines_at_the_prompt(websockets_server: Any) -> None:
    received: list[Any] = []

    async def script(connection: Any) -> None:
        received.extend([message async for message in connection])
        received.append(connection.close_code)

    with Terminal(websockets_server(script)) as terminal:
        terminal.wait_for("↑")
        for number in range(50):
            terminal.type(f"line {number}\r".encode())
        terminal.type(b"\x04")
        assert terminal.end() == 0
    until(lambda: 1000 in received)
    assert received == [*(f"line {number}" for number in range(50)), 1000]


def test_ctrl_c_at_the_prompt_ends_at_once_with_1001(websockets_server: Any) -> None:
    codes: queue.Queue[int] = queue.Queue()

    async def script(connection: Any) -> None:
        await connection.wait_closed()
        codes.put(connection.close_code)

    with Terminal(websockets_server(script)) as terminal:
        terminal.wait_for("↑")
        terminal.type(b"half a line\x03")
        assert terminal.end() == 130
    assert codes.get(timeout=DEADLINE) == 1001
    assert b"Traceback" not in terminal.output
    assert b"never retrieved" not in terminal.output


def test_a_server_that_closes_takes_the_prompt_away() -> None:
    async def script(peer: Peer) -> None:
        await peer.receive()
        for number in range(20):
            await peer.send(f"word {number}.")
        await peer.close(1000, "done")

    with Server(script) as server, Terminal(server.url) as terminal:
        terminal.wait_for("↑")
        terminal.type(b"go\rhalf a line")
        assert terminal.end() == 0
    text = terminal.output.decode()
    places = [text.rindex(f"word {number}.") for number in range(20)]
    assert places == sorted(places)
    assert text.rindex("1000 done") > places[-1]


def test_trace_shows_the_handshake_and_each_frame() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.accept("Set-Cookie: a=1")
        await peer.ping(b"are you there?")
        async for message in peer:
            await peer.send(message)
            await peer.send(b"\x00\xff" * 200)

    with Server(script, handshake=False) as server:
        ended = connect(server.url, "--trace", "--close-reason", "bye", stdin=b"hello\x1b[1m\n")
        plain = connect(server.url, stdin=b"hello\n")
    assert ended.returncode == 0
    shown = ended.stderr.decode()
    lines = [line.split(maxsplit=1)[1].rstrip() for line in shown.splitlines() if " " in line]
    for line in (
        "> request", "< response 101 Switching Protocols", "< ping     14 bytes",
        "> pong     14 bytes", "> text     9 bytes  hello\\x1b[1m",
        "< text     9 bytes  hello\\x1b[1m",
        "< binary   400 bytes", "> close    1000 bye", "< close    1000 bye",
        "- end      of the connection",
    ):  # fmt: skip
        assert line in lines, shown
    assert "Origin: http://127.0.0.1" in shown
    assert "Set-Cookie: a=1" in shown
    assert "00000000  00 ff" in shown
    assert "… 144 more" in shown
    assert b"request" not in plain.stderr
