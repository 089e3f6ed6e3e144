"""SocketCluster on webapi.WebSocket, as socketcluster-client is used in a page.

    python examples/protocols/socketcluster.py ws://127.0.0.1:8000/socketcluster/

The server is conformance/interop/servers/socketcluster_server.js. In a page the same reads:

    const socket = socketClusterClient.create({ ... });
    console.log(await socket.invoke("square", 7));
    const channel = socket.subscribe("news");
    for await (const data of channel) ...

Texts are JSON: a call has `event`, `data` and `cid`, its answer the same number as `rid`, with
`data` or `error`. An empty text is a ping, and is answered with one.

Protocol: https://github.com/SocketCluster/socketcluster/blob/master/socketcluster-protocol.md
"""

import asyncio
import itertools
import json
import sys

import webapi


class CallError(Exception):
    """The server answered with an error."""

    def __init__(self, error):
        super().__init__(error.get("message"))
        self.name = error["name"]


class Socket:
    """The part of socketcluster-client that a page uses."""

    def __init__(self, url):
        self.ws = webapi.WebSocket(url)
        self.ws.onopen = self._on_open
        self.ws.onmessage = self._on_message
        self.connected = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self.ws.onclose = self.closed.set_result
        self.pings = 0
        self._numbers = itertools.count(1)
        self._calls = {}
        self._channels = {}

    async def invoke(self, event, data):
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        self.ws.send(json.dumps({"event": event, "data": data, "cid": number}))
        return await answer

    async def subscribe(self, channel):
        messages = self._channels[channel] = asyncio.Queue()
        await self.invoke("#subscribe", {"channel": channel})
        return messages

    def disconnect(self):
        self.ws.close(1000)

    async def _on_open(self, _event):
        self.connected.set_result(await self.invoke("#handshake", {"authToken": None}))

    def _on_message(self, event):
        if event.data == "":
            self.pings += 1
            self.ws.send("")
            return
        packet = json.loads(event.data)
        if "rid" in packet:
            answer = self._calls.pop(packet["rid"])
            if "error" in packet:
                answer.set_exception(CallError(packet["error"]))
            else:
                answer.set_result(packet.get("data"))
        elif packet.get("event") == "#publish":
            self._channels[packet["data"]["channel"]].put_nowait(packet["data"]["data"])


async def main(url):
    socket = Socket(url)
    await socket.connected
    print("connected")
    print("square:", await socket.invoke("square", 7))
    try:
        await socket.invoke("square", "seven")
    except CallError as error:
        print("error:", error.name)
    news = await socket.subscribe("news")
    print("subscribed: news")
    await socket.invoke("#publish", {"channel": "news", "data": "hello everybody"})
    print("news:", await news.get())
    while socket.pings < 2:  # the goodbye waits until the server's own pings have been seen
        await asyncio.sleep(0.05)
    print("pings answered:", socket.pings >= 2)
    socket.disconnect()
    event = await socket.closed
    print("disconnected", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
