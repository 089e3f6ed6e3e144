"""npm's socket.io, spoken by an example: Engine.IO 4 and Socket.IO 5 are protocols of their own."""

from ..peer import Example, Npm, Peer, node_versions

PEER = Peer(
    name="Socket.IO",
    kind="Node, Engine.IO 4",
    listed=True,
    needs=(Npm({"socket.io": "4.8.4"}),),
    start=lambda place: [place.node("socketio_server.js")],
    version=node_versions("socket.io", "engine.io"),
    raw=False,
    path="/socket.io/?EIO=4&transport=websocket",
    examples=(
        Example(
            "socketio.py",
            "ws://127.0.0.1:{port}/socket.io/",
            (
                "connected True",
                "greeting: hello page",
                "ack: 5",
                "binary: b'\\x03\\x02\\x01'",
                "news: 0",
                "news: 1",
                "news: 2",
                "pings answered: True",
                "disconnected 1005 True",
            ),
        ),
    ),
    note="no plain WebSocket: `?EIO=4&transport=websocket`, then its packets; the server pings in "
    "its own protocol (`2`, answered with `3`), and closes whoever stays silent",
)
