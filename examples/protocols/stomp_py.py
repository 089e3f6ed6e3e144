"""stomp.py, a STOMP client of PyPI's, on webapi.WebSocket: it takes any transport.

    python examples/protocols/stomp_py.py ws://127.0.0.1:15674/ws

The server is RabbitMQ with its plugin web_stomp. stomp.py has transports for TCP and for
websocket-client; `Transport` is one for our class, and all else is stomp.py's own. It is a library
of threads, so the socket's events come from the background event loop: what comes is handed to the
thread in which stomp.py waits for it. `pip install stomp.py` brings it.

stomp.py: https://jasonrbriggs.github.io/stomp.py/
"""

import queue
import sys
from concurrent.futures import Future
from urllib.parse import urlsplit

from stomp import ConnectionListener
from stomp.connect import BaseConnection
from stomp.exception import ConnectFailedException, NotConnectedException
from stomp.protocol import Protocol12
from stomp.transport import BaseTransport

import webapi


class Transport(BaseTransport):
    """webapi.WebSocket as stomp.py wants a transport."""

    def __init__(self, url, vhost="/"):
        super().__init__()
        self.vhost = vhost
        self.url = url
        self.ws = None

    def attempt_connection(self):
        self.came, self.closed, opened = queue.Queue(), Future(), queue.Queue()
        self.ws = webapi.WebSocket(self.url, ["v12.stomp", "v11.stomp"])
        self.ws.onopen = opened.put
        self.ws.onmessage = lambda event: self.came.put(event.data.encode())

        def onclose(event):
            self.closed.set_result(event)
            opened.put(event)
            self.came.put(None)

        self.ws.onclose = onclose
        if opened.get().type != "open":
            raise ConnectFailedException
        url = urlsplit(self.url)
        self.current_host_and_port = (url.hostname, url.port)

    def is_connected(self):
        return self.ws is not None and self.ws.readyState == self.ws.OPEN and super().is_connected()

    def send(self, encoded_frame):
        if self.ws.readyState != self.ws.OPEN:
            raise NotConnectedException
        self.ws.send(encoded_frame.decode())

    def receive(self):
        data = self.came.get()
        if data is None:
            self.running = False
            return b""
        return data

    def disconnect_socket(self):
        self.running = False
        self.ws.close(1000)


class Connection(BaseConnection, Protocol12):
    """stomp.py's connection for STOMP 1.2, on that transport, as its own ones are on theirs."""

    def __init__(self, url):
        transport = Transport(url)
        BaseConnection.__init__(self, transport)
        Protocol12.__init__(self, transport, heartbeats=(1000, 1000))

    def connect(self, *args, **options):
        self.transport.start()
        Protocol12.connect(self, *args, **options)

    def disconnect(self, receipt=None, **options):
        Protocol12.disconnect(self, receipt, **options)
        self.transport.stop()


class Listener(ConnectionListener):
    """What comes, for the thread that waits for it."""

    def __init__(self):
        self.messages, self.receipts, self.beats = queue.Queue(), queue.Queue(), queue.Queue()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_heartbeat(self):
        self.beats.put(None)


connection = Connection(sys.argv[1])
listener = Listener()
connection.set_listener("", listener)
connection.connect("guest", "guest", wait=True)
print("connected:", connection.transport.ws.protocol)
connection.subscribe("/topic/news", id="1", headers={"receipt": "subscribed"})
print(listener.receipts.get(timeout=20))
for number in range(2):
    connection.send("/topic/news", f"hello {number}", content_type="text/plain")
    frame = listener.messages.get(timeout=20)
    print("message:", frame.body, frame.headers["content-type"])
listener.beats.get(timeout=20)
print("heart-beats: True")
connection.disconnect()
event = connection.transport.closed.result(timeout=20)
print("closed", event.code, event.wasClean)
