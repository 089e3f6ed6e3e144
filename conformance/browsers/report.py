"""What a run found: `results/browsers.json`, and the part of `REPORT.md` made from it."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import compare
from .hub import Scenario, Trace
from .idl import Result
from .judges import JUDGES

RESULTS = Path(__file__).parent.parent / "results" / "browsers.json"

WORDS = ("same", "explained", "different")


def versions(judges: Sequence[str]) -> dict[str, str]:
    """What each judge says it is."""
    return {name: JUDGES[name].version() for name in judges}


def written_results(
    scenarios: Sequence[Scenario],
    traces: Mapping[str, Sequence[Trace | None]],
    verdicts: Mapping[str, Mapping[str, compare.Verdict]],
    explanations: Sequence[compare.Explanation],
) -> dict[str, Any]:
    """The written scenarios, by area and by explanation."""
    areas: dict[str, Any] = {}
    for at, scenario in enumerate(scenarios):
        area = areas.setdefault(scenario["area"], {"scenarios": 0, "browsers agree": 0})
        area["scenarios"] += 1
        if {"chromium", "firefox"} <= traces.keys():
            two = [traces[name][at] or () for name in ("chromium", "firefox")]
            area["browsers agree"] += not compare.differences(*two)
        for judge, verdict in verdicts[scenario["name"]].items():
            area.setdefault(judge, dict.fromkeys(WORDS, 0))[verdict.word] += 1
    return {
        "areas": areas,
        "explanations": [
            {
                "id": found.id,
                "kind": found.kind,
                "judges": sorted(found.used),
                "scenarios": len(found.found_in),
                "text": found.text,
                "spec": found.spec,
            }
            | ({"what": found.what, "standard": found.standard} if found.what else {})
            for found in explanations
            if found.used
        ],
        "different": {
            name: {
                judge: list(found.unexplained) for judge, found in of.items() if found.unexplained
            }
            for name, of in verdicts.items()
            if any(found.unexplained for found in of.values())
        },
    }


def idl_results(result: Result) -> dict[str, Any]:
    """The IDL's part."""
    return {
        "checked": dict(result.checked),
        "explained": dict(result.explained),
        "unexplained": result.unexplained,
    }


def write(results: Mapping[str, Any], path: Path) -> None:
    """Write the results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=True) + "\n")


def header(judges: Sequence[str], seconds: Mapping[str, float]) -> dict[str, Any]:
    """What the results are results of."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "judges": versions(judges),
        "seconds": dict(seconds),
    }


def render(results: Mapping[str, Any]) -> str:
    """The text of the report's part."""
    written = results["written"]
    lines = [
        "# webapi and real browsers",
        "",
        "The same scenarios ran in",
        "",
        *(f"- {version}" for version in results["judges"].values()),
        f"- webapi on {results['python']}",
        "",
        "and what each page saw - every event in order with all its attributes, every state,",
        "every exception - and what the server heard was compared, entry by entry.",
        "",
        "## Written scenarios",
        "",
        *_areas(written["areas"], list(results["judges"])),
        "",
        "*n* same + *m* explained below (+ *k* different). undici judges nobody - its differences",
        "are explained, too - and is not asked about Node's own Blob.",
        "",
    ]
    lines += _random(results.get("random", {}))
    lines += _explanations(written["explanations"])
    lines += _idl(results["idl"])
    return "\n".join(lines)


def _areas(areas: Mapping[str, Any], judges: Sequence[str]) -> list[str]:
    labels = [f"webapi = {JUDGES[name].label}" for name in judges]
    rows = [["area", "scenarios", "Chromium = Firefox", *labels]]
    total: Counter[str] = Counter()
    for name, area in areas.items():
        rows.append([name, str(area["scenarios"]), str(area["browsers agree"])])
        total.update({"scenarios": area["scenarios"], "browsers": area["browsers agree"]})
        for judge in judges:
            counts = area.get(judge)
            rows[-1].append(_counts(counts) if counts else "-")
            total.update({f"{judge} {word}": count for word, count in (counts or {}).items()})
    sums = [_counts({word: total[f"{judge} {word}"] for word in WORDS}) for judge in judges]
    rows.append(["all", str(total["scenarios"]), str(total["browsers"]), *sums])
    return _table(rows)


def _counts(counts: Mapping[str, int]) -> str:
    text = str(counts["same"])
    if counts["explained"]:
        text += f" + {counts['explained']}"
    return text + (f" + **{counts['different']} different**" if counts["different"] else "")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *["---:"] * (len(rows[0]) - 1)]
    return [f"| {' | '.join(row)} |" for row in (rows[0], ruler, *rows[1:])]


def _random(random: Mapping[str, Any]) -> list[str]:
    if not random:
        return []
    rows = [["judge", "random scenarios", "same", "explained", "different"]]
    for judge, counts in random["judges"].items():
        numbers = [str(counts[word]) for word in WORDS]
        rows.append([JUDGES[judge].label, str(sum(counts.values())), *numbers])
    return [
        "## Random scenarios",
        "",
        f"Made by hypothesis from the seed {random['seed']}.",
        "",
        *_table(rows),
        "",
    ]


def _explanations(explanations: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["## The differences, one by one", ""]
    for kind, words in compare.KINDS.items():
        found = [entry for entry in explanations if entry["kind"] == kind]
        if not found:
            continue
        lines += [f"### {words}", ""]
        if kind == "third-voice":
            lines += [*_third_voice(found), ""]
            continue
        for entry in found:
            labels = ", ".join(JUDGES[judge].label for judge in entry["judges"])
            link = f" ([standard]({entry['spec']}))" if entry["spec"] else ""
            plural = "" if entry["scenarios"] == 1 else "s"
            lines.append(
                f"- `{entry['id']}`, against {labels} in {entry['scenarios']} scenario{plural}: "
                f"{entry['text']}{link}"
            )
        lines.append("")
    return lines


def _third_voice(explanations: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [["what", "scenarios", "what undici does", "what the standard says"]]
    for entry in explanations:
        said = f"{entry['standard']} ([standard]({entry['spec']}))"
        rows.append([entry["what"], str(entry["scenarios"]), entry["text"], said])
    left, right = "---", "---:"
    return [f"| {' | '.join(row)} |" for row in (rows[0], [left, right, left, left], *rows[1:])]


def _idl(idl: Mapping[str, Any]) -> list[str]:
    rows = [["interface", "members, arguments and defaults checked"]]
    rows += [[name, str(count)] for name, count in idl["checked"].items()]
    lines = [
        "## The standards' IDL",
        "",
        "Every interface of ours against `@webref/idl`: inheritance, constants, attributes and",
        "whether they can be set, operations, arguments, defaults, dictionaries; what is missing",
        "and what is surplus.",
        "",
        *_table(rows),
        "",
    ]
    lines += [f"- {row}: {text}" for row, text in idl["explained"].items()]
    lines += [f"- **{row}**" for row in idl["unexplained"]]
    return [*lines, ""]
