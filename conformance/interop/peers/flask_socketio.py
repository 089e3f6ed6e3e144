"""PyPI's Flask-SocketIO, the same protocol as Socket.IO's."""

from ..peer import SERVERS, Example, Peer, Pip, Process, python_versions
from .socketio import PEER as SOCKETIO

PEER = Peer(
    name="Flask-SocketIO",
    kind="Python, threads",
    listed=True,
    needs=(Pip(("Flask-SocketIO==5.7.0", "simple-websocket==1.1.0")),),
    start=lambda place: [
        place.script("flask_socketio_server.py"),
        Process([place.python, SERVERS / "flask_socketio_server.py", "tls"], place.tls_port),
    ],
    version=python_versions("Flask-SocketIO", "python-socketio", "python-engineio"),
    raw=False,
    path="/socket.io/?EIO=4&transport=websocket",
    examples=tuple(Example(e.script, e.url, e.prints) for e in SOCKETIO.examples),
    note="as Socket.IO; what a connect handler emits comes before the CONNECT packet, so a client "
    "must keep it until then, as socket.io-client does",
)
