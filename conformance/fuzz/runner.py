"""``python -m conformance fuzz [TARGET ...]``: fuzz what a hostile server reaches first.

Each target (see ``targets``) runs under atheris, which is guided by the coverage of ``webapi``, for
``--seconds``, from the committed corpus on. A finding - an exception that is not the protocol's
own, a broken promise, a hang, more memory than a bound - ends the target; its input is kept, and
the exit status is 1. ``--replay FILE ...`` runs inputs through a target without the fuzzer, on the
Python that runs this, as `tests/conformance/test_fuzz_targets.py` does with the whole corpus.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import SuiteError, cache_folder, clean_environment, locked, run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
TARGETS = tuple(sorted(path.stem for path in HERE.glob("targets/[a-z]*.py")))

#: The CPythons that atheris has wheels for, the best first.
PYTHONS = ("3.13", "3.12", "3.11")

LONGEST_INPUT = 4096
#: One input may take this long (seconds), and the process this much memory (MiB). The interpreter,
#: atheris and webapi take 55 MiB of it.
INPUT_SECONDS = 10
MEMORY_MIB = 512


@dataclass(frozen=True)
class Outcome:
    """How a target's run ended."""

    target: str
    status: int
    """0, or libFuzzer's exit status where there is a finding."""
    executions: int = 0
    coverage: int = 0
    """Edges of ``webapi`` that were reached."""
    features: int = 0
    memory_mib: int = 0


def find_python() -> Path:
    """The best CPython at hand that atheris has wheels for."""
    pyenv = Path.home() / ".pyenv" / "versions"
    for version in PYTHONS:
        on_path = shutil.which(f"python{version}")
        candidates = [*sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
        candidates += [Path(on_path)] if on_path else []
        # A pyenv shim is on the path even where it leads nowhere, so each is asked what it is.
        question = "import sys; print('%d.%d' % sys.version_info[:2])"
        for candidate in candidates:
            answer = subprocess.run([candidate, "-c", question], capture_output=True, text=True)
            if answer.returncode == 0 and answer.stdout.strip() == version:
                return candidate
    raise SuiteError(f"atheris needs one of CPython {', '.join(PYTHONS)}; none is here")


def prepare() -> Path:
    """The interpreter of the fuzzing environment, which is made now if it is not there yet."""
    interpreter = find_python()
    requirements = HERE / "requirements.txt"
    folder = cache_folder("fuzz", interpreter, requirements.read_bytes())
    python = folder / "bin" / "python"
    ready = folder / "ready"
    with locked(folder.with_suffix(".lock")):
        if not ready.exists():
            print("setting up the fuzzing environment ...", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            run(interpreter, "-m", "venv", folder)
            run(python, "-m", "pip", "install", "--only-binary", ":all:", "-r", requirements)
            run(python, "-c", "import atheris")
            ready.touch()
    return python


def fuzz(python: Path, target: str, seconds: int, found: Path, findings: Path) -> Outcome:
    """Fuzz one target; new inputs go to ``found``, one that breaks something to ``findings``."""
    for folder in (found, findings):
        folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            python, "-m", f"{__package__}.harness", target, found, CORPUS / target,
            f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-timeout={INPUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={findings}/{target}-",
            "-print_final_stats=1",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd=ROOT, env=clean_environment(), text=True, errors="replace",
    )  # fmt: skip
    assert process.stdout is not None
    tail: list[str] = []
    outcome = Outcome(target, 0)
    with process.stdout:
        for line in process.stdout:
            if line.startswith("INFO: Instrumenting"):
                continue
            tail = [*tail[-199:], line]
            outcome = _read_line(outcome, line)
    status = process.wait()
    if status:
        print("".join(tail), end="")
    return Outcome(target, status, *list(vars(outcome).values())[2:])


_PROGRESS = re.compile(r"#(\d+)\s.*\bcov: (\d+) ft: (\d+) .*\brss: (\d+)Mb")


def _read_line(outcome: Outcome, line: str) -> Outcome:
    match = _PROGRESS.match(line)
    if match is None:
        return outcome
    return Outcome(outcome.target, 0, *map(int, match.groups()))


def replay(target: str, files: Sequence[Path]) -> None:
    """Run inputs through a target without the fuzzer.

    Raises:
        Exception: whatever the target finds.
    """
    module = importlib.import_module(f"{__package__}.targets.{target}")
    for file in files:
        module.test_one_input(file.read_bytes())


def report(outcomes: Sequence[Outcome]) -> None:
    """Print a table of what was run."""
    print(f"{'target':12} {'inputs':>10} {'edges':>6} {'features':>8} {'MiB':>5}  ended")
    for outcome in outcomes:
        ended = "clean" if outcome.status == 0 else f"with a finding ({outcome.status})"
        print(
            f"{outcome.target:12} {outcome.executions:10,} {outcome.coverage:6} "
            f"{outcome.features:8} {outcome.memory_mib:5}  {ended}"
        )


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance fuzz", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (%(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that found new coverage")
    parser.add_argument(
        "--findings", type=Path, default=ROOT / ".findings", help="a folder (%(default)s)"
    )
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="run inputs only")
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.targets if name not in TARGETS]:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    if arguments.replay and len(arguments.targets) != 1:
        parser.error("--replay needs the one target that the inputs are for")
    return arguments


def main(argv: Sequence[str]) -> int:
    """Run what ``argv`` asks for: 0 if nothing was found, 1 if something was, 2 without atheris."""
    arguments = _arguments(argv)
    if arguments.replay:
        replay(arguments.targets[0], arguments.replay)
        return 0
    try:
        python = prepare()
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 2
    outcomes = []
    findings = arguments.findings.resolve()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        for target in arguments.targets or TARGETS:
            found = (arguments.keep or Path(scratch)).resolve() / target
            outcomes.append(fuzz(python, target, arguments.seconds, found, findings))
    report(outcomes)
    if any(outcome.status for outcome in outcomes):
        print(f"what broke something is in {findings}; run it with --replay")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
