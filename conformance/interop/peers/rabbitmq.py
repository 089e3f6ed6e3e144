"""RabbitMQ's WebSocket listeners (on cowboy): STOMP and MQTT, by examples.

The second is PyPI's client stomp.py, which takes our class as its transport.
"""

from ..peer import HOST, Apt, Example, Peer, Pip, Place, Process, debian_version, python_versions

CONFIG = """\
listeners.tcp = none
loopback_users = none
web_stomp.tcp.ip = {host}
web_stomp.tcp.port = {place.port}
web_stomp.ssl.ip = {host}
web_stomp.ssl.port = {place.tls_port}
web_stomp.ssl.certfile = {place.certificate}
web_stomp.ssl.keyfile = {place.key}
web_stomp.ssl.cacertfile = {place.certificate}
web_mqtt.tcp.ip = {host}
web_mqtt.tcp.port = {place.inner_port}
mqtt.listeners.tcp = none
stomp.listeners.tcp = none
mqtt.default_user = guest
mqtt.default_pass = guest
"""


def start(place: Place) -> list[Process]:
    """A node of its own, in the scratch folder."""
    config = place.folder / "rabbitmq.conf"
    config.write_text(CONFIG.format(place=place, host=HOST))
    plugins = place.folder / "enabled_plugins"
    plugins.write_text("[rabbitmq_web_stomp,rabbitmq_web_mqtt].\n")
    environment = {
        "HOME": str(place.folder),
        "RABBITMQ_NODENAME": f"interop{place.port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_MNESIA_BASE": str(place.folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(place.folder / "log-files"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(place.folder / "pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(place.folder / "generated"),
        "RABBITMQ_DIST_PORT": str(place.spare_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": HOST,
    }
    # The script in /usr/sbin changes to the user rabbitmq, who cannot read the scratch folder.
    return [Process(["/usr/lib/rabbitmq/bin/rabbitmq-server"], place.port, environment)]


def version(place: Place) -> str:
    """The server's package, and the client library."""
    return f"{debian_version('rabbitmq-server')(place)}; {python_versions('stomp.py')(place)}"


PEER = Peer(
    name="RabbitMQ",
    kind="Erlang, STOMP and MQTT over WebSocket (cowboy)",
    needs=(
        Apt(("rabbitmq-server",), ("/usr/lib/rabbitmq/bin/rabbitmq-server",)),
        Pip(("stomp.py==9.0.0",)),
    ),
    start=start,
    version=version,
    raw=False,
    path="/ws",
    protocols=("v12.stomp",),
    examples=(
        Example(
            "stompjs.py",
            "ws://127.0.0.1:{port}/ws",
            (
                "connected: 1.2 v12.stomp",
                "subscribed: receipt",
                "message: hello 0 text/plain",
                "message: hello 1 text/plain",
                "heart-beats: True",
                "receipt of the goodbye: False",
                "closed 1000 True",
            ),
        ),
        Example(
            "stomp_py.py",
            "ws://127.0.0.1:{port}/ws",
            (
                "connected: v12.stomp",
                "subscribed",
                "message: hello 0 text/plain",
                "message: hello 1 text/plain",
                "heart-beats: True",
                "closed 1000 True",
            ),
            library=True,
        ),
        Example(
            "mqtt.py",
            "ws://127.0.0.1:{inner_port}/ws",
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
    note="web-stomp 3.10 answers DISCONNECT with a Close frame, not with the receipt asked for; "
    "STOMP at `/ws` with subprotocol `v12.stomp`, MQTT at `/ws` of its own port with `mqtt`",
    ci=False,
)
