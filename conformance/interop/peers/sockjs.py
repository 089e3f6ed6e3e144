"""npm's sockjs."""

from ..peer import Example, Npm, Peer, node_versions

PEER = Peer(
    name="SockJS (raw and framed)",
    kind="Node",
    listed=True,
    needs=(Npm({"sockjs": "0.3.24"}),),
    start=lambda place: [place.node("sockjs_server.js")],
    version=node_versions("sockjs"),
    path="/echo/websocket",
    limit=None,
    ping_seconds=None,
    lacks=frozenset({"binary"}),
    known={"sizes": "SockJS has text only: binary comes back as text"},
    note="text only; no subprotocols: a browser fails where it asks for one; its raw endpoint "
    "never pings, its framed one does, and is spoken by examples/protocols/sockjs.py",
    cannot={
        "subprotocol": "SockJS has none",
        "fragments": "its API sends whole messages only",
        "ping": "its API has no pings",
    },
    examples=(
        Example(
            "sockjs.py",
            "ws://127.0.0.1:{port}/echo",
            ("opened", "echo: hello", "echo: 1, 2", "closed 1000"),
        ),
    ),
)
