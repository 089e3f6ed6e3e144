"""PyPI's sanic."""

from ..peer import SERVERS, Peer, Pip, Process, python_versions

PEER = Peer(
    name="Sanic",
    kind="Python, on websockets",
    needs=(Pip(("sanic==25.12.1", "setuptools<81")),),
    start=lambda place: [
        place.script("sanic_server.py"),
        Process([place.python, SERVERS / "sanic_server.py", "tls"], place.tls_port),
    ],
    version=python_versions("sanic", "websockets"),
    subprotocol_path="/subprotocol",
    note="a route with subprotocols refuses whoever offers none of them (400)",
    cannot={"fragments": "its API sends whole messages only"},
)
