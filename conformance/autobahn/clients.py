"""The clients that can be put through the suite: each echoes all it is sent until it is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol


class Client(Protocol):
    """What the runner needs of a client."""

    async def run_case(self, url: str) -> None:
        """Connect to ``url``, send back every message as it came, return once it is closed."""


class WebApi:
    """The client this repository is about."""

    def __init__(self) -> None:
        # It warns of each connection that a server breaks, as many cases do on purpose.
        logging.getLogger("webapi").setLevel(logging.ERROR)

    async def run_case(self, url: str) -> None:
        from webapi import WebSocket

        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The runner opens several at once to one host, which a browser would hold back.
        ws = WebSocket(url, max_connecting=64)
        ws.binaryType = "arraybuffer"
        ws.onmessage = lambda event: ws.send(event.data)
        ws.onclose = lambda _event: None if closed.done() else closed.set_result(None)
        try:
            await closed
        finally:
            ws.close()


class Websockets:
    """The ``websockets`` package: a second opinion, and what tests the runner itself."""

    async def run_case(self, url: str) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        try:
            async with connect(
                url, max_size=None, max_queue=1024, ping_interval=None, proxy=None
            ) as connection:
                async for message in connection:
                    await connection.send(message)
        except WebSocketException:
            # Many cases end a connection badly on purpose; the verdict is the server's to give.
            pass


CLIENTS: dict[str, Callable[[], Client]] = {"webapi": WebApi, "websockets": Websockets}
