"""``guard.py COMMAND...``: run a server, and let nothing of it outlive whoever started this.

What decides is standard input: the line ``kill`` ends the command and all its descendants at once,
the end of the file ends them gently first. The end comes also when whoever holds the other side is
killed. Daemons that leave their process group stay below this process all the same (it adopts
orphans), so they are found. For Linux; it uses the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
#: Seconds between a gentle end and the other one.
PATIENCE = 4.0


def descendants() -> list[int]:
    """The processes below this one that are not zombies."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(entry)}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def end(*numbers: int) -> None:
    """Send the signals to all descendants in turn until there are none."""
    for number in numbers:
        deadline = time.monotonic() + PATIENCE
        first = True
        while living := descendants():
            for pid in living:
                # Only what cannot be refused is worth saying again.
                if first or number == signal.SIGKILL:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            first = False
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)


def main(command: list[str]) -> int:
    """Run ``command``; its exit status, or 0 where we ended it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    told: list[str] = []

    def listen() -> None:
        told.append(sys.stdin.readline().strip() or "stop")
        if told[0] == "kill":
            end(signal.SIGKILL)
        else:
            end(signal.SIGTERM, signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the pipe decides
    status = process.wait()
    while told:
        time.sleep(1)  # the other thread is at it, and ends this process
    end(signal.SIGTERM, signal.SIGKILL)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
