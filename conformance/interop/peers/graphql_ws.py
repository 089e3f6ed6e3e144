"""npm's graphql-ws on ws: the subprotocol graphql-transport-ws, spoken by examples.

The second is PyPI's client gql, which takes our class as its transport.
"""

from ..peer import Example, Npm, Peer, Pip, Place, node_versions, python_versions


def version(place: Place) -> str:
    """The server's packages, and the client library."""
    server = node_versions("graphql-ws", "graphql")(place)
    return f"{server}; {python_versions('gql')(place)}"


PEER = Peer(
    name="graphql-ws",
    kind="Node, graphql-transport-ws on ws",
    needs=(
        Npm({"graphql-ws": "6.4.2", "graphql": "16.11.0", "ws": "8.23.0"}),
        Pip(("gql==4.4.0",)),
    ),
    start=lambda place: [place.node("graphql_server.js")],
    version=version,
    raw=False,
    path="/graphql",
    protocols=("graphql-transport-ws",),
    examples=(
        Example(
            "graphql_transport_ws.py",
            "ws://127.0.0.1:{port}/graphql",
            (
                "acknowledged: graphql-transport-ws",
                "query: {'hello': 'world'}",
                "error: *",
                "countdown: 2",
                "countdown: 1",
                "countdown: 0",
                "countdown complete",
                "pong",
                "closed 1000 True",
            ),
        ),
        Example(
            "graphql_gql.py",
            "ws://127.0.0.1:{port}/graphql",
            (
                "acknowledged: graphql-transport-ws",
                "query: {'hello': 'world'}",
                "error: Cannot query field *",
                "countdown: 2",
                "countdown: 1",
                "countdown: 0",
                "countdown complete",
                "closed 1000 True",
            ),
            library=True,
        ),
    ),
    note="refuses any other subprotocol with close 4406; `connection_init` must come within 3 s "
    "(4408)",
)
