"""An echo server on uWebSockets, through socketify."""

import told
from socketify import App, AppListenOptions, AppOptions, CompressOptions, OpCode


def obey(ws, command, arguments):
    if command == "burst":
        for number in range(int(arguments[0])):
            ws.send(str(number), OpCode.TEXT)
    elif command == "ping":
        waiting.append(ws)
        ws.send(b"there?", OpCode.PING)
    elif command == "close":
        ws.end(int(arguments[0]), arguments[1])
    elif command == "fragments":
        ws.send_first_fragment("frag", OpCode.TEXT)
        ws.send_fragment("ment")
        ws.send_last_fragment("éd")
    elif command == "pour":
        ws.send("pouring", OpCode.TEXT)
        ws.send(bytes(int(arguments[0])), OpCode.BINARY)


waiting = []


def on_message(ws, message, opcode):
    if opcode == OpCode.TEXT and (found := told.parse(message)):
        obey(ws, *found)
    else:
        ws.send(message, opcode)


def on_pong(ws, _message):
    if waiting:
        waiting.pop()
        ws.send("pong", OpCode.TEXT)


def on_upgrade(response, request, context):
    offered = request.get_header("sec-websocket-protocol") or ""
    chosen = told.SUBPROTOCOL if told.SUBPROTOCOL in offered else ""
    response.upgrade(
        request.get_header("sec-websocket-key"),
        chosen,
        request.get_header("sec-websocket-extensions"),
        context,
        None,
    )


def run(port, options):
    app = App(options)
    app.ws(
        "/*",
        {
            "compression": CompressOptions.SHARED_COMPRESSOR,
            "max_payload_length": told.LIMIT,
            "max_backpressure": 256 * 1024 * 1024,
            "idle_timeout": 8,
            "send_pings_automatically": True,
            "upgrade": on_upgrade,
            "message": on_message,
            "pong": on_pong,
        },
    )
    app.listen(AppListenOptions(port=port, host=told.HOST))
    app.run()


if __name__ == "__main__":
    import sys

    if len(sys.argv) > 1:
        run(told.TLS_PORT, AppOptions(key_file_name=told.KEY, cert_file_name=told.CERTIFICATE))
    else:
        run(told.PORT, None)
