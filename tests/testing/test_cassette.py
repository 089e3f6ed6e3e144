"""HAR cassettes: recorded against a real server, replayed without one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webapi.protocol.deflate import negotiate
from webapi.protocol.handshake import accept_value
from webapi.testing import Cassette, Page, ScriptPeer, WebSocketServer
from webapi.testing.cassette import _differences
from webapi.testing.json_paths import JsonPath
from webapi.testing.scrubbing import Scrubber, is_secret
from webapi.testing.waiting import Problems

Run = Callable[..., str]

TESTS = '''
import os, pytest
from webapi.testing import WebSocketServer

@pytest.fixture
def url():
    """A real server, unless HAVE_SERVER=no; on a URL that is the same each time."""
    yield "ws://app.example/login?token=abc"

@pytest.fixture
def real(ws_server):
    @ws_server.route("/login")
    def login(peer):
        assert peer.receive_json()["user"] == "ada"
        peer.send_json({"welcome": "ada", "token": "t0ps3cret"})
        peer.send(b"\\x01\\x02")
        peer.receive()
        peer.close(4005, "logged out")
    return ws_server

def log_in(page, url, **more):
    import json
    ws = page.WebSocket(url)
    tap = page.tap(ws)
    tap.wait_for("open")
    id = os.urandom(4).hex()
    ws.send(json.dumps({"user": more.get("user", "ada"), "password": "s3cret", "id": id}))
    tap.wait_for_message(json={"welcome": "ada"})
    tap.wait_for_message(data=b"\\x01\\x02")
    ws.send(more.get("last", "logout"))
    assert tap.wait_for("close").code == 4005

@pytest.mark.websocket_har("sessions/login.har", ignore=["$.id"], match="path")
def test_login(page, ws_server, request):
    if not (request.path.parent / "sessions" / "login.har").exists():
        request.getfixturevalue("real")
    log_in(page, ws_server.url + "/login?token=abc")
'''


def har_of(pytester: pytest.Pytester) -> Any:
    return json.loads((pytester.path / "sessions" / "login.har").read_text())


def test_the_first_run_records_and_the_second_replays(run: Run, pytester: pytest.Pytester) -> None:
    run(TESTS, passed=1)
    har = har_of(pytester)
    [entry] = har["log"]["entries"]
    assert har["log"]["version"] == "1.2"
    messages = entry["_webSocketMessages"]
    assert [(m["type"], m["opcode"]) for m in messages] == [
        ("send", 1), ("receive", 1), ("receive", 2), ("send", 1),
    ]  # fmt: skip
    text = (pytester.path / "sessions" / "login.har").read_text()
    for secret in ("s3cret", "t0ps3cret", "token=abc"):
        assert secret not in text
    run(TESTS, passed=1)  # no script is there now
    run(TESTS, "--websocket-record=none", passed=1)
    assert har_of(pytester) == har


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"user": more.get("user", "ada")', '"user": "eve"'), '$.user: recorded "ada", now "eve"'),
        (('more.get("last", "logout")', '"logoff"'), "recorded: logout\n"),
        (('    ws.send(more.get("last", "logout"))\n',
          "    ws.close(); tap.wait_for('close'); return\n"),
         "did not send all that was recorded; missing:\n"),
        (('"password": "s3cret", ', ""), '$.password: "[scrubbed]" is missing now'),
        (("/login?token", "/other?token"), "has no connection to ws://"),
        (("    log_in(page, ws", "    return\n    log_in(page, ws"), "that was not made"),
    ],
    ids=["json", "text", "missing", "member", "url", "unused"],
)  # fmt: skip
def test_a_mismatch_fails_with_a_diff(
    run: Run, pytester: pytest.Pytester, change: tuple[str, str], says: str
) -> None:
    run(TESTS, passed=1)
    assert change[0] in TESTS
    text = run(TESTS.replace(*change), failed=1)
    assert says in text.replace("\nE  ", "\n")
    assert "login.har" in text
    assert "script_peer.py" not in text


def test_a_failed_test_records_nothing(run: Run, pytester: pytest.Pytester) -> None:
    run(TESTS.replace("== 4005", "== 4006"), failed=1)
    assert not (pytester.path / "sessions").exists()


def test_none_never_records(run: Run, pytester: pytest.Pytester) -> None:
    text = run(TESTS, "--websocket-record=none", errors=1)
    assert "there is no cassette" in text
    assert not (pytester.path / "sessions").exists()


def test_all_records_anew_and_new_adds(run: Run, pytester: pytest.Pytester) -> None:
    run(TESTS, passed=1)
    again = TESTS.replace(
        'if not (request.path.parent / "sessions" / "login.har").exists():', "if True:"
    )
    run(
        again.replace('"user": more', '"more": 1, "user": more'), "--websocket-record=all", passed=1
    )
    [entry] = har_of(pytester)["log"]["entries"]
    assert '"more": 1' in entry["_webSocketMessages"][0]["data"]
    twice = again.replace('"user": more', '"more": 1, "user": more') + (
        '    log_in(page, ws_server.url + "/login?token=abc&second=1")\n'
    )
    run(twice, failed=1)
    run(twice, "--websocket-record=new", passed=1)
    first, second = har_of(pytester)["log"]["entries"]
    assert first == entry
    assert second["request"]["url"].endswith("second=1")
    run(twice, "--websocket-record=none", passed=1)


def test_what_chrome_exports_replays(run: Run, pytester: pytest.Pytester) -> None:
    entry = {
        "_resourceType": "websocket",
        "_webSocketMessages": [
            {"type": "receive", "time": 1.0, "opcode": 1, "data": "welcome"},
            {"type": "send", "time": 1.1, "opcode": 1, "data": "a"},
            {"type": "send", "time": 1.1, "opcode": 2, "data": "AAE="},
            {"type": "receive", "time": 1.2, "opcode": 2, "data": "/w=="},
        ],
        "request": {"method": "GET", "url": "wss://api.example.com/v1", "headers": []},
        "response": {
            "status": 101,
            "headers": [{"name": "Sec-WebSocket-Protocol", "value": "v1"}],
        },
    }
    other = {"request": {"url": "https://api.example.com/x.js"}, "response": {"status": 200}}
    har = {"log": {"version": "1.2", "entries": [other, entry]}}
    (pytester.path / "chrome.har").write_text("\ufeff" + json.dumps(har))
    code = """
        import pytest

        def talk(page, order):
            ws = page.WebSocket("wss://api.example.com/v1", ["v0", "v1"])
            tap = page.tap(ws)
            tap.wait_for_message(text="welcome")
            assert ws.protocol == "v1"
            for data in order:
                ws.send(data)
            tap.wait_for_message(data=b"\\xff", timeout=20)
            ws.close()

        @pytest.mark.websocket_har("chrome.har")
        def test_strict(page):
            talk(page, ["a", b"\\x00\\x01"])

        @pytest.mark.websocket_har("chrome.har", order="any")
        def test_any(page):
            talk(page, [b"\\x00\\x01", "a"])

        @pytest.mark.websocket_har("chrome.har")
        def test_wrong_order(page):
            talk(page, [b"\\x00\\x01", "a"])
    """
    text = run(code, passed=2, failed=1)
    assert "another message than was recorded" in text


@pytest.mark.parametrize("bare", [False, True])
def test_new_keeps_what_the_file_has(bare: bool, tmp_path: Path) -> None:
    http: dict[str, Any] = {
        "request": {"method": "GET", "url": "https://app.example/x.js"},
        "response": {"status": 200},
        "pageref": "page_1",
    }
    messages = [{"type": "receive", "time": 1.0, "opcode": 1, "data": "hi"}]
    socket = {
        **http,
        "request": {"method": "GET", "url": "wss://app.example/a"},
        "response": {"status": 101},
        "_webSocketMessages": messages,
    }
    log: dict[str, Any] = {"entries": [http, socket]}
    if not bare:
        log |= {
            "version": "1.2",
            "creator": {"name": "WebInspector", "version": "537.36"},
            "browser": {"name": "Chrome"},
            "pages": [{"id": "page_1", "title": "https://app.example/", "pageTimings": {}}],
        }
    path = tmp_path / "chrome.har"
    path.write_text(json.dumps({"log": log, "_more": 1}))
    with WebSocketServer() as server, Page() as page, Page("http://other.example/") as other:
        server.route("/b")(lambda peer: peer.send("hi"))
        cassette = Cassette(path, record="new", match="path")
        for one in (page, other):
            cassette.attach(one)
        for socket_of, way in ((page, "/a"), (page, "/b"), (other, "/b")):
            tap = socket_of.tap(socket_of.WebSocket(server.url + way))
            tap.wait_for_message(text="hi")
            tap.ws.close()
            tap.wait_for("close")
        page.finish()
        other.finish()
        cassette.finish(Problems())

    har = json.loads(path.read_text())
    assert har["_more"] == 1
    old, new = log.get("pages", []), har["log"]["pages"]
    assert new[: len(old)] == old
    assert len(new) == len(old) + 2
    assert [page["id"] for page in new[-2:]] == ["page_2", "page_3"]
    assert [page["title"] for page in new[-2:]] == ["http://localhost/", "http://other.example/"]
    assert har["log"]["entries"][:2] == [http, socket]
    assert [entry["pageref"] for entry in har["log"]["entries"][2:]] == [p["id"] for p in new[-2:]]
    assert har["log"]["creator"]["name"] == ("webapi" if bare else "WebInspector")
    assert har["log"].get("browser") == log.get("browser")
    assert har["log"]["version"] == "1.2"


def seen(path: Path, script: Callable[[ScriptPeer], object], *, page_closes: bool = False) -> Any:
    """Return what a page sees, of a server with `script` or, the second time, of the cassette."""
    with WebSocketServer() as server, Page() as page:
        server.route("/", handshake=False)(script)
        cassette = Cassette(path, match="path")
        cassette.attach(page)
        ws = page.WebSocket(server.url, ["a"])
        if page_closes:
            ws.onopen = lambda event: ws.close(1000, "mine")
        ws.onmessage = lambda event: ws.send("x" * 200)
        tap = page.tap(ws)
        close = tap.wait_for("close")
        assert bool(server.peers) <= cassette.records
        page.finish()
        problems = Problems()
        cassette.finish(problems)
        assert not problems.peek()
    events = [event.type for event in tap.events]
    return [*events, ws.protocol, ws.extensions, close.code, close.reason, close.wasClean]


@pytest.mark.parametrize("end", ["reset", "end", "bad frame", "no code", "refuse"])
def test_how_a_connection_ends_is_replayed(end: str, tmp_path: Path) -> None:
    def script(peer: ScriptPeer) -> None:
        if end == "refuse":
            peer.reject(401)
            return
        peer.accept(subprotocol="a")
        peer.send("hello")
        peer.receive()
        if end == "bad frame":
            peer.send_raw(b"\xc1\x01a")
            peer.wait_closed()
        elif end == "no code":
            peer.close(None)
        else:
            getattr(peer, end)()

    before = seen(tmp_path / "it.har", script)
    assert seen(tmp_path / "it.har", script) == before


@pytest.mark.parametrize("fault", ["no protocol", "other protocol", "accept", "extension"])
def test_a_handshake_that_failed_with_101_is_replayed(fault: str, tmp_path: Path) -> None:
    def script(peer: ScriptPeer) -> None:
        key = peer.headers["sec-websocket-key"]
        lines = {"Upgrade": "websocket", "Connection": "Upgrade", "Set-Cookie": "a=b"}
        lines["Sec-WebSocket-Accept"] = "wrong" if fault == "accept" else accept_value(key)
        if fault != "no protocol":
            lines["Sec-WebSocket-Protocol"] = "b" if fault == "other protocol" else "a"
        if fault == "extension":
            lines["Sec-WebSocket-Extensions"] = "x-unknown"
        peer._core.answered = True
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        peer.send_raw(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode())

    before = seen(tmp_path / "it.har", script)
    assert before[:3] == ["error", "close", ""]
    assert seen(tmp_path / "it.har", script) == before


@pytest.mark.parametrize("answer", ["own", "no code", "same", "reset"])
def test_how_the_server_answers_a_close_is_replayed(answer: str, tmp_path: Path) -> None:
    def script(peer: ScriptPeer) -> None:
        async def send_close() -> None:
            own = (None, "") if answer == "no code" else (4001, "own")
            await peer._core.send_close(*own)

        if answer != "same":
            reset = answer == "reset"
            peer._core.close_answer = peer._core.reset_now if reset else send_close
        peer.accept(subprotocol="a")
        peer.wait_closed()

    before = seen(tmp_path / "it.har", script, page_closes=True)
    assert before[-3:] == {
        "own": [4001, "own", True], "no code": [1005, "", True], "same": [1000, "mine", True],
        "reset": [1006, "", False],
    }[answer]  # fmt: skip
    assert seen(tmp_path / "it.har", script, page_closes=True) == before


@pytest.mark.parametrize(
    "parameters", ["", "; server_no_context_takeover; client_max_window_bits=9"]
)
def test_extensions_are_replayed(parameters: str, tmp_path: Path) -> None:
    def script(peer: ScriptPeer) -> None:
        extension = "permessage-deflate" + parameters
        agreed = negotiate([extension], True)
        assert agreed is not None
        peer._core.use_deflate(agreed)
        peer.accept(subprotocol="a", headers={"Sec-WebSocket-Extensions": extension})
        for _ in range(3):
            peer.send("hello " * 100)
            peer.receive()
        peer.close(4000)

    before = seen(tmp_path / "it.har", script)
    assert before[6:8] == ["permessage-deflate" + parameters, 4000]
    assert seen(tmp_path / "it.har", script) == before


def test_a_protocol_that_was_not_asked_for_then_may_be_now(tmp_path: Path) -> None:
    """A file, by hand, of a connection that was opened without one."""
    entry = {
        "_resourceType": "websocket",
        "request": {"method": "GET", "url": "ws://app.example/", "headers": []},
        "response": {"status": 101, "headers": [{"name": "Upgrade", "value": "websocket"}]},
    }
    path = tmp_path / "it.har"
    path.write_text(json.dumps({"log": {"entries": [entry]}}))
    with Page() as page:
        Cassette(path, record="none").attach(page)
        ws = page.WebSocket("ws://app.example/", ["a"])
        page.tap(ws).wait_for("open")
        assert ws.protocol == "a"
        ws.close()


def test_differences() -> None:
    ignore = [JsonPath(path) for path in ("$.id", "$.items[*].time", "$..nonce")]
    before = {"id": 1, "items": [{"time": 1, "x": 1}], "a": {"nonce": 1, "b": True}, "gone": 1}
    after = {"id": 2, "items": [{"time": 2, "x": 2}], "a": {"nonce": 2, "b": 1}, "new": None}
    assert list(_differences(before, after, ignore)) == [
        "$.items[0].x: recorded 1, now 2",
        "$.a.b: recorded true, now 1",
        "$.gone: 1 is missing now",
        "$.new: null was not there",
    ]


def test_numbers_are_javascript_s() -> None:
    before, after = {"price": 1, "rate": 2.0, "more": [0]}, {"price": 1.0, "rate": 2, "more": [0.0]}
    assert list(_differences(before, after, [])) == []
    assert list(
        _differences({"a": 1, "b": 0.0, "c": "1"}, {"a": True, "b": False, "c": 1}, [])
    ) == [
        "$.a: recorded 1, now true",
        "$.b: recorded 0.0, now false",
        '$.c: recorded "1", now 1',
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"_webSocketMessages": [{"type": "send", "data": "a"}]}, "message 1 has no 'opcode'"),
        ({"_webSocketMessages": [{"type": "send", "opcode": 1}]}, "message 1 has no 'data'"),
        ({"_webSocketMessages": [{"type": "send", "opcode": 1, "data": {"a": 1}}]}, "no string"),
        ({"_webSocketMessages": [{"type": "receive", "opcode": 2, "data": "no base64!"}]},
         "the data of message 1, whose opcode is 2, are no base64: "),
        ({"_webSocketMessages": [{"type": "receive", "opcode": 2, "data": "aGk"}]}, "no base64"),
        ({"_webSocketClosing": [{"type": "send"}]}, "closing 1 has no 'code'"),
        ({"response": {"status": "x"}}, "invalid literal"),
        ({"request": {}}, "is none: KeyError\\('url'\\)"),
    ],
)  # fmt: skip
def test_a_fault_in_a_file_is_named(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    entry = {"_resourceType": "websocket", "request": {"url": "ws://app.example/a"}}
    path = tmp_path / "it.har"
    path.write_text(json.dumps({"log": {"entries": [{}, entry, entry | change]}}))
    url = "" if "request" in change else r" \(ws://app.example/a\)"
    with pytest.raises(ValueError, match=rf"it\.har, entry 3{url}.*{says}"):
        Cassette(path)


def test_base64_may_be_wrapped(tmp_path: Path) -> None:
    message = {"type": "receive", "opcode": 2, "data": "AAEC\n Aw=="}
    entry = {"request": {"url": "ws://app.example/"}, "_webSocketMessages": [message]}
    (tmp_path / "it.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    with Page() as page:
        Cassette(tmp_path / "it.har").attach(page)
        tap = page.tap(page.WebSocket("ws://app.example/"))
        tap.wait_for_message(data=b"\0\1\2\3")
        tap.ws.close()


def test_scrubbing_by_rule() -> None:
    import re

    scrubber = Scrubber(["$.card", "hunter2", re.compile(r"\d{4}-\d{4}"), str.lower])
    assert scrubber.text('{"card": [1], "n": "1234-5678", "accessToken": "x", "tokens": 5}') == (
        '{"card": "[scrubbed]", "n": "[scrubbed]", "accesstoken": "[scrubbed]", "tokens": 5}'
    )
    assert scrubber.text("HUNTER2 hunter2") == "hunter2 [scrubbed]"
    assert (
        scrubber.url("wss://u:p@h/x?access_token=1&b=2") == "wss://h/x?access_token=[scrubbed]&b=2"
    )


def test_names_of_secrets() -> None:
    for name in (
        "authToken", "sessionToken", "clientSecret", "newPassword", "userPassword", "passphrase",
        "private_key", "pwd", "Authorization", "Cookie", "Set-Cookie", "X-Auth-Token", "API_KEY",
        "api-key", "accessToken", "idtoken", "session_id", "sig", "my_pass", "password2", "JWT",
        "credential", "XSRF-TOKEN", "authSig",
    ):  # fmt: skip
        assert is_secret(name), name
    for name in ("tokens", "key", "author", "compass", "design", "user", "passenger", "id", "7"):
        assert not is_secret(name), name


def test_scrubbing_by_name_keeps_the_shape() -> None:
    scrubber = Scrubber([])
    for before, after in (
        ({"token": ["AAA"]}, {"token": ["[scrubbed]"]}),
        ({"session": {"user": "ada", "key": {"pwd": 5}}},
         {"session": {"user": "ada", "key": {"pwd": "[scrubbed]"}}}),
        ({"credential": {"pin": 1, "x": [None]}},
         {"credential": {"pin": "[scrubbed]", "x": [None]}}),
        ({"payload": {"Authorization": "Bearer x"}}, {"payload": {"Authorization": "[scrubbed]"}}),
        ({"hasPassword": True}, {"hasPassword": True}),
    ):  # fmt: skip
        assert json.loads(scrubber.text(json.dumps(before))) == after
    packet = '42/chat,7["login",{"password":"BBB"}]'  # Socket.IO's
    assert scrubber.text(packet) == '42/chat,7["login", {"password": "[scrubbed]"}]'
    stomp = "CONNECT\nlogin:ada\npasscode:BBB\n\n\0"
    assert scrubber.text(stomp) == "CONNECT\nlogin:ada\npasscode:[scrubbed]\n\n\0"
    assert scrubber.text("token: it is a word") == "token: it is a word"


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("$['ssn']", {("ssn",)}),
        ('$["a b"]', {("a b",)}),
        (r"$['it\'s \"']", {("it's \"",)}),
        ("$.list.*", {("list", 0), ("list", "a.b")}),
        ("$.list[*]", {("list", 0), ("list", "a.b")}),
        ("$.list[0]", {("list", 0)}),
        ("$.list['0']", set()),
        ("$..ssn", {("ssn",), ("list", 0, "ssn")}),
        ("$..[0]", {("list", 0)}),
        ("$..['a.b']", {("list", "a.b")}),
        ("$.list.a.b", {("list", "a.b")}),
        ("$", {()}),
    ],
)
def test_json_paths(path: str, fits: set[Any]) -> None:
    places: list[Any] = [
        (), ("ssn",), ("a b",), ('it\'s "',), ("list",), ("list", 0), ("list", "a.b"),
        ("list", 0, "ssn"),
    ]  # fmt: skip
    assert {steps for steps in places if JsonPath(path).fits(steps)} == fits


@pytest.mark.parametrize(
    "path", ["ssn", "$ecret", "$.", "$.a..", "$[-1]", "$[1:2]", "$['a','b']", "$[?(@.a)]", "$.a*"]
)
def test_json_paths_that_are_none(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSON path"):
        JsonPath(path)


def test_no_secret_stays_in_the_file(tmp_path: Path) -> None:
    def script(peer: ScriptPeer) -> None:
        for _ in range(6):
            peer.receive()
        peer.send_json(
            {"authToken": "s3cret", "token": ["s3cret"], "user": {"userPassword": "s3cret"}}
        )
        peer.close(4000, "bye hunter2" + "!" * 110)

    def run() -> Any:
        url = "http://localhost/?token=s3cret#access_token=s3cret&a=b"
        with WebSocketServer() as server, Page(url) as page:
            server.route("/x")(script)
            scrub = ["hunter2", "$['ssn']", "$.list.*"]
            cassette = Cassette(tmp_path / "it.har", match="path", scrub=scrub)
            cassette.attach(page)
            tap = page.tap(page.WebSocket(server.url + "/x?authToken=s3cret&t=hunter2"))
            tap.wait_for("open")
            for message in (
                '{"type": "connection_init", "payload": {"Authorization": "Bearer s3cret"}}',
                '42["login", {"password": "s3cret"}]',
                '{"ssn": "s3cret", "list": ["s3cret"]}',
                b"\xff hunter2",
                b"in UTF-8: hunter2",
                b'{"pwd": "s3cret"}',
            ):
                tap.ws.send(message)
            close = tap.wait_for("close")
            page.finish()
            problems = Problems()
            cassette.finish(problems)
            assert not problems.peek()
        return close

    assert "hunter2" in run().reason
    text = (tmp_path / "it.har").read_text()
    [entry] = json.loads(text)["log"]["entries"]
    for message in entry["_webSocketMessages"]:
        if message["opcode"] == 2:
            text += base64.b64decode(message["data"]).decode("latin-1")
    assert "hunter2" not in text
    assert "s3cret" not in text
    replayed = run()
    assert replayed.code == 4000
    assert replayed.reason.startswith("bye [scrubbed]!!!")


def test_what_was_scrubbed_may_be_anything() -> None:
    before = {"hasPassword": "[scrubbed]", "a": "[scrubbed]"}  # as it was before, and by hand
    assert list(_differences(before, {"hasPassword": True, "a": None}, [])) == []
    assert list(_differences(before, {"hasPassword": True, "a": [1]}, [])) == [
        '$.a: recorded "[scrubbed]", now [1]'
    ]


def test_bad_arguments(tmp_path: Path) -> None:
    for options in (
        {"record": "x"},
        {"match": "x"},
        {"order": "x"},
        {"ignore": ["id"]},
        {"scrub": [5]},
    ):
        with pytest.raises(ValueError, match=r"allowed|no JSON path|no path"):
            Cassette(tmp_path / "x.har", **options)  # type: ignore[arg-type]
    (tmp_path / "bad.har").write_text("[]")
    with pytest.raises(ValueError, match="is no HAR file"):
        Cassette(tmp_path / "bad.har")
