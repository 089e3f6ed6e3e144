"""The command line: `python -m webapi demo` and `python -m webapi connect URL`.

Each subcommand is a module with `add_parser()`; what it needs beyond the runtime dependencies
(`pip install 'webapi[cli]'`: rich and prompt_toolkit) is used where it is installed.
"""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Tells of wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status.

    Args:
        argv: the arguments behind the program's name; default `sys.argv[1:]`.

    Returns:
        0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C.
    """
    from webapi.cli.terminal import prepare_streams

    prepare_streams()
    parser = _make_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as exit:  # argparse's way to say that it is done
        return exit.code if isinstance(exit.code, int) else 2
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    return int(arguments.run(arguments))


def _make_parser() -> argparse.ArgumentParser:
    from webapi import __version__
    from webapi.cli import connect, demo

    started_as_module = sys.argv[0].endswith("__main__.py")
    parser = _Parser(
        prog="python -m webapi" if started_as_module else "webapi",
        description="The browser's WebSocket API in Python.",
    )
    parser.add_argument("--version", action="version", version=f"webapi {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo.add_parser(commands)
    connect.add_parser(commands)
    return parser
