"""Jetty 9, from Debian's libraries."""

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from ..peer import SERVERS, Apt, Peer, Place, Process, debian_version

PACKAGES = ("default-jdk-headless", "libjetty9-java", "libjetty9-extra-java")
JARS = "/usr/share/java"
CLASSES = (
    *("server", "http", "io", "util", "servlet"),
    *("websocket-api", "websocket-common", "websocket-server", "websocket-servlet"),
    "websocket-client",
)


def start(place: Place) -> list[Process]:
    """The compiler, which runs what it has compiled; Java wants its own kind of key file."""
    keys = place.folder / "keys.p12"
    key = serialization.load_pem_private_key(place.key.read_bytes(), None)
    chain = x509.load_pem_x509_certificates(place.certificate.read_bytes())
    encryption = serialization.BestAvailableEncryption(b"interop")
    keys.write_bytes(
        pkcs12.serialize_key_and_certificates(b"interop", key, chain[0], chain[1:], encryption)  # type: ignore[arg-type]
    )
    jars = ":".join([*(f"{JARS}/jetty9-{name}.jar" for name in CLASSES), f"{JARS}/servlet-api.jar"])
    return [Process(["java", "-cp", jars, SERVERS / "JettyServer.java", keys], place.port)]


PEER = Peer(
    name="Jetty 9",
    kind="Java",
    needs=(Apt(PACKAGES, ("java", "javac", f"{JARS}/jetty9-websocket-server.jar")),),
    start=start,
    version=debian_version("libjetty9-java", "default-jdk-headless"),
    ci=False,
)
