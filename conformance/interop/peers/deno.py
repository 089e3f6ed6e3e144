"""Deno, whose binary is a package of npm."""

from pathlib import Path

from ..peer import SERVERS, Npm, Peer, Place, Process, output


def binary(place: Place) -> Path:
    """The program in the package for this platform."""
    return place.node_modules / "@deno/linux-x64-glibc/deno"


PEER = Peer(
    name="Deno",
    kind="JavaScript and Rust, its own server",
    needs=(Npm({"deno": "2.9.6"}),),
    start=lambda place: [
        Process(
            [str(binary(place)), "run", "-A", "--quiet", SERVERS / "deno_server.ts"], place.port
        )
    ],
    version=lambda place: output(binary(place), "--version").splitlines()[0],
    limit=64 * 1024 * 1024,
    cannot={
        "fragments": "its API is the browser's: whole messages only",
        "ping": "its API is the browser's: no pings",
    },
)
