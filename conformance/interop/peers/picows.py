"""PyPI's picows."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="picows",
    kind="Python, Cython",
    needs=(Pip(("picows==2.3.1",)),),
    start=lambda place: [place.script("picows_server.py")],
    note="no permessage-deflate",
    version=python_versions("picows"),
)
