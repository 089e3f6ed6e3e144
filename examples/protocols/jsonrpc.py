"""JSON-RPC 2.0, both ways on one webapi.WebSocket, as jsonrpc-bidirectional's client does it.

    python examples/protocols/jsonrpc.py ws://127.0.0.1:8080/api

The server is conformance/interop/servers/jsonrpc_server.js. In a page the same reads:

    const id = router.addWebSocketSync(ws);
    const client = router.connectionIDToSingletonClient(id, JSONRPC.Client);
    await client.rpc("divide", [5, 2]);

Specification: https://www.jsonrpc.org/specification
"""

import asyncio
import itertools
import json
import sys

import webapi


class RpcError(Exception):
    """The other side answered with an error."""

    def __init__(self, error):
        super().__init__(f"{error['code']} {error['message']}")


class Client:
    """Calls the other side, and is called by it."""

    def __init__(self, ws, methods):
        self.ws = ws
        self.methods = methods
        self.ws.onmessage = self._on_message
        self._numbers = itertools.count(1)
        self._calls = {}

    async def rpc(self, method, params):
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        self._send({"method": method, "params": params, "id": number})
        return await answer

    def notify(self, method, params):
        self._send({"method": method, "params": params})

    def _send(self, message):
        self.ws.send(json.dumps({"jsonrpc": "2.0", **message}))

    def _on_message(self, event):
        message = json.loads(event.data)
        if "method" in message:
            self._serve(message)
        elif "error" in message:
            self._calls.pop(message["id"]).set_exception(RpcError(message["error"]))
        else:
            self._calls.pop(message["id"]).set_result(message["result"])

    def _serve(self, request):
        method = self.methods.get(request["method"])
        if method is None:
            answer = {"error": {"code": -32601, "message": "Method not found"}}
        else:
            answer = {"result": method(*request["params"])}
        if "id" in request:  # else a notification, which has no answer
            self._send({**answer, "id": request["id"]})


def greet(name):
    print("the server calls: greet", [name])
    return f"hello {name}"


async def main(url):
    loop = asyncio.get_running_loop()
    ws = webapi.WebSocket(url)
    opened, closed = loop.create_future(), loop.create_future()
    ws.onopen, ws.onclose = opened.set_result, closed.set_result
    await opened
    client = Client(ws, {"greet": greet})
    print("divide:", await client.rpc("divide", [5, 2]))
    print("relay:", await client.rpc("relay", ["page"]))
    try:
        await client.rpc("nothing", [])
    except RpcError as error:
        print("error:", error)
    ws.close(1000)
    event = await closed
    print("closed", event.code, event.wasClean)


asyncio.run(main(sys.argv[1]))
