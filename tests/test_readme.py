"""README's code blocks run as they stand, against a real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import markdown

README = Path(__file__).parent.parent / "README.md"
ALL_BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
BLOCKS = [block for block in ALL_BLOCKS if "def test_" not in block]
TEST_BLOCKS = [block for block in ALL_BLOCKS if "def test_" in block]
HOST = "127.0.0.1:8765"


def expected_output(block: str, url: str) -> str:
    """What each block prints, told by a word that only it has."""
    if "chat.v2" in block:
        return f"hello {url[:-1]}\nb'\\x00\\x01' {url[:-1]}\n1000 done True\n"
    if "webapi.testing" in block:
        return "hello\n"
    if "asyncio.run" in block:
        return "1000 True\n"
    if "window.devtools" in block:
        frames = [(1, "hello"), (8, "")]
        shown = [{"opcode": code, "mask": True, "payloadData": data} for code, data in frames]
        return "".join(f"{frame}\n" for frame in shown) + "True\n"
    if "evil.example" in block:  # in the order that the server decides on
        return 'refused 1006\n{"from": "Ada", "said": "hello"}\nclosed 1000\n'
    if "requests.Session" in block:
        return "sid=7\n"
    if "window.location" in block:
        return f"{url} http{url[2:-1]} /room/7\n"
    return "closed 1005\n"


def test_readme_has_its_blocks() -> None:
    assert len(BLOCKS) == 8


@pytest.fixture
def login_server(aiohttp_server: Any) -> str:
    """A server with a login over HTTP, whose socket says which cookies came."""
    from aiohttp import web

    async def login(_: web.Request) -> web.Response:
        response = web.Response()
        response.set_cookie("sid", "7", httponly=True)
        return response

    async def chat(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.headers.get("Cookie", ""))
        async for _ in socket:
            pass
        return socket

    return str(aiohttp_server(None, routes={"/login": login, "/chat": chat}))


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs(
    number: int,
    websockets_server: Any,
    login_server: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    from servers import websockets_echo

    options = {"subprotocols": ["chat.v1"]} if "chat.v1" in BLOCKS[number] else {}
    url = websockets_server(websockets_echo, **options)
    if "requests.Session" in BLOCKS[number]:
        url = login_server
    if "evil.example" in BLOCKS[number]:
        url = request.getfixturevalue("daphne_url")
    script = tmp_path / "example.py"
    script.write_text(BLOCKS[number].replace(HOST, url[5:-1]))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True, text=True, timeout=30, cwd=tmp_path,
    )  # fmt: skip
    expected = expected_output(BLOCKS[number], url)
    if "evil.example" in BLOCKS[number]:
        assert "the server answered '403 Access denied', not 101" in ended.stderr
        assert sorted(ended.stdout.splitlines()) == sorted(expected.splitlines())
        return
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout == expected


def test_readme_has_its_tests() -> None:
    assert len(TEST_BLOCKS) == 2


@pytest.mark.parametrize("number", range(len(TEST_BLOCKS)))
def test_a_block_of_tests_passes(number: int, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(TEST_BLOCKS[number])
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-W", "error"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"[13] passed", ended.stdout)


def test_readme_says_what_the_last_run_of_the_browsers_did() -> None:
    """How many scenarios are the same, and how many differ in what is explained."""
    results = json.loads((README.parent / "conformance/results/browsers.json").read_text())
    written = sum(area["scenarios"] for area in results["written"]["areas"].values())
    chromium, firefox = (results["random"]["judges"][name] for name in ("chromium", "firefox"))
    assert chromium["different"] == firefox["different"] == 0
    row = (
        "| `python -m conformance browsers` | {:,} written scenarios in Chromium, Firefox and "
        "undici, and random ones: of {:,} in Chromium {:,} are the same there and here and {:,} "
        "differ in what is explained, of {:,} in Firefox {:,} and {:,}; our interfaces against the "
        "standards' IDL: [REPORT.md](conformance/REPORT.md) |"
    )
    said = [written]
    for counts in (chromium, firefox):
        said += [sum(counts.values()), counts["same"], counts["explained"]]
    assert row.format(*said) in README.read_text().splitlines()


def test_the_speed_that_readme_shows_is_the_last_run_of_the_benchmarks() -> None:
    results = README.parent / "benchmarks" / "results"
    shown = README.read_text().partition("<!-- benchmarks -->\n")[2]
    assert shown.startswith((results / "results.md").read_text())
    record = json.loads((results / "results.json").read_text())
    assert markdown(record) == (results / "results.md").read_text()
    assert "benchmarks/results/results.svg" in README.read_text()
    assert (results / "results.svg").stat().st_size > 10_000


def test_the_failure_that_readme_shows(tmp_path: Path) -> None:
    block = TEST_BLOCKS[0].replace('json({"joined": "lobby"', 'json({"joined": "hall"')
    block = block.replace('json={"joined": "lobby"})', 'json={"joined": "lobby"}, timeout=3)')
    (tmp_path / "test_example.py").write_text(block)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "those that came were others:" in ended.stdout
    assert '$.joined is "hall", not "lobby"' in ended.stdout
