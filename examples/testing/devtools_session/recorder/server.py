"""The real server of the session: the page over HTTP, and the list over a WebSocket."""

import json
from datetime import datetime, timezone
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

FILES = {"/": ("index.html", "text/html"), "/todo.js": ("todo.js", "text/javascript")}


def page(connection, request):
    """Answer what asks for no WebSocket."""
    if "Upgrade" in request.headers:
        return None
    if request.path not in FILES:
        return connection.respond(HTTPStatus.NOT_FOUND, "")
    name, kind = FILES[request.path]
    body = (Path(__file__).parent / name).read_bytes()
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body))})
    return Response(200, "OK", headers, body)


async def keep_the_list(connection):
    items = {1: {"text": "water the plants", "done": True, "old": True, "at": now()}}

    async def tell(type, id):
        await connection.send(json.dumps({"type": type, "id": id, **items[id]}))

    async for message in connection:
        match json.loads(message):
            case {"type": "sync"}:
                for id in items:
                    await tell("item", id)
            case {"type": "add", "text": text}:
                id = len(items) + 1
                items[id] = {"text": text, "at": now()}
                await tell("item", id)
            case {"type": "done", "id": id}:
                items[id]["done"] = True
                await tell("changed", id)


def now():
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def todo_server(ssl):
    return serve(
        keep_the_list, "127.0.0.1", 0, ssl=ssl, subprotocols=["todo.v1"], process_request=page
    )
