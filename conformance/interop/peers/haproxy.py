"""HAProxy as a reverse proxy before PyPI's websockets."""

from ..peer import HOST, Apt, Peer, Pip, Place, Process, debian_version

CONFIG = """\
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    timeout tunnel 5s
frontend all
    bind {host}:{place.port}
    bind {host}:{place.tls_port} ssl crt {pem}
    default_backend echo
backend echo
    server one {host}:{place.inner_port}
"""


def start(place: Place) -> list[Process]:
    """The server behind it, then the proxy with its configuration in the scratch folder."""
    config = place.folder / "haproxy.conf"
    pem = place.folder / "both.pem"
    pem.write_text(place.certificate.read_text() + place.key.read_text())
    config.write_text(CONFIG.format(place=place, host=HOST, pem=pem))
    return [
        place.inner_script("websockets_server.py"),
        Process(["haproxy", "-db", "-f", config], place.port),
    ]


PEER = Peer(
    name="HAProxy",
    kind="proxy before PyPI's websockets",
    needs=(Apt(("haproxy",), ("haproxy",)), Pip(("websockets==17.4",))),
    start=start,
    version=debian_version("haproxy"),
    idle_seconds=6.0,
    note="`timeout tunnel` (5 s here) ends what is silent: the server's pings keep it",
)
