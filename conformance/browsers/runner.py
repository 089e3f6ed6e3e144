"""``python -m conformance browsers``: the same scenarios in real browsers and in webapi.

Headless Chromium, Firefox and Node's undici run every scenario, and so does webapi; all write
traces, which must be the same (see `compare`). Where the browsers agree with one another webapi
must agree with them; where they differ, or Python forces a difference, `explanations.json` has why.

Written scenarios come first, then random ones (``--random``), then the check of our interfaces
against the standards' IDL. The exit status is 0 where nothing is left unexplained, 1 where
something is, and 2 where a judge that was asked for, or the IDL, did not run: what nobody judged
has not passed. ``--missing-ok`` is for a machine without them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .. import report as joined
from ..environment import SuiteError
from . import compare, idl, report
from .hub import Hub, JudgeGone, Scenario, Trace
from .judges import JUDGES, install_missing, prepare_node, started
from .scenarios import written

#: Scenarios that a judge is given at once.
BATCH = 500

#: Of so many random scenarios that disagree the smallest form is looked for,
SHRUNK_AT_MOST = 5

#: and for so many seconds together: a form in which both sides wait has its deadline to wait for.
SHRINKING = 60.0

#: All judges but webapi, and those whom webapi must agree with.
ALL = ("chromium", "firefox", "undici")
BROWSERS = ALL[:2]

#: If more scenarios than these disagree a second time, they are not run on their own.
AGAIN_AT_MOST = 10

#: What a trace begins with if the interpreter itself failed.
FAULT = "fault of the interpreter"


def _ended(number: int, _: object) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def _termination_unwinds() -> Iterator[None]:
    """A SIGTERM ends the block as an exception does, so that no browser is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def court(names: Sequence[str]) -> Iterator[Hub]:
    """The hub, with these judges at work."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_termination_unwinds())
        hub = stack.enter_context(Hub())
        seats: dict[str, contextlib.ExitStack] = {}

        def seat(name: str) -> None:
            seats[name] = stack.enter_context(contextlib.ExitStack())
            seats[name].enter_context(started(JUDGES[name], hub))

        def revive(name: str) -> None:
            seats[name].close()
            seat(name)

        for name in names:
            seat(name)
        hub.revive = revive
        yield hub


def run_all(
    hub: Hub, names: Sequence[str], scenarios: Sequence[Scenario]
) -> tuple[dict[str, list[Trace | None]], dict[str, float]]:
    """Each judge's traces of all scenarios, and the seconds that it took."""
    seconds: dict[str, float] = {}

    def work(name: str) -> list[Trace | None]:
        before = time.monotonic()
        excused = JUDGES[name].excused
        asked = [scenario for scenario in scenarios if scenario["area"] not in excused]
        traces: list[Trace] = []
        for start in range(0, len(asked), BATCH):
            traces += hub.run(name, asked[start : start + BATCH])
        seconds[name] = round(time.monotonic() - before, 1)
        given = iter(traces)
        return [None if scenario["area"] in excused else next(given) for scenario in scenarios]

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(work, names), strict=True)), seconds


def run_again(
    hub: Hub,
    names: Sequence[str],
    scenarios: Sequence[Scenario],
    traces: Mapping[str, list[Trace | None]],
    explanations: Sequence[compare.Explanation],
) -> tuple[dict[str, dict[str, compare.Verdict]], list[str]]:
    """The verdicts on all scenarios, and the names of those that had to be run once more.

    A machine that stands still makes scenarios run into their deadline, or a browser late. So what
    disagrees is run once more, and what disagrees then once more on its own, and that counts; a
    fault is one each time. Where many disagree twice, no clock is to blame.
    """
    verdicts = compare.compare(scenarios, traces, explanations)
    bad = _bad(range(len(scenarios)), scenarios, verdicts, names)
    repeated = [scenarios[at]["name"] for at in bad]
    for alone in (False, True):
        if not bad or (alone and len(bad) > AGAIN_AT_MOST):
            break
        for some in [[at] for at in bad] if alone else [bad]:
            anew, _ = run_all(hub, list(traces), [scenarios[at] for at in some])
            for name, of in anew.items():
                for at, trace in zip(some, of, strict=True):
                    traces[name][at] = trace
        again = [scenarios[at] for at in bad]
        verdicts |= compare.compare(again, _only(traces, bad), explanations)
        bad = _bad(bad, scenarios, verdicts, names)
    return verdicts, repeated


def _bad(
    among: Iterable[int],
    scenarios: Sequence[Scenario],
    verdicts: Mapping[str, Mapping[str, compare.Verdict]],
    names: Sequence[str],
) -> list[int]:
    """Which scenarios have a difference that nothing explains."""
    return [
        at
        for at in among
        if any(
            name in (of := verdicts[scenarios[at]["name"]]) and of[name].unexplained
            for name in names
        )
    ]


def _only(
    traces: Mapping[str, Sequence[Trace | None]], wanted: Sequence[int]
) -> dict[str, list[Trace | None]]:
    return {name: [of[at] for at in wanted] for name, of in traces.items()}


def show(verdicts: Mapping[str, Mapping[str, compare.Verdict]], judges: Sequence[str]) -> list[str]:
    """Print what is left unexplained; the names of the scenarios with such a line."""
    bad = []
    for name, of in verdicts.items():
        lines = {
            judge: of[judge].unexplained
            for judge in judges
            if judge in of and of[judge].unexplained
        }
        if lines:
            bad.append(name)
            print(name)
            for judge, found in lines.items():
                print(*(f"    {judge}: {line}" for line in found), sep="\n")
    return bad


def run_random(
    hub: Hub,
    names: Sequence[str],
    plan: Mapping[str, int],
    number: int,
    explanations: Sequence[compare.Explanation],
) -> tuple[dict[str, Any], list[str]]:
    """Run random scenarios; the results, and what to say of those that disagree.

    `plan` says how many scenarios of the seed `number` each judge has.
    """
    from . import random_scenarios  # hypothesis takes its time

    judges: dict[str, dict[str, int]] = {}
    said: list[str] = []
    repeated: list[str] = []
    if not any(plan.values()):
        return {"seed": number, "judges": judges, "again": repeated}, said
    scenarios = random_scenarios.generate(max(plan.values()), number)
    for judge, count in plan.items():
        if judge not in names or not count:
            continue
        some = scenarios[:count]
        traces, _ = run_all(hub, [judge, "webapi"], some)
        verdicts, again = run_again(hub, [judge], some, traces, explanations)
        repeated += again
        words = [of[judge].word for of in verdicts.values()]
        judges[judge] = {word: words.count(word) for word in report.WORDS}
        bad = [scenario for scenario in some if verdicts[scenario["name"]][judge].unexplained]
        until = time.monotonic() + SHRINKING
        said += [
            _shrunk(hub, judge, scenario, explanations, until) for scenario in bad[:SHRUNK_AT_MOST]
        ]
        said += [f"and {len(bad) - SHRUNK_AT_MOST} more"] if len(bad) > SHRUNK_AT_MOST else []
    return {"seed": number, "judges": judges, "again": repeated}, said


def _shrunk(
    hub: Hub,
    judge: str,
    scenario: Scenario,
    explanations: Sequence[compare.Explanation],
    until: float,
) -> str:
    """A disagreement made small, as far as there is time, as text."""
    from . import random_scenarios

    def unexplained(candidate: Scenario) -> Sequence[str]:
        theirs, ours = (hub.run(name, [candidate], 30)[0] for name in (judge, "webapi"))
        if any(entry[0] == FAULT for entry in (*theirs, *ours)):
            return ()
        return compare.judge(judge, candidate["name"], ours, theirs, explanations).unexplained

    lines = unexplained(scenario)
    if lines:
        # Of the same: what is left out may well make another difference.
        first = lines[0].split(":")[0]
        scenario = random_scenarios.shrink(
            scenario,
            lambda smaller: (
                time.monotonic() < until
                and any(line.startswith(first) for line in unexplained(smaller))
            ),
        )
        lines = unexplained(scenario) or lines
    else:
        lines = ("not when it is run again",)
    return "\n    ".join([f"{scenario['name']} ({judge}): {json.dumps(scenario)}", *lines])


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance browsers", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--judges", default=",".join(ALL), help="(%(default)s)")
    parser.add_argument("--only", default="*", help="written scenarios that match, as 'states/*'")
    parser.add_argument("--random", type=int, default=500, metavar="N", help="(%(default)s)")
    parser.add_argument("--firefox-sample", type=int, metavar="N", help="a fifth of --random")
    parser.add_argument("--seed", default="1", help="of the random ones, or 'free' (%(default)s)")
    parser.add_argument("--apt", action="store_true", help="as root, install what is missing")
    parser.add_argument(
        "--missing-ok",
        action="store_true",
        help="let the exit status be 0 without the judges that are not installed",
    )
    parser.add_argument("--traces", action="store_true", help="print the traces")
    parser.add_argument("--dump", type=Path, help="write the traces to this file")
    parser.add_argument("--output", type=Path, help=f"default, of a whole run: {report.RESULTS}")
    return parser.parse_args(argv)


def installed(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of the judges that can run; and of each other a line with what installs it."""
    found, missing = [], []
    for name in names:
        judge = JUDGES[name]
        if judge.program() is None:
            missing.append(f"{judge.label}: not run: install it with `{judge.install}`")
            continue
        if name == "undici":
            try:
                prepare_node()
            except SuiteError as error:
                missing.append(f"undici and the IDL: not run: {error}")
                continue
        found.append(name)
    return found, missing


def main(argv: Sequence[str]) -> int:
    """Run what ``argv`` asks for: 0 if all agree, 1 if not, 2 if it could not be run."""
    args = _arguments(argv)
    wanted = list(dict.fromkeys(args.judges.split(",")))
    if unknown := [name for name in wanted if name not in ALL]:
        print(f"no judge {unknown[0]!r}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    if args.apt:
        try:
            install_missing()
        except SuiteError as error:  # what there is can run nevertheless; the end names the rest
            print(error, file=sys.stderr)
    judges, missing = installed(wanted)
    print(*missing, sep="\n", end="\n" if missing else "", flush=True)
    scenarios = [s for s in written() if fnmatchcase(s["name"], args.only)]
    if not judges or not scenarios:
        print("nothing to run", file=sys.stderr)
        return 2
    whole = judges == list(ALL) and args.only == "*"
    try:
        faults, judged = _run(args, judges, scenarios, whole)
    except (SuiteError, JudgeGone) as error:
        print(error, file=sys.stderr)
        return 2
    if faults:
        return 1
    if args.missing_ok or (judged and not missing):
        return 0
    print("not all that was asked for ran:", *missing or ["no browser"], sep="\n  ")
    print("(--missing-ok lets that pass)")
    return 2


def _run(
    args: argparse.Namespace, judges: list[str], scenarios: list[Scenario], whole: bool
) -> tuple[bool, bool]:
    """Whether there are faults, and whether a browser judged anything."""
    explanations = compare.load()
    number = random.randrange(2**32) if args.seed == "free" else int(args.seed)
    sample = args.random // 5 if args.firefox_sample is None else args.firefox_sample
    with court([*judges, "webapi"]) as hub:
        traces, seconds = run_all(hub, [*judges, "webapi"], scenarios)
        verdicts, again = run_again(hub, judges, scenarios, traces, explanations)
        plan = {"chromium": args.random, "firefox": sample}
        by_chance, said = run_random(hub, judges, plan, number, explanations)
    _dump(args, scenarios, traces)
    result = idl.check() if "undici" in judges else None
    bad = show(verdicts, judges)
    stale = _stale(explanations) if whole else []
    stale += _contradictions(verdicts)
    if again or by_chance["again"]:
        print("run once more, on their own:", *again, *by_chance["again"])
    judged = [name for name, of in verdicts.items() if not of.keys().isdisjoint(BROWSERS)]
    faults = [*said, *(result.faults if result else ()), *stale]
    print(*faults, *_summary(verdicts, judged, bad, by_chance, result), sep="\n")
    output = args.output or (report.RESULTS if whole else None)
    if output is not None:
        results = report.header(judges, seconds) | {
            "written": report.written_results(scenarios, traces, verdicts, explanations)
            | {"again": again},
            "random": by_chance,
            "idl": report.idl_results(result or idl.Result({}, [], {})),
        }
        report.write(results, output)
        if output == report.RESULTS:
            joined.write()
    return bool(bad or faults), bool(judged)


def _summary(
    scenarios: Collection[str],
    judged: Collection[str],
    bad: Collection[str],
    by_chance: Mapping[str, Any],
    result: idl.Result | None,
) -> Iterator[str]:
    for judge, counts in by_chance["judges"].items():
        total = sum(counts.values())
        yield f"{JUDGES[judge].label}: {total} random scenarios, {counts['different']} different"
    if not by_chance["judges"]:
        yield "no random scenarios"
    if result:
        yield f"IDL: {sum(result.checked.values())} checked, {len(result.unexplained)} unexplained"
    else:
        yield "IDL: not checked"
    yield f"{len(scenarios)} written scenarios, {len(bad)} with a difference that nothing explains"
    unjudged = len(scenarios) - len({*judged, *bad})
    rest = f", {unjudged} that no browser judged" if unjudged else ""
    yield f"{len({*judged} - {*bad})} passed, {len(bad)} failed{rest}"


def _stale(explanations: Sequence[compare.Explanation]) -> list[str]:
    """Explanations of what no longer differs, and what of them is wider than what does."""
    lasting = [explanation for explanation in explanations if not explanation.sometimes]
    return [
        f"{explanation.id} explains nothing of {judge}"
        for explanation in lasting
        for judge in explanation.judges
        if judge not in explanation.used
    ] + [
        f"{explanation.id} explains nothing by {pattern!r}"
        for explanation in lasting
        for pattern in explanation.of_no_use
    ]


def _contradictions(verdicts: Mapping[str, Mapping[str, compare.Verdict]]) -> list[str]:
    """Where an explanation says that the browsers differ, and they do not."""
    return [
        line
        for name, of in verdicts.items()
        for line in compare.contradictions(
            name, {judge: of[judge] for judge in BROWSERS if judge in of}
        )
    ]


def _dump(
    args: argparse.Namespace,
    scenarios: Sequence[Scenario],
    traces: Mapping[str, Sequence[Trace | None]],
) -> None:
    if args.traces:
        for at, scenario in enumerate(scenarios):
            print(json.dumps(scenario))
            for name, of in traces.items():
                print(f"-- {name}", *map(json.dumps, of[at] or []), sep="\n  ")
    if args.dump:
        named = {
            scenario["name"]: {name: of[at] for name, of in traces.items()}
            for at, scenario in enumerate(scenarios)
        }
        args.dump.write_text(json.dumps(named))
