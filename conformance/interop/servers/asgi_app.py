"""An echo application on bare ASGI, for the servers that speak it."""

import told


async def send_text(send, text):
    await send({"type": "websocket.send", "text": text})


async def obey(send, command, arguments):
    if command == "burst":
        for number in range(int(arguments[0])):
            await send_text(send, str(number))
    elif command == "close":
        await send({"type": "websocket.close", "code": int(arguments[0]), "reason": arguments[1]})
    elif command == "pour":
        await send_text(send, "pouring")
        await send({"type": "websocket.send", "bytes": bytes(int(arguments[0]))})


async def app(scope, receive, send):
    """Echo, whatever the path."""
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "websocket":
        return
    await receive()  # websocket.connect
    offered = scope["subprotocols"]
    chosen = told.SUBPROTOCOL if told.SUBPROTOCOL in offered else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if found := told.parse(text):
            await obey(send, *found)
            if found[0] == "close":
                return
        elif text is not None:
            await send_text(send, text)
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
