"""SignalR: its client example is tested with a scripted server only."""

from ..peer import Peer

PEER = Peer(
    name="SignalR",
    kind="C#, ASP.NET Core",
    needs=(),
    start=lambda _place: [],
    version=lambda _place: "",
    listed=True,
    absent="not yet against the real server: ASP.NET Core is in none of PyPI, npm and Debian 12",
    note="examples/protocols/signalr.py speaks the hub protocol (negotiate, handshake, invoke, "
    "stream, close), tested with a server scripted after the protocol's text",
)
