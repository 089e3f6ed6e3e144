"""npm's total5, which is Total.js."""

from ..peer import SERVERS, Npm, Peer, Process, node_versions

PEER = Peer(
    name="Total.js",
    kind="Node",
    listed=True,
    needs=(Npm({"total5": "0.0.14"}),),
    start=lambda place: [
        Process(["node", SERVERS / "total5_server.js"], place.port, says="interop: ready")
    ],
    version=node_versions("total5"),
    path="/echo/",
    lacks=frozenset({"empty", "binary"}),
    tls=False,
    known={
        "sizes": "Total.js drops empty messages, and a route has text or binary, not both",
        "unicode": "Total.js removes U+0000 from what comes in",
        "client_close": "Total.js ends the connection without answering a Close frame",
        "server_close": "Total.js writes a Close frame's reason in Latin-1, which is not UTF-8: "
        "the connection fails, as RFC 6455 §5.5.1 and §8.1 demand",
    },
    note="a client's close is never clean; JSON unless the route's clients are told otherwise; "
    "close reasons of the server must be ASCII",
    cannot={
        "wss": "Total.js 5 makes plain HTTP servers only: its `F.http` has no option for TLS, "
        "which is left to a proxy",
        "fragments": "its API sends whole messages only",
        "ping": "its API does not tell of pongs",
        "subprotocol": "a route has fixed subprotocols, and they are not negotiated",
    },
)
