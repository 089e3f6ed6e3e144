"""Bun, whose binary is a package of npm."""

from pathlib import Path

from ..peer import SERVERS, Npm, Peer, Place, Process, output


def binary(place: Place) -> Path:
    """The program in the package for this platform."""
    return place.node_modules / "@oven/bun-linux-x64/bin/bun"


PEER = Peer(
    name="Bun",
    kind="JavaScript, its own server (uWebSockets)",
    needs=(Npm({"bun": "1.4.5"}),),
    start=lambda place: [
        Process([str(binary(place)), "run", SERVERS / "bun_server.js"], place.port)
    ],
    version=lambda place: output(binary(place), "--version").splitlines()[0],
    # Not to be told: after half of its `idleTimeout`, 8 s here, which the answers keep it from.
    ping_seconds=4,
    idle_seconds=9.0,
    cannot={"fragments": "its API sends whole messages only"},
)
