"""Socket.IO (protocol 5 on Engine.IO 4) on webapi.WebSocket, as socket.io-client is used in a page.

    python examples/protocols/socketio.py ws://127.0.0.1:3000/socket.io/

The server is conformance/interop/servers/socketio_server.js. In a page the same reads:

    const socket = io("ws://...", { auth: { name: "page" } });
    socket.on("greeting", (text) => ...);
    socket.emit("add", 2, 3, (sum) => ...);

Engine.IO packets begin with a digit (0 open, 1 close, 2 ping, 3 pong, 4 message); a message holds a
Socket.IO packet with one of its own (0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 CONNECT_ERROR,
5 BINARY_EVENT, 6 BINARY_ACK). Attachments follow their packet as binary messages.

Protocol: https://socket.io/docs/v4/engine-io-protocol/ and .../socket-io-protocol/
"""

import asyncio
import itertools
import json
import re
import sys

import webapi

PACKET = re.compile(r"(?P<type>[0-6])(?:(?P<attachments>\d+)-)?(?P<ack>\d*)(?P<data>.*)", re.DOTALL)


class Socket:
    """The part of socket.io-client that a page uses, over WebSocket alone."""

    def __init__(self, url, auth=None):
        self.ws = webapi.WebSocket(f"{url}?EIO=4&transport=websocket")
        self.ws.binaryType = "arraybuffer"
        self.ws.onmessage = self._on_message
        self.ws.onclose = lambda event: self._fire("disconnect", event.code, event.wasClean)
        self.id = None
        self.pings = 0
        self._auth = auth
        self._listeners = {}
        self._acks = {}
        self._numbers = itertools.count()
        self._early = []  # events that came before the server's CONNECT wait for it
        self._waiting = None  # a packet whose attachments have not all come

    def on(self, name, listener):
        self._listeners[name] = listener

    def emit(self, name, *arguments, ack=None):
        attachments = [a for a in arguments if isinstance(a, bytes)]
        places = itertools.count()
        content = [name] + [
            {"_placeholder": True, "num": next(places)} if isinstance(a, bytes) else a
            for a in arguments
        ]
        kind = f"5{len(attachments)}-" if attachments else "2"
        number = ""
        if ack:
            number = next(self._numbers)
            self._acks[number] = ack
        self.ws.send(f"4{kind}{number}{json.dumps(content)}")
        for attachment in attachments:
            self.ws.send(attachment)

    def disconnect(self):
        self.ws.send("41")
        self.ws.close()

    def _fire(self, name, *arguments):
        if name in self._listeners:
            self._listeners[name](*arguments)

    def _on_message(self, event):
        if isinstance(event.data, bytes):
            self._on_attachment(event.data)
            return
        kind, content = event.data[0], event.data[1:]
        if kind == "0":
            self.ws.send("40" + (json.dumps(self._auth) if self._auth else ""))
        elif kind == "2":
            self.pings += 1
            self.ws.send("3" + content)
        elif kind == "4":
            self._on_packet(PACKET.fullmatch(content))

    def _on_packet(self, packet):
        kind = packet["type"]
        data = json.loads(packet["data"]) if packet["data"] else None
        if kind == "0":
            self.id = data["sid"]
            self._fire("connect")
            for content in self._early:
                self._fire(*content)
        elif kind == "1":
            self.ws.close()
        elif kind == "3":
            self._acks.pop(int(packet["ack"]))(*data)
        elif kind == "4":
            self._fire("connect_error", data)
        elif kind in "56" and int(packet["attachments"]):
            self._waiting = (packet, data, [])
        else:
            self._on_event(data)

    def _on_event(self, content):
        if self.id is None:
            self._early.append(content)
        else:
            self._fire(*content)

    def _on_attachment(self, data):
        packet, content, attachments = self._waiting
        attachments.append(data)
        if len(attachments) == int(packet["attachments"]):
            self._waiting = None
            self._on_event([_filled(part, attachments) for part in content])


def _filled(part, attachments):
    if isinstance(part, dict) and part.get("_placeholder"):
        return attachments[part["num"]]
    return part


def main(url):
    socket = Socket(url, auth={"name": "page"})
    socket.on("connect", lambda: print("connected", socket.id is not None))

    def on_greeting(text):
        print("greeting:", text)
        socket.emit("add", 2, 3, ack=on_sum)

    def on_sum(total):
        print("ack:", total)
        socket.emit("reverse", b"\x01\x02\x03")

    def on_reversed(data):
        print("binary:", bytes(data))
        socket.emit("subscribe")

    def on_news(number):
        print("news:", number)
        if number == 2:
            say_goodbye()

    def say_goodbye():
        # Not before the server's own pings have been seen.
        if socket.pings < 2:
            asyncio.get_running_loop().call_later(0.05, say_goodbye)
            return
        print("pings answered:", socket.pings >= 2)
        socket.disconnect()

    socket.on("greeting", on_greeting)
    socket.on("reversed", on_reversed)
    socket.on("news", on_news)
    socket.on("disconnect", lambda code, clean: print("disconnected", code, clean))


webapi.run(lambda: main(sys.argv[1]))
