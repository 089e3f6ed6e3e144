"""Running a test of a user's, to see that it fails, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from webapi.testing import Page, route, script_peer, ws_server
from webapi.testing.waiting import DEFAULT_TIMEOUT

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


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What should come may take 20 s where no other limit is given, and in a script 40: users have
    5 and 10.

    A rented machine stands still for seconds at times, and that is no fault of what is tested.
    """
    assert Page.__init__.__kwdefaults__["default_timeout"] == DEFAULT_TIMEOUT
    monkeypatch.setitem(Page.__init__.__kwdefaults__, "default_timeout", 4 * DEFAULT_TIMEOUT)
    monkeypatch.setattr(script_peer, "RECEIVE_TIMEOUT", 4 * script_peer.RECEIVE_TIMEOUT)
    for module in (route, ws_server):
        monkeypatch.setattr(module, "DEFAULT_TIMEOUT", 4 * DEFAULT_TIMEOUT)


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
