"""The subprotocol graphql-transport-ws on webapi.WebSocket, as graphql-ws' client is used.

    python examples/protocols/graphql_transport_ws.py ws://127.0.0.1:4000/graphql

The server is conformance/interop/servers/graphql_server.js. In a page the same reads:

    const client = createClient({ url: "ws://..." });
    const query = client.iterate({ query: "{ hello }" });
    for await (const result of client.iterate({ query: "subscription { ... }" })) ...

Protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import asyncio
import json
import sys
import uuid

import webapi


class Client:
    """The part of graphql-ws' client that a page uses."""

    def __init__(self, url):
        loop = asyncio.get_running_loop()
        self.ws = webapi.WebSocket(url, "graphql-transport-ws")
        self.acknowledged, self.closed, self.pong = (loop.create_future() for _ in range(3))
        self.ws.onopen = lambda _event: self._send({"type": "connection_init"})
        self.ws.onclose = self.closed.set_result
        self.ws.onmessage = self._on_message
        self._operations = {}

    async def iterate(self, query, variables=None):
        """Yield the results of a query, a mutation or a subscription."""
        number = str(uuid.uuid4())
        messages = self._operations[number] = asyncio.Queue()
        payload = {"query": query, "variables": variables or {}}
        self._send({"id": number, "type": "subscribe", "payload": payload})
        try:
            while (message := await messages.get())["type"] == "next":
                yield message["payload"]
            if message["type"] == "error":
                raise ValueError(message["payload"][0]["message"])
            number = None  # it is complete: there is nothing to stop
        finally:
            if number and message["type"] == "next":
                self._send({"id": number, "type": "complete"})

    async def ping(self):
        self._send({"type": "ping"})
        await self.pong

    def dispose(self):
        self.ws.close(1000, "Normal Closure")

    def _send(self, message):
        self.ws.send(json.dumps(message))

    def _on_message(self, event):
        message = json.loads(event.data)
        if message["type"] == "connection_ack":
            self.acknowledged.set_result(message)
        elif message["type"] == "ping":
            self._send({"type": "pong"})
        elif message["type"] == "pong":
            self.pong.set_result(message)
        else:
            self._operations[message["id"]].put_nowait(message)


async def main(url):
    client = Client(url)
    await client.acknowledged
    print("acknowledged:", client.ws.protocol)
    async for result in client.iterate("{ hello }"):
        print("query:", result["data"])
    try:
        async for _ in client.iterate("{ nothing }"):
            pass
    except ValueError as error:
        print("error:", error)
    countdown = "subscription ($from: Int) { countdown(from: $from) }"
    async for result in client.iterate(countdown, {"from": 2}):
        print("countdown:", result["data"]["countdown"])
    print("countdown complete")
    await client.ping()
    print("pong")
    client.dispose()
    event = await client.closed
    print("closed", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
