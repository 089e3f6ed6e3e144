"""An echo application on Quart, served by the Hypercorn that comes with it."""

import asyncio

import told
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, websocket

app = Quart(__name__)


@app.websocket("/")
async def echo():
    chosen = told.SUBPROTOCOL if told.SUBPROTOCOL in websocket.requested_subprotocols else None
    await websocket.accept(subprotocol=chosen)
    while True:
        message = await websocket.receive()
        found = told.parse(message)
        if not found:
            await websocket.send(message)
            continue
        command, arguments = found
        if command == "burst":
            for number in range(int(arguments[0])):
                await websocket.send(str(number))
        elif command == "close":
            await websocket.close(int(arguments[0]), arguments[1])
        elif command == "pour":
            await websocket.send("pouring")
            await websocket.send(bytes(int(arguments[0])))


async def main():
    servers = []
    for port, context in told.listeners():
        config = Config()
        config.bind = [f"{told.HOST}:{port}"]
        config.websocket_max_message_size = told.LIMIT
        config.websocket_ping_interval = told.PING
        if context:
            config.certfile, config.keyfile = told.CERTIFICATE, told.KEY
        servers.append(serve(app, config))
    await asyncio.gather(*servers)


asyncio.run(main())
