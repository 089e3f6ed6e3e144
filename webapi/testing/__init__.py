"""Tools for tests: pages that show what happens on their sockets, scripted servers, fixtures.

`Page`, `WebSocketServer` and the matchers `message` and `sent` are what the fixtures `page` and
`ws_server` are made of. `Server` and `Peer` are a smaller, asynchronous server without them.
"""

from typing import TYPE_CHECKING, Any

from webapi.testing.server import Peer, PeerGone, Server

if TYPE_CHECKING:
    from webapi.testing.cassette import Cassette
    from webapi.testing.matching import Match, message, sent
    from webapi.testing.page import Page
    from webapi.testing.script_peer import ScriptPeer
    from webapi.testing.tap import Tap
    from webapi.testing.waiting import Failed
    from webapi.testing.ws_server import WebSocketServer, authority

__all__ = [
    "Cassette",
    "Failed",
    "Match",
    "Page",
    "Peer",
    "PeerGone",
    "ScriptPeer",
    "Server",
    "Tap",
    "WebSocketServer",
    "authority",
    "message",
    "sent",
]

_PLACES = {
    "Cassette": "cassette",
    "Failed": "waiting",
    "Match": "matching",
    "Page": "page",
    "ScriptPeer": "script_peer",
    "Tap": "tap",
    "WebSocketServer": "ws_server",
    "authority": "ws_server",
    "message": "matching",
    "sent": "matching",
}


def __getattr__(name: str) -> Any:
    """Import what `Server` alone does not need when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
