"""An echo server on Sanic."""

import sys

import told
from sanic import Sanic


def make():
    app = Sanic("interop")
    app.config.WEBSOCKET_MAX_SIZE = told.LIMIT
    app.config.WEBSOCKET_PING_INTERVAL = told.PING
    app.config.WEBSOCKET_PING_TIMEOUT = told.PING

    @app.websocket("/subprotocol", subprotocols=[told.SUBPROTOCOL], name="subprotocol")
    @app.websocket("/", name="plain")
    async def echo(_request, ws):
        async for message in ws:
            found = told.parse(message)
            if not found:
                await ws.send(message)
                continue
            command, arguments = found
            if command == "burst":
                for number in range(int(arguments[0])):
                    await ws.send(str(number))
            elif command == "ping":
                await (await ws.ping())
                await ws.send("pong")
            elif command == "close":
                await ws.close(int(arguments[0]), arguments[1])
            elif command == "pour":
                await ws.send("pouring")
                await ws.send(bytes(int(arguments[0])))

    return app


if __name__ == "__main__":
    tls = len(sys.argv) > 1
    make().run(
        host=told.HOST,
        port=told.TLS_PORT if tls else told.PORT,
        ssl={"cert": told.CERTIFICATE, "key": told.KEY} if tls else None,
        single_process=True,
        motd=False,
        access_log=False,
    )
