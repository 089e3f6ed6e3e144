"""client.js, ported line by line."""

import json


class SubscriptionClient:
    def __init__(self, WebSocket, url):
        self.sinks = {}
        self.next_id = 1
        self.waiting = []
        self.acknowledged = False
        self.ws = WebSocket(url, "graphql-transport-ws")
        self.ws.onopen = lambda event: self.ws.send(json.dumps({"type": "connection_init"}))
        self.ws.onmessage = lambda event: self.on_message(json.loads(event.data))
        self.ws.onclose = self.on_close

    def on_close(self, event):
        for sink in self.sinks.values():
            sink.error(event.reason or f"closed: {event.code}")
        self.sinks.clear()

    def subscribe(self, query, variables, sink):
        id = str(self.next_id)
        self.next_id += 1
        self.sinks[id] = sink
        payload = {"query": query, "variables": variables}
        message = json.dumps({"id": id, "type": "subscribe", "payload": payload})
        if self.acknowledged:
            self.ws.send(message)
        else:
            self.waiting.append(message)

        def stop():
            if self.sinks.pop(id, None) is not None:
                self.ws.send(json.dumps({"id": id, "type": "complete"}))

        return stop

    def on_message(self, message):
        sink = self.sinks.get(message.get("id"))
        match message["type"]:
            case "connection_ack":
                self.acknowledged = True
                while self.waiting:
                    self.ws.send(self.waiting.pop(0))
            case "ping":
                self.ws.send(json.dumps({"type": "pong"}))
            case "next" if sink:
                sink.next(message["payload"])
            case "error" if sink:
                del self.sinks[message["id"]]
                sink.error(message["payload"][0]["message"])
            case "complete" if sink:
                del self.sinks[message["id"]]
                sink.complete()
