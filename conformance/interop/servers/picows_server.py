"""An echo server on picows."""

import asyncio

import told
from picows import (
    WSCloseCode,
    WSListener,
    WSMsgType,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)


class Echo(WSListener):
    """One connection."""

    waiting = False

    def on_ws_frame(self, transport, frame):
        kind = frame.msg_type
        if kind is WSMsgType.TEXT:
            if found := told.parse(frame.get_payload_as_utf8_text()):
                self.obey(transport, *found)
            else:
                transport.send(kind, frame.get_payload_as_bytes())
        elif kind is WSMsgType.BINARY:
            transport.send(kind, frame.get_payload_as_bytes())
        elif kind is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PONG and self.waiting:
            self.waiting = False
            transport.send(WSMsgType.TEXT, b"pong")
        elif kind is WSMsgType.CLOSE:
            if frame.get_payload_as_bytes():
                transport.send_close(frame.get_close_code(), frame.get_close_message())
            else:
                transport.send(WSMsgType.CLOSE, b"")
            transport.disconnect()

    def obey(self, transport, command, arguments):
        if command == "burst":
            for number in range(int(arguments[0])):
                transport.send(WSMsgType.TEXT, str(number).encode())
        elif command == "fragments":
            transport.send(WSMsgType.TEXT, b"frag", fin=False)
            transport.send(WSMsgType.CONTINUATION, b"ment", fin=False)
            transport.send(WSMsgType.CONTINUATION, "éd".encode())
        elif command == "ping":
            self.waiting = True
            transport.send_ping(b"there?")
        elif command == "close":
            transport.send_close(WSCloseCode(int(arguments[0])), arguments[1])
        elif command == "pour":
            transport.send(WSMsgType.TEXT, b"pouring")
            transport.send(WSMsgType.BINARY, bytes(int(arguments[0])))


def accept(request):
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    chosen = {"Sec-WebSocket-Protocol": told.SUBPROTOCOL} if told.SUBPROTOCOL in offered else None
    response = WSUpgradeResponse.create_101_response(chosen)
    return WSUpgradeResponseWithListener(response, Echo())


async def main():
    for port, context in told.listeners():
        await ws_create_server(
            accept,
            told.HOST,
            port,
            ssl=context,
            max_frame_size=told.LIMIT,
            enable_auto_ping=True,
            auto_ping_idle_timeout=told.PING,
            auto_ping_reply_timeout=told.PING,
        )
    await asyncio.Event().wait()


asyncio.run(main())
