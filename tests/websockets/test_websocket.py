"""The `WebSocket` interface: constructor, attributes, send() and close()."""

from __future__ import annotations

import array
import asyncio
import threading
from typing import Any

import pytest
from logged import logged

import webapi
from webapi import ArrayBuffer, Blob, CloseEvent, DOMException, Event, MessageEvent, WebSocket
from webapi.net import opening
from webapi.net.settings import DEFAULT_PAGE
from webapi.protocol import frames
from webapi.testing import Peer, Server


async def echo(peer: Peer) -> None:
    async for message in peer:
        await peer.send(message)


async def accept_and_wait(peer: Peer) -> None:
    await peer.wait_end()


# -- the constructor ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "", "foo", "/ws", "//host/x", "ws:", "ws://", "ws://a b", "wss://[::1", "ws://h:99999/",
        "ws://h:x/", "ftp://h/", "mailto:x", "javascript:1", "file:///x", "ws://h/#f", "ws://h/#",
        "ws://a%00b/", "ws://%zz/", "about:blank", "ws://exa^mple/",
    ],
)  # fmt: skip
def test_an_invalid_url_is_a_syntax_error(url: str) -> None:
    with pytest.raises(DOMException) as caught:
        WebSocket(url)
    assert (caught.value.name, caught.value.code) == ("SyntaxError", 12)
    assert "https://" in caught.value.message


def test_the_url_is_serialised(closed_port: int) -> None:
    port = closed_port
    for given, expected in {
        f"ws://127.0.0.1:{port}": f"ws://127.0.0.1:{port}/",
        f"WS://127.0.0.1:{port}/A b?c d": f"ws://127.0.0.1:{port}/A%20b?c%20d",
        f"http://127.0.0.1:{port}/x": f"ws://127.0.0.1:{port}/x",
        f"https://127.0.0.1:{port}/x": f"wss://127.0.0.1:{port}/x",
        f"ws://127.1:{port}/?": f"ws://127.0.0.1:{port}/?",
        f"ws://user:pa%20ss@127.0.0.1:{port}/": f"ws://user:pa%20ss@127.0.0.1:{port}/",
        f" ws://127.0.0.1:{port}/\n": f"ws://127.0.0.1:{port}/",
    }.items():
        assert WebSocket(given).url == expected


def test_the_new_socket_is_connecting(closed_port: int) -> None:
    ws = WebSocket(f"ws://127.0.0.1:{closed_port}/")
    assert (ws.readyState, ws.bufferedAmount, ws.extensions, ws.protocol) == (0, 0, "", "")
    assert ws.binaryType == "blob"
    assert (ws.onopen, ws.onmessage, ws.onerror, ws.onclose) == (None, None, None, None)
    assert isinstance(ws, webapi.EventTarget)
    for name, value in {"CONNECTING": 0, "OPEN": 1, "CLOSING": 2, "CLOSED": 3}.items():
        assert getattr(WebSocket, name) == getattr(ws, name) == value


@pytest.mark.parametrize("name", ["url", "readyState", "bufferedAmount", "extensions", "protocol"])
def test_attributes_are_read_only(name: str, closed_port: int) -> None:
    ws = WebSocket(f"ws://127.0.0.1:{closed_port}/")
    with pytest.raises(AttributeError):
        setattr(ws, name, 1)


@pytest.mark.parametrize(
    "protocols",
    ["", "a b", "chat,foo", "ä", "a\n", [""], ["a", "a"], ("a", "b", "a"), "{}"],
)
def test_an_invalid_protocol_is_a_syntax_error(protocols: Any) -> None:
    with pytest.raises(DOMException) as caught:
        WebSocket("ws://127.0.0.1/", protocols)
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize("protocols", [{}, {"a": 1}, object(), b"chat", [object()], [["a"]]])
def test_protocols_of_a_wrong_kind_are_a_type_error(protocols: Any) -> None:
    with pytest.raises(TypeError, match="https://webidl"):
        WebSocket("ws://127.0.0.1/", protocols)


@pytest.mark.parametrize(
    ("protocols", "sent"),
    [
        ((), []), (("chat",), ["chat"]), (([],), []), ((None,), ["null"]), ((1,), ["1"]),
        ((["chat", "x-1"],), ["chat", "x-1"]), (({"only"},), ["only"]),
        (((p for p in "ab"),), ["a", "b"]),
    ],
)  # fmt: skip
def test_protocols_are_converted_and_sent(protocols: Any, sent: list[str], record: Any) -> None:
    with Server(accept_and_wait, protocols=sent[:1]) as server:
        ws = WebSocket(server.url, *protocols)
        record(ws).wait("open")
        assert server.peers[0].head.values("sec-websocket-protocol") == sent
        assert ws.protocol == (sent[0] if sent else "")


def test_missing_and_surplus_arguments(closed_port: int) -> None:
    with pytest.raises(TypeError, match="url"):
        WebSocket()  # type: ignore[call-arg]
    ws = WebSocket(f"ws://127.0.0.1:{closed_port}/", [], "surplus", 3)
    with pytest.raises(TypeError, match="data"):
        ws.send()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="object"):
        WebSocket(object())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"headers": 3}, TypeError), ({"headers": [("a",)]}, TypeError),
        ({"headers": {"a": 1}}, TypeError),
        ({"headers": {"a b": "1"}}, ValueError), ({"headers": {"a": "1\r\nb: 2"}}, ValueError),
        ({"headers": {"Host": "x"}}, ValueError),
        ({"headers": {"Sec-WebSocket-Key": "x"}}, ValueError),
        ({"ssl_context": True}, TypeError), ({"open_timeout": 0}, ValueError),
        ({"open_timeout": "1"}, TypeError), ({"max_message_size": 0}, ValueError),
        ({"max_message_size": 1.5}, TypeError), ({"max_connecting": True}, TypeError),
        ({"no_such_option": 1}, TypeError),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        WebSocket("ws://127.0.0.1/", **options)


def test_the_request_has_the_headers(record: Any) -> None:
    with Server(accept_and_wait) as server:
        ws = WebSocket(server.url + "p;a?x=1", headers=[("X-Token", "1"), ("X-Token", "2")])
        record(ws).wait("open")
        head = server.peers[0].head
        assert head.start_line == "GET /p;a?x=1 HTTP/1.1"
        assert head.all("x-token") == ["1", "2"]
        assert head.all("host") == [f"127.0.0.1:{server.port}"]
        assert head.all("origin") == [f"http://127.0.0.1:{server.port}"]
        assert head.all("sec-websocket-version") == ["13"]
        assert head.all("pragma") == head.all("cache-control") == ["no-cache"]
        assert not head.all("cookie")


# -- messages -------------------------------------------------------------------------------------

TEXTS = ["", "a", "x" * 125, "x" * 126, "é" * 32768, "x" * 65535, "x" * 65536, "𝄞€é\0", "\ufeff"]
SIZES = [0, 1, 125, 126, 65535, 65536, 1024 * 1024]


def test_text_and_binary_come_back_as_they_were(any_echo_url: str, record: Any) -> None:
    ws = WebSocket(any_echo_url)
    ws.binaryType = "arraybuffer"
    recorder = record(ws)
    recorder.wait("open")
    sent: list[Any] = [*TEXTS, *(bytes(range(256)) * (n // 256 + 1) for n in SIZES)]
    sent = [
        item[: SIZES[i - len(TEXTS)]] if i >= len(TEXTS) else item for i, item in enumerate(sent)
    ]
    for item in sent:
        ws.send(item)
    recorder.wait("message", len(sent))
    assert recorder.data == sent
    assert {type(item) for item in recorder.data} == {str, ArrayBuffer}
    ws.close(1000, "done")
    event = recorder.wait("close")
    assert (event.code, event.wasClean) == (1000, True)
    assert event.reason in ("done", "")  # aiohttp does not echo it
    assert recorder.types == ["open", *["message"] * len(sent), "close"]


def test_a_burst_of_10000_keeps_its_order(any_echo_url: str, record: Any) -> None:
    ws = WebSocket(any_echo_url)
    recorder = record(ws)
    recorder.wait("open")
    for number in range(10_000):
        ws.send(str(number))
    recorder.wait("message", 10_000)
    assert recorder.data == [str(number) for number in range(10_000)]


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ("\ud800", "\ufffd"), ("a\udc00b", "a\ufffdb"), ("\ud834\udd1e", "𝄞"), (None, "null"),
        (True, "true"), (1, "1"), (1.5, "1.5"), (float("nan"), "NaN"),
        (bytearray(b"ab"), b"ab"), (memoryview(b"abcd")[::2], b"ac"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
        (Blob(["a", b"b"]), b"ab"), (ArrayBuffer(b"ab"), b"ab"),
        pytest.param(10**5000, "1" + "0" * 5000, id="long int"),
    ],
)  # fmt: skip
def test_send_converts(given: Any, arrives: Any, echo_url: str, record: Any) -> None:
    ws = WebSocket(echo_url)
    ws.binaryType = "arraybuffer"
    recorder = record(ws)
    recorder.wait("open")
    ws.send(given)
    assert recorder.wait("message").data == arrives


def test_send_copies_a_buffer_at_once(echo_url: str, record: Any) -> None:
    ws = WebSocket(echo_url)
    ws.binaryType = "arraybuffer"
    recorder = record(ws)
    recorder.wait("open")
    data = bytearray(b"before")
    ws.send(data)
    data[:] = b"after!"
    assert recorder.wait("message").data == b"before"


def test_send_numpy_array(echo_url: str, record: Any) -> None:
    numpy = pytest.importorskip("numpy", reason="pip install numpy")
    ws = WebSocket(echo_url)
    ws.binaryType = "arraybuffer"
    recorder = record(ws)
    recorder.wait("open")
    numbers = numpy.arange(5000, dtype="float32")
    ws.send(numbers)
    assert (numpy.frombuffer(recorder.wait("message").data, "float32") == numbers).all()


@pytest.mark.parametrize("given", [{}, [1], object(), {"a": 1}])
def test_send_refuses_objects_with_advice(given: Any, echo_url: str, record: Any) -> None:
    ws = WebSocket(echo_url)
    record(ws).wait("open")
    with pytest.raises(TypeError, match=r"json\.dumps"):
        ws.send(given)


def test_send_takes_a_numpy_scalar_for_the_number_it_is(echo_url: str, record: Any) -> None:
    numpy = pytest.importorskip("numpy", reason="pip install numpy")
    ws = WebSocket(echo_url)
    recorder = record(ws)
    recorder.wait("open")
    for number in (numpy.float64(5), numpy.int64(5), numpy.float32(1.5), numpy.bool_(True)):
        ws.send(number)
    ws.send(numpy.array(5, "uint8"))  # an array without a dimension is still an array
    recorder.wait("message", 5)
    assert recorder.data[:4] == ["5", "5", "1.5", "true"]
    assert bytes(recorder.data[4]) == b"\x05"
    ws.close(numpy.int64(1000))
    assert recorder.wait("close").code == 1000


def test_send_refuses_a_buffer_of_memory_addresses(echo_url: str, record: Any) -> None:
    numpy = pytest.importorskip("numpy", reason="pip install numpy")
    ws = WebSocket(echo_url)
    recorder = record(ws)
    recorder.wait("open")
    with pytest.raises(TypeError, match="data is a ndarray that holds memory addresses"):
        ws.send(numpy.array([None]))
    with pytest.raises(TypeError, match="data is a ndarray that cannot be read"):
        ws.send(numpy.array(["2020-01-01"], dtype="datetime64[D]"))
    assert ws.bufferedAmount == 0
    ws.send("the first message")
    assert recorder.wait("message").data == "the first message"


def test_send_while_connecting_is_an_invalid_state_error(closed_port: int) -> None:
    ws = WebSocket(f"ws://127.0.0.1:{closed_port}/")
    with pytest.raises(DOMException) as caught:
        ws.send("x")
    assert (caught.value.name, caught.value.code) == ("InvalidStateError", 11)
    with pytest.raises(TypeError):
        ws.send({})  # conversion comes first


def test_message_events_are_as_the_standard_says(echo_url: str, record: Any) -> None:
    seen: list[Any] = []

    def onmessage(event: Any) -> None:
        seen.extend((event.eventPhase, event.currentTarget, event.composedPath()))

    ws = WebSocket(echo_url)
    ws.onmessage = onmessage
    recorder = record(ws)
    recorder.wait("open")
    ws.send("x")
    event = recorder.wait("message")
    assert seen == [Event.AT_TARGET, ws, [ws]]
    assert isinstance(event, MessageEvent)
    assert type(event).__name__ == "MessageEvent"
    assert (event.type, event.target, event.srcElement, event.origin) == (
        "message", ws, ws, echo_url[:-1],
    )  # fmt: skip
    assert (event.lastEventId, event.source, event.ports) == ("", None, ())
    assert event.isTrusted
    assert not (event.bubbles or event.cancelable or event.composed or event.defaultPrevented)
    assert event.timeStamp > recorder.events[0].timeStamp > 0
    assert (event.eventPhase, event.currentTarget, event.composedPath()) == (0, None, [])


def test_a_received_event_can_be_dispatched_again_and_set_up_anew(
    echo_url: str, record: Any
) -> None:
    ws = WebSocket(echo_url)
    recorder = record(ws)
    recorder.wait("open")
    ws.send("x")
    event = recorder.wait("message")
    with pytest.raises(AttributeError):
        event.data = 1
    other, seen = webapi.EventTarget(), []
    other.addEventListener("message", lambda event: seen.append((event.target, event.isTrusted)))
    before = event.timeStamp
    assert other.dispatchEvent(event)
    assert seen == [(other, False)]
    assert (event.type, event.data, event.timeStamp) == ("message", "x", before)
    ws.send("y")
    second = recorder.wait("message", 2)
    second.initMessageEvent("other", True, False, 5, "o")
    assert (second.type, second.data, second.origin, second.bubbles) == ("other", 5, "o", True)
    ws.send("z")
    third = recorder.wait("message", 2)  # the second is no "message" any more
    third.initEvent("third")
    assert (third.type, third.data, third.target) == ("third", "z", None)


def test_binary_type(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send_raw(bytes([0x82, 1, 65]) * 3)
        await peer.wait_end()

    with Server(script) as server:
        ws = WebSocket(server.url)
        for ignored in ("foo", "", None, 1, object(), "ArrayBuffer"):
            ws.binaryType = ignored
            assert ws.binaryType == "blob"

        def onmessage(event: Any) -> None:  # read when the message is dispatched
            ws.binaryType = "arraybuffer" if len(recorder.data) == 0 else "blob"

        ws.onmessage = onmessage
        recorder = record(ws)
        recorder.wait("open")
        ws.send("go")
        recorder.wait("message", 3)
        assert [type(item) for item in recorder.data] == [Blob, ArrayBuffer, Blob]
        assert [bytes(item) for item in recorder.data] == [b"A"] * 3


# -- close() --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((), None, ""), ((1000,), 1000, ""), ((3000,), 3000, ""), ((4999, "bye"), 4999, "bye"),
        (("1000",), 1000, ""), ((1000.5,), 1000, ""), ((999.9,), 1000, ""),
        ((3000.5, "x"), 3000, "x"),
        ((webapi.UNDEFINED, "x"), 1000, "x"), ((webapi.UNDEFINED, ""), None, ""),
        ((1000, "x" * 123), 1000, "x" * 123), ((1000, "é" * 61), 1000, "é" * 61),
        ((1000, "\ud800"), 1000, "\ufffd"), ((1000, None), 1000, "null"),
        ((1000, "x", "surplus"), 1000, "x"),
    ],
)  # fmt: skip
def test_close_sends(arguments: Any, code: int | None, reason: str, record: Any) -> None:
    received: list[Any] = []

    async def script(peer: Peer) -> None:
        received.append(await peer.receive_any())
        await peer.answer_close()

    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("open")
        ws.close(*arguments)
        assert (
            ws.readyState >= WebSocket.CLOSING
        )  # on a loop it is CLOSING; the test's thread races
        event = recorder.wait("close")
        server.wait_scripts()
        assert received == [frames.Close(code, reason)]
        assert isinstance(event, CloseEvent)
        assert (event.code, event.reason) == (1005 if code is None else code, reason)
        assert event.wasClean
        assert recorder.types == ["open", "close"]
        assert ws.readyState == WebSocket.CLOSED


@pytest.mark.parametrize(
    "code", [0, 999, 1001, 1005, 2999, 5000, 66536, 4999.9, -1, "abc", None, float("nan")]
)
def test_close_with_a_bad_code_is_an_invalid_access_error(code: Any, echo_url: str) -> None:
    ws = WebSocket(echo_url)
    with pytest.raises(DOMException) as caught:
        ws.close(code)
    assert (caught.value.name, caught.value.code) == ("InvalidAccessError", 15)
    assert ws.readyState < WebSocket.CLOSING


@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "\ud800" * 42])
def test_close_with_a_long_reason_is_a_syntax_error(reason: str, echo_url: str) -> None:
    ws = WebSocket(echo_url)
    with pytest.raises(DOMException) as caught:
        ws.close(1000, reason)
    assert caught.value.name == "SyntaxError"
    with pytest.raises(DOMException) as caught:
        ws.close(999, reason)  # the code is checked first
    assert caught.value.name == "InvalidAccessError"


def test_bad_arguments_are_refused_in_every_state(echo_url: str, record: Any) -> None:
    ws = WebSocket(echo_url)
    recorder = record(ws)
    recorder.wait("open")
    for _ in range(2):
        ws.close(3000)
        with pytest.raises(DOMException):
            ws.close(1)
        with pytest.raises(TypeError):
            ws.close(object())
        with pytest.raises(TypeError):
            ws.send({})
        recorder.wait("close")
    ws.close()
    assert recorder.types == ["open", "close"]


def test_close_during_connecting_fires_error_then_close_1006() -> None:
    with Server(accept_and_wait) as server:

        async def main() -> list[Any]:
            ws = WebSocket(server.url)
            seen: list[Any] = []
            done = asyncio.get_running_loop().create_future()
            ws.onopen = lambda event: seen.append("open")
            ws.onerror = lambda event: seen.append(("error", type(event), ws.readyState))

            def onclose(event: Any) -> None:
                seen.append(("close", event.code, event.reason, event.wasClean, ws.readyState))
                done.set_result(None)

            ws.onclose = onclose
            ws.close(3000, "never mind")
            ws.close()
            seen.append(ws.readyState)  # both events come in later tasks
            await done
            return seen

        assert asyncio.run(main()) == [
            WebSocket.CLOSING,
            ("error", Event, WebSocket.CLOSED),
            ("close", 1006, "", False, WebSocket.CLOSED),
        ]


def test_close_while_the_handshake_is_under_way_closes_its_connection(record: Any) -> None:
    asked, gone = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await peer.wait_end()
        gone.set()

    with Server(script, handshake=False) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        assert asked.wait(20)
        ws.close()
        assert recorder.wait("close").code == 1006
        assert recorder.types == ["error", "close"]
        assert gone.wait(20)


def test_close_in_the_turn_in_which_the_handshake_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is read and accepted, but no task of the page's has been told so yet."""
    gone = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.wait_end()
        gone.set()

    async def main(url: str) -> list[str]:
        async def establish_and_close(*arguments: Any) -> Any:
            established = await opening.establish(*arguments)
            asyncio.get_running_loop().call_soon(ws.close)
            return established

        monkeypatch.setattr(DEFAULT_PAGE, "establish", establish_and_close)
        ws, types, done = WebSocket(url), list[str](), asyncio.Event()
        ws.onopen = ws.onerror = lambda event: types.append(event.type)
        ws.onclose = lambda event: (types.append(f"{event.type} {event.code}"), done.set())
        await asyncio.wait_for(done.wait(), 20)
        return types

    with Server(script) as server:
        assert asyncio.run(main(server.url)) == ["error", "close 1006"]
        assert gone.wait(20)


def test_close_during_connecting_is_logged_in_one_line(
    record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(accept_and_wait, handshake=False) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        ws.close()
        recorder.wait("close")
    assert logged(caplog, server.url) == [
        f"WebSocket connection to '{server.url}' failed: "
        "it was closed before the connection was established"
    ]


# -- bufferedAmount -------------------------------------------------------------------------------


def test_buffered_amount_rises_in_send_and_falls_between_tasks(echo_url: str) -> None:
    async def main() -> None:
        ws = WebSocket(echo_url)
        opened, echoed = asyncio.Event(), asyncio.Event()
        amounts: list[int] = []

        def onopen(event: Any) -> None:
            for data in ("abc", bytes(10), "€", Blob([b"xy"])):
                ws.send(data)
                amounts.append(ws.bufferedAmount)
            opened.set()

        ws.onopen = onopen
        ws.onmessage = lambda event: echoed.set()
        await opened.wait()
        assert amounts == [3, 13, 16, 18]
        await echoed.wait()
        assert ws.bufferedAmount == 0

    asyncio.run(main())


def test_buffered_amount_only_grows_after_close(echo_url: str, record: Any) -> None:
    ws = WebSocket(echo_url)
    recorder = record(ws)
    recorder.wait("open")
    ws.close()
    ws.send("abc")
    ws.send(b"1234567")
    assert ws.bufferedAmount == 10
    recorder.wait("close")
    assert ws.bufferedAmount == 10
    ws.send("é")
    assert ws.bufferedAmount == 12


def test_buffered_amount_counts_what_the_kernel_did_not_take(record: Any) -> None:
    go = threading.Event()

    async def script(peer: Peer) -> None:  # reads nothing until told to
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        total = 0
        while total < 40 * size:
            total += len(await peer.receive())
        await peer.send("all")
        await peer.wait_end()

    size = 1024 * 1024
    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("open")
        for _ in range(40):
            ws.send(bytes(size))  # never blocks
        amount = ws.bufferedAmount
        assert 20 * size < amount <= 40 * size
        go.set()
        assert recorder.wait("message").data == "all"
        assert ws.bufferedAmount == 0


def test_unsent_data_stay_counted_when_the_connection_dies(record: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.receive_any()
        peer.reset()

    with Server(script) as server:
        ws = WebSocket(server.url)
        recorder = record(ws)
        recorder.wait("open")
        for _ in range(40):
            ws.send(bytes(1024 * 1024))
        recorder.wait("close")
        amount = ws.bufferedAmount
        assert amount > 20 * 1024 * 1024
        ws.send("abc")
        assert ws.bufferedAmount == amount + 3


def test_sends_from_many_threads_all_arrive(echo_url: str, record: Any) -> None:
    ws = WebSocket(echo_url)
    recorder = record(ws)
    recorder.wait("open")

    def send(name: str) -> None:
        for number in range(500):
            ws.send(f"{name} {number}")

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.wait("message", 2000)
    for name in "abcd":
        mine = [int(text.split()[1]) for text in recorder.data if text.startswith(name)]
        assert mine == list(range(500))
