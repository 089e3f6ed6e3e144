"""``python -m conformance NAME [options]``: run the conformance suite called NAME.

Each suite is a folder of this package with a ``runner`` module whose ``main(argv)`` returns the
exit status. Runners are imported only when asked for, so that one suite's needs are not another's.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


def suites() -> list[str]:
    """The names that can be run: the folders here that have a runner."""
    return sorted(path.parent.name for path in HERE.glob("*/runner.py"))


def main(argv: Sequence[str]) -> int:
    """Hand ``argv[1:]`` to the runner of the suite named by ``argv[0]``."""
    if not argv or argv[0] not in suites():
        wanted = "" if not argv or argv[0] in ("-h", "--help") else f"no suite {argv[0]!r}\n"
        print(f"{wanted}usage: python -m conformance {{{','.join(suites())}}} [options]")
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    runner = importlib.import_module(f"{__package__}.{argv[0]}.runner")
    return int(runner.main(list(argv[1:])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
