"""Django Channels on daphne, its own server."""

from ..peer import HOST, SERVERS, Peer, Pip, Process, python_versions

PEER = Peer(
    name="Django Channels on daphne",
    kind="Python, ASGI, on autobahn and Twisted",
    listed=True,
    needs=(Pip(("channels==4.3.2", "django==5.2.19", "daphne==4.2.3")),),
    start=lambda place: [
        Process(
            [
                *(place.python, "-m", "daphne", "--ping-interval", "1", "--ping-timeout", "1"),
                *("--websocket-max-message-size", "134217728"),
                *("--websocket-max-frame-size", "134217728"),
                *("-e", f"tcp:{place.port}:interface={HOST}"),
                *(
                    "-e",
                    f"ssl:{place.tls_port}:interface={HOST}:"
                    f"privateKey={place.key}:certKey={place.certificate}",
                ),
                "channels_app:app",
            ],
            place.port,
            {"PYTHONPATH": str(SERVERS)},
        )
    ],
    version=python_versions("channels", "django", "daphne", "autobahn"),
    limit=None,
    lacks=frozenset({"empty"}),
    known={
        "sizes": "daphne drops empty messages (`websocket.send` with an empty text or bytes)",
        "server_close": "daphne sends the application's close code without its reason",
    },
    note="messages of more than 1 MiB, either way, end the connection unless it is told to take "
    "more; empty messages that the application sends never come; close reasons are dropped, and "
    "any close is answered with 1000",
    cannot={"fragments": "ASGI sends whole messages only", "ping": "ASGI has no pings"},
)
