"""FastAPI on uvicorn (wsproto)."""

from ..peer import SERVERS, Peer, Pip, Process, python_versions

PEER = Peer(
    name="FastAPI on uvicorn (wsproto)",
    kind="Python, ASGI, on wsproto",
    needs=(Pip(("fastapi==0.165.0", "uvicorn==0.54.0", "wsproto==1.2.0")),),
    start=lambda place: [
        Process(
            [place.python, SERVERS / "uvicorn_run.py", "starlette_app:app", "wsproto"],
            place.port,
            {"INTEROP_APP": "fastapi"},
        )
    ],
    version=python_versions("fastapi", "uvicorn", "wsproto"),
    cannot={"fragments": "ASGI sends whole messages only", "ping": "ASGI has no pings"},
)
