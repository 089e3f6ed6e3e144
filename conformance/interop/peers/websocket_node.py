"""npm's websocket."""

from ..peer import Npm, Peer, node_versions

PEER = Peer(
    name="WebSocket-Node",
    kind="Node",
    listed=True,
    needs=(Npm({"websocket": "1.0.35"}),),
    start=lambda place: [place.node("websocket_node_server.js")],
    version=node_versions("websocket"),
)
