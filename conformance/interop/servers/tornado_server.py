"""An echo server on Tornado."""

import asyncio

import told
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    """One connection."""

    waiting = False

    def check_origin(self, _origin):
        return True

    def get_compression_options(self):
        return {}

    def select_subprotocol(self, offered):
        return told.SUBPROTOCOL if told.SUBPROTOCOL in offered else None

    async def on_message(self, message):
        found = told.parse(message)
        if not found:
            await self.write_message(message, binary=isinstance(message, bytes))
            return
        command, arguments = found
        if command == "burst":
            for number in range(int(arguments[0])):
                self.write_message(str(number))
        elif command == "ping":
            self.waiting = True
            self.ping(b"there?")
        elif command == "close":
            self.close(int(arguments[0]), arguments[1])
        elif command == "pour":
            self.write_message("pouring")
            self.write_message(bytes(int(arguments[0])), binary=True)

    def on_pong(self, data):
        if self.waiting and data == b"there?":
            self.waiting = False
            self.write_message("pong")


async def main():
    for port, context in told.listeners():
        app = Application(
            [("/.*", Echo)],
            websocket_ping_interval=told.PING,
            websocket_ping_timeout=told.PING,
            websocket_max_message_size=told.LIMIT,
        )
        app.listen(port, told.HOST, ssl_options=context)
    await asyncio.Event().wait()


asyncio.run(main())
