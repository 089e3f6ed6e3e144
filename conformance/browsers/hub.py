"""The hub: serves the judges their page, hands them scenarios in batches, takes their traces."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .server import ScriptedServer, Scripts

PAGE = Path(__file__).parent / "page"
CONTENT_TYPES = {".html": "text/html", ".js": "text/javascript"}

#: How many scenarios a judge runs at a time, each on an address of its own.
SLOTS = 8

#: Seconds until a judge that was started must have asked for scenarios, on a busy machine.
STARTING = 90.0

Trace = list[Any]
Scenario = dict[str, Any]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a judge that is stopped breaks its connections."""


class JudgeGone(Exception):
    """A judge ended or fell silent."""


class Hub:
    """One HTTP server for all judges, and the scripted server that their scenarios talk to."""

    def __init__(self) -> None:
        self._batches: dict[str, queue.Queue[Any]] = defaultdict(queue.Queue)
        self._traces: dict[str, queue.Queue[Any]] = defaultdict(queue.Queue)
        self._running: dict[str, tuple[int, Sequence[Scenario]]] = {}
        self._present: set[str] = set()  # the judges that have asked for scenarios
        self.ended: dict[str, Callable[[], int | None]] = {}  # gives a judge's exit status
        self.revive: Callable[[str], None] | None = None
        """Starts a judge anew that is gone; without it nobody gets a second chance."""
        self._counts: dict[str, int] = defaultdict(int)
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self.server = ScriptedServer(self._scripts, SLOTS)
        self._refusing = socket.socket()  # bound, so that nobody else listens there
        self._refusing.bind(("127.0.0.1", 0))

    def __enter__(self) -> Hub:
        self.server.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.server.__exit__()
        self._refusing.close()

    @property
    def _refused_url(self) -> str:
        """Where connections are refused."""
        return f"ws://127.0.0.1:{self._refusing.getsockname()[1]}"

    @property
    def url(self) -> str:
        """The hub's address."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def slots(self) -> str:
        """The scripted server's addresses, as the judges take them."""
        return ",".join(self.server.urls)

    def run(self, judge: str, scenarios: Sequence[Scenario], seconds: float = 300) -> list[Trace]:
        """Have `judge` run `scenarios`; return what its page and what the server saw of each.

        A judge that dies or never speaks is started anew, once: what it says is judged, not
        whether its program came up at the first attempt.

        Raises:
            JudgeGone: it did not answer within `seconds`.
        """
        try:
            return self._run(judge, scenarios, seconds)
        except JudgeGone as gone:
            if self.revive is None:
                raise
            print(f"{gone}: it is started anew", flush=True)
            self._batches[judge], self._traces[judge] = queue.Queue(), queue.Queue()
            self._present.discard(judge)
            self.revive(judge)
            return self._run(judge, scenarios, seconds)

    def _run(self, judge: str, scenarios: Sequence[Scenario], seconds: float) -> list[Trace]:
        first = self._counts[judge]
        self._counts[judge] += len(scenarios)
        self._running[judge] = (first, scenarios)
        places = {"{page}": f"ws{self.url[4:]}", "{refused}": self._refused_url}
        self._batches[judge].put({"first": first, "scenarios": scenarios, "places": places})
        traces = self._await_traces(judge, seconds)
        for at, trace in enumerate(traces):
            heard = self.server.heard(judge, first + at)
            # Of a socket that is closed while CONNECTING, chance says whether the server hears.
            if not scenarios[at].get("aborts"):
                trace += (["heard", request, frames] for request, frames in heard)
        return list(traces)

    def _await_traces(self, judge: str, seconds: float) -> Any:
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            with contextlib.suppress(queue.Empty):
                return self._traces[judge].get(timeout=1)
            ended = self.ended.get(judge, lambda: None)()
            if ended is not None:
                raise JudgeGone(f"{judge} ended, with the exit status {ended}")
            if judge not in self._present and now > began + STARTING:
                raise JudgeGone(f"{judge} asked for nothing within {STARTING:g} s")
        raise JudgeGone(f"{judge} sent no traces within {seconds:g} s")

    def dismiss(self, judge: str) -> None:
        """Tell `judge` that there is no more to do."""
        self._batches[judge].put(None)

    def _scripts(self, judge: str, number: int) -> Scripts:
        first, scenarios = self._running[judge]
        if number < first:  # a socket that was closed while CONNECTING has come late
            return {"": []}
        scripts: Scripts = scenarios[number - first].get("server", {})
        return scripts

    def next_batch(self, judge: str) -> Any:
        """The judge's next batch; waits for it."""
        self._present.add(judge)
        return self._batches[judge].get()

    def take_traces(self, judge: str, traces: Any) -> None:
        """Take what a judge posted."""
        self._traces[judge].put(traces)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/next/"):
                batch = hub.next_batch(path.removeprefix("/next/"))
                self._answer(json.dumps(batch).encode(), "application/json")
                return
            file = PAGE / path.lstrip("/")
            if file.parent == PAGE and file.suffix in CONTENT_TYPES and file.exists():
                self._answer(file.read_bytes(), CONTENT_TYPES[file.suffix])
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.take_traces(self.path.removeprefix("/traces/"), json.loads(body))
            self._answer(b"", "text/plain")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
