r"""STOMP 1.2 on webapi.WebSocket, as @stomp/stompjs is used in a page.

    python examples/protocols/stompjs.py ws://127.0.0.1:15674/ws

The server is RabbitMQ with its web-stomp plugin. In a page the same reads:

    const client = new StompJs.Client({ brokerURL: "ws://...", onConnect: () => {
      client.subscribe("/topic/news", (message) => ...);
      client.publish({ destination: "/topic/news", body: "hello" });
    }});

A frame is a command, header lines, an empty line, the body and a NUL; "\n" alone is a heart-beat.

Specification: https://stomp.github.io/stomp-specification-1.2.html
"""

import asyncio
import itertools
import sys

import webapi

ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}


def escaped(text):
    return "".join(ESCAPES.get(character, character) for character in text)


def unescaped(text):
    for character, escape in reversed(ESCAPES.items()):
        if character != "\\":
            text = text.replace(escape, character)
    return text.replace("\\\\", "\\")


def serialized(command, headers, body=""):
    # CONNECT and CONNECTED escape nothing, for the sake of STOMP 1.0.
    clean = str if command == "CONNECT" else escaped
    lines = [command, *(f"{clean(name)}:{clean(value)}" for name, value in headers.items())]
    return "\n".join(lines) + f"\n\n{body}\0"


def parsed(text):
    head, _, rest = text.partition("\n\n")
    command, *lines = head.replace("\r", "").lstrip("\n").split("\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(unescaped(name), unescaped(value))  # the first of several counts
    return command, headers, rest.rstrip("\n").removesuffix("\0")


class Client:
    """The part of StompJs.Client that a page uses."""

    def __init__(self, url, login, passcode, beat=1000):
        loop = asyncio.get_running_loop()
        self.ws = webapi.WebSocket(url, ["v12.stomp", "v11.stomp"])
        self.connected, self.closed = loop.create_future(), loop.create_future()
        self.beats = 0
        self._receipts = {}
        self._listeners = {}
        self._numbers = itertools.count()
        headers = {
            "accept-version": "1.2,1.1",
            "host": "/",
            "login": login,
            "passcode": passcode,
            "heart-beat": f"{beat},{beat}",
        }
        self.ws.onopen = lambda _event: self._send("CONNECT", headers)
        self.ws.onmessage = self._on_message
        self.ws.onclose = self.closed.set_result

    async def subscribe(self, destination, listener):
        number = f"sub-{next(self._numbers)}"
        self._listeners[number] = listener
        await self._receipted("SUBSCRIBE", {"id": number, "destination": destination})

    def publish(self, destination, body):
        self._send("SEND", {"destination": destination, "content-type": "text/plain"}, body)

    async def disconnect(self):
        """Say goodbye; True if the server gave a receipt, and did not just close."""
        receipt = asyncio.ensure_future(self._receipted("DISCONNECT", {}))
        await asyncio.wait([receipt, self.closed], return_when=asyncio.FIRST_COMPLETED)
        self._beating.cancel()
        return not receipt.cancel()

    async def _receipted(self, command, headers):
        number = f"receipt-{next(self._numbers)}"
        receipt = self._receipts[number] = asyncio.get_running_loop().create_future()
        self._send(command, {**headers, "receipt": number})
        await receipt

    def _send(self, command, headers, body=""):
        self.ws.send(serialized(command, headers, body))

    async def _beat(self, seconds):
        while True:
            await asyncio.sleep(seconds)
            self.ws.send("\n")

    def _on_message(self, event):
        if not event.data.strip("\r\n"):
            self.beats += 1
            return
        command, headers, body = parsed(event.data)
        if command == "CONNECTED":
            _theirs, wanted = map(int, headers.get("heart-beat", "0,0").split(","))
            self._beating = asyncio.ensure_future(self._beat(max(wanted, 1000) / 1000))
            self.connected.set_result(headers["version"])
        elif command == "MESSAGE":
            self._listeners[headers["subscription"]](headers, body)
        elif command == "RECEIPT":
            self._receipts.pop(headers["receipt-id"]).set_result(None)
        elif command == "ERROR":
            print("error:", headers.get("message"), body)
            self.ws.close()


async def main(url):
    client = Client(url, "guest", "guest")
    print("connected:", await client.connected, client.ws.protocol)
    came = asyncio.Queue()
    await client.subscribe("/topic/news", lambda headers, body: came.put_nowait((headers, body)))
    print("subscribed: receipt")
    for number in range(2):
        client.publish("/topic/news", f"hello {number}")
        headers, body = await came.get()
        print("message:", body, headers["content-type"])
    while client.beats < 2:
        await asyncio.sleep(0.05)
    print("heart-beats:", client.beats >= 2)
    print("receipt of the goodbye:", await client.disconnect())
    client.ws.close(1000)
    event = await client.closed
    print("closed", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
