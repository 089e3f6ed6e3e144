"""uWebSockets, through PyPI's socketify, whose wheel embeds it."""

from ..peer import SERVERS, Peer, Pip, Process, python_versions

SOURCE = SERVERS / "socketify_server.py"

PEER = Peer(
    name="uWebSockets",
    kind="C++, through PyPI's socketify",
    listed=True,
    needs=(Pip(("socketify==0.0.31",)),),
    start=lambda place: [
        place.script("socketify_server.py"),
        Process([place.python, SOURCE, "tls"], place.tls_port),
    ],
    version=python_versions("socketify"),
    idle_seconds=9.0,
    ping_seconds=8,
    note="takes close codes from 3000 to 3999 for invalid, and answers them with an empty Close "
    "frame: the event has 1005; ends the connection without a Close frame when a message is too "
    "long; socketify lets it ping only if told to (`send_pings_automatically`), and it closes "
    "what is idle otherwise",
)
