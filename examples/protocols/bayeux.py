"""Bayeux on webapi.WebSocket, as Faye's client is used in a page.

    python examples/protocols/bayeux.py ws://127.0.0.1:8000/faye

The server is Faye's own (conformance/interop/servers/faye_server.js). In a page the same reads:

    const client = new Faye.Client("...");
    const subscription = client.subscribe("/news", (message) => ...);
    client.publish("/news", { text: "hello" });

Each text is a JSON array of messages; an answer has its request's `id`. `/meta/connect` is asked
again as soon as it is answered: that is the heartbeat.

Protocol: https://docs.cometd.org/current/reference/#_bayeux
"""

import asyncio
import itertools
import json
import sys

import webapi


class Client:
    """The part of Faye.Client that a page uses, over WebSocket alone."""

    def __init__(self, ws):
        self.ws = ws
        self.ws.onmessage = self._on_message
        self._id = None
        self._numbers = itertools.count(1)
        self._answers = {}
        self._listeners = {}
        self._going = True

    async def handshake(self):
        answer = await self._ask(
            "/meta/handshake",
            version="1.0",
            supportedConnectionTypes=["websocket"],
        )
        self._id = answer["clientId"]
        self._connecting = asyncio.ensure_future(self._stay_connected())
        return answer

    async def subscribe(self, channel, listener):
        self._listeners[channel] = listener
        return await self._ask("/meta/subscribe", subscription=channel)

    async def unsubscribe(self, channel):
        answer = await self._ask("/meta/unsubscribe", subscription=channel)
        del self._listeners[channel]
        return answer

    async def publish(self, channel, data):
        return await self._ask(channel, data=data)

    async def disconnect(self):
        self._going = False
        answer = await self._ask("/meta/disconnect")
        self._connecting.cancel()
        return answer

    async def _stay_connected(self):
        while self._going:
            await self._ask("/meta/connect", connectionType="websocket")

    async def _ask(self, channel, **fields):
        number = str(next(self._numbers))
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"channel": channel, "id": number, **fields}
        if self._id:
            message["clientId"] = self._id
        self.ws.send(json.dumps([message]))
        return await answer

    def _on_message(self, event):
        for message in json.loads(event.data):
            if "successful" in message:
                answer = self._answers.pop(message["id"])
                if not answer.done():
                    answer.set_result(message)
            elif message["channel"] in self._listeners:
                self._listeners[message["channel"]](message["data"])


async def main(url):
    loop = asyncio.get_running_loop()
    ws = webapi.WebSocket(url)
    opened, closed, came = (loop.create_future() for _ in range(3))
    ws.onopen, ws.onclose = opened.set_result, closed.set_result
    await opened
    client = Client(ws)
    answer = await client.handshake()
    print("handshake:", answer["successful"], "websocket" in answer["supportedConnectionTypes"])
    answer = await client.subscribe("/news", came.set_result)
    print("subscribed:", answer["subscription"])
    answer = await client.publish("/news", {"text": "hello"})
    print("published:", answer["successful"])
    print("/news:", await came)
    print("unsubscribed:", (await client.unsubscribe("/news"))["successful"])
    print("disconnected:", (await client.disconnect())["successful"])
    ws.close(1000)
    event = await closed
    print("closed", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
