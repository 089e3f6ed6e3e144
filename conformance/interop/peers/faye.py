"""npm's faye, which speaks Bayeux, by an example."""

from ..peer import Example, Npm, Peer, node_versions

PEER = Peer(
    name="Faye (Bayeux)",
    kind="Node",
    listed=True,
    needs=(Npm({"faye": "1.4.3"}),),
    start=lambda place: [place.node("faye_server.js")],
    version=node_versions("faye", "faye-websocket"),
    raw=False,
    path="/faye",
    examples=(
        Example(
            "bayeux.py",
            "ws://127.0.0.1:{port}/faye",
            (
                "handshake: True True",
                "subscribed: /news",
                "published: True",
                "/news: {'text': 'hello'}",
                "unsubscribed: True",
                "disconnected: True",
                "closed 1000 True",
            ),
        ),
    ),
    note="a server must be asked again and again (`/meta/connect`), also over WebSocket",
)
