"""What a peer is: how to install it, how to start it, and what it cannot do."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..environment import SuiteError, cache_folder, clean_environment, locked, run
from . import peers as peers_package

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
ROOT = HERE.parent.parent

HOST = "127.0.0.1"
#: The subprotocol that every server picks where it is among those offered.
SUBPROTOCOL = "interop.v1"
#: What servers are told to take at most in one message, where they can be told.
LIMIT = 4 * 1024 * 1024
#: After how many idle seconds servers shall ping, where they can be told,
PING_SECONDS = 1
#: and how long they shall wait for the answer: a busy machine is no fault.
PONG_SECONDS = 10


class MissingError(SuiteError):
    """A runtime is not on this machine; the message is what installs it."""


@dataclass(frozen=True)
class Pip:
    """Packages of PyPI, in a virtual environment of the peer's own."""

    requirements: tuple[str, ...]
    python: Path = Path(sys.executable)

    def folder(self) -> Path:
        """Where the environment is, or will be."""
        return cache_folder("interop-py", self.python, *(r.encode() for r in self.requirements))

    def provide(self, *, system: bool) -> None:
        """Make the environment if it is not there yet."""
        del system
        folder = self.folder()
        with locked(folder.with_suffix(".lock")):
            if (folder / "ready").exists():
                return
            shutil.rmtree(folder, ignore_errors=True)
            # Our own pip installs into it, which saves an environment's seconds of making one.
            run(self.python, "-m", "venv", "--without-pip", folder)
            pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
            run(*pip, "install", "--disable-pip-version-check", *self.requirements)
            (folder / "ready").touch()


@dataclass(frozen=True)
class Npm:
    """Packages of npm, in a folder of the peer's own, for the Node that is on this machine."""

    packages: Mapping[str, str]
    """Names and versions."""

    def folder(self) -> Path:
        """Where the packages are, or will be."""
        decisive = json.dumps(dict(self.packages)).encode()
        return cache_folder("interop-npm", Path(sys.executable), decisive)

    def provide(self, *, system: bool) -> None:
        """Install the packages if they are not there yet."""
        del system
        for program in ("npm", "node"):
            if shutil.which(program) is None:
                raise MissingError("install Node.js 18 or later, with npm")
        folder = self.folder()
        with locked(folder.with_suffix(".lock")):
            if (folder / "ready").exists():
                return
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            package = {"name": "interop", "private": True, "dependencies": dict(self.packages)}
            (folder / "package.json").write_text(json.dumps(package))
            options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder)
            run("npm", "install", *options)
            (folder / "ready").touch()


@dataclass(frozen=True)
class Apt:
    """Packages of Debian, for which the machine is asked first."""

    packages: tuple[str, ...]
    files: tuple[str, ...]
    """Programs (looked up on the search path) or files whose presence says that they are there."""

    def missing(self) -> list[str]:
        """Those that are not there."""
        return [name for name in self.files if find_program(name) is None]

    def provide(self, *, system: bool) -> None:
        """Look for them; install them only if ``system`` says that this machine may be changed."""
        if not self.missing():
            return
        if not system:
            raise MissingError(f"apt-get install {' '.join(self.packages)} (--apt does it)")
        install_debian(self.packages)
        if missing := self.missing():
            raise SuiteError(f"{' '.join(self.packages)} brought no {', '.join(missing)}")


def find_program(name: str) -> str | None:
    """The path of a program or a file, or None."""
    if "/" in name:
        return name if Path(name).exists() else None
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def install_debian(packages: Sequence[str]) -> None:
    """Install packages of Debian without starting the services that come with them."""
    if shutil.which("apt-get") is None:
        raise MissingError(f"Debian's packages {' '.join(packages)}, which this machine has not")
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    try:
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        env = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q")
        run(*env, "update")
        run(*env, "install", "-y", "--no-install-recommends", *packages)
    except OSError as error:
        raise MissingError(f"apt-get install {' '.join(packages)} (as root)") from error
    finally:
        if ours:
            policy.unlink(missing_ok=True)


@dataclass
class Place:
    """Where one run of a peer happens: its scratch folder, its ports, its certificate."""

    peer: Peer
    folder: Path
    port: int
    tls_port: int
    inner_port: int
    """For what stands behind a proxy, or for a second listener."""
    spare_port: int
    """For what a peer listens on besides."""
    certificate: Path
    """Of the server, with its chain, PEM."""
    key: Path

    @property
    def python(self) -> Path:
        """The interpreter of the peer's environment."""
        return self._need(Pip).folder() / "bin" / "python"

    @property
    def node_modules(self) -> Path:
        """The folder of the peer's npm packages."""
        return self._need(Npm).folder() / "node_modules"

    def _need(self, kind: type[Pip] | type[Npm]) -> Pip | Npm:
        return next(need for need in self.peer.needs if isinstance(need, kind))

    @property
    def packages(self) -> Path:
        """The folder of the peer's packages of PyPI."""
        return next(self._need(Pip).folder().glob("lib/python*/site-packages"))

    def node(self, source: str, *options: str) -> Process:
        """A server of ours in JavaScript, on the machine's Node."""
        return Process(["node", *options, SERVERS / source], self.port)

    def script(self, source: str) -> Process:
        """A server of ours in Python, in the peer's environment."""
        return Process([self.python, SERVERS / source], self.port)

    def inner_script(self, source: str) -> Process:
        """The same behind a proxy: without TLS, on the inner port."""
        env = {"INTEROP_PORT": str(self.inner_port), "INTEROP_TLS_PORT": ""}
        return Process([self.python, SERVERS / source], self.inner_port, env)

    def environment(self) -> dict[str, str]:
        """What every server is told."""
        environment = clean_environment() | {
            "INTEROP_HOST": HOST,
            "INTEROP_PORT": str(self.port),
            "INTEROP_TLS_PORT": str(self.tls_port) if self.peer.tls else "",
            "INTEROP_INNER_PORT": str(self.inner_port),
            "INTEROP_CERTIFICATE": str(self.certificate),
            "INTEROP_KEY": str(self.key),
            "INTEROP_SUBPROTOCOL": SUBPROTOCOL,
            "INTEROP_LIMIT": str(LIMIT),
            "INTEROP_PING": str(PING_SECONDS),
            "INTEROP_PONG": str(PONG_SECONDS),
            "PYTHONUNBUFFERED": "1",
        }
        if any(isinstance(need, Npm) for need in self.peer.needs):
            environment["NODE_PATH"] = str(self.node_modules)
        return environment | self.peer.environment


@dataclass(frozen=True)
class Process:
    """One process of a peer. It is ready when it accepts connections on its port."""

    command: Sequence[str | Path]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    """What it prints once it is ready, where accepting connections is not yet that."""


@dataclass(frozen=True)
class Example:
    """A client under ``examples/protocols/`` and what it prints against this peer's server."""

    script: str
    url: str
    """With ``{port}`` in it."""
    prints: tuple[str, ...]
    """Its lines; ``*`` stands for anything, as in a shell."""
    library: bool = False
    """Whether it needs the peer's packages of PyPI: a client library that takes our class."""


@dataclass(frozen=True)
class Peer:
    """A server that people run.

    The server of each speaks the same little language (see :mod:`.battery`), and is told what it
    needs in ``INTEROP_`` variables.
    """

    name: str
    kind: str
    """What it is, in a few words."""
    needs: tuple[Pip | Npm | Apt, ...]
    start: Callable[[Place], Sequence[Process]]
    """Its processes, in the order in which they are started."""
    version: Callable[[Place], str]
    listed: bool = False
    """Whether MDN's page of WebSocket servers and tools lists it."""
    path: str = "/"
    subprotocol_path: str = ""
    """Where subprotocols are negotiated; empty: at ``path`` too."""
    tls: bool = True
    """Whether it terminates TLS itself."""
    raw: bool = True
    """Whether it can be a plain WebSocket server, which echoes; where not, the examples speak its
    own protocol, and of the battery there is what needs no echo."""
    protocols: tuple[str, ...] = ()
    """What its own protocol asks for as a subprotocol."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Checks that mean nothing here, and why."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Checks that fail against it, and why: they are shown as failed, but expected."""
    lacks: frozenset[str] = frozenset()
    """``empty`` and ``binary`` messages, where it drops them; then ``sizes`` is in ``known``.
    ``compressed empty`` where it cannot compress those; then ``deflate`` is in ``known``."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its processes are told beside the ``INTEROP_`` variables, or other values of them."""
    limit: int | None = LIMIT
    """The bytes that it takes in one message, at most."""
    pour: int = 64 * 1024 * 1024
    """The length of the message in whose midst it is killed."""
    ping_seconds: float | None = PING_SECONDS
    """After how many idle seconds it pings; None if it never does: either must show."""
    idle_seconds: float = 2.5
    """How long an idle connection is held: longer than that."""
    examples: tuple[Example, ...] = ()
    note: str = ""
    """What a client has to know."""
    absent: str = ""
    """Why it cannot be run at all on this kind of machine."""
    ci: bool = True
    """Whether its installation is quick enough for each change's run."""

    def provide(self, *, system: bool) -> None:
        """Install what it needs. Raises: MissingError where the machine lacks something."""
        for need in self.needs:
            need.provide(system=system)


def output(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """What a command that tells a version says, on either stream."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, timeout=60
    )
    return (done.stdout + done.stderr).strip()


def python_versions(*names: str) -> Callable[[Place], str]:
    """The versions of the packages in the peer's environment."""
    source = "import sys, importlib.metadata as m; print(*[m.version(n) for n in sys.argv[1:]])"

    def version(place: Place) -> str:
        found = output(place.python, "-c", source, *names).split()
        return ", ".join(f"{n} {v}" for n, v in zip(names, found, strict=True))

    return version


def node_versions(*names: str) -> Callable[[Place], str]:
    """The versions of the npm packages, and Node's."""

    def version(place: Place) -> str:
        found = []
        for name in names:
            package = json.loads((place.node_modules / name / "package.json").read_text())
            found.append(f"{name} {package['version']}")
        return ", ".join([*found, f"Node {output('node', '--version').lstrip('v')}"])

    return version


def debian_version(*packages: str) -> Callable[[Place], str]:
    """The versions of Debian's packages."""

    def version(_place: Place) -> str:
        shown = output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages)
        return ", ".join(shown.splitlines())

    return version


def all_peers() -> dict[str, Peer]:
    """Every peer there is, by its module's name."""
    names = sorted(module.name for module in pkgutil.iter_modules(peers_package.__path__))
    return {
        name: importlib.import_module(f"{peers_package.__name__}.{name}").PEER for name in names
    }
