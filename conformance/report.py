"""`REPORT.md`: what real browsers and real servers say, made from the results of both suites."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .browsers import report as browsers
from .interop import matrix as interop

HERE = Path(__file__).parent
REPORT = HERE / "REPORT.md"
BROWSERS = HERE / "results" / "browsers.json"
INTEROP = HERE / "results" / "interop.json"

HEAD = """\
# What real browsers and real servers say

Made from the results by `python -m conformance browsers` and `python -m conformance interop`; do
not edit. First the [browsers](#webapi-and-real-browsers), then the
[servers](#interoperability-the-servers-that-people-run).
"""


def render() -> str:
    """The report's text, from the results that are committed."""
    peers = json.loads(INTEROP.read_text())["peers"]
    parts = [
        browsers.render(json.loads(BROWSERS.read_text())),
        interop.markdown(peers, interop.summary(peers)),
    ]
    deeper = (re.sub(r"^#", "##", part, flags=re.MULTILINE) for part in parts)
    return "\n".join([HEAD, *deeper]).rstrip() + "\n"


def write() -> None:
    """Write it."""
    REPORT.write_text(render())
