"""`page.tap(ws)`: what a user writes, what it waits for, and what it says when it fails."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from webapi.testing import Failed, Page, ScriptPeer, WebSocketServer, message, sent
from webapi.websockets import early_events

Run = Callable[..., str]


@pytest.fixture
def echo(ws_server: WebSocketServer) -> str:
    @ws_server.route("/echo")
    def script(peer: ScriptPeer) -> None:
        for data in peer:
            peer.send(data)

    return ws_server.url + "/echo"


def opened(page: Page, url: str) -> Any:
    tap = page.tap(page.WebSocket(url))
    tap.wait_for("open")
    return tap


def until_shown(tap: Any, line: str) -> None:
    """Wait for a line of the timeline, and take nothing off the waits that come then."""
    deadline = time.monotonic() + 20
    while line not in str(tap.timeline):
        assert time.monotonic() < deadline, str(tap.timeline)
        time.sleep(0.001)


# -- the issue's own words


def test_joining(page: Page, ws_server: WebSocketServer) -> None:
    @ws_server.route("/chat")
    def chat(peer: ScriptPeer) -> None:
        assert peer.receive_json() == {"join": "lobby"}
        peer.send_json({"joined": "lobby", "members": 1})
        peer.wait_closed()

    ws = page.WebSocket(ws_server.url + "/chat")
    tap = page.tap(ws)
    tap.wait_for("open", timeout=20)
    ws.send('{"join": "lobby"}')
    event = tap.wait_for_message(json={"joined": "lobby"})
    assert event.type == "message"
    ws.close(1000)
    assert tap.wait_for("close").wasClean


@pytest.mark.asyncio
async def test_joining_with_pytest_asyncio(page: Page, echo: str) -> None:
    ws = page.WebSocket(echo)
    tap = page.tap(ws)
    await tap.wait_for("open")
    ws.send("hello")
    assert (await tap.wait_for_message(text="hello")).data == "hello"
    assert await tap.wait_for_sent() == "hello"
    with pytest.raises(Failed, match="did not come within"):
        await tap.wait_for_message(timeout=0.01)
    await tap.none_for(0.01)
    ws.close(1000)
    assert (await tap.wait_for("close")).wasClean


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_joining_with_anyio(page: Page, echo: str, anyio_backend: str) -> None:
    ws = page.WebSocket(echo)
    tap = page.tap(ws)
    await tap.wait_for("open")
    ws.send("hello")
    opening, data, event = await tap.wait_for_sequence(
        "open", sent(text="hello"), message(text="hello")
    )
    assert (opening.type, data, event.data) == ("open", "hello", "hello")
    ws.close(1000)
    assert (await tap.wait_for("close")).wasClean


# -- what a wait takes


def test_matchers(page: Page, echo: str) -> None:
    tap = opened(page, echo)
    tap.ws.send("plain")
    tap.ws.send(b"\x01\x02")
    tap.ws.send('{"a": {"b": [1, 2], "c": "x"}, "d": true}')
    assert tap.wait_for_message(data=b"\x01\x02").type == "message"  # it may pass over others
    assert tap.wait_for_message(text=re.compile("^pl")).data == "plain"
    tap.wait_for_message(json={"a": {"b": [1, ...]}, "d": bool})
    tap.ws.send("number 7")
    tap.wait_for_message(where=lambda data: data.endswith("7"))
    assert tap.received == tap.sent
    tap.ws.close()
    tap.wait_for("close")


def test_a_message_is_returned_once(page: Page, echo: str) -> None:
    tap = opened(page, echo)
    tap.ws.send("same")
    tap.wait_for_message(text="same")
    with pytest.raises(Failed):
        tap.wait_for_message(text="same", timeout=0.01)
    tap.ws.send("same")
    tap.wait_for("message", text="same")
    tap.ws.close()


def test_a_message_that_was_returned_before_is_shown_as_such(page: Page, echo: str) -> None:
    tap = opened(page, echo)
    for data in ('{"a": 1}', '{"b": 2}'):
        tap.ws.send(data)
        tap.wait_for_message(text=data)
    tap.ws.send("other")
    until_shown(tap, "↓ other")
    with pytest.raises(Failed) as caught:
        tap.wait_for_message(where=lambda data: json.loads(data)["a"] == 1, timeout=0.01, json={})
    assert (
        '    {"a": 1}\n      an earlier wait has returned it: each is returned once\n'
        "    other\n      is no JSON"
    ) in str(caught.value)
    assert '    {"b": 2}\n      ' not in str(caught.value).partition("timeline")[0]
    tap.wait_for_sent(text="other")
    with pytest.raises(Failed, match=r"other\n      an earlier wait has returned it"):
        tap.wait_for_sent(text="other", timeout=0.01)
    tap.ws.close()


def test_a_predicate_that_raises_says_of_what(page: Page, ws_server: WebSocketServer) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.send('{"hello": 1}')
        peer.send('{"type": "x"}')
        peer.wait_closed()

    def typed(data: Any) -> Any:
        return json.loads(data)["type"]

    tap = opened(page, ws_server.url)
    tap.wait_for_message(json={"type": "x"})
    for wait in (
        lambda: tap.wait_for_message(where=typed),
        lambda: tap.wait_for_sequence("open", message(where=typed)),
    ):
        with pytest.raises(Failed, match=r"typed raised KeyError: 'type' for .\"hello\": 1") as got:
            wait()
        assert "101 Switching Protocols" in str(got.value)
        assert isinstance(got.value.__cause__, KeyError)
    tap.ws.close()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_predicate_of_a_script_that_raises_says_of_what(run: Run, kind: str) -> None:
    text = run(
        f"""
        import json

        def test_it(page, ws_server):
            @ws_server.route("/")
            {kind} script(peer):
                {"await " * kind.startswith("async")}peer.expect(where=lambda data: data["type"])
            ws = page.WebSocket(ws_server.url)
            ws.onopen = lambda event: ws.send("hello")
            page.tap(ws).wait_for("close")
        """,
        failed=1,
    )
    assert "raised TypeError: string indices must be integers" in text
    assert "for hello\n" in text
    assert "101 Switching Protocols" in text


def test_a_wait_returns_after_the_listeners_have_run(page: Page, echo: str) -> None:
    ws = page.WebSocket(echo)
    seen: list[str] = []

    def slow(event: Any) -> None:
        time.sleep(0.02)
        seen.append(event.data)

    ws.onmessage = slow
    tap = page.tap(ws)
    tap.wait_for("open")
    ws.send("x")
    tap.wait_for_message()
    assert seen == ["x"]
    ws.close()


def test_a_tap_that_comes_late_knows_all(page: Page, echo: str) -> None:
    ws = page.WebSocket(echo)
    got = threading.Event()
    ws.onopen = lambda event: ws.send("early")
    ws.onmessage = lambda event: got.set()
    assert got.wait(20)
    tap = page.tap(ws)
    assert tap.wait_for("open").type == "open"
    assert tap.wait_for_message().data == "early"
    assert tap is page.tap(ws)
    ws.close()


def test_sequence(page: Page, echo: str) -> None:
    tap = opened(page, echo)
    for text in "abc":
        tap.ws.send(text)
        tap.wait_for_message(text=text)
    tap.wait_for_sequence(message(text="a"), message(text="c"))
    tap.wait_for_sequence(sent(text="b"), message(text="b"), sent(text="c"), strict=True)
    with pytest.raises(Failed, match=r"came: a message received with text=.c") as caught:
        tap.wait_for_sequence(message(text="c"), message(text="a"), timeout=0.01)
    assert 'not yet: a message received with text="a"' in str(caught.value)
    with pytest.raises(Failed, match="did not come within"):
        tap.wait_for_sequence(message(text="a"), message(text="b"), strict=True, timeout=0.01)
    tap.ws.close()


def test_none_for_sees_what_comes_meanwhile(page: Page, ws_server: WebSocketServer) -> None:
    enough = threading.Event()

    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.receive()
        while not enough.wait(0.01):  # whenever the tap begins to look, some come after that
            peer.send("surprise")
        peer.wait_closed()

    tap = opened(page, ws_server.url)
    tap.none_for(0)
    tap.ws.send("go")
    tap.wait_for_sent()
    with pytest.raises(Failed, match="surprise came, where a message received was not to come"):
        tap.none_for(5)
    enough.set()
    tap.none_for(0.01, text="other")
    tap.ws.close()


def test_none_for_without_a_pong_says_so(page: Page, ws_server: WebSocketServer) -> None:
    @ws_server.route("/")
    def script(peer: ScriptPeer) -> None:
        peer.stall()
        peer.send("stalled")

    tap = opened(page, ws_server.url)
    tap.wait_for_message(text="stalled", timeout=20)
    page.default_timeout = 0.1  # the pong's
    with pytest.raises(Failed, match="a pong, to be sure that nothing is on its way"):
        tap.none_for(0.01)
    page.may_leave_open = True


def test_snapshots_of_a_server_that_greets_are_alike(
    page: Page, ws_server: WebSocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a plain test `open` may wait for its listener, while messages come."""
    monkeypatch.setattr(early_events, "TICK", 10.0)  # it waits for as long as it takes

    @ws_server.route("/greet")
    def script(peer: Any) -> None:
        peer.send("welcome")
        peer.send("news")
        peer.receive()
        peer.close()

    def session(wait: bool) -> str:
        ws = page.WebSocket(ws_server.url + "/greet")
        timeline = page.timelines[-1]
        deadline = time.monotonic() + 20
        while wait and "↓ welcome" not in str(timeline) and time.monotonic() < deadline:
            time.sleep(0.001)
        tap = page.tap(ws)
        tap.wait_for_message(text="news")
        ws.send("ok")
        tap.wait_for("close")
        return tap.snapshot()

    assert len({session(wait) for wait in (True, False) * 10}) == 1


def test_snapshot(page: Page, echo: str, snapshot: Any) -> None:
    tap = opened(page, echo)
    tap.ws.send('{"b": 1,   "a": "ü"}')
    tap.wait_for_message()
    tap.ws.send(b"\x00\xff")
    tap.wait_for_message()
    tap.ws.close(3000, "done")
    tap.wait_for("close")
    assert tap.snapshot() == (
        "OPEN: open event\n"
        '↑ {"a": "ü", "b": 1}\n'
        '↓ {"a": "ü", "b": 1}\n'
        "↑ <2 bytes> 00ff\n"
        "↓ <2 bytes> 00ff\n"
        "↑ Close 3000 'done'\n"
        "↓ Close 3000 'done'\n"
        "CLOSED: close event, 3000 'done', clean\n"
    )
    assert tap.snapshot() == snapshot


def test_bad_arguments(page: Page, echo: str) -> None:
    tap = opened(page, echo)
    with pytest.raises(ValueError, match="no event 'opened'"):
        tap.wait_for("opened")
    with pytest.raises(TypeError, match="a timeout only"):
        tap.wait_for("open", text="x")
    with pytest.raises(TypeError, match="text is 5"):
        tap.wait_for_message(text=5)
    with pytest.raises(TypeError, match="where is 'x'"):
        tap.wait_for_message(where="x")
    with pytest.raises(TypeError, match="the sequence holds 'message'"):
        tap.wait_for_sequence("message")
    with pytest.raises(ValueError, match="no socket of this page"):
        Page().tap(tap.ws)
    tap.ws.close()


# -- how it fails


def test_the_message_has_the_whole_timeline(page: Page, echo: str) -> None:
    tap = opened(page, echo)
    tap.ws.send('{"joined": "hall"}')
    until_shown(tap, '↓ {"joined": "hall"}')
    with pytest.raises(Failed) as caught:
        tap.wait_for_message(json={"joined": "lobby"}, timeout=0.3)
    text = re.sub(r"[0-9]\.[0-9]{3}", "T.TTT", str(caught.value).replace(echo, "URL"))
    assert text == (
        'a message received with json={"joined": "lobby"} did not come within 0.3 s\n'
        "  those that came were others:\n"
        '    {"joined": "hall"}\n'
        '      $.joined is "hall", not "lobby"\n'
        "timeline of URL (seconds; ↑ sent, ↓ received)\n"
        "    T.TTT  CONNECTING\n"
        "    T.TTT  → GET /echo\n"
        "    T.TTT  ← 101 Switching Protocols\n"
        "    T.TTT  OPEN: open event\n"
        '    T.TTT  ↑ {"joined": "hall"}\n'
        '    T.TTT  ↓ {"joined": "hall"}\n'
        "      now  OPEN"
    )
    tap.ws.close()


def test_a_closed_socket_fails_at_once_with_the_reason(page: Page, closed_port: int) -> None:
    tap = page.tap(page.WebSocket(f"ws://127.0.0.1:{closed_port}/"))
    with pytest.raises(Failed) as caught:
        tap.wait_for("open", timeout=30)
    assert "the event 'open' did not come before the socket was closed" in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "error event" in str(caught.value)


def test_a_users_test_fails_at_its_own_line(run: Run) -> None:
    text = run(
        """
        def test_it(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.send("other")
                peer.wait_closed()
            tap = page.tap(page.WebSocket(ws_server.url))
            tap.wait_for_message(text="wanted", timeout=2)
        """,
        failed=1,
    )
    assert '>       tap.wait_for_message(text="wanted", timeout=2)' in text
    assert "T.TTT" in re.sub(r"[0-9]\.[0-9]{3}", "T.TTT", text)
    assert "is another text" in text
    assert "waiting.py" not in re.sub(r"webapi\.testing\.waiting\.Failed", "", text)


def test_a_socket_left_open_fails_the_test(run: Run) -> None:
    text = run(
        """
        def test_it(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.wait_closed()
            page.tap(page.WebSocket(ws_server.url)).wait_for("open")

        def test_allowed(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.wait_closed()
            page.tap(page.WebSocket(ws_server.url)).wait_for("open")
            page.may_leave_open = True

        def test_not_tapped(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.wait_closed()
            ws = page.WebSocket(ws_server.url)
            ws_server.wait_for_connections(1)
        """,
        failed=1,
        passed=2,
    )
    assert "OPEN> was left open: close it, or say page.may_leave_open = True" in text
    assert "101 Switching Protocols" in text
    assert "it was made here:" in text
    assert '.py", line 5, in test_it' in text
    assert "_pytest/" not in text


def test_a_wait_that_is_never_awaited_fails_the_test(run: Run) -> None:
    text = run(
        """
        import asyncio, pytest

        def serve(ws_server):
            @ws_server.route("/")
            async def script(peer):
                await peer.wait_closed()
            return ws_server.url

        @pytest.mark.asyncio
        async def test_forgotten(page, ws_server):
            tap = page.tap(page.WebSocket(serve(ws_server)))
            await tap.wait_for("open")
            tap.wait_for_message(text="never sent")
            tap.ws.close()
            await tap.wait_for("close")

        @pytest.mark.asyncio
        async def test_of_the_server(page, ws_server):
            serve(ws_server)
            ws_server.wait_for_connections(2)

        @pytest.mark.asyncio
        async def test_of_a_peer(page, ws_server):
            @ws_server.route("/")
            async def script(peer):
                peer.expect(text="hello")
            await page.tap(page.WebSocket(ws_server.url)).wait_for("close")

        def test_of_a_peer_on_the_servers_loop(page, ws_server):
            @ws_server.route("/")
            async def script(peer):
                peer.send("hello")
            page.tap(page.WebSocket(ws_server.url)).wait_for("close")

        @pytest.mark.asyncio
        async def test_failed_before(page, ws_server):
            tap = page.tap(page.WebSocket(serve(ws_server)))
            waits = [tap.wait_for("open"), tap.wait_for("close")]
            raise LookupError("its own")

        @pytest.mark.asyncio
        async def test_a_task(page, ws_server):
            tap = page.tap(page.WebSocket(serve(ws_server)))
            waits = [tap.wait_for("open"), tap.wait_for("close")]
            tap.ws.onopen = lambda event: tap.ws.close()
            await asyncio.gather(*waits)
        """,
        failed=5,
        passed=1,
    )
    assert 'peer.expect(text="hello")\n' in text
    assert 'peer.send("hello")\n' in text
    # A failure's own line: pytest's summary repeats the whole message where `CI` is set.
    assert text.count("\nthis was never awaited: write `await` before it") == 4
    assert 'tap.wait_for_message(text="never sent")\n' in text
    assert "ws_server.wait_for_connections(2)\n" in text


def test_a_script_whose_loop_was_closed_before_it_began_is_no_fault(run: Run) -> None:
    run(
        """
        import asyncio

        def test_it(page, ws_server):
            home = asyncio.new_event_loop()

            async def give():
                @ws_server.route("/")
                async def script(peer):
                    await peer.wait_closed()

            home.run_until_complete(give())
            ws = page.WebSocket(ws_server.url)
            while not home._ready:  # the script's first step
                pass
            home.close()
            page.may_leave_open = True
        """,
        passed=1,
    )


def test_trio_is_told_so(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    trio = SimpleNamespace(lowlevel=SimpleNamespace(in_trio_run=lambda: True))
    monkeypatch.setitem(sys.modules, "trio", trio)
    tap = page.tap(page.WebSocket("ws://localhost:1/"))
    with pytest.raises(RuntimeError, match="this test runs on trio"):
        tap.wait_for("close")
    page.may_leave_open = True


def test_sockets_that_the_frontend_makes(page: Page, echo: str) -> None:
    kept = [page.WebSocket(echo), page.WebSocket(echo + "?2")]
    tapped = page.tap(page.WebSocket(echo + "?3"))
    late = threading.Timer(0.05, lambda: kept.append(page.WebSocket(echo + "?4")))
    late.start()
    assert page.wait_for_socket("**?2").ws is kept[1]
    assert page.wait_for_socket().ws is kept[0]
    last = page.wait_for_socket("**/echo?4")
    late.join()
    assert last.ws is kept[2]
    with pytest.raises(Failed, match=r"no other socket to '\*\*' was made within 0.01 s") as failed:
        page.wait_for_socket(timeout=0.01)
    assert echo + "?4" in str(failed.value)
    for ws in (*kept, tapped.ws):
        page.tap(ws).wait_for("open")
        ws.close()
        page.tap(ws).wait_for("close")


def test_pytest_fail_in_a_listener_fails_the_test(run: Run) -> None:
    text = run(
        """
        import pytest

        def test_it(page, ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.send("bad")
                peer.send("next")
                peer.close()
            ws = page.WebSocket(ws_server.url)
            def onmessage(event):
                if event.data == "bad":
                    pytest.fail("the listener says no")
            ws.onmessage = onmessage
            page.tap(ws).wait_for("close")
        """,
        failed=1,
    )
    assert "the listener says no" in text
    assert "did not come" not in text


def test_an_exception_in_a_listener_fails_the_test_with_its_stack(run: Run) -> None:
    text = run(
        """
        import pytest

        def serve(ws_server):
            @ws_server.route("/")
            def script(peer):
                peer.send("x")
                peer.close()

        def test_plain(page, ws_server):
            serve(ws_server)
            ws = page.WebSocket(ws_server.url)
            def onmessage(event):
                raise LookupError("in a listener")
            ws.onmessage = onmessage
            page.tap(ws).wait_for("close")

        def test_async_listener(page, ws_server):
            import asyncio
            serve(ws_server)
            ws = page.WebSocket(ws_server.url)
            async def onmessage(event):
                await asyncio.sleep(0)
                raise LookupError("in an async listener")
            ws.onmessage = onmessage
            page.tap(ws).wait_for("close")

        @pytest.mark.asyncio
        async def test_on_my_loop(page, ws_server):
            serve(ws_server)
            ws = page.WebSocket(ws_server.url)
            async def onmessage(event):
                raise LookupError("on my loop")
            ws.onmessage = onmessage
            await page.tap(ws).wait_for("close")

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_with_anyio(page, ws_server):
            await steps_after_a_while(page, ws_server)

        @pytest.mark.asyncio
        async def test_with_asyncio(page, ws_server):
            await steps_after_a_while(page, ws_server)

        async def steps_after_a_while(page, ws_server):
            import asyncio
            serve(ws_server)
            ws = page.WebSocket(ws_server.url)
            async def onclose(event):
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                raise LookupError("on my loop, late")
            ws.onclose = onclose
            await page.tap(ws).wait_for("close")

        def test_the_next_is_well(page):
            pass
        """,
        failed=5,
        passed=1,
    )
    for where in ("in a listener", "in an async listener", "on my loop"):
        assert f'raise LookupError("{where}")' in text
    assert text.count('>       raise LookupError("on my loop, late")') == 2
