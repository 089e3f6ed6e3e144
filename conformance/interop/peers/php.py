"""A server on PHP's own stream sockets."""

from ..peer import SERVERS, Apt, Peer, Process, debian_version

PEER = Peer(
    name="PHP",
    kind="PHP's stream sockets; not the listed project's code, which no package registry has",
    needs=(Apt(("php-cli",), ("php",)),),
    start=lambda place: [
        Process(["php", "-d", "memory_limit=1G", SERVERS / "php_server.php"], place.port)
    ],
    version=debian_version("php-cli"),
    note="not the listed code (PHP WebSockets is in no package registry): the same manner, by us",
)
