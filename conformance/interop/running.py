"""Start a peer's processes, and end them whatever happens."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import trustme

from ..environment import SuiteError
from .peer import HERE, HOST, Peer, Place, Process

#: Seconds that a process may take until it accepts connections (Java, Erlang and Go's compiler).
START_SECONDS = 120.0
STOP_SECONDS = 60.0


class Certificates:
    """An authority of this run, and a certificate of it for the loopback address, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert(HOST, "localhost")
        self.authority = folder / "authority.pem"
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.certificate), append=number > 0)
        issued.private_key_pem.write_to_path(str(self.key))


class Running:
    """The processes of a peer that runs."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.log = place.folder / "log"
        self._guards: list[subprocess.Popen[bytes]] = []

    def start(self, process: Process) -> None:
        """Start one, and wait until it accepts connections."""
        with self.log.open("ab") as log:
            guard = subprocess.Popen(
                [sys.executable, "-E", "-S", HERE / "guard.py", *process.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.place.folder,
                env=self.place.environment() | process.environment,
                start_new_session=True,  # Ctrl-C is ours: the pipe ends them
            )
        self._guards.append(guard)
        self.wait_for(process.port, process.says)

    def wait_for(self, port: int, says: str = "") -> None:
        """Wait until the last one accepts connections on a port, and has printed something."""
        guard = self._guards[-1]
        deadline = time.monotonic() + START_SECONDS
        while guard.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                if says in self.log.read_text(errors="replace"):
                    return
            time.sleep(0.02)
        shown = " ".join(str(part) for part in list(guard.args)[4:])  # type: ignore[arg-type]
        raise SuiteError(f"{shown} did not start:\n{self.said()}")

    def said(self) -> str:
        """The end of what they printed."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def kill(self) -> None:
        """End all of them at once, with no chance to say goodbye."""
        self._end(b"kill\n")

    def stop(self) -> None:
        """End all of them, gently at first."""
        self._end(b"stop\n")

    def _end(self, word: bytes) -> None:
        for guard in reversed(self._guards):
            assert guard.stdin is not None
            with contextlib.suppress(OSError):
                guard.stdin.write(word)
                guard.stdin.close()
        for guard in self._guards:
            guard.wait(STOP_SECONDS)
        self._guards.clear()


def free_ports(count: int) -> list[int]:
    """Ports that are free now, chosen by the system, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def running(peer: Peer, certificates: Certificates) -> Iterator[Running]:
    """Run a peer that is installed."""
    with tempfile.TemporaryDirectory(prefix="interop-", ignore_cleanup_errors=True) as scratch:
        files = (certificates.certificate, certificates.key)
        place = Place(peer, Path(scratch), *free_ports(4), *files)
        run = Running(place)
        try:
            for process in peer.start(place):
                run.start(process)
            if peer.tls:
                run.wait_for(place.tls_port)
            yield run
        finally:
            run.stop()
