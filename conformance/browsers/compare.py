"""Comparing traces, and the differences that are explained.

Two traces are aligned by what their entries are about, and then compared entry by entry and
attribute by attribute. Each difference is one line, of one of two forms:

    event a.close .code: 1006, theirs 1002        both have the entry; an attribute differs
    event a.error: only theirs                    (or `only ours`) one of them has no such entry

`explanations.json` says which lines may be, where, and why. Everything else is a fault.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

EXPLANATIONS = Path(__file__).parent / "explanations.json"

#: What an explanation can be of, and the report's words for it.
KINDS = {
    "browsers-differ": "The browsers differ from one another; we follow the standard",
    "python": "Python forces it",
    "strict": "The browsers agree, and we keep to the RFC against them",
    "gap": "A gap of ours",
    "third-voice": "undici alone, which judges nobody: what, and what it and the standard do",
}

#: What the names of random scenarios begin with.
RANDOM = "random/"

Trace = Sequence[Any]


@dataclass
class Explanation:
    """Why some differences may be."""

    id: str
    kind: str
    judges: Sequence[str]
    """The judges that differ from webapi so."""
    scenarios: Sequence[str]
    """Patterns of names, as in a shell."""
    lines: Sequence[str]
    """Regular expressions for the lines of difference."""
    text: str
    """What differs, and why it stays; of the third voice what it does."""
    spec: str = ""
    sometimes: bool = False
    """It depends on time whether there is anything to explain."""
    at_random: Sequence[str] = ()
    """The lines that it explains in random scenarios; where there are none it explains none."""
    what: str = ""
    """Of the third voice: what it does otherwise,"""
    standard: str = ""
    """and what the standard says."""
    alike: bool = False
    """The browsers differ from one another, and yet some lines are the same for both."""
    used: set[str] = field(default_factory=set)
    """The judges for which it explained something."""
    found_in: set[str] = field(default_factory=set)
    """The scenarios where it did."""
    matched: set[str] = field(default_factory=set)
    """Those of `scenarios` and `lines` that were of use."""

    def explains(self, judge: str, scenario: str, line: str) -> bool:
        """Whether it explains that line."""
        if judge not in self.judges:
            return False
        if scenario.startswith(RANDOM):
            return any(re.fullmatch(pattern, line, re.DOTALL) for pattern in self.at_random)
        where = next((name for name in self.scenarios if fnmatchcase(scenario, name)), None)
        what = next((form for form in self.lines if re.fullmatch(form, line, re.DOTALL)), None)
        if where is None or what is None:
            return False
        self.matched |= {where, what}
        return True

    @property
    def of_no_use(self) -> Sequence[str]:
        """The patterns of scenarios and lines that nothing has needed."""
        return [form for form in (*self.scenarios, *self.lines) if form not in self.matched]


def load(path: Path = EXPLANATIONS) -> list[Explanation]:
    """Read the explanations."""
    explanations = [Explanation(**entry) for entry in json.loads(path.read_text())]
    for explanation in explanations:
        if explanation.kind not in KINDS:
            raise ValueError(
                f"{explanation.id}: the kind {explanation.kind!r} is none of {list(KINDS)}"
            )
    return explanations


def differences(ours: Trace, theirs: Trace) -> list[str]:
    """The lines of difference between two traces of one scenario."""
    left, right = list(_flat(ours)), list(_flat(theirs))
    if _same(left, right):
        return []
    keys = [[_about(entry) for entry in side] for side in (left, right)]
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for kind, start, end, their_start, their_end in matcher.get_opcodes():
        if kind == "equal":
            for entry, their_entry in zip(
                left[start:end], right[their_start:their_end], strict=True
            ):
                about = _about(entry)
                lines += (f"{about} {line}" for line in _leaves("", entry[2], their_entry[2]))
        else:
            lines += (f"{_about(entry)}: only ours" for entry in left[start:end])
            lines += (f"{_about(entry)}: only theirs" for entry in right[their_start:their_end])
    return lines


def _flat(trace: Trace) -> Iterator[tuple[str, str, Any]]:
    """Entries as (kind, label, the rest)."""
    for entry in trace:
        if entry[0] == "heard":
            yield "request", entry[1]["target"], entry[1]
            # A pong may overtake messages, RFC 6455 §5.5.3: among themselves they have an order.
            for kind, *rest in sorted(entry[2], key=lambda heard: heard[0] == "pong"):
                yield "heard", kind, rest
        else:
            kind, label, *rest = (*entry, "")[: max(2, len(entry))]
            if not isinstance(label, str):
                kind, label, rest = kind, "", [label, *rest]
            yield kind, label, rest[0] if len(rest) == 1 else rest


def _about(entry: tuple[str, str, Any]) -> str:
    return f"{entry[0]} {entry[1]}".strip()


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two values are the same JSON; in Python 1 == True.

    JavaScript writes the shortest digits that mean a number, as -37915666243923490; those that
    Python has for the same one are -37915666243923488.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, bool) is not isinstance(theirs, bool):
        return False
    if isinstance(ours, int) and isinstance(theirs, int) and 2**53 < abs(ours) < 2**1000:
        return float(ours) == float(theirs)
    return bool(ours == theirs)


def _leaves(path: str, ours: Any, theirs: Any) -> Iterator[str]:
    if _same(ours, theirs):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        for key in ours:
            yield from _leaves(f"{path}.{key}", ours[key], theirs[key])
    else:
        yield f"{path}: {json.dumps(ours)}, theirs {json.dumps(theirs)}".lstrip()


@dataclass
class Verdict:
    """How a judge's trace of a scenario compares with webapi's."""

    lines: Sequence[str]
    unexplained: Sequence[str]
    explanations: Sequence[str]
    by: Mapping[str, Explanation] = field(default_factory=dict)
    """What explains each of the other lines."""

    @property
    def word(self) -> str:
        """`same`, `explained` or `different`."""
        return "different" if self.unexplained else "explained" if self.lines else "same"


def judge(
    name: str,
    scenario: str,
    ours: Trace,
    theirs: Trace,
    explanations: Iterable[Explanation],
) -> Verdict:
    """Compare our trace with that of the judge called `name`."""
    lines = differences(ours, theirs)
    unexplained, used, by = [], [], {}
    for line in lines:
        for explanation in explanations:
            if explanation.explains(name, scenario, line):
                explanation.used.add(name)
                explanation.found_in.add(scenario)
                by[line] = explanation
                if explanation.id not in used:
                    used.append(explanation.id)
                break
        else:
            unexplained.append(line)
    return Verdict(lines, unexplained, used, by)


def contradictions(scenario: str, verdicts: Mapping[str, Verdict]) -> list[str]:
    """The lines in which all browsers differ from us alike, though an explanation says otherwise.

    Where the browsers agree we follow them. So an explanation by which they differ from one another
    (`browsers-differ`) must not cover the same line for both.
    """
    if len(verdicts) < 2:
        return []
    shared = set.intersection(*(set(verdict.by) for verdict in verdicts.values()))
    return [
        f"{scenario}: all browsers agree on `{line}`, which {found.id} explains for {name}"
        for name, verdict in verdicts.items()
        for line, found in verdict.by.items()
        if line in shared and found.kind == "browsers-differ"
        if not (found.alike or found.sometimes)
    ]


def compare(
    scenarios: Sequence[Mapping[str, Any]],
    traces: Mapping[str, Sequence[Trace | None]],
    explanations: Iterable[Explanation],
) -> dict[str, dict[str, Verdict]]:
    """For each scenario and judge the verdict; `traces` has webapi's and the judges'."""
    explanations = list(explanations)
    return {
        scenario["name"]: {
            name: judge(name, scenario["name"], ours or (), trace, explanations)
            for name, theirs in traces.items()
            if name != "webapi" and (trace := theirs[at]) is not None
        }
        for at, (scenario, ours) in enumerate(zip(scenarios, traces["webapi"], strict=True))
    }
