import socket
import threading
from types import SimpleNamespace

import pytest
import uvicorn
from server import app


@pytest.fixture(scope="session")
def live_server():
    """The real application on uvicorn, in a thread; `.ws` is its URL."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)  # connections wait here until uvicorn takes them
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    yield SimpleNamespace(ws=f"ws://127.0.0.1:{sock.getsockname()[1]}")
    server.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture
def page(new_page, live_server):
    """A page of the server's own: it takes sockets of no other origin."""
    return new_page(live_server.ws.replace("ws:", "http:"))
