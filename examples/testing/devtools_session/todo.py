"""The client under test: a list of things to do that a server keeps in step."""

import json


class TodoList:
    def __init__(self, WebSocket, url):
        self.items = {}
        self.ws = WebSocket(url, "todo.v1")
        self.ws.onopen = lambda event: self.send("sync", since=0)
        self.ws.onmessage = self.on_message

    def send(self, type, **more):
        self.ws.send(json.dumps({"type": type, **more}))

    def add(self, text):
        self.send("add", text=text)

    def on_message(self, event):
        message = json.loads(event.data)
        if message["type"] in ("item", "changed"):
            self.items[message["id"]] = (message["text"], message.get("done", False))
        if message["type"] == "item" and not message.get("old"):
            self.send("done", id=message["id"], at=message["at"])
