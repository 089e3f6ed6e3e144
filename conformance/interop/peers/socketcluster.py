"""npm's socketcluster-server, spoken by an example."""

from ..peer import Example, Npm, Peer, node_versions

PEER = Peer(
    name="SocketCluster",
    kind="Node",
    listed=True,
    needs=(Npm({"socketcluster-server": "20.0.1"}),),
    start=lambda place: [place.node("socketcluster_server.js")],
    version=node_versions("socketcluster-server", "ws"),
    raw=False,
    path="/socketcluster/",
    examples=(
        Example(
            "socketcluster.py",
            "ws://127.0.0.1:{port}/socketcluster/",
            (
                "connected",
                "square: 49",
                "error: BadInput",
                "subscribed: news",
                "news: hello everybody",
                "pings answered: True",
                "disconnected 1000 True",
            ),
        ),
    ),
    note="its own handshake and its own pings: an empty text, answered with an empty text",
)
