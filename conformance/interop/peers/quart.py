"""Quart, on the Hypercorn that it brings."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="Quart",
    kind="Python, ASGI, on Hypercorn",
    needs=(Pip(("quart==0.22.0",)),),
    start=lambda place: [place.script("quart_app.py")],
    lacks=frozenset({"binary"}),
    known={
        "sizes": "Quart 0.22 and Hypercorn 0.18 do not agree on ASGI's `text: None`: a binary "
        "message that the application sends raises TypeError in Hypercorn",
    },
    note="binary messages from the server: not with Hypercorn 0.18",
    version=python_versions("quart", "hypercorn"),
    cannot={"fragments": "ASGI sends whole messages only", "ping": "ASGI has no pings"},
)
