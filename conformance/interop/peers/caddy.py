"""Caddy as a reverse proxy before PyPI's websockets."""

from ..peer import HOST, Apt, Peer, Pip, Place, Process, debian_version

CONFIG = """\
{{
    admin off
    auto_https off
    storage file_system {place.folder}/storage
    default_bind {host}
}}
http://:{place.port} {{
    reverse_proxy {host}:{place.inner_port}
}}
https://:{place.tls_port} {{
    tls {place.certificate} {place.key}
    reverse_proxy {host}:{place.inner_port}
}}
"""


def start(place: Place) -> list[Process]:
    """The server behind it, then the proxy with its configuration in the scratch folder."""
    config = place.folder / "caddy.conf"
    pem = place.folder / "both.pem"
    pem.write_text(place.certificate.read_text() + place.key.read_text())
    config.write_text(CONFIG.format(place=place, host=HOST, pem=pem))
    return [
        place.inner_script("websockets_server.py"),
        Process(["caddy", "run", "--adapter", "caddyfile", "--config", config], place.port),
    ]


PEER = Peer(
    name="Caddy",
    kind="proxy before PyPI's websockets",
    needs=(Apt(("caddy",), ("caddy",)), Pip(("websockets==17.4",))),
    start=start,
    version=debian_version("caddy"),
    listed=True,
)
