"""examples/protocols/signalr.py against a scripted server: there is no ASP.NET Core here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

EXAMPLE = Path(__file__).parents[2] / "examples" / "protocols" / "signalr.py"
END = "\x1e"
TOKEN = "a/token+with=signs"


class Hub:
    """A hub's records, as the protocol's text has them."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.handshake_answer: dict[str, Any] = {}
        self.transports = ["WebSockets"]

    async def negotiate(self, request: web.Request) -> web.Response:
        assert request.query["negotiateVersion"] == "1"
        return web.json_response(
            {
                "negotiateVersion": 1,
                "connectionId": "public",
                "connectionToken": TOKEN,
                "availableTransports": [
                    {"transport": name, "transferFormats": ["Text"]} for name in self.transports
                ],
            }
        )

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        assert request.query["id"] == TOKEN
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            for record in message.data.split(END)[:-1]:
                await self.on_record(socket, json.loads(record))
        return socket

    async def on_record(self, socket: web.WebSocketResponse, record: Any) -> None:
        self.received.append(record)
        if "protocol" in record:
            # The handshake's answer and what follows may share a message, or be cut anywhere.
            news = {"type": 1, "target": "News", "arguments": ["hello"]}
            text = "".join(
                json.dumps(part) + END for part in (self.handshake_answer, {"type": 6}, news)
            )
            await socket.send_str(text[:-5])
            await socket.send_str(text[-5:])
        elif record.get("target") == "Add":
            await self.complete(socket, record, result=sum(record["arguments"]))
        elif record.get("target") == "Fail":
            await self.complete(socket, record, error="it failed")
        elif record.get("target") == "Counter":
            for number in range(record["arguments"][0]):
                item = {"type": 2, "invocationId": record["invocationId"], "item": number}
                await socket.send_str(json.dumps(item) + END)
            await self.complete(socket, record)

    async def complete(self, socket: web.WebSocketResponse, record: Any, **fields: Any) -> None:
        completion = {"type": 3, "invocationId": record["invocationId"], **fields}
        await socket.send_str(json.dumps(completion) + END)


@pytest.fixture
def hub(servers_loop: Any) -> Iterator[tuple[Hub, str]]:
    hub = Hub()

    async def begin() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/hub/negotiate", hub.negotiate)
        app.router.add_get("/hub", hub.connect)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = servers_loop.run(begin())
    yield hub, f"http://127.0.0.1:{runner.addresses[0][1]}/hub"
    servers_loop.run(runner.cleanup())


def run_example(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), url], capture_output=True, text=True, timeout=30
    )


def test_the_client_does_handshake_invocation_stream_and_close(hub: tuple[Hub, str]) -> None:
    script, url = hub
    done = run_example(url)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert sorted(lines[:2]) == ["news: hello", "started"]
    assert lines[2:] == [
        "add: 5",
        "error: it failed",
        *(f"counter: {number}" for number in range(3)),
        "counter complete",
        "stopped 1000 True",
    ]
    assert script.received[0] == {"protocol": "json", "version": 1}
    assert {"type": 6} in script.received
    assert script.received[-1] == {"type": 7}


def test_a_refused_handshake_is_an_error(hub: tuple[Hub, str]) -> None:
    script, url = hub
    script.handshake_answer = {"error": "no such protocol"}
    done = run_example(url)
    assert done.returncode == 1
    assert "HubError: no such protocol" in done.stderr


def test_a_server_without_websockets_is_an_error(hub: tuple[Hub, str]) -> None:
    script, url = hub
    script.transports = ["LongPolling"]
    done = run_example(url)
    assert "the server offers LongPolling, not WebSockets" in done.stderr
