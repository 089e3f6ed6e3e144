"""A page of a real Django Channels application on daphne: its origin and its session count."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import requests
from logged import logged

from webapi import Window


@pytest.fixture
def session(daphne_url: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        session.post(daphne_url.replace("ws:", "http:") + "login", data={"user": "Ada"})
        yield session


def test_log_in_and_talk(daphne_url: str, session: Any, record: Any) -> None:
    base = daphne_url.replace("ws:", "http:")
    [cookie] = session.cookies
    assert cookie.name == "sessionid"
    with Window(base + "room/7", cookies=session.cookies) as window:
        assert window.document.cookie == ""  # it is HttpOnly
        recorder = record(window.WebSocket("/chat", ["chat.v2", "chat.v1"]))
        recorder.wait("open")
        assert recorder.ws.protocol == "chat.v1"
        for said in ("hello", {"a": [1, None]}):
            recorder.ws.send(json.dumps(said))
        recorder.wait("message", 2)
        assert [json.loads(data) for data in recorder.data] == [
            {"from": "Ada", "said": "hello"},
            {"from": "Ada", "said": {"a": [1, None]}},
        ]
        recorder.ws.close(1000)
        assert recorder.wait("close").wasClean


@pytest.mark.parametrize("page", ["http://evil.example/", "about:blank"])
def test_another_origin_is_refused(
    page: str, daphne_url: str, session: Any, record: Any, caplog: Any
) -> None:
    with (
        caplog.at_level(logging.WARNING, "webapi"),
        Window(page, cookies=session.cookies) as window,
    ):
        assert record(window.WebSocket(daphne_url + "chat")).wait("close").code == 1006
    [line] = logged(caplog, daphne_url + "chat")
    assert "403" in line


def test_who_is_not_logged_in_is_refused(daphne_url: str, record: Any, caplog: Any) -> None:
    with (
        caplog.at_level(logging.WARNING, "webapi"),
        Window(daphne_url.replace("ws:", "http:")) as window,
    ):
        assert record(window.WebSocket("/chat")).wait("close").code == 1006
    assert "403" in caplog.text
