"""``uvicorn_run.py MODULE:APP [IMPLEMENTATION]``: uvicorn on both ports."""

import asyncio
import sys

import told
import uvicorn


async def main():
    servers = []
    for port, context in told.listeners():
        files = {"ssl_certfile": told.CERTIFICATE, "ssl_keyfile": told.KEY} if context else {}
        config = uvicorn.Config(
            sys.argv[1],
            host=told.HOST,
            port=port,
            log_level="warning",
            ws=sys.argv[2],
            ws_max_size=told.LIMIT,
            ws_ping_interval=told.PING,
            ws_ping_timeout=told.PONG,
            **files,
        )
        servers.append(uvicorn.Server(config).serve())
    await asyncio.gather(*servers)


asyncio.run(main())
