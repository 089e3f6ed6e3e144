"""What the environment tells the servers in Python, and the words they share."""

import os
import ssl

HOST = os.environ["INTEROP_HOST"]
PORT = int(os.environ["INTEROP_PORT"])
TLS_PORT = int(os.environ["INTEROP_TLS_PORT"] or 0)
CERTIFICATE = os.environ["INTEROP_CERTIFICATE"]
KEY = os.environ["INTEROP_KEY"]
SUBPROTOCOL = os.environ["INTEROP_SUBPROTOCOL"]
LIMIT = int(os.environ["INTEROP_LIMIT"])
PING = int(os.environ["INTEROP_PING"])
PONG = int(os.environ["INTEROP_PONG"])
MARK = "#interop "


def context():
    """The TLS context of a server."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(CERTIFICATE, KEY)
    return made


def listeners():
    """Each port, and its TLS context or None."""
    yield PORT, None
    if TLS_PORT:
        yield TLS_PORT, context()


def parse(message):
    """``(command, arguments)`` if it is one."""
    if isinstance(message, str) and message.startswith(MARK):
        command, *arguments = message[len(MARK) :].split(" ")
        return command, arguments
    return None
