"""How fast this machine is just now: a rented one takes twice as long at times."""

from __future__ import annotations

import time
from pathlib import Path

USUAL = 0.2
"""Seconds that `_work` takes on a quiet machine of 2026, in CPython 3.11."""


def took_too_long(seconds: float, limit: float) -> bool:
    """Tell whether work took more processor time than `limit`, by a usual machine's clock."""
    return seconds > limit and seconds > limit * _slowness()


def _slowness() -> float:
    began = time.thread_time()
    _work()
    return max(1.0, (time.thread_time() - began) / USUAL)


def _work() -> None:
    """Do what reading frames does: slice, make objects, call, and keep them for a while."""
    data = bytes(range(256)) * 256
    for _ in range(5):
        kept = []
        for at in range(0, len(data), 2):
            size, first = data[at] & 127, data[at + 1]
            kept.append((size, bytes((first, size)), data[at : at + 2].hex()))


def let_it_settle(pid: int, seconds: float = 0.5) -> None:
    """Wait until all threads of a process sleep, but no longer than `seconds`: some never do.

    A person presses Ctrl-C a while after what they saw; a test does so within the step that printed
    it, and Python's own traceback is then another one.
    """
    until, asleep = time.monotonic() + seconds, 0
    while asleep < 3 and time.monotonic() < until:
        asleep = asleep + 1 if _sleeps(pid) else 0
        time.sleep(0.01)


def _sleeps(pid: int) -> bool:
    try:
        stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread has just ended
        return False
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)
