"""Start ``wstest`` for :mod:`conformance.autobahn.suite`, inside the suite's own environment.

Runs on Python 2.7 and on Python 3 alike, and is given ``wstest``'s own arguments. It differs from
the ``wstest`` command in three things only, none of which touches a test case:

* it listens on the loopback interface (``wstest`` itself listens on all of them);
* it writes its reports as JSON only, since nobody reads the HTML, which takes as long again;
* it ends when its standard input does, so that no server outlives the run that started it.
"""

import functools
import importlib
import os
import sys
import threading

LOOPBACK = "127.0.0.1"


def end_with_parent():
    # type: () -> None
    """Leave as soon as whoever started this process has closed its end of our standard input."""
    sys.stdin.read()
    os._exit(0)


def main():
    # type: () -> None
    """Run ``wstest`` with this process's arguments."""
    sys.path.pop(0)  # this file's folder: its modules are not for this interpreter
    watch = threading.Thread(target=end_with_parent)
    watch.daemon = True
    watch.start()
    wstest = importlib.import_module("autobahntestsuite.wstest")
    fuzzing = importlib.import_module("autobahntestsuite.fuzzing")
    listen = functools.partial(fuzzing.listenWS, interface=LOOPBACK)
    fuzzing.listenWS = listen  # type: ignore[attr-defined]
    create_reports = fuzzing.FuzzingFactory.createReports
    fuzzing.FuzzingFactory.createReports = lambda self: create_reports(self, produceHtml=False)
    wstest.run()


if __name__ == "__main__":
    main()
