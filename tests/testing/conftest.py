"""Running a test of a user's, to see that it fails, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ECHO = """
import pytest, asyncio, threading, re

@pytest.fixture
def echo(ws_server):
    @ws_server.route("/echo")
    def script(peer):
        for message in peer:
            peer.send(message)
    return ws_server.url + "/echo"
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., Any]:
    """Run a module of tests; return what pytest says."""

    def run(code: str, *args: str, **outcomes: int) -> str:
        import textwrap

        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        pytester.makepyfile(textwrap.dedent(code))
        result = pytester.runpytest_inprocess(
            "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error", *args
        )
        result.assert_outcomes(**outcomes)
        return result.stdout.str()

    return run
