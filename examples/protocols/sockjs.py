"""SockJS's framing on webapi.WebSocket, as sockjs-client speaks it: `o`, `h`, `a[...]`, `c[...]`.

    python examples/protocols/sockjs.py ws://127.0.0.1:8080/echo

The server that it runs against echoes every message.
"""

import json
import random
import sys
import uuid

import webapi


class SockJS(webapi.EventTarget):
    """The part of sockjs-client that a page uses."""

    def __init__(self, url):
        super().__init__()
        path = f"{random.randrange(1000):03}/{uuid.uuid4().hex}/websocket"
        self.ws = webapi.WebSocket(f"{url}/{path}")
        self.ws.onmessage = self._on_frame
        self.ws.onclose = self._on_close
        self._closing = None

    def send(self, data):
        self.ws.send(json.dumps([data]))

    def close(self, code=1000, reason="Normal closure"):
        self.ws.close(code, reason)

    def _on_frame(self, event):
        kind, content = event.data[0], event.data[1:]
        if kind == "o":
            self.dispatchEvent(webapi.Event("open"))
        elif kind == "a":
            for message in json.loads(content):
                self.dispatchEvent(webapi.MessageEvent("message", {"data": message}))
        elif kind == "c":
            self._closing = json.loads(content)
        # "h", a heartbeat, needs no answer

    def _on_close(self, event):
        code, reason = self._closing or (event.code, event.reason)
        self.dispatchEvent(webapi.CloseEvent("close", {"code": code, "reason": reason}))


def main(url):
    sock = SockJS(url)

    @sock.addEventListener("open")
    def onopen(_event):
        print("opened")
        sock.send("hello")

    @sock.addEventListener("message")
    def onmessage(event):
        print("echo:", event.data)
        if event.data == "hello":
            sock.send("1, 2")
        else:
            sock.close()

    @sock.addEventListener("close")
    def onclose(event):
        print("closed", event.code)


webapi.run(lambda: main(sys.argv[1]))
