"""PyPI's tornado."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="Tornado",
    kind="Python",
    needs=(Pip(("tornado==6.6.1",)),),
    start=lambda place: [place.script("tornado_server.py")],
    # Its ping timeout is no longer than the interval, and a Pong waits behind a burst.
    environment={"INTEROP_PING": "3"},
    idle_seconds=7.0,
    ping_seconds=3.0,
    version=python_versions("tornado"),
    note="answers a Close frame with its code, without its reason",
    cannot={"fragments": "its API sends whole messages only"},
)
