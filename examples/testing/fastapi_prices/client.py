"""The client under test: it keeps a price up to date, and reconnects with exponential backoff.

`WebSocket` and `sleep` are given to it, as a frontend's code takes them from its page.
"""

import asyncio
import json

FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0


class PriceFeed:
    def __init__(self, WebSocket, url, *, sleep=asyncio.sleep):
        self.WebSocket, self.url, self.sleep = WebSocket, url, sleep
        self.price = None
        self.stale = True
        self.delay = FIRST_DELAY
        self.stopped = False
        self.connect()

    def connect(self):
        self.ws = self.WebSocket(self.url)
        self.ws.onmessage = self.on_message
        self.ws.onclose = self.on_close

    def on_message(self, event):
        self.price = json.loads(event.data)["price"]
        self.stale, self.delay = False, FIRST_DELAY

    async def on_close(self, event):
        self.stale = True
        if self.stopped:
            return
        delay, self.delay = self.delay, min(self.delay * 2, LONGEST_DELAY)
        await self.sleep(delay)
        if not self.stopped:
            self.connect()

    def stop(self):
        self.stopped = True
        self.ws.close(1000)
