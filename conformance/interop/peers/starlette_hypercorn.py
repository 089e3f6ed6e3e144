"""Starlette on Hypercorn."""

from ..peer import Peer, Pip, python_versions

PEER = Peer(
    name="Starlette on Hypercorn",
    kind="Python, ASGI, on wsproto",
    needs=(Pip(("starlette==1.10.0", "hypercorn==0.18.0")),),
    start=lambda place: [place.script("hypercorn_run.py")],
    version=python_versions("starlette", "hypercorn", "wsproto"),
    cannot={"fragments": "ASGI sends whole messages only", "ping": "ASGI has no pings"},
)
