"""An echo server on PyPI's websockets."""

import asyncio
import contextlib

import told
import websockets
from websockets.asyncio.server import serve


async def obey(connection, command, arguments):
    if command == "burst":
        for number in range(int(arguments[0])):
            await connection.send(str(number))
    elif command == "fragments":
        await connection.send(["frag", "ment", "éd"])
    elif command == "ping":
        await (await connection.ping())
        await connection.send("pong")
    elif command == "close":
        await connection.close(int(arguments[0]), arguments[1])
    elif command == "pour":
        await connection.send("pouring")
        await connection.send(bytes(int(arguments[0])))


async def handle(connection):
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in connection:
            if found := told.parse(message):
                await obey(connection, *found)
            else:
                await connection.send(message)


async def main():
    for port, context in told.listeners():
        await serve(
            handle,
            told.HOST,
            port,
            ssl=context,
            subprotocols=[told.SUBPROTOCOL],
            max_size=told.LIMIT,
            ping_interval=told.PING,
            ping_timeout=told.PING,
            select_subprotocol=lambda _, offered: next(
                (name for name in offered if name == told.SUBPROTOCOL), None
            ),
        )
    await asyncio.Event().wait()


asyncio.run(main())
