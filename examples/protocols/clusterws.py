"""ClusterWS on webapi.WebSocket, as clusterws-client-js is used in a page.

    python examples/protocols/clusterws.py ws://127.0.0.1:8080/

The server is conformance/interop/servers/clusterws_server.js. In a page the same reads:

    const socket = new ClusterWS({ url: "ws://..." });
    socket.on("sum", (total) => ...);
    socket.send("add", [2, 3]);
    socket.subscribe("news").watch((data) => ...).publish("hello");

Texts are JSON: {"#": ["e", name, data]} is an event, "p" a publication, "s" the system's own. A
binary message of the one byte "9" is a ping, and is answered with "A".
"""

import asyncio
import json
import sys

import webapi

PING, PONG = b"9", b"A"


class ClusterWS:
    """The part of clusterws-client-js that a page uses."""

    def __init__(self, url):
        loop = asyncio.get_running_loop()
        self.ws = webapi.WebSocket(url)
        self.ws.binaryType = "arraybuffer"
        self.ws.onmessage = self._on_message
        self.configured, self.closed = loop.create_future(), loop.create_future()
        self.ws.onclose = self.closed.set_result
        self.pings = 0
        self._listeners = {}
        self._channels = {}

    def on(self, name, listener):
        self._listeners[name] = listener

    def send(self, name, data):
        self._send("e", name, data)

    def subscribe(self, channel, watcher):
        self._channels[channel] = watcher
        self._send("s", "s", channel)

    def publish(self, channel, data):
        self._send("p", channel, data)

    def _send(self, *content):
        self.ws.send(json.dumps({"#": content}))

    def _on_message(self, event):
        if event.data == PING:
            self.pings += 1
            self.ws.send(PONG)
            return
        kind, name, data = json.loads(event.data)["#"]
        if kind == "e":
            self._listeners[name](data)
        elif kind == "p":
            self._channels[name](data)
        elif (kind, name) == ("s", "c"):
            self.configured.set_result(data)


async def main(url):
    socket = ClusterWS(url)
    print("configured: ping", (await socket.configured)["ping"])
    came = asyncio.Queue()
    socket.on("sum", came.put_nowait)
    socket.send("add", [2, 3])
    print("sum:", await came.get())
    socket.subscribe("news", came.put_nowait)
    socket.publish("news", "hello")
    print("news:", await came.get())
    while socket.pings < 2:
        await asyncio.sleep(0.05)
    print("pings answered:", socket.pings >= 2)
    socket.ws.close(1000)
    event = await socket.closed
    print("closed", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
