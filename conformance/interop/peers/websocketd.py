"""websocketd, which makes any command a WebSocket: here one that repeats each line."""

from ..peer import HOST, SERVERS, Apt, Peer, Process, debian_version

PEER = Peer(
    name="websocketd",
    kind="Go, any command as a WebSocket",
    needs=(Apt(("websocketd", "python3"), ("websocketd", "python3")),),
    start=lambda place: [
        Process(
            [
                *("websocketd", "--loglevel=error", f"--port={place.port}", f"--address={HOST}"),
                *("python3", "-u", SERVERS / "websocketd_command.py"),
            ],
            place.port,
        ),
        Process(
            [
                *("websocketd", "--loglevel=error", f"--port={place.tls_port}"),
                *(f"--address={HOST}", "--ssl"),
                *(f"--sslcert={place.certificate}", f"--sslkey={place.key}"),
                *("python3", "-u", SERVERS / "websocketd_command.py"),
            ],
            place.tls_port,
        ),
    ],
    version=debian_version("websocketd"),
    limit=None,
    ping_seconds=None,
    lacks=frozenset({"binary"}),
    known={"sizes": "a line of text a message (or, with --binary, pieces of a stream)"},
    cannot={
        "fragments": "a command cannot send them",
        "ping": "it has no pings",
        "subprotocol": "a command cannot choose one",
        "server_close": "the end of the command is a close without code",
    },
    note="each line of the command's output is a message, so a message has no newline; no pings: "
    "what is silent stays open as long as TCP does",
)
