"""npm's faye-websocket, permessage-deflate."""

from ..peer import Npm, Peer, node_versions

PEER = Peer(
    name="faye-websocket",
    kind="Node",
    listed=True,
    needs=(Npm({"faye-websocket": "0.11.4", "permessage-deflate": "0.1.7"}),),
    start=lambda place: [place.node("faye_websocket_server.js")],
    version=node_versions("faye-websocket", "permessage-deflate"),
    cannot={"fragments": "its API sends whole messages only"},
)
