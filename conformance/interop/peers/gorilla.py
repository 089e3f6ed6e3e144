"""Gorilla WebSocket, built with Debian's Go from Debian's source package."""

from ..peer import SERVERS, Apt, Peer, Place, Process, debian_version

PACKAGES = ("golang-go", "golang-github-gorilla-websocket-dev")
GOPATH = "/usr/share/gocode"


def start(place: Place) -> list[Process]:
    """The compiler, which runs what it has built."""
    environment = {
        "GO111MODULE": "off",
        "GOPATH": GOPATH,
        "GOCACHE": str(place.folder / "cache"),
        "GOFLAGS": "",
    }
    return [Process(["go", "run", SERVERS / "gorilla_server.go"], place.port, environment)]


PEER = Peer(
    name="Gorilla WebSocket",
    kind="Go",
    listed=True,
    needs=(Apt(PACKAGES, ("go", f"{GOPATH}/src/github.com/gorilla/websocket")),),
    start=start,
    version=debian_version(*PACKAGES),
    ci=False,
)
