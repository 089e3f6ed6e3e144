"""HAR files, from Chromium's DevTools to us and from us to them; both ends are real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from webapi.testing import Cassette, Page, WebSocketServer
from webapi.testing.waiting import Problems

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "testing" / "devtools_session"

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    reason="needs Chromium: apt-get install chromium",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "devtools_session"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


def run(folder: Path, *args: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", *args], capture_output=True, text=True, timeout=100, cwd=folder
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_what_devtools_export_now_replays_here(folder: Path) -> None:
    (folder / "session.har").unlink()
    run(folder, "recorder", "session.har")
    har = json.loads((folder / "session.har").read_text())
    assert har["log"]["creator"]["name"] == "WebInspector"
    assert "1 passed" in run(folder, "pytest", "-q")


def test_what_is_recorded_here_opens_in_devtools(
    folder: Path, page: Page, ws_server: WebSocketServer
) -> None:
    @ws_server.route("/echo", subprotocols=["v1"])
    def script(peer: Any) -> None:
        for message in peer:
            peer.send(message)

    cassette = Cassette(folder / "ours.har")
    cassette.attach(page)
    tap = page.tap(page.WebSocket(ws_server.url + "/echo?a=1", "v1"))
    tap.wait_for("open")
    for data in ("text, ünïcode", b"\x00\xff"):
        tap.ws.send(data)
        tap.wait_for_message(data=data)
    tap.ws.close(1000)
    tap.wait_for("close")
    cassette.finish(Problems())
    [request] = json.loads(run(folder, "recorder", "--open", "ours.har"))
    assert request == {
        "url": ws_server.url + "/echo?a=1",
        "status": 101,
        "type": "websocket",
        "frames": [
            ["send", 1, "text, ünïcode"],
            ["receive", 1, "text, ünïcode"],
            ["send", 2, "AP8="],
            ["receive", 2, "AP8="],
        ],
    }
