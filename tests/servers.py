"""What the servers of several tests do."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import trustme


def server_context_for(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


async def websockets_echo(connection: Any) -> None:
    import websockets

    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def aiohttp_echo(socket: Any) -> None:
    from aiohttp import WSMsgType

    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
