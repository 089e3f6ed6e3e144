"""A chat on Django Channels, in one file: log in over HTTP, then talk on a WebSocket.

    daphne -b 127.0.0.1 -p 8765 asgi:application

The socket takes only pages of the hosts it knows (the Origin header), and only who is logged in
(the session's cookie).
"""

import django
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example's, which is no secret",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django.setup()


def login(request: HttpRequest) -> HttpResponse:
    """Log in whoever says a name: what a real one does, with a form and a password, goes here."""
    request.session["user"] = request.POST["user"]
    return HttpResponse("welcome")


urlpatterns = [path("login", login)]


class Chat(AsyncJsonWebsocketConsumer):
    """Says back what is said, with the name of who did."""

    async def connect(self) -> None:
        self.user = self.scope["session"].get("user")
        if self.user is None:
            await self.close()  # before accept(): the handshake is answered with 403
        else:
            await self.accept("chat.v1" if "chat.v1" in self.scope["subprotocols"] else None)

    async def receive_json(self, content: object, **_: object) -> None:
        await self.send_json({"from": self.user, "said": content})


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(
            SessionMiddlewareStack(URLRouter([path("chat", Chat.as_asgi())]))
        ),
    }
)
