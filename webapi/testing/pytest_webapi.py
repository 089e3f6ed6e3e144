"""The pytest plugin: fixtures `page`, `new_page` and `ws_server`, markers, and an option.

It is installed as a module of its own, `pytest_webapi`, so that a run which does not use it does
not import `webapi`: this file imports nothing but pytest until a fixture is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from webapi.testing.fixtures import Session
    from webapi.testing.page import Page
    from webapi.testing.ws_server import WebSocketServer

_session = pytest.StashKey["Session"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--websocket-record`."""
    group = parser.getgroup("webapi", "webapi: WebSockets")
    group.addoption(
        "--websocket-record",
        choices=("once", "new", "all", "none"),
        default=None,
        help="whether @pytest.mark.websocket_har records: once (default): what has no file yet; "
        "new: connections that the file does not have, too; all: everything anew; none: nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line(
        "markers",
        "websocket_page(url, **options): how the fixture `page` is made: see webapi.testing.Page",
    )
    config.addinivalue_line(
        "markers",
        "websocket_har(path, **rules): record the page's sockets to this HAR file, or replay them: "
        "see webapi.testing.Cassette",
    )


@pytest.fixture
def webapi_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """What the test's pages and servers share; it fails the test of what went wrong beside it."""
    from webapi.testing.fixtures import Session

    session = Session(request.node)
    request.node.stash[_session] = session
    yield session
    session.finish()
    session.raise_all()


@pytest.fixture
def new_page(webapi_session: Session) -> Callable[..., Page]:
    """Make pages: call it with `webapi.testing.Page`'s arguments; all are closed after the test."""
    return webapi_session.new_page


@pytest.fixture
def page(webapi_session: Session) -> Page:
    """A fresh `webapi.testing.Page`, closed after the test."""
    return webapi_session.page()


@pytest.fixture
def webapi_page(webapi_session: Session) -> Page:
    """The same as `page`, for where another plugin has a `page` of its own."""
    return webapi_session.page()


@pytest.fixture
def ws_server(webapi_session: Session) -> WebSocketServer:
    """A fresh `webapi.testing.WebSocketServer`, ended after the test."""
    return webapi_session.new_server()


def _is_somebodys(caught: pytest.ExceptionInfo[BaseException]) -> bool:
    """Tell whether a traceback has frames of the user's, beside which ours shall not show."""
    return not isinstance(caught.value, pytest.fail.Exception)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail the test, rather than its teardown, of what went wrong beside it.

    Where another fixture has the page or the server, it may need them until its own end; then the
    check is at the end of theirs.
    """
    __tracebackhide__ = _is_somebodys
    try:
        result = yield
    except BaseException:
        session = item.stash.get(_session, None)
        if session is not None:
            session.add_sections(item, "call")
        raise
    session = item.stash.get(_session, None)
    if session is not None and session.is_the_tests_own():
        session.finish()
        session.raise_all()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Give async listeners their last turns where the test's loop ends with it, as anyio's does."""
    __tracebackhide__ = _is_somebodys
    session = pyfuncitem.stash.get(_session, None)
    if session is not None and inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = session.with_last_turns(pyfuncitem.obj)
    return (yield)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Note a failure that no test function raised: a fixture's in the setup, a `TestCase`'s."""
    session = item.stash.get(_session, None)
    if session is not None and call.excinfo is not None and call.when != "teardown":
        session.add_sections(item, call.when)
