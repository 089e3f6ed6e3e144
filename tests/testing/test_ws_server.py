"""`ws_server`: a real scripted server; other clients than ours see the same."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import websocket

import webapi.testing
from webapi import WebSocket as BareWebSocket
from webapi.testing import Failed, Page, ScriptPeer, WebSocketServer, authority

Run = Callable[..., str]


DRIP = b"\x81\x02hi\x88\x02\x03\xe8"  # a message, and a Close frame


class Frontend:
    """A client that reconnects, as one that is tested."""

    def __init__(self, make: Any, url: str) -> None:
        self.make, self.url = make, url
        self.prices: list[str] = []
        self.connect()

    def connect(self) -> None:
        self.ws = self.make(self.url)
        self.ws.onopen = lambda event: self.ws.send('{"subscribe": "EURUSD"}')
        self.ws.onmessage = lambda event: self.prices.append(event.data)
        self.ws.onclose = lambda event: self.connect()


def test_frontend_reconnects(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/feed")
    def feed(peer: ScriptPeer) -> None:
        assert peer.receive_json() == {"subscribe": "EURUSD"}
        peer.send_json({"price": 1.08})
        peer.close(4001, "maintenance")

    app = Frontend(page.WebSocket, ws_server.url + "/feed")
    ws_server.wait_for_connections(2, timeout=20)
    assert app.prices[0] == '{"price": 1.08}'


@pytest.mark.asyncio
async def test_an_async_script_lives_on_the_tests_loop(
    ws_server: WebSocketServer, page: Page
) -> None:
    loops = []

    @ws_server.route("/")
    async def script(peer: ScriptPeer) -> None:
        loops.append(asyncio.get_running_loop())
        async for data in peer:
            await peer.send(data)

    tap = page.tap(page.WebSocket(ws_server.url))
    await tap.wait_for("open")
    tap.ws.send("x")
    await tap.wait_for_message(text="x")
    [peer] = await ws_server.wait_for_connections(1)
    await peer.send("from the test")
    await tap.wait_for_message(text="from the test")
    await peer.close(4000)
    assert (await tap.wait_for("close")).code == 4000
    assert loops == [asyncio.get_running_loop()]


def test_routes_queries_headers_and_subprotocols(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/rooms/{room}", subprotocols=["v2", "v1"], headers={"X-Server": "s"})
    def rooms(peer: ScriptPeer) -> None:
        peer.send_json([peer.params, peer.query, peer.path, peer.subprotocol, peer.headers["x-a"]])

    @ws_server.route("/files/{name:path}")
    def files(peer: ScriptPeer) -> None:
        peer.send_json(peer.params)

    ws = page.WebSocket(ws_server.url + "/rooms/7?a=1&a=2", ["v1", "v2"], headers={"X-A": "b"})
    tap = page.tap(ws)
    tap.wait_for_message(json=[{"room": "7"}, {"a": "2"}, "/rooms/7", "v2", "b"])
    assert tap.wait_for("close").code == 1000
    assert ws.protocol == "v2"
    tap = page.tap(page.WebSocket(ws_server.url + "/files/a/b"))
    tap.wait_for_message(json={"name": "a/b"})
    tap.wait_for("close")


def test_a_routes_parameters_are_decoded(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/rooms/{room}")
    def rooms(peer: ScriptPeer) -> None:
        peer.send_json(peer.params)

    tap = page.tap(page.WebSocket(ws_server.url + "/rooms/café 1%2f2"))
    tap.wait_for_message(json={"room": "café 1/2"})
    tap.wait_for("close")


def test_tls_is_trusted_by_the_page_and_by_nobody_else(
    ws_server: WebSocketServer, page: Page
) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.send("secret")

    assert ws_server.secure_url.startswith("wss://127.0.0.1:")
    tap = page.tap(page.WebSocket(ws_server.secure_url))
    tap.wait_for_message(text="secret")
    tap.wait_for("close")
    failed = threading.Event()
    ws = BareWebSocket(ws_server.secure_url)
    ws.onerror = lambda event: failed.set()
    assert failed.wait(20)
    assert authority() is authority()


def test_compression(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/on", compression=True)
    @ws_server.route("/off")
    def echo(peer: ScriptPeer) -> None:
        for data in peer:
            peer.send(data)

    for path, extensions in (("/on", "permessage-deflate"), ("/off", "")):
        tap = page.tap(page.WebSocket(ws_server.url + path))
        tap.wait_for("open")
        assert tap.ws.extensions == extensions
        for _ in range(2):
            tap.ws.send("long " * 1000)
            tap.wait_for_message(text="long " * 1000)
        tap.ws.close()
        tap.wait_for("close")


def test_rejections(ws_server: WebSocketServer, page: Page) -> None:
    ws_server.reject("/private", 401, {"WWW-Authenticate": "Basic"}, "log in first")

    @ws_server.route("/maybe", handshake=False)
    def maybe(peer: ScriptPeer) -> None:
        if peer.query.get("token") == "good":
            peer.accept(headers={"X-Seen": "1"})
            peer.send("welcome")
        else:
            peer.reject(403)

    for path in ("/private", "/maybe", "/nowhere"):
        tap = page.tap(page.WebSocket(ws_server.url + path))
        assert tap.wait_for("close").code == 1006
    tap = page.tap(page.WebSocket(ws_server.url + "/maybe?token=good"))
    tap.wait_for_message(text="welcome")
    tap.wait_for("close")
    assert [str(t).count("401 Unauthorized") for t in page.timelines] == [2, 0, 0, 0]
    assert "403 Forbidden" in ws_server.log
    assert "404 Not Found" in ws_server.log
    assert len(ws_server.peers) == 1
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(ws_server.url + "/private")
    assert caught.value.status_code == 401
    assert caught.value.resp_headers["www-authenticate"] == "Basic"
    assert caught.value.resp_body == b"log in first"


def test_broadcast_and_many_connections(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.wait_closed()

    taps = [page.tap(page.WebSocket(ws_server.url)) for _ in range(20)]
    ws_server.wait_for_connections(20)
    ws_server.broadcast("to all")
    for tap in taps:
        tap.wait_for_message(text="to all")
        tap.ws.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_broadcast_does_not_wait_for_one_that_does_not_read(
    ws_server: WebSocketServer, page: Page, new_page: Any, is_async: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr("webapi.testing.ws_server.DEFAULT_TIMEOUT", 0.5)

    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.wait_closed(timeout=100)

    slow = page.tap(page.WebSocket(ws_server.url))
    slow.wait_for("open")
    page.emulate(offline=True)
    quick = new_page()
    tap = quick.tap(quick.WebSocket(ws_server.url))
    tap.wait_for("open")
    data = b"x" * 30_000_000

    async def broadcast() -> None:
        await ws_server.broadcast(data)

    asyncio.run(broadcast()) if is_async else ws_server.broadcast(data)
    tap.wait_for_message(data=data, timeout=60)
    page.emulate()
    slow.wait_for_message(data=data, timeout=60)
    slow.ws.close()
    tap.ws.close()


@pytest.mark.parametrize(
    ("misbehave", "code", "types"),
    [
        (lambda peer: peer.send_raw(b"\xc1\x00"), 1006, ["error", "close"]),
        (lambda peer: peer.send_frame(3, b"x"), 1006, ["error", "close"]),
        (lambda peer: peer.send_frame(1, b"x", masked=True), 1006, ["error", "close"]),
        (lambda peer: peer.reset(), 1006, ["error", "close"]),
        (lambda peer: peer.end(), 1006, ["close"]),
        (lambda peer: peer.end_sending(), 1006, ["close"]),
        (lambda peer: peer.close(None), 1005, ["close"]),
        (lambda peer: peer.drip(DRIP, interval=0), 1000, ["message", "close"]),
    ],
    ids=["raw", "opcode", "masked", "reset", "fin", "half-close", "empty close", "drip"],
)
def test_misbehaviour(
    ws_server: WebSocketServer, page: Page, misbehave: Any, code: int, types: list[str]
) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        misbehave(peer)
        peer.wait_closed()

    tap = page.tap(page.WebSocket(ws_server.url))
    assert tap.wait_for("close").code == code
    assert [event.type for event in tap.events] == ["open", *types]


def test_one_direction_of_tls_alone_cannot_be_ended(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        with pytest.raises(RuntimeError, match="works on ws only: asyncio's TLS cannot"):
            peer.end_sending()
        peer.send("said so")

    tap = page.tap(page.WebSocket(ws_server.secure_url))
    tap.wait_for_message(text="said so")
    tap.wait_for("close")


def test_a_stalled_server_answers_nothing(ws_server: WebSocketServer, page: Page) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.stall()
        peer.send("stalled")

    tap = page.tap(page.WebSocket(ws_server.url))
    tap.wait_for_message(text="stalled")
    tap.ws.close()
    with pytest.raises(Failed, match="'close' did not come within"):
        tap.wait_for("close", timeout=0.1)
    assert "now  CLOSING" in str(tap._story())


def test_waiting_for_connections_that_do_not_come(ws_server: WebSocketServer, page: Page) -> None:
    url = ws_server.url
    with pytest.raises(Failed, match=f"0 of 1 connections came.*\nnobody connected to {url}"):
        ws_server.wait_for_connections(1, timeout=0.01)


def test_outside_pytest() -> None:
    def use() -> None:
        with WebSocketServer() as server, Page() as page:

            @server.route("/")
            def script(peer: ScriptPeer) -> None:
                peer.expect(json={"a": 1})

            tap = page.tap(page.WebSocket(server.url))
            tap.wait_for("open")
            tap.ws.send('{"a": 2}')
            assert tap.wait_for("close").code == 1011

    with pytest.raises(Failed, match=r"expected a message sent with json=.* but .*\$\.a is 2"):
        use()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_outside_pytest_a_failure_tells_of_what_was_beside_it() -> None:
    def use() -> None:
        with WebSocketServer() as server, Page() as page:

            @server.route("/")
            def script(peer: ScriptPeer) -> None:
                raise LookupError("the reason")

            page.tap(page.WebSocket(server.url)).wait_for_message()

    with pytest.raises(Failed, match="a message received did not come") as failed:
        use()
    [note] = failed.value.__notes__
    assert note.startswith("beside the test's own code:\nTraceback")
    assert "LookupError: the reason" in note
    assert "scripts.py" not in note


# -- the failure side, as a user sees it


def test_what_a_script_raises_fails_the_test_with_its_own_stack(run: Run) -> None:
    text = run(
        """
        import pytest

        def test_wrong_message(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                assert peer.receive_json() == {"join": "lobby"}
            ws = page.WebSocket(ws_server.url)
            ws.onopen = lambda event: ws.send('{"join": "hall"}')
            page.tap(ws).wait_for("close")

        def test_at_the_very_end(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                assert peer.receive() == "right"
            ws = page.WebSocket(ws_server.url)
            tap = page.tap(ws)
            tap.wait_for("open")
            ws.send("last words")
            ws.close()

        @pytest.mark.asyncio
        async def test_async(page, ws_server):
            @ws_server.route("/")
            async def script(peer):
                raise LookupError("in an async script")
            await page.tap(page.WebSocket(ws_server.url)).wait_for("close")

        def test_unconsumed(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.send("x")
                peer.expect(text="never sent")
            tap = page.tap(page.WebSocket(ws_server.url))
            tap.wait_for_message()
            tap.ws.close()
            tap.wait_for("close")

        def test_with_the_tests_own_failure(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                raise LookupError("the reason")
            tap = page.tap(page.WebSocket(ws_server.url))
            tap.wait_for_message(timeout=2)

        def test_the_next_is_well(page, ws_server):
            pass
        """,
        failed=5,
        passed=1,
    )
    assert """>       assert peer.receive_json() == {"join": "lobby"}""" in text
    assert "Differing items" in text
    assert """>       assert peer.receive() == "right\"""" in text
    assert '>       raise LookupError("in an async script")' in text
    assert """>       peer.expect(text="never sent")""" in text
    assert 'expected a message sent with text="never sent", but the client closed it' in text
    assert "concurrent" not in text
    assert "meanwhile: LookupError: the reason" in text
    assert "LookupError: the reason" in text.partition("beside the test's own code")[2]


def test_a_script_that_does_not_end_is_shown(run: Run) -> None:
    text = run(
        """
        import threading
        stop = threading.Event()

        def test_it(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                stop.wait(20)
            page.tap(page.WebSocket(ws_server.url)).wait_for("open")
            page.may_leave_open = True

        def test_end():
            stop.set()
        """,
        failed=1,
        passed=1,
    )
    assert "the script script still runs 2 s after its connection's end; it is here:" in text
    assert "stop.wait(20)" in text


def test_a_page_that_a_fixture_holds_is_checked_at_its_end(run: Run) -> None:
    text = run(
        """
        import pytest

        @pytest.fixture
        def app(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                assert peer.receive() == "bye"
            ws = page.WebSocket(ws_server.url)
            tap = page.tap(ws)
            tap.wait_for("open")
            yield ws
            ws.send("wrong")  # it works until here
            tap.wait_for("close")

        def test_it(app):
            assert app.readyState == app.OPEN
        """,
        passed=1,
        errors=1,
    )
    assert "assert 'wrong' == 'bye'" in text


def test_a_fault_that_only_the_kit_has_frames_of_is_its_message_alone(run: Run) -> None:
    text = run(
        """
        import json

        HAR = {"log": {"entries": [{
            "request": {"url": "ws://app.example/"},
            "response": {"status": 101},
            "_webSocketMessages": [{"type": "send", "opcode": 1, "data": "never", "time": 0}],
        }]}}

        def test_it(page, tmp_path):
            from webapi.testing import Cassette
            (tmp_path / "x.har").write_text(json.dumps(HAR))
            cassette = Cassette(tmp_path / "x.har", record="none")
            cassette.attach(page)
            tap = page.tap(page.WebSocket("ws://app.example/"))
            tap.wait_for("open")
            tap.ws.close()
            tap.wait_for("close")
        """,
        failed=1,
    )
    assert "the page did not send all that was recorded" in text
    assert "1: never" in text
    assert "cassette.py" not in text
    assert "scripts.py" not in text


def test_xdist_and_an_unused_plugin(run: Run) -> None:
    run(
        """
        import sys
        import pytest

        @pytest.mark.parametrize("n", range(6))
        def test_it(page, ws_server, n):
            @ws_server.route("/")
            def script(peer):
                peer.send(str(n))
            tap = page.tap(page.WebSocket(ws_server.url))
            assert tap.wait_for_message().data == str(n)
            tap.wait_for("close")
        """,
        "-n",
        "2",
        passed=6,
    )


def test_the_installed_plugin_is_this_one() -> None:
    import pytest_webapi

    source = Path(webapi.testing.__file__).parent / "pytest_webapi.py"
    assert Path(pytest_webapi.__file__).read_text() == source.read_text(), (
        "the plugin's installed copy is old: pip install -e ."
    )


def test_a_run_that_does_not_use_it_does_not_import_webapi(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "pytest_webapi" in sys.modules
            assert "webapi" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1)


def test_a_run_ends_although_a_socket_and_a_script_live(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from webapi.testing import Page, WebSocketServer

        def test_it():
            server, page = WebSocketServer(), Page()
            @server.route("/")
            def script(peer):
                peer.wait_closed(timeout=3600)
            page.tap(page.WebSocket(server.url)).wait_for("open")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1)


def test_several_faults_are_shown_together(run: Run) -> None:
    text = run(
        """
        def test_it(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                assert peer.receive() == "right"
            ws = page.WebSocket(ws_server.url)
            def onopen(event):
                ws.send("wrong")
                raise LookupError("in a listener")
            ws.onopen = onopen
            page.tap(ws).wait_for("close")
        """,
        failed=1,
    )
    assert "2 faults beside the test's own code" in text
    assert "LookupError: in a listener" in text
    assert "assert 'wrong' == 'right'" in text
