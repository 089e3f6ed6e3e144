"""npm's jsonrpc-bidirectional, spoken by an example."""

from ..peer import Example, Npm, Peer, node_versions

PEER = Peer(
    name="jsonrpc-bidirectional",
    kind="Node, JSON-RPC 2.0 on ws",
    listed=True,
    needs=(Npm({"jsonrpc-bidirectional": "10.0.12"}),),
    start=lambda place: [place.node("jsonrpc_server.js")],
    version=node_versions("jsonrpc-bidirectional", "ws"),
    raw=False,
    path="/api",
    examples=(
        Example(
            "jsonrpc.py",
            "ws://127.0.0.1:{port}/api",
            (
                "divide: 2.5",
                "the server calls: greet ['page']",
                "relay: hello page",
                "error: -32601 *",
                "closed 1000 True",
            ),
        ),
    ),
    note="requests come from the server too, on the same connection: tell them by `method`",
)
