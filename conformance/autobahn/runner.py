"""``python -m conformance autobahn``: put a client through the Autobahn test suite.

The suite's fuzzing servers (see :mod:`.suite`) play every case against the client and judge it.
The cases are independent, so several run at a time, over several server processes: first the many
light ones, which mostly wait, then those that move a lot of data. Both the suite and this runner
judge by the clock in places, so a case that deviates when run among others is run once more on its
own, and that verdict counts; the first one is kept in the results.

A run passes if every case ends as ``expectations.json`` says: OK in its behaviour and in its
closing, or INFORMATIONAL where a case only ever informs. The exit status says whether it did.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..environment import SuiteError
from .clients import CLIENTS, Client
from .control import ControlError
from .suite import HERE, Environment, Server, prepare, serve

RESULTS = HERE.parent / "results" / "autobahn.json"
EXPECTATIONS = HERE / "expectations.json"

#: Groups of cases that move a lot of data, and how long the longest of them may take by the suite.
HEAVY_GROUPS = ("9", "12", "13")
HEAVY_SECONDS = 600.0
LIGHT_SECONDS = 30.0
#: How long after a client is done the server may take to see it. Some cases wait ten seconds.
VERDICT_SECONDS = 20.0

#: If more cases than this deviate, the clock is not to blame, and they are not run again.
RETRIED_AT_MOST = 30

#: What --sample runs: all but the heavy groups, and of those the least of each kind.
SAMPLE = (
    *("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    *("9.1.1", "9.2.1", "9.3.4", "9.4.4", "9.5.4", "9.6.4", "9.7.1", "9.8.1"),
    *("12.1.1", "12.1.11", "12.2.1", "12.3.1", "12.4.1", "12.5.1"),
    *("13.1.1", "13.2.1", "13.3.1", "13.4.1", "13.5.1", "13.6.1", "13.7.1"),
)

MISSING = "MISSING"


@dataclass(frozen=True)
class Verdict:
    """How one case ended."""

    behavior: str = MISSING
    behaviorClose: str = MISSING
    duration: int = 0
    """In milliseconds, as the suite measured it."""
    remoteCloseCode: int | None = None
    result: str = ""
    resultClose: str = ""
    note: str = ""
    """What the runner itself has to say, such as that the deadline passed."""


@dataclass
class Results:
    """How all of them ended."""

    cases: dict[str, Verdict]
    retried: dict[str, Verdict] = field(default_factory=dict)
    """The first verdicts of the cases that were run again."""
    seconds: float = 0.0

    def groups(self) -> dict[str, Counter[str]]:
        """For each group how many of its cases had which verdict."""
        groups: dict[str, Counter[str]] = {}
        for case, verdict in self.cases.items():
            groups.setdefault(group_of(case), Counter())[verdict.behavior] += 1
        return groups


@dataclass(frozen=True)
class Expectations:
    """What verdicts pass."""

    cases: int
    """How many cases the whole suite has."""
    informational: frozenset[str]
    """The cases that only ever inform."""
    non_strict: frozenset[str]
    """The cases where NON-STRICT (conformant, but not the best) is accepted as well as OK."""

    @classmethod
    def load(cls, path: Path = EXPECTATIONS) -> Expectations:
        """Read them from their file."""
        data = json.loads(path.read_text())
        return cls(data["cases"], frozenset(data["informational"]), frozenset(data["non_strict"]))

    def met_by(self, case: str, verdict: Verdict) -> bool:
        """Whether that verdict is the one expected of that case."""
        if case in self.informational:
            return verdict.behavior == "INFORMATIONAL" and verdict.behaviorClose in (
                "OK",
                "INFORMATIONAL",
            )
        passing = ("OK", "NON-STRICT") if case in self.non_strict else ("OK",)
        return verdict.behavior in passing and verdict.behaviorClose == "OK"

    def missed_by(self, cases: Mapping[str, Verdict]) -> list[str]:
        """The cases whose verdict is not the one expected."""
        return [case for case, verdict in cases.items() if not self.met_by(case, verdict)]


def group_of(case: str) -> str:
    """``12.3.4`` is in group ``12``."""
    return case.split(".", 1)[0]


def order_of(case: str) -> tuple[int, ...]:
    """Sorts cases by number."""
    return tuple(int(part) for part in case.split("."))


def is_heavy(case: str) -> bool:
    """Whether the case moves a lot of data."""
    return group_of(case) in HEAVY_GROUPS


def longest_first(case: str) -> tuple[int, ...]:
    """Sorts heavy cases so that the last ones running are short: those of high number are long."""
    *_, last = order_of(case)
    return (-last, *order_of(case))


@dataclass(frozen=True)
class Run:
    """One client, the servers that judge it and the cases they have."""

    client: Client
    agent: str
    servers: Sequence[Server]
    numbers: dict[str, int]
    """The servers' numbers for the cases: the same for all of them."""
    progress: Callable[[str], None]

    async def run(self, cases: Sequence[str], jobs: int) -> dict[str, str]:
        """Run ``cases``, at most ``jobs`` at once; what there is to note of some of them."""
        waiting = iter(cases)
        notes: dict[str, str] = {}

        async def work(server: Server) -> None:
            for case in waiting:
                if note := await self._run_case(server, case):
                    notes[case] = note
                self.progress(case)

        workers = [work(self.servers[job % len(self.servers)]) for job in range(jobs)]
        await asyncio.gather(*workers)
        return notes

    async def _run_case(self, server: Server, case: str) -> str:
        number = self.numbers[case]
        seconds = HEAVY_SECONDS if is_heavy(case) else LIGHT_SECONDS
        note = await _outcome(
            self.client.run_case(server.control.case_url(number, self.agent)), seconds
        )
        try:
            await server.control.wait_for_verdict(number, self.agent, VERDICT_SECONDS)
        except ControlError as error:
            note = note or str(error)
        return note

    async def verdicts(self, notes: dict[str, str]) -> dict[str, Verdict]:
        """The verdicts of all servers on the cases that were run under this agent's name."""
        verdicts = {case: Verdict(note=note) for case, note in notes.items()}
        for server in self.servers:
            await server.control.write_reports(self.agent)
            for case, verdict in read_reports(server.reports, self.agent).items():
                verdicts[case] = replace(verdict, note=notes.get(case, ""))
        return verdicts


async def _outcome(running: Awaitable[None], seconds: float) -> str:
    """Empty if the client came to an end by itself; otherwise what happened."""
    try:
        await asyncio.wait_for(running, seconds)
    except asyncio.TimeoutError:
        return f"the client was still at it after {seconds:.0f} seconds"
    except Exception as error:  # a client's failure is one case's failure, not the run's
        return f"the client raised {type(error).__name__}: {error}"
    return ""


def read_reports(folder: Path, agent: str) -> dict[str, Verdict]:
    """The verdicts on ``agent`` in the reports that a server has written to ``folder``."""
    index = json.loads((folder / "index.json").read_text())
    return {
        case: _verdict(json.loads((folder / entry["reportfile"]).read_text()))
        for case, entry in index.get(agent, {}).items()
    }


def _verdict(report: dict[str, Any]) -> Verdict:
    names = ("behavior", "behaviorClose", "duration", "remoteCloseCode", "result", "resultClose")
    return Verdict(**{name: report[name] for name in names})


@dataclass(frozen=True)
class Plan:
    """What to run and how."""

    client: str
    cases: Sequence[str]
    exclude: Sequence[str]
    jobs: int
    light_jobs: int
    servers: int


async def run_plan(plan: Plan, environment: Environment, expectations: Expectations) -> Results:
    """Start the servers, run the cases, stop the servers."""
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autobahn-")))
        servers = [
            await stack.enter_async_context(
                serve(environment, scratch / str(number), plan.cases, plan.exclude)
            )
            for number in range(plan.servers)
        ]
        numbers = await case_numbers(servers[0])
        run = Run(CLIENTS[plan.client](), plan.client, servers, numbers, Progress(len(numbers)))
        results = await _run_all(run, plan, expectations)
    results.seconds = round(time.monotonic() - started, 1)
    return results


async def case_numbers(server: Server) -> dict[str, int]:
    """The names of the cases that a server was started with, and its numbers for them."""
    count = await server.control.case_count()
    return {await server.control.case_id(number): number for number in range(1, count + 1)}


async def _run_all(run: Run, plan: Plan, expectations: Expectations) -> Results:
    light = [case for case in run.numbers if not is_heavy(case)]
    heavy = sorted((case for case in run.numbers if is_heavy(case)), key=longest_first)
    notes = await run.run(light, plan.light_jobs)
    notes |= await run.run(heavy, plan.jobs)
    found = await run.verdicts(notes)
    results = Results({case: found.get(case, Verdict()) for case in run.numbers})
    if max(plan.jobs, plan.light_jobs) > 1:
        await _run_again(run, results, expectations)
    return results


async def _run_again(run: Run, results: Results, expectations: Expectations) -> None:
    again = expectations.missed_by(results.cases)
    if not again or len(again) > RETRIED_AT_MOST:
        return
    # Under another name, since the servers keep verdicts by agent and case.
    alone = replace(run, agent=f"{run.agent}-again", progress=lambda _case: None)
    verdicts = await alone.verdicts(await alone.run(again, jobs=1))
    for case in again:
        results.retried[case] = results.cases[case]
        results.cases[case] = verdicts.get(case, Verdict())


class Progress:
    """Says on standard error how far the run is, on one line where that is a terminal."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def __call__(self, case: str) -> None:
        self.done += 1
        if sys.stderr.isatty():
            end = "\n" if self.done == self.total else ""
            print(f"\r{self.done}/{self.total} {case:<8}", end=end, file=sys.stderr, flush=True)
        elif self.done % 50 == 0 or self.done == self.total:
            print(f"{self.done}/{self.total}", file=sys.stderr, flush=True)


def table(results: Results) -> str:
    """The verdicts counted by group."""
    groups = results.groups()
    kinds = sorted({kind for counts in groups.values() for kind in counts}, key=_kind_order)
    rows = [["group", "cases", *kinds, "seconds"]]
    for group, counts in groups.items():
        spent = sum(v.duration for c, v in results.cases.items() if group_of(c) == group) / 1000
        rows.append([group, *_cells(counts, kinds), f"{spent:.1f}"])
    rows.append(["all", *_cells(sum(groups.values(), Counter[str]()), kinds), ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def _cells(counts: Counter[str], kinds: Iterable[str]) -> list[str]:
    return [str(counts.total()), *(str(counts[kind] or "") for kind in kinds)]


def _kind_order(kind: str) -> tuple[bool, bool, str]:
    return (kind != "OK", kind != "INFORMATIONAL", kind)


def describe(case: str, verdict: Verdict) -> str:
    """One line on a case that did not simply pass."""
    said = "; ".join(filter(None, (verdict.result, verdict.resultClose, verdict.note)))
    return f"{case}: {verdict.behavior}, closing {verdict.behaviorClose}: {said}"


def report(results: Results, expectations: Expectations) -> list[str]:
    """Print the results; the cases that deviate from what is expected."""
    print(table(results))
    for case, verdict in results.cases.items():
        if {verdict.behavior, verdict.behaviorClose} != {"OK"}:
            print(describe(case, verdict))
    if results.retried:
        print(f"run again on their own: {', '.join(results.retried)}")
    for case, verdict in results.retried.items():
        if verdict.behavior != results.cases[case].behavior:
            print(f"  before that {describe(case, verdict)}")
    return expectations.missed_by(results.cases)


def write(
    path: Path, results: Results, plan: Plan, environment: Environment, deviating: Iterable[str]
) -> None:
    """Write the results as JSON, with what it takes to know what they are results of."""
    data = {
        "client": plan.client,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "suite": {"autobahntestsuite": suite_version(), "python": environment.flavour},
        "jobs": {"light": plan.light_jobs, "heavy": plan.jobs, "servers": plan.servers},
        "seconds": results.seconds,
        "groups": {group: dict(counts) for group, counts in results.groups().items()},
        "deviating": list(deviating),
        "retried": {case: asdict(verdict) for case, verdict in results.retried.items()},
        "cases": {case: asdict(verdict) for case, verdict in results.cases.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")


def suite_version() -> str:
    """The version of the suite that is pinned."""
    pins = (HERE / "requirements-py2.txt").read_text()
    found = re.search(r"^autobahntestsuite==(\S+)$", pins, re.MULTILINE)
    return found[1] if found else ""


def _patterns(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance autobahn", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--client", choices=sorted(CLIENTS), default="webapi")
    parser.add_argument("--cases", type=_patterns, default=["*"], help="such as 1.*,9.1.1")
    parser.add_argument("--exclude", type=_patterns, default=[], help="such as 12.*,13.*")
    parser.add_argument("--sample", action="store_true", help="the light cases and few heavy ones")
    parser.add_argument("--jobs", type=int, default=4, help="heavy cases at a time (%(default)s)")
    parser.add_argument("--light-jobs", type=int, help="light cases at a time (8 per job)")
    parser.add_argument("--servers", type=int, default=2, help="server processes (%(default)s)")
    parser.add_argument("--python", choices=("auto", "2", "3"), default="auto", help="the suite's")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--setup-only", action="store_true", help="only install the suite")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run what ``argv`` asks for: 0 if all went as expected, 1 if not, 2 if it could not be run."""
    args = _arguments(argv)
    light_jobs = args.light_jobs or (8 * args.jobs if args.jobs > 1 else 1)
    cases = list(SAMPLE) if args.sample else args.cases
    servers = min(args.servers, max(args.jobs, light_jobs))
    plan = Plan(args.client, cases, args.exclude, args.jobs, light_jobs, servers)
    expectations = Expectations.load()
    try:
        environment = prepare(args.python)
        if args.setup_only:
            return 0
        results = asyncio.run(run_plan(plan, environment, expectations))
    except (SuiteError, ControlError) as error:
        print(error, file=sys.stderr)
        return 2
    deviating = report(results, expectations)
    write(args.output, results, plan, environment, deviating)
    return _conclude(results, plan, expectations, deviating)


def _conclude(
    results: Results, plan: Plan, expectations: Expectations, deviating: Sequence[str]
) -> int:
    count = len(results.cases)
    print(f"{plan.client}: {count} cases in {results.seconds:.0f} s, {len(deviating)} deviating")
    if plan.cases == ["*"] and not plan.exclude and count != expectations.cases:
        print(f"the suite should have {expectations.cases} cases")
        return 1
    if not count:
        print("no case matches")
        return 2
    return 1 if deviating else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
