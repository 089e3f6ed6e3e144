"""npm's ws."""

from ..peer import Npm, Peer, node_versions

PEER = Peer(
    name="ws",
    kind="Node",
    listed=True,
    needs=(Npm({"ws": "8.23.0"}),),
    start=lambda place: [place.node("ws_server.js")],
    version=node_versions("ws"),
)
