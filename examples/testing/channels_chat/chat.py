"""A chat on Django Channels: log in over HTTP, then talk in rooms."""

import os
import tempfile
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for the example only",
    ALLOWED_HOSTS=["chat.example"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(tempfile.gettempdir()) / f"webapi-example-chat-{os.getpid()}.sqlite3",
        }
    },
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.contrib.auth import authenticate, login  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def log_in(request):
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return HttpResponse(status=204)


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close()  # before accept(): 403
            return
        self.name, self.room = user.username, self.scope["url_route"]["kwargs"]["room"]
        await self.accept()
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.tell({"joined": self.name})

    async def receive_json(self, content):
        await self.tell({"from": self.name, "text": content["text"]})

    async def tell(self, message):
        await self.channel_layer.group_send(self.room, {"type": "told", "message": message})

    async def told(self, event):
        await self.send_json(event["message"])

    async def disconnect(self, code):
        if hasattr(self, "room"):
            await self.channel_layer.group_discard(self.room, self.channel_name)
            await self.tell({"left": self.name})


urlpatterns = [path("login", log_in)]
application = AllowedHostsOriginValidator(
    AuthMiddlewareStack(URLRouter([path("chat/<room>", Chat.as_asgi())]))
)
