"""Hypercorn on both ports, with the Starlette application."""

import asyncio

import told
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette_app import app


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
