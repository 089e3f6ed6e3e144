"""An echo server on aiohttp."""

import asyncio

import told
from aiohttp import WSMsgType, web


async def obey(socket, command, arguments):
    if command == "burst":
        for number in range(int(arguments[0])):
            await socket.send_str(str(number))
    elif command == "ping":
        await socket.ping(b"there?")
        # With autoping it answers and hides them; so the pong is awaited by hand.
        assert (await socket.receive()).type is WSMsgType.PONG
        await socket.send_str("pong")
    elif command == "close":
        await socket.close(code=int(arguments[0]), message=arguments[1].encode())
    elif command == "pour":
        await socket.send_str("pouring")
        await socket.send_bytes(bytes(int(arguments[0])))


async def handle(request):
    socket = web.WebSocketResponse(
        protocols=[told.SUBPROTOCOL],
        max_msg_size=told.LIMIT,
        heartbeat=told.PING,
        autoping=False,
    )
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            if found := told.parse(message.data):
                await obey(socket, *found)
            else:
                await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type is WSMsgType.PING:
            await socket.pong(message.data)
    return socket


async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    for port, context in told.listeners():
        await web.TCPSite(runner, told.HOST, port, ssl_context=context).start()
    await asyncio.Event().wait()


asyncio.run(main())
