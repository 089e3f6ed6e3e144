"""nginx as a reverse proxy before PyPI's websockets."""

from ..peer import HOST, Apt, Peer, Pip, Place, Process, debian_version

CONFIG = """\
daemon off;
master_process off;
pid {place.folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {place.folder}/body;
    proxy_temp_path {place.folder}/proxy;
    fastcgi_temp_path {place.folder}/fastcgi;
    uwsgi_temp_path {place.folder}/uwsgi;
    scgi_temp_path {place.folder}/scgi;
    server {{
        listen {host}:{place.port};
        listen {host}:{place.tls_port} ssl;
        ssl_certificate {place.certificate};
        ssl_certificate_key {place.key};
        location / {{
            proxy_pass http://{host}:{place.inner_port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
            proxy_read_timeout 5s;
        }}
    }}
}}
"""


def start(place: Place) -> list[Process]:
    """The server behind it, then the proxy with its configuration in the scratch folder."""
    config = place.folder / "nginx.conf"
    pem = place.folder / "both.pem"
    pem.write_text(place.certificate.read_text() + place.key.read_text())
    config.write_text(CONFIG.format(place=place, host=HOST, pem=pem))
    return [
        place.inner_script("websockets_server.py"),
        Process(["nginx", "-e", "stderr", "-c", config], place.port),
    ]


PEER = Peer(
    name="nginx",
    kind="proxy before PyPI's websockets",
    needs=(Apt(("nginx-light",), ("nginx",)), Pip(("websockets==17.4",))),
    start=start,
    version=debian_version("nginx-light"),
    idle_seconds=6.0,
    note="`proxy_read_timeout` (60 s unless set; 5 s here) ends what is silent: the server's pings "
    "keep it; Upgrade and Connection must be passed on by hand",
)
