"""libwebsockets' own test server, as Debian builds it."""

from ..peer import Apt, Example, Peer, Process, debian_version

PROGRAM = "libwebsockets-test-server"
PACKAGE = "libwebsockets-test-server"

PEER = Peer(
    name="libwebsockets",
    kind="C, its test server",
    needs=(Apt((PACKAGE,), (PROGRAM,)),),
    start=lambda place: [
        Process([PROGRAM, f"--port={place.port}", "--interface=lo", "-d", "1"], place.port),
        Process(
            [
                *(PROGRAM, f"--port={place.tls_port}", "--interface=lo", "-d", "1", "--ssl"),
                *(f"--ssl-cert={place.certificate}", f"--ssl-key={place.key}"),
            ],
            place.tls_port,
        ),
    ],
    version=debian_version(PACKAGE),
    raw=False,
    protocols=("dumb-increment-protocol",),
    examples=(
        Example(
            "lws_dumb_increment.py",
            "ws://127.0.0.1:{port}/",
            ("opened dumb-increment-protocol", "0", "1", "2", "reset", "0", "closed 1000 True"),
        ),
    ),
    note="its test server does not echo: its own dumb-increment-protocol is spoken instead",
)
