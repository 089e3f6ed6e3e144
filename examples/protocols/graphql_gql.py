"""gql, a GraphQL client of PyPI's, on webapi.WebSocket: it takes any connection as an adapter.

    python examples/protocols/graphql_gql.py ws://127.0.0.1:4000/graphql

The server is conformance/interop/servers/graphql_server.js. gql has adapters for `websockets` and
aiohttp; `Adapter` is one for our class, and all else is gql's own: the subprotocol, the handshake,
the operations. `pip install gql` brings it.

gql: https://gql.readthedocs.io/
"""

import asyncio
import sys

from gql import Client, gql
from gql.transport.common.adapters.connection import AdapterConnection
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets_protocol import WebsocketsProtocolTransportBase

import webapi


class Adapter(AdapterConnection):
    """webapi.WebSocket as gql wants a connection; `connect_args` go to the constructor."""

    def __init__(self, url, connect_args=None):
        super().__init__(url, connect_args)
        self.ws = None

    async def connect(self):
        loop = asyncio.get_running_loop()
        opened, self.closed = loop.create_future(), loop.create_future()
        self.messages = asyncio.Queue()
        self.ws = webapi.WebSocket(self.url, self.subprotocols or [], **self.connect_args)
        self.ws.onopen = opened.set_result
        self.ws.onmessage = lambda event: self.messages.put_nowait(event.data)

        def onclose(event):
            self.closed.set_result(event)
            self.messages.put_nowait(None)
            if not opened.done():
                opened.set_exception(TransportConnectionFailed("did not open"))

        self.ws.onclose = onclose
        await opened

    @property
    def response_headers(self):  # a page sees this one only
        return {"Sec-WebSocket-Protocol": self.ws.protocol} if self.ws.protocol else {}

    async def send(self, message):
        if self.ws.readyState != self.ws.OPEN:
            raise TransportConnectionFailed("not open")
        self.ws.send(message)

    async def receive(self):
        data = await self.messages.get()
        if data is None:
            self.messages.put_nowait(None)  # whoever asks again is told the same
            event = self.closed.result()
            raise TransportConnectionFailed(f"closed: {event.code} {event.reason}")
        return data

    async def close(self):
        self.ws.close(1000)
        await self.closed


class Transport(WebsocketsProtocolTransportBase):
    """gql's transport of GraphQL over WebSocket, on that adapter, as its own ones are on theirs."""

    def __init__(self, url, connect_args=None, **options):
        self.adapter = Adapter(url, connect_args)
        super().__init__(adapter=self.adapter, **options)


async def main(url):
    transport = Transport(url)
    adapter = transport.adapter
    async with Client(transport=transport) as session:
        print("acknowledged:", adapter.ws.protocol)
        print("query:", await session.execute(gql("{ hello }")))
        try:
            await session.execute(gql("{ nothing }"))
        except TransportQueryError as error:
            print("error:", error.errors[0]["message"])
        countdown = gql("subscription ($from: Int) { countdown(from: $from) }")
        countdown.variable_values = {"from": 2}
        async for result in session.subscribe(countdown):
            print("countdown:", result["countdown"])
        print("countdown complete")
    event = await adapter.closed
    print("closed", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
