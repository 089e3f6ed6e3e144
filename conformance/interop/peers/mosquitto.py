"""Mosquitto's WebSocket listener: MQTT, by an example."""

from ..peer import HOST, Apt, Example, Peer, Place, Process, debian_version


def start(place: Place) -> list[Process]:
    """With a configuration of its own."""
    config = place.folder / "mosquitto.conf"
    config.write_text(
        f"listener {place.inner_port} {HOST}\n"  # it starts with a plain one only
        f"listener {place.port} {HOST}\nprotocol websockets\n"
        f"listener {place.tls_port} {HOST}\nprotocol websockets\n"
        f"certfile {place.certificate}\nkeyfile {place.key}\nallow_anonymous true\n"
        "persistence false\nlog_dest stderr\n"
        "user root\n"  # if it is started as root: another user cannot read the certificate
    )
    return [Process(["mosquitto", "-c", config], place.port)]


PEER = Peer(
    name="Mosquitto",
    kind="C, MQTT over WebSocket (libwebsockets)",
    needs=(Apt(("mosquitto",), ("mosquitto",)),),
    start=start,
    version=debian_version("mosquitto"),
    raw=False,
    protocols=("mqtt",),
    examples=(
        Example(
            "mqtt.py",
            "ws://127.0.0.1:{port}/",
            (
                "connected: 0 mqtt",
                "subscribed: 1",
                "published: acknowledged",
                "webapi/news: hello",
                "pong",
                "disconnected 1000 True",
            ),
        ),
    ),
    note="binary messages only, which need not be whole packets; the subprotocol `mqtt` must be "
    "asked for",
)
