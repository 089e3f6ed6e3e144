"""PyPI's websockets."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="websockets",
    kind="Python, asyncio",
    needs=(Pip(("websockets==17.4",)),),
    start=lambda place: [place.script("websockets_server.py")],
    version=python_versions("websockets"),
)
