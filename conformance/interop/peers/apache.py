"""Apache httpd (mod_proxy_wstunnel) as a reverse proxy before PyPI's websockets."""

from ..peer import HOST, Apt, Peer, Pip, Place, Process, debian_version

CONFIG = """\
ServerRoot {place.folder}
ServerName localhost
PidFile {place.folder}/pid
ErrorLog /dev/stderr
Mutex file:{place.folder}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule proxy_wstunnel_module /usr/lib/apache2/modules/mod_proxy_wstunnel.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
Listen {host}:{place.port}
Listen {host}:{place.tls_port}
ProxyPass "/" "ws://{host}:{place.inner_port}/"
<VirtualHost {host}:{place.tls_port}>
    SSLEngine on
    SSLCertificateFile {place.certificate}
    SSLCertificateKeyFile {place.key}
    ProxyPass "/" "ws://{host}:{place.inner_port}/"
</VirtualHost>
"""


def start(place: Place) -> list[Process]:
    """The server behind it, then the proxy with its configuration in the scratch folder."""
    config = place.folder / "apache.conf"
    pem = place.folder / "both.pem"
    pem.write_text(place.certificate.read_text() + place.key.read_text())
    config.write_text(CONFIG.format(place=place, host=HOST, pem=pem))
    return [
        place.inner_script("websockets_server.py"),
        Process(["apache2", "-X", "-f", config], place.port),
    ]


PEER = Peer(
    name="Apache httpd",
    kind="proxy before PyPI's websockets",
    needs=(Apt(("apache2",), ("apache2",)), Pip(("websockets==17.4",))),
    start=start,
    version=debian_version("apache2"),
)
