"""permessage-deflate with the servers that we did not write, with every parameter that they have.

PyPI `websockets`, aiohttp and Node's `ws` echo what we send: each parameter of RFC 7692 §7.1 by
itself, all of them together with every window on both sides, and answers in forms that a sender may
choose: fragments, several DEFLATE blocks, stored blocks, a block with BFINAL.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import aiohttp_echo, websockets_echo

from webapi import WebSocket
from webapi.protocol.deflate import THRESHOLD
from webapi.protocol.frames import BINARY, TEXT
from webapi.protocol.sender import frame

KIB, MIB = 1024, 1024 * 1024
RSV1 = 4

DEADLINE = 60.0
NODE_MODULES = Path(__file__).parents[1] / "node" / "node_modules"

# -- what is sent ----------------------------------------------------------------------------------


def some_json(size: int) -> str:
    chance = random.Random(size)
    items = [{"id": chance.randrange(10**6), "name": f"n{index}"} for index in range(size // 20)]
    return json.dumps(items)[:size]


def messages_to_echo() -> list[str | bytes]:
    chance = random.Random(9)
    one_of_each: list[str | bytes] = [
        "", b"", "x", b"x", "a" * (THRESHOLD - 1), "a" * THRESHOLD, bytes(THRESHOLD - 1),
        bytes(THRESHOLD), some_json(KIB), some_json(64 * KIB), chance.randbytes(64 * KIB),
        chance.randbytes(MIB), bytes(3 * MIB), "größe 😀 日本 " * 500, "é" * THRESHOLD,
    ]  # fmt: skip
    # many in a row, each like the one before: what takeover is for
    return one_of_each + [some_json(KIB).replace("n1", f"m{turn}") for turn in range(60)]


def messages_for_a_window() -> list[str | bytes]:
    """Few, with repetitions nearer than the smallest window, and farther than the largest."""
    chance = random.Random(3)
    block = chance.randbytes(300)
    repeated = b"".join(
        block + chance.randbytes((1 << bits) - 700) + block for bits in range(10, 17)
    )
    return [
        "", repeated, repeated[::-1], some_json(8 * KIB), b"", some_json(8 * KIB),
        chance.randbytes(20 * KIB), bytes(40 * KIB), "größe 😀 " * 50, some_json(200),
    ]  # fmt: skip


MESSAGES = messages_to_echo()
FOR_A_WINDOW = messages_for_a_window()


def assert_echoes(
    url: str, record: Any, extensions: str, messages: list[str | bytes] = MESSAGES
) -> None:
    """All messages come back, text as text and binary as binary."""
    ws = WebSocket(url)
    ws.binaryType = "arraybuffer"
    recorder = record(ws)
    recorder.wait("open")
    shown, expected = (text.replace(" ", "").split(";") for text in (ws.extensions, extensions))
    assert (shown[0], sorted(shown)) == (expected[0], sorted(expected))
    for message in messages:
        ws.send(message)
    recorder.wait("message", len(messages), DEADLINE)
    for got, sent in zip(recorder.data, messages, strict=True):
        if isinstance(sent, str):
            assert type(got) is str
            assert got == sent
        else:
            assert bytes(got) == sent
    ws.close(1000)
    close = recorder.wait("close")
    assert (close.code, close.wasClean) == (1000, True)
    assert ws.bufferedAmount == 0


# -- what is agreed on -----------------------------------------------------------------------------

SERVER_FLAG, CLIENT_FLAG = "server_no_context_takeover", "client_no_context_takeover"
SERVER_BITS, CLIENT_BITS = "server_max_window_bits", "client_max_window_bits"

Agreed = dict[str, bool | int]


def matrix() -> list[Agreed]:
    """Each parameter alone, and takeover or not with every window on both sides.

    The two windows go against one another, so that taking one for the other would show.
    """
    alone: list[Agreed] = [{}, {SERVER_FLAG: True}, {CLIENT_FLAG: True}]
    alone += [{side: bits} for side in (SERVER_BITS, CLIENT_BITS) for bits in range(8, 16)]
    together: list[Agreed] = [
        {**flags, SERVER_BITS: bits, CLIENT_BITS: 23 - bits}
        for flags in (
            {},
            {SERVER_FLAG: True},
            {CLIENT_FLAG: True},
            {SERVER_FLAG: True, CLIENT_FLAG: True},
        )
        for bits in range(8, 16)
    ]
    return alone + together + [{SERVER_BITS: bits, CLIENT_BITS: bits} for bits in range(8, 16)]


def answer(agreed: Agreed) -> str:
    """Return `agreed` as a server writes it."""
    values = [key if value is True else f"{key}={value}" for key, value in agreed.items()]
    return "; ".join(["permessage-deflate", *values])


MATRIX = matrix()


def test_the_matrix_has_every_window_on_both_sides_with_and_without_takeover() -> None:
    for side, flag in ((SERVER_BITS, SERVER_FLAG), (CLIENT_BITS, CLIENT_FLAG)):
        for takeover in (True, False):
            bits = {case[side] for case in MATRIX if side in case and (flag in case) != takeover}
            assert bits == set(range(8, 16))


# -- PyPI websockets -------------------------------------------------------------------------------

# zlib has no window of 8 bits to compress with, and so websockets has none for the server
WEBSOCKETS = [case for case in MATRIX if case.get(SERVER_BITS) != 8]


def websockets_deflate(agreed: Agreed, **options: Any) -> list[Any]:
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

    return [ServerPerMessageDeflateFactory(**agreed, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("agreed", WEBSOCKETS, ids=answer)
def test_websockets_echoes(
    agreed: Agreed, websockets_server: Callable[..., str], record: Any
) -> None:
    url = websockets_server(websockets_echo, extensions=websockets_deflate(agreed))
    assert_echoes(url, record, answer(agreed), FOR_A_WINDOW)


COMPRESS_SETTINGS = {
    "stored blocks": {"level": 0},
    "many small blocks": {"level": 6, "memLevel": 1},
    "fixed codes": {"strategy": zlib.Z_FIXED},
    "no references": {"strategy": zlib.Z_HUFFMAN_ONLY},
    "the best": {"level": 9, "memLevel": 9},
}


@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no takeover"])
@pytest.mark.parametrize("name", COMPRESS_SETTINGS)
def test_websockets_echoes_however_it_compresses(
    name: str, takeover: bool, websockets_server: Callable[..., str], record: Any
) -> None:
    agreed: Agreed = {} if takeover else {SERVER_FLAG: True, CLIENT_FLAG: True}
    settings = COMPRESS_SETTINGS[name]
    extensions = websockets_deflate(agreed, compress_settings=settings)
    url = websockets_server(websockets_echo, extensions=extensions)
    assert_echoes(url, record, answer(agreed))


def test_websockets_own_default_echoes(websockets_server: Callable[..., str], record: Any) -> None:
    url = websockets_server(websockets_echo, compression="deflate")
    assert_echoes(url, record, answer({SERVER_BITS: 12, CLIENT_BITS: 12}))


@pytest.mark.parametrize("agreed", [{}, {SERVER_FLAG: True, SERVER_BITS: 9}], ids=answer)
def test_websockets_echoes_in_fragments(
    agreed: Agreed, websockets_server: Callable[..., str], record: Any
) -> None:
    """Of 1, 2, 3 ... characters or bytes, the last one empty, and pings between them."""

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(in_fragments(connection, message))

    async def in_fragments(connection: Any, message: Any) -> Any:
        size, at = 1, 0
        while at < len(message):
            yield message[at : at + size]
            if size == 3:
                await connection.ping()
            at, size = at + size, size + 1
        yield message[:0]

    url = websockets_server(echo, extensions=websockets_deflate(agreed))
    assert_echoes(url, record, answer(agreed), FOR_A_WINDOW)


# -- forms that no server's options bring about ----------------------------------------------------


def several_blocks(data: bytes) -> bytes:
    """Deflate with a block for each KiB."""
    stream = zlib.compressobj(wbits=-15)
    parts = []
    for at in range(0, len(data), KIB):
        parts += [stream.compress(data[at : at + KIB]), stream.flush(zlib.Z_FULL_FLUSH)]
    return b"".join([*parts, stream.flush(zlib.Z_SYNC_FLUSH)])[:-4]


def final_block(data: bytes) -> bytes:
    """Deflate with BFINAL set, as RFC 7692 §7.2.3.4 shows it: the empty block's octet behind."""
    return final_block_alone(data) + b"\0"


def final_block_alone(data: bytes) -> bytes:
    """The same without that octet, as some senders have it."""
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


FORMS = [several_blocks, final_block, final_block_alone]


@pytest.mark.parametrize("form", FORMS)
def test_websockets_echoes_in_another_form(
    form: Callable[[bytes], bytes], websockets_server: Callable[..., str], record: Any
) -> None:
    from websockets.extensions.permessage_deflate import (
        PerMessageDeflate,
        ServerPerMessageDeflateFactory,
    )
    from websockets.frames import Frame, Opcode

    class Deflate(PerMessageDeflate):
        def encode(self, plain: Frame) -> Frame:
            if plain.opcode not in (Opcode.TEXT, Opcode.BINARY):
                return plain
            return Frame(plain.opcode, form(bytes(plain.data)), plain.fin, rsv1=True)

    class Factory(ServerPerMessageDeflateFactory):
        def process_request_params(self, *arguments: Any) -> Any:
            agreed, extension = super().process_request_params(*arguments)
            extension.__class__ = Deflate
            return agreed, extension

    url = websockets_server(websockets_echo, extensions=[Factory(True, False)])
    assert_echoes(url, record, answer({SERVER_FLAG: True}))


@pytest.mark.parametrize("form", FORMS)
def test_aiohttp_echoes_in_another_form(
    form: Callable[[bytes], bytes], aiohttp_deflate_server: Callable[..., str], record: Any
) -> None:
    async def echo(socket: Any) -> None:
        async for message in socket:
            text = isinstance(message.data, str)
            data = form(message.data.encode() if text else message.data)
            socket._writer.transport.write(frame(TEXT if text else BINARY, data, rsv=RSV1))

    url = aiohttp_deflate_server(echo, SERVER_FLAG)
    assert_echoes(url, record, answer({SERVER_FLAG: True}))


# -- aiohttp ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aiohttp_deflate_server(servers_loop: Any) -> Iterator[Callable[..., str]]:
    """Start aiohttp servers that compress: call it with a script and what shall be asked of it.

    aiohttp agrees to what it is asked for and chooses nothing of its own; browsers, and so we, ask
    for nothing. So the request is changed on its way in.
    """
    from aiohttp import web

    runners: list[web.AppRunner] = []

    def start(script: Any, *asked: str) -> str:
        async def handle(request: web.Request) -> web.WebSocketResponse:
            headers = request.headers.copy()
            if asked:
                headers["Sec-WebSocket-Extensions"] = "; ".join(["permessage-deflate", *asked])
            socket = web.WebSocketResponse(compress=True, max_msg_size=0)
            await socket.prepare(request.clone(headers=headers))
            await script(socket)
            return socket

        async def begin() -> web.AppRunner:
            app = web.Application()
            app.router.add_get("/", handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return runner

        runners.append(servers_loop.run(begin()))
        return f"ws://127.0.0.1:{runners[-1].addresses[0][1]}/"

    yield start
    for runner in runners:
        servers_loop.run(runner.cleanup())


# aiohttp knows the server's parameters, and leaves the client what it likes
AIOHTTP: list[Agreed] = [{}, {SERVER_FLAG: True}]
AIOHTTP += [{SERVER_BITS: bits} for bits in range(9, 15)]
AIOHTTP += [{SERVER_FLAG: True, SERVER_BITS: bits} for bits in range(9, 15)]


@pytest.mark.parametrize("agreed", AIOHTTP, ids=answer)
def test_aiohttp_echoes(
    agreed: Agreed, aiohttp_deflate_server: Callable[..., str], record: Any
) -> None:
    asked = answer(agreed).split("; ")[1:]
    assert_echoes(aiohttp_deflate_server(aiohttp_echo, *asked), record, answer(agreed))


@pytest.mark.parametrize("bits", range(9, 16))
def test_aiohttp_echoes_in_a_window_of_the_messages_own(
    bits: int, aiohttp_deflate_server: Callable[..., str], record: Any
) -> None:
    async def echo(socket: Any) -> None:
        async for message in socket:
            send = socket.send_str if isinstance(message.data, str) else socket.send_bytes
            await send(message.data, compress=bits)

    assert_echoes(aiohttp_deflate_server(echo), record, answer({}))


# -- Node's ws -------------------------------------------------------------------------------------

# One process for all: it listens at a port for each case, and says the ports in one line.
NODE_ECHOES = """
const { Sender, WebSocketServer } = require('ws');
const zlib = require('zlib');
const cases = JSON.parse(process.argv[1]);

const write = (socket, data, binary) => {
  const options = { fin: true, rsv1: true, opcode: binary ? 2 : 1, mask: false, readOnly: true };
  for (const part of Sender.frame(data, options)) socket._socket.write(part);
};
const empty = Buffer.from([0]);

const answers = {
  whole: (socket, data, binary) => socket.send(data, { binary }),
  fragments: (socket, data, binary) => {
    let at = 0;
    for (let size = 1; at < data.length; at += size, size += 1) {
      socket.send(data.subarray(at, at + size), { binary, compress: true, fin: false });
      if (size === 3) socket.ping('between');
    }
    socket.send('', { binary, compress: true, fin: true });
  },
  final: (socket, data, binary) =>
    write(socket, Buffer.concat([zlib.deflateRawSync(data), empty]), binary),
};

const ports = cases.map(([perMessageDeflate, how]) => new Promise((resolve) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 0,
                                       perMessageDeflate });
  server.on('listening', () => resolve(server.address().port));
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => answers[how](socket, data, binary));
    socket.on('error', (error) => console.error(error));
  });
}));
Promise.all(ports).then((all) => console.log(JSON.stringify(all)));
"""

NODE_NAMES = {
    SERVER_FLAG: "serverNoContextTakeover",
    CLIENT_FLAG: "clientNoContextTakeover",
    SERVER_BITS: "serverMaxWindowBits",
    CLIENT_BITS: "clientMaxWindowBits",
}


def node_options(agreed: Agreed, **more: Any) -> dict[str, Any]:
    return {**{NODE_NAMES[key]: value for key, value in agreed.items()}, **more}


NodeCase = tuple[dict[str, Any], str]

NODE: dict[str, tuple[NodeCase, Agreed, list[str | bytes]]] = {
    answer(agreed): ((node_options(agreed, threshold=0), "whole"), agreed, FOR_A_WINDOW)
    for agreed in MATRIX
}
NODE |= {
    f"{name}, {answer(agreed)}": ((node_options(agreed, **more), how), agreed, messages)
    for agreed in ({}, {SERVER_FLAG: True, CLIENT_FLAG: True})
    for name, how, more, messages in (
        ("its own defaults", "whole", {}, MESSAGES),
        ("all compressed", "whole", {"threshold": 0}, MESSAGES),
        (
            "stored blocks",
            "whole",
            {"threshold": 0, "zlibDeflateOptions": {"level": 0}},
            MESSAGES,
        ),
        (
            "many small blocks",
            "whole",
            {"threshold": 0, "zlibDeflateOptions": {"memLevel": 1, "chunkSize": 1024}},
            MESSAGES,
        ),
        (
            "fixed codes",
            "whole",
            {"threshold": 0, "zlibDeflateOptions": {"strategy": zlib.Z_FIXED}},
            MESSAGES,
        ),
        ("fragments", "fragments", {"threshold": 0}, FOR_A_WINDOW),
        ("a block with BFINAL", "final", {}, MESSAGES),
    )
}


@pytest.fixture(scope="module")
def node_urls() -> Iterator[dict[str, str]]:
    """A URL for each case of `NODE`."""
    if shutil.which("node") is None or not (NODE_MODULES / "ws").exists():
        pytest.skip("needs Node and `ws`: install Node.js, then `npm ci --prefix tests/node`")
    process = subprocess.Popen(
        ["node", "-e", NODE_ECHOES, json.dumps([case for case, _, _ in NODE.values()])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=NODE_MODULES.parent,
    )
    assert process.stdout is not None
    ports = json.loads(process.stdout.readline())
    yield {name: f"ws://127.0.0.1:{port}/" for name, port in zip(NODE, ports, strict=True)}
    process.terminate()
    process.wait(DEADLINE)
    process.stdout.close()


@pytest.mark.parametrize("name", NODE)
def test_node_ws_echoes(name: str, node_urls: dict[str, str], record: Any) -> None:
    _, agreed, messages = NODE[name]
    assert_echoes(node_urls[name], record, answer(agreed), messages)
