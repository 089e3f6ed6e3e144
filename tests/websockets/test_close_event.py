"""`CloseEvent`: https://websockets.spec.whatwg.org/#the-closeevent-interface"""

from __future__ import annotations

import math

import pytest

from webapi import UNDEFINED, CloseEvent, Event


def test_a_new_close_event_has_the_standards_defaults():
    event = CloseEvent("close")
    assert isinstance(event, Event)
    assert event.type == "close"
    assert event.wasClean is False
    assert (event.code, event.reason) == (0, "")
    assert (event.bubbles, event.cancelable, event.isTrusted) == (False, False, False)


@pytest.mark.parametrize("given", ["dict", "keywords"])
def test_a_close_event_takes_its_members(given):
    members = {"wasClean": 1, "code": 4000, "reason": "done", "bubbles": True}
    event = CloseEvent("bye", members) if given == "dict" else CloseEvent("bye", **members)
    assert event.wasClean is True
    assert (event.type, event.code, event.reason, event.bubbles) == ("bye", 4000, "done", True)


def test_undefined_members_count_as_left_out_and_surplus_arguments_are_ignored():
    members = {"wasClean": UNDEFINED, "code": UNDEFINED, "reason": UNDEFINED}
    event = CloseEvent("close", members, "surplus")
    assert (event.wasClean, event.code, event.reason) == (False, 0, "")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (65535, 65535),
        (65536, 0),
        (66536, 1000),
        (-1, 65535),
        (1000.9, 1000),
        ("1000", 1000),
        ("0x3e8", 1000),
        (None, 0),
        (True, 1),
        (math.nan, 0),
        (math.inf, 0),
        ("abc", 0),
    ],
)
def test_the_code_is_an_unsigned_short_and_wraps_around(value, code):
    assert CloseEvent("close", code=value).code == code


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\ud800", "a\ud800"),  # as in Chromium and Firefox, against the IDL
        (None, "null"),
        (5, "5"),
        ("x" * 200, "x" * 200),
    ],
)
def test_the_reason_is_a_string_of_any_length(value, reason):
    assert CloseEvent("close", reason=value).reason == reason


@pytest.mark.parametrize(("member", "value"), [("code", [1000]), ("reason", b"done")])
def test_a_member_of_the_wrong_kind_is_a_type_error(member, value):
    with pytest.raises(TypeError, match=member):
        CloseEvent("close", {member: value})


def test_missing_and_wrong_arguments_are_type_errors():
    with pytest.raises(TypeError):
        CloseEvent()
    with pytest.raises(TypeError, match="eventInitDict"):
        CloseEvent("close", 1000)


@pytest.mark.parametrize("name", ["wasClean", "code", "reason"])
def test_the_members_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(CloseEvent("close"), name, 1)


def test_init_event_leaves_the_close_members_alone():
    event = CloseEvent("close", wasClean=True, code=1000, reason="done")
    event.initEvent("bye")
    assert (event.type, event.wasClean, event.code, event.reason) == ("bye", True, 1000, "done")
    assert repr(event) == "<CloseEvent 'bye'>"
