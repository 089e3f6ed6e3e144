"""cowboy, from the plugins of Debian's RabbitMQ, in an escript."""

from pathlib import Path

from ..peer import SERVERS, Apt, MissingError, Peer, Place, Process

PACKAGE = "rabbitmq-server"


def plugins() -> Path:
    """The folder of RabbitMQ's plugins that has cowboy."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/plugins/cowboy-*"))
    if not found:
        raise MissingError(f"apt-get install {PACKAGE}")
    return found[-1].parent


def version(_place: Place) -> str:
    """Cowboy's and ranch's versions, from their folders' names."""
    names = sorted(path.name for path in plugins().iterdir())
    return ", ".join(n.replace("-", " ") for n in names if n.startswith(("cowboy-", "ranch-")))


PEER = Peer(
    name="cowboy",
    kind="Erlang, from RabbitMQ's plugins",
    listed=True,
    needs=(Apt((PACKAGE,), ("escript", "/usr/lib/rabbitmq/lib")),),
    start=lambda place: [
        Process(["escript", SERVERS / "cowboy_server.escript", plugins()], place.port)
    ],
    version=version,
    lacks=frozenset({"compressed empty"}),
    known={
        "deflate": "of two empty messages in a row, cowlib 2.9 compresses the second to no byte at "
        "all, where RFC 7692 §7.2.3.6 has one: that is no DEFLATE data, and the connection fails"
    },
    cannot={"fragments": "its API sends whole messages only"},
    note="no pings unless the handler sends them; an idle connection is closed after 60 s",
)
