"""An echo application on Django Channels, in one file."""

import told
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["*"], INSTALLED_APPS=["channels"], SECRET_KEY="interop")

import django  # noqa: E402

django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402


class Echo(AsyncWebsocketConsumer):
    """One connection."""

    async def connect(self):
        offered = self.scope["subprotocols"]
        await self.accept(told.SUBPROTOCOL if told.SUBPROTOCOL in offered else None)

    async def receive(self, text_data=None, bytes_data=None):
        found = told.parse(text_data)
        if not found:
            await self.send(text_data=text_data, bytes_data=bytes_data)
            return
        command, arguments = found
        if command == "burst":
            for number in range(int(arguments[0])):
                await self.send(text_data=str(number))
        elif command == "close":
            await self.close(int(arguments[0]), arguments[1])
        elif command == "pour":
            await self.send(text_data="pouring")
            await self.send(bytes_data=bytes(int(arguments[0])))


app = ProtocolTypeRouter({"websocket": URLRouter([re_path("", Echo.as_asgi())])})
