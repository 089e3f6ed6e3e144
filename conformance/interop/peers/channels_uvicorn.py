"""Django Channels on uvicorn."""

from ..peer import SERVERS, Peer, Pip, Process, python_versions

PEER = Peer(
    name="Django Channels on uvicorn",
    kind="Python, ASGI, on websockets",
    listed=True,
    needs=(Pip(("channels==4.3.2", "django==5.2.19", "uvicorn==0.54.0", "websockets==17.4")),),
    start=lambda place: [
        Process(
            [place.python, SERVERS / "uvicorn_run.py", "channels_app:app", "websockets"],
            place.port,
            {},
        )
    ],
    # It takes seconds for a burst, and reads no Pong meanwhile; on a busy machine more than five.
    environment={"INTEROP_PONG": "30"},
    idle_seconds=7.0,
    note="a consumer that is busy for longer than uvicorn's ping timeout (20 s unless set) is "
    "closed with 1011 while it still reads a burst",
    version=python_versions("channels", "django", "uvicorn"),
    cannot={"fragments": "ASGI sends whole messages only", "ping": "ASGI has no pings"},
)
