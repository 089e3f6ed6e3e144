"""PyPI's tornado."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="Tornado",
    kind="Python",
    needs=(Pip(("tornado==6.6.1",)),),
    start=lambda place: [place.script("tornado_server.py")],
    version=python_versions("tornado"),
    note="answers a Close frame with its code, without its reason",
    cannot={"fragments": "its API sends whole messages only"},
)
