"""Starlette on uvicorn."""

from ..peer import SERVERS, Peer, Pip, Process, python_versions

PEER = Peer(
    name="Starlette on uvicorn",
    kind="Python, ASGI, on websockets",
    needs=(Pip(("starlette==1.10.0", "uvicorn==0.54.0", "websockets==17.4")),),
    start=lambda place: [
        Process(
            [place.python, SERVERS / "uvicorn_run.py", "starlette_app:app", "websockets"],
            place.port,
            {},
        )
    ],
    version=python_versions("starlette", "uvicorn", "websockets"),
    cannot={"fragments": "ASGI sends whole messages only", "ping": "ASGI has no pings"},
)
