"""The written scenarios: one module an area, and those that random ones left behind."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from . import (
    aborting,
    binary,
    buffered,
    closing,
    construction,
    data,
    events,
    frames_in,
    handshake,
    listeners,
    states,
)
from .words import Scenario

AREAS = (
    *(construction, handshake, states, data, frames_in, closing, buffered),
    *(listeners, events, binary, aborting),
)

#: Scenarios that random ones were shrunk to, when they disagreed.
FOUND = Path(__file__).parent / "found.json"


def written() -> list[Scenario]:
    """All of them, in order."""
    scenarios = [scenario for area in AREAS for scenario in area.scenarios()]
    scenarios += json.loads(FOUND.read_text())
    [(name, times), *_] = Counter(scenario["name"] for scenario in scenarios).most_common(1)
    if times > 1:
        raise ValueError(f"two scenarios are called {name!r}")
    return scenarios
