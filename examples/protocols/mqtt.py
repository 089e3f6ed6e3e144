"""MQTT 3.1.1 on webapi.WebSocket, as MQTT.js is used in a page.

    python examples/protocols/mqtt.py ws://127.0.0.1:9001/

The server is Mosquitto or RabbitMQ. In a page the same reads:

    const client = mqtt.connect("ws://...");
    client.subscribe("webapi/news", { qos: 1 });
    client.publish("webapi/news", "hello", { qos: 1 });
    client.on("message", (topic, payload) => ...);

The subprotocol is `mqtt`; packets are binary, and a message need not hold whole packets (§6).

Specification: https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html
"""

import asyncio
import itertools
import sys
import uuid

import webapi

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


def string(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def packet(kind, content=b"", flags=0):
    length, size = b"", len(content)
    while True:
        size, digit = divmod(size, 128)[0], size % 128
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([kind << 4 | flags]) + length + content


class Client:
    """The part of MQTT.js that a page uses."""

    def __init__(self, url):
        loop = asyncio.get_running_loop()
        self.ws = webapi.WebSocket(url, "mqtt")
        self.ws.binaryType = "arraybuffer"
        self.closed = loop.create_future()
        self.messages = asyncio.Queue()
        self._stream = bytearray()
        self._numbers = itertools.count(1)
        self._waiting = {(CONNACK, 0): loop.create_future()}
        self.ws.onopen = self._on_open
        self.ws.onmessage = self._on_message
        self.ws.onclose = self.closed.set_result

    async def connected(self):
        return (await self._waiting[CONNACK, 0])[1]

    async def subscribe(self, topic, qos=1):
        number = next(self._numbers)
        content = number.to_bytes(2, "big") + string(topic) + bytes([qos])
        return (await self._ask(packet(SUBSCRIBE, content, 2), SUBACK, number))[2]

    async def publish(self, topic, payload):
        number = next(self._numbers)
        content = string(topic) + number.to_bytes(2, "big") + payload
        await self._ask(packet(PUBLISH, content, 1 << 1), PUBACK, number)

    async def ping(self):
        await self._ask(packet(PINGREQ), PINGRESP, 0)

    def end(self):
        self.ws.send(packet(DISCONNECT))
        self.ws.close(1000)

    async def _ask(self, data, kind, number):
        answer = self._waiting[kind, number] = asyncio.get_running_loop().create_future()
        self.ws.send(data)
        return await answer

    def _on_open(self, _event):
        clean_session, keep_alive = 2, 60
        head = string("MQTT") + bytes([4, clean_session]) + keep_alive.to_bytes(2, "big")
        self.ws.send(packet(CONNECT, head + string(f"webapi{uuid.uuid4().hex[:12]}")))

    def _on_message(self, event):
        self._stream += event.data
        while (found := self._next_packet()) is not None:
            self._on_packet(*found)

    def _next_packet(self):
        length, index = 0, 1
        while True:
            if len(self._stream) <= index:
                return None
            digit = self._stream[index]
            length |= (digit & 0x7F) << 7 * (index - 1)
            index += 1
            if digit < 0x80:
                break
        if len(self._stream) < index + length:
            return None
        first, content = self._stream[0], bytes(self._stream[index : index + length])
        del self._stream[: index + length]
        return first >> 4, first & 15, content

    def _on_packet(self, kind, flags, content):
        if kind == PUBLISH:
            size = int.from_bytes(content[:2], "big")
            topic, rest = content[2 : 2 + size].decode(), content[2 + size :]
            if flags >> 1 & 3:
                self.ws.send(packet(PUBACK, rest[:2]))
                rest = rest[2:]
            self.messages.put_nowait((topic, rest))
        else:
            numbered = kind in (PUBACK, SUBACK)
            number = int.from_bytes(content[:2], "big") if numbered else 0
            self._waiting.pop((kind, number)).set_result(content)


async def main(url):
    client = Client(url)
    print("connected:", await client.connected(), client.ws.protocol)
    print("subscribed:", await client.subscribe("webapi/news"))
    await client.publish("webapi/news", b"hello")
    print("published: acknowledged")
    topic, payload = await client.messages.get()
    print(f"{topic}: {payload.decode()}")
    await client.ping()
    print("pong")
    client.end()
    event = await client.closed
    print("disconnected", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
