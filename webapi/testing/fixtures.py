"""What the pytest plugin's fixtures stand on: the pages and servers of one test."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pytest

from webapi.testing.page import Page, last_turns
from webapi.testing.stacks import format_fault
from webapi.testing.waiting import Problems
from webapi.testing.ws_server import WebSocketServer

if TYPE_CHECKING:
    from webapi.testing.cassette import Cassette

__all__ = ["Session"]

_PLUGIN: Final = "pytest_webapi"
_OURS: Final = frozenset(("webapi_session", "page", "webapi_page", "new_page", "ws_server"))


class Session:
    """The pages and servers of one test, `item`, and what goes wrong on them."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.problems = Problems()
        self._pages: list[Page] = []
        self._servers: list[WebSocketServer] = []
        self._page: Page | None = None
        self._finished = False
        self._failed = False
        self._cassette = self._open_cassette()

    def new_page(self, *args: Any, **options: Any) -> Page:
        """Make a page."""
        page = Page(*args, problems=self.problems, **options)
        self._pages.append(page)
        if self._cassette is not None:
            self._cassette.attach(page)
        return page

    def _open_cassette(self) -> Cassette | None:
        marker = self.item.get_closest_marker("websocket_har")
        if marker is None:
            return None
        from webapi.testing.cassette import Cassette

        rules = dict(marker.kwargs)
        path = rules.pop("path", None) or marker.args[0]
        record = self.item.config.getoption("--websocket-record")
        if record is not None:
            rules["record"] = record
        return Cassette(self.item.path.parent / path, **rules)

    def page(self) -> Page:
        """Return the test's page, made as its marker says."""
        if self._page is None:
            marker = self.item.get_closest_marker("websocket_page")
            args, options = (marker.args, marker.kwargs) if marker else ((), {})
            self._page = self.new_page(*args, **options)
        return self._page

    def new_server(self) -> WebSocketServer:
        """Make a server."""
        server = WebSocketServer(problems=self.problems)
        self._servers.append(server)
        return server

    def is_the_tests_own(self) -> bool:
        """Tell whether no fixture of the user's has the pages or servers."""
        info = getattr(self.item, "_fixtureinfo", None)
        if info is None:
            return True
        return not any(
            definition.func.__module__ != _PLUGIN and _OURS.intersection(definition.argnames)
            for definitions in info.name2fixturedefs.values()
            for definition in definitions
        )

    def with_last_turns(self, test: Callable[..., Any]) -> Callable[..., Any]:
        """Return the coroutine function `test` with some turns of its loop behind it."""
        if hasattr(test, "hypothesis"):  # that looks into it
            return test

        @functools.wraps(test)
        async def with_last_turns(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            await test(*args, **kwargs)
            await last_turns()

        return with_last_turns

    def finish(self) -> None:
        """Close all; `problems` then has the faults."""
        if self._finished:
            return
        self._finished = True
        for page in self._pages:
            page.finish()
        for server in self._servers:
            server.finish()
        if self._cassette is not None:
            self._cassette.finish(self.problems, self._failed or bool(self.problems.peek()))

    def raise_all(self) -> None:
        """Raise what went wrong."""
        found = self.problems.peek()
        __tracebackhide__ = bool(found) and found[0].__traceback__ is not None
        if len(found) == 1 and found[0].__traceback__ is None:
            self.problems.take()
            pytest.fail(str(found[0]), pytrace=False)  # nobody's code raised it
        self.problems.raise_all()

    def add_sections(self, item: Any, when: str) -> None:
        """Add to a failed test's report what went wrong beside it, which may be its reason."""
        for error in self.problems.take():
            item.add_report_section(when, "beside the test's own code", format_fault(error))
        self._failed = True
        for page in self._pages:
            page.may_leave_open = True  # the test did not come to its end
            page.board.forget_waits()
        for server in self._servers:
            server.board.forget_waits()
