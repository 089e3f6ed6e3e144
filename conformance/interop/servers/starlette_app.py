"""An echo application on Starlette and one on FastAPI, which is Starlette underneath."""

import os

import told
from starlette.websockets import WebSocketDisconnect


async def obey(socket, command, arguments):
    if command == "burst":
        for number in range(int(arguments[0])):
            await socket.send_text(str(number))
    elif command == "close":
        await socket.close(int(arguments[0]), arguments[1])
    elif command == "pour":
        await socket.send_text("pouring")
        await socket.send_bytes(bytes(int(arguments[0])))


async def echo(socket):
    offered = socket.scope["subprotocols"]
    await socket.accept(told.SUBPROTOCOL if told.SUBPROTOCOL in offered else None)
    try:
        while True:
            event = await socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event.get("text")
            if found := told.parse(text):
                await obey(socket, *found)
                if found[0] == "close":
                    return
            elif text is not None:
                await socket.send_text(text)
            else:
                await socket.send_bytes(event["bytes"])
    except WebSocketDisconnect:
        pass


if os.environ.get("INTEROP_APP") == "fastapi":
    from fastapi import FastAPI, WebSocket

    app = FastAPI()

    @app.websocket("/")
    async def endpoint(socket: WebSocket):
        await echo(socket)
else:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    app = Starlette(routes=[WebSocketRoute("/", echo)])
