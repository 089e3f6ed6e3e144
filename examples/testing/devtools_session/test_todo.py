"""Replayed from what "Export HAR" of Chromium's Network panel wrote: see recorder/."""

import pytest
from todo import TodoList


@pytest.mark.websocket_har("session.har", record="none")
def test_the_recorded_session(page):
    todo = TodoList(page.WebSocket, "wss://todo.example/sync?list=home")
    tap = page.tap(todo.ws)
    tap.wait_for_message(json={"type": "item", "text": "water the plants"})
    todo.add("buy bread")
    tap.wait_for_message(json={"type": "changed"})
    assert todo.items == {1: ("water the plants", True), 2: ("buy bread", True)}
    todo.ws.close(1000)
    assert tap.wait_for("close").wasClean
