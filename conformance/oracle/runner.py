"""``python -m conformance oracle``: our receiver beside `wsproto`'s and PyPI `websockets`'.

The same streams - generated from a seed, and the fuzzer's corpus - are read by all three, and by
a slow reader of the RFCs' text (see ``model``). What a stream comes to must be the same: its
messages, how it ends, and the code. Where a peer differs, the slow reader is given that peer's
known peculiarities; if it then says exactly what the peer says, the difference is explained by
the first of them that came into play (see ``explanations``). A difference that is not explained,
or a difference between our receiver and the slow reader, is printed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from . import model
from .explanations import EXPLANATIONS, NOT_COMPARED
from .readers import PEERS, Stream, Verdict, read_with_webapi
from .streams import HUGE, corpus, generated

RESULTS = Path(__file__).parents[1] / "results" / "oracle.json"
STREAMS = 20_000
SHOWN = 5  # faults of a kind that are printed
KNOWN = {(explanation.peer, explanation.name) for explanation in EXPLANATIONS}


@dataclass
class Comparison:
    """What came of all streams."""

    streams: int = 0
    same: Counter[str] = field(default_factory=Counter)
    """How often a peer said the same as we did."""
    explained: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a peer differed, by the explanation's name."""
    examples: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """The shortest stream for each."""
    faults: list[str] = field(default_factory=list)
    """What is not explained."""

    def add(self, stream: Stream) -> None:
        """Read one stream in all ways."""
        self.streams += 1
        for peer in PEERS:
            # wsproto has no limit
            self._compare(peer, replace(stream, limit=HUGE) if peer == "wsproto" else stream)

    def _compare(self, peer: str, stream: Stream) -> None:
        ours = read_with_webapi(stream)
        expected, _ = model.read(stream)
        if not expected.agrees(ours):
            self._fault("our receiver is not what the RFCs say", stream, ours, expected)
            return
        theirs = PEERS[peer](stream)
        if theirs.agrees(ours):
            self.same[peer] += 1
            return
        expected, played = model.read(stream, peer)
        if not expected.agrees(theirs) or not played or (peer, played[0]) not in KNOWN:
            self._fault(f"{peer} differs, and nothing explains it", stream, ours, theirs)
            return
        key = (peer, played[0])
        self.explained[key] += 1
        if len(stream.wire) < len(self.examples.get(key, {}).get("wire", "")) // 2 or (
            key not in self.examples
        ):
            self.examples[key] = {**_shown(stream), "ours": _says(ours), "theirs": _says(theirs)}

    def _fault(self, what: str, stream: Stream, ours: Verdict, other: Verdict) -> None:
        self.faults.append(f"{what}:\n  ours {_says(ours)}\n  not {_says(other)}\n  {stream}")

    def to_json(self) -> dict[str, Any]:
        """Return what is committed."""
        return {
            "streams": self.streams,
            "versions": {peer: metadata.version(peer) for peer in PEERS},
            "same": {peer: self.same[peer] for peer in PEERS},
            "not compared": NOT_COMPARED,
            "differences": [
                {
                    **explanation._asdict(),
                    "streams": self.explained[explanation.peer, explanation.name],
                    "example": self.examples.get((explanation.peer, explanation.name)),
                }
                for explanation in EXPLANATIONS
            ],
            "unexplained": len(self.faults),
        }


def _shown(stream: Stream) -> dict[str, Any]:
    return {
        "wire": stream.wire.hex(),
        "limit": stream.limit,
        "window_bits": stream.window_bits,
        "takeover": stream.takeover,
        "masked": stream.masked,
    }


def _says(verdict: Verdict) -> str:
    code = "" if verdict.code is None else f" {verdict.code}"
    why = f" ({verdict.why})" if verdict.why and verdict.end == "failed" else ""
    return f"{len(verdict.messages)} messages, {verdict.end}{code}{why}"[:200]


def compare(streams: Iterable[Stream]) -> Comparison:
    """Read all streams in all ways."""
    comparison = Comparison()
    for stream in streams:
        comparison.add(stream)
    return comparison


def report(comparison: Comparison, seconds: float) -> None:
    """Print the table."""
    print(f"{comparison.streams:,} streams in {seconds:.0f} s\n")
    for peer in PEERS:
        print(f"{peer} {metadata.version(peer)}: the same on {comparison.same[peer]:,}")
        for explanation in EXPLANATIONS:
            if explanation.peer == peer:
                count = comparison.explained[peer, explanation.name]
                print(f"  {count:6,}  {explanation.name}: {explanation.theirs}")
        if peer in NOT_COMPARED:
            print(f"          {NOT_COMPARED[peer]}")
        print()
    for fault in comparison.faults[:SHOWN]:
        print(fault)
    print(f"unexplained: {len(comparison.faults)}")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance oracle", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--streams", type=int, default=STREAMS, help="generated (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the generator (%(default)s)")
    parser.add_argument(
        "--corpus", type=Path, nargs="*", default=[], help="more folders of the fuzzer's inputs"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON (%(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run what ``argv`` asks for: 0 if all is explained, 1 if not, 2 without the peers."""
    arguments = _arguments(argv)
    for peer in PEERS:
        try:
            metadata.version(peer)
        except metadata.PackageNotFoundError:
            print(f"needs {peer}: python -m pip install {peer}", file=sys.stderr)
            return 2
    began = time.monotonic()
    folders = chain.from_iterable(corpus(folder) for folder in arguments.corpus)
    comparison = compare(chain(corpus(), folders, generated(arguments.streams, arguments.seed)))
    report(comparison, time.monotonic() - began)
    text = json.dumps(comparison.to_json(), indent=1, ensure_ascii=False)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    return 1 if comparison.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
