"""The chat, two browsers' pages and no server: HTTP by Django's client, sockets by ASGI."""

from pathlib import Path

import chat
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import Client


@pytest.fixture(scope="session", autouse=True)
def users():
    database = Path(settings.DATABASES["default"]["NAME"])
    call_command("migrate", verbosity=0)
    for name in ("ada", "grace"):
        User.objects.create_user(name, password=f"{name}'s password")
    yield
    connections.close_all()
    database.unlink()


@pytest.fixture
def open_page(new_page):
    """Open a page of the chat's, logged in as `name`."""

    def open_page(name=None, url="https://chat.example/"):
        cookies = {}
        if name is not None:
            client = Client(headers={"host": "chat.example"})
            answer = client.post("/login", {"name": name, "password": f"{name}'s password"})
            assert answer.status_code == 204
            cookies = {"sessionid": client.cookies["sessionid"].value}
        page = new_page(url, cookies=cookies, offline=True)
        page.route("wss://chat.example/**").to_asgi(chat.application)
        return page

    return open_page


def join(page, room="lobby"):
    tap = page.tap(page.WebSocket(f"wss://chat.example/chat/{room}"))
    tap.wait_for("open")
    return tap


def test_two_people_talk(open_page):
    ada = join(open_page("ada"))
    ada.wait_for_message(json={"joined": "ada"})
    grace = join(open_page("grace"))
    ada.wait_for_message(json={"joined": "grace"})
    grace.ws.send('{"text": "hello"}')
    ada.wait_for_message(json={"from": "grace", "text": "hello"})
    grace.ws.close()
    assert grace.wait_for("close").wasClean
    ada.wait_for_message(json={"left": "grace"})
    ada.ws.close()
    ada.wait_for("close")


def test_rooms_are_apart(open_page):
    ada, grace = join(open_page("ada"), "one"), join(open_page("grace"), "two")
    ada.wait_for_message(json={"joined": "ada"})
    grace.wait_for_message(json={"joined": "grace"})
    ada.ws.send('{"text": "for room one"}')
    ada.wait_for_message(json={"from": "ada"})
    grace.none_for(0.05)
    for tap in (ada, grace):
        tap.ws.close()
        tap.wait_for("close")


@pytest.mark.parametrize(
    ("name", "url"), [(None, "https://chat.example/"), ("ada", "https://evil.example/")]
)
def test_strangers_are_refused(open_page, name, url):
    page = open_page(name, url)
    tap = page.tap(page.WebSocket("wss://chat.example/chat/lobby"))
    assert tap.wait_for("close").code == 1006
    assert "403 Forbidden" in str(tap.timeline)


def test_a_wrong_password():
    client = Client(headers={"host": "chat.example"})
    assert client.post("/login", {"name": "ada", "password": "?"}).status_code == 401
