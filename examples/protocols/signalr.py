"""SignalR's JSON hub protocol on webapi.WebSocket, as @microsoft/signalr is used in a page.

    python examples/protocols/signalr.py http://127.0.0.1:5000/hub

In a page the same reads:

    const connection = new signalR.HubConnectionBuilder().withUrl("/hub").build();
    connection.on("news", (text) => ...);
    await connection.start();
    await connection.invoke("Add", 2, 3);
    connection.stream("Counter", 3).subscribe({ next: ..., complete: ... });

First a POST to `/negotiate` gives a token for the URL; then records of JSON follow, each ended by
U+001E, the first a handshake. Types: 1 invocation, 2 stream item, 3 completion, 4 stream
invocation, 5 cancellation, 6 ping, 7 close.

Protocol: https://github.com/dotnet/aspnetcore/tree/main/src/SignalR/docs/specs
"""

import asyncio
import itertools
import json
import sys
import urllib.parse
import urllib.request

import webapi

END = "\x1e"
INVOCATION, ITEM, COMPLETION, STREAM, CANCEL, PING, CLOSE = range(1, 8)


class HubError(Exception):
    """The hub answered with an error, or refused the handshake."""


def negotiate(url):
    """The WebSocket's URL, from the hub's."""
    request = urllib.request.Request(f"{url}/negotiate?negotiateVersion=1", method="POST")
    with urllib.request.urlopen(request, timeout=20) as response:
        answer = json.load(response)
    if "error" in answer:
        raise HubError(answer["error"])
    transports = {entry["transport"] for entry in answer["availableTransports"]}
    if "WebSockets" not in transports:
        raise HubError(f"the server offers {', '.join(sorted(transports))}, not WebSockets")
    token = answer.get("connectionToken") or answer["connectionId"]
    return f"{url}?id={urllib.parse.quote(token, safe='')}"


class HubConnection:
    """The part of signalR.HubConnection that a page uses."""

    def __init__(self, url):
        self.url = url
        self.pings = 0
        self.close_error = None
        self._listeners = {}
        self._calls = {}
        self._numbers = itertools.count()
        self._rest = ""

    def on(self, name, listener):
        self._listeners[name.lower()] = listener

    async def start(self):
        loop = asyncio.get_running_loop()
        self._ready, self.closed = loop.create_future(), loop.create_future()
        # webapi takes http: URLs, as the standard has it, and makes them ws:.
        self.ws = webapi.WebSocket(await loop.run_in_executor(None, negotiate, self.url))
        self.ws.onopen = lambda _event: self._send({"protocol": "json", "version": 1})
        self.ws.onmessage = self._on_message
        self.ws.onclose = self._on_close
        await self._ready

    async def invoke(self, target, *arguments):
        answers = self._call(INVOCATION, target, arguments)
        return self._result(await answers.get())

    async def stream(self, target, *arguments):
        """Yield the items; closing the generator early cancels the stream."""
        answers = self._call(STREAM, target, arguments)
        number, complete = next(reversed(self._calls)), False
        try:
            while (record := await answers.get())["type"] == ITEM:
                yield record["item"]
            complete = True
            self._result(record)
        finally:
            if not complete:
                self._send({"type": CANCEL, "invocationId": number})

    async def stop(self):
        self._send({"type": CLOSE})
        self.ws.close(1000)
        return await self.closed

    def _call(self, kind, target, arguments):
        number = str(next(self._numbers))
        answers = self._calls[number] = asyncio.Queue()
        self._send({"type": kind, "invocationId": number, "target": target, "arguments": arguments})
        return answers

    @staticmethod
    def _result(record):
        if record.get("error"):
            raise HubError(record["error"])
        return record.get("result")

    def _send(self, record):
        self.ws.send(json.dumps(record) + END)

    def _on_close(self, event):
        self.closed.set_result(event)
        if not self._ready.done():
            self._ready.set_exception(HubError(f"closed in the handshake: {event.code}"))
        for answers in self._calls.values():
            answers.put_nowait({"type": COMPLETION, "error": "the connection was closed"})

    def _on_message(self, event):
        *records, self._rest = (self._rest + event.data).split(END)
        for record in records:
            self._on_record(json.loads(record))

    def _on_record(self, record):
        if not self._ready.done():
            if "error" in record:
                self._ready.set_exception(HubError(record["error"]))
            else:
                self._ready.set_result(None)
            return
        kind = record["type"]
        if kind == INVOCATION:
            self._listeners[record["target"].lower()](*record["arguments"])
        elif kind == ITEM:
            self._calls[record["invocationId"]].put_nowait(record)
        elif kind == COMPLETION:
            self._calls.pop(record["invocationId"]).put_nowait(record)
        elif kind == PING:
            self.pings += 1
            self._send({"type": PING})
        elif kind == CLOSE:
            self.close_error = record.get("error")
            self.ws.close()


async def main(url):
    connection = HubConnection(url)
    connection.on("news", lambda text: print("news:", text))
    await connection.start()
    print("started")
    print("add:", await connection.invoke("Add", 2, 3))
    try:
        await connection.invoke("Fail")
    except HubError as error:
        print("error:", error)
    async for number in connection.stream("Counter", 3):
        print("counter:", number)
    print("counter complete")
    event = await connection.stop()
    print("stopped", event.code, event.wasClean)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
