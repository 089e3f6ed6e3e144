"""`MessageEvent`: https://html.spec.whatwg.org/multipage/comms.html#the-messageevent-interface"""

from __future__ import annotations

import time
from types import MappingProxyType

import pytest

from webapi import UNDEFINED, DOMException, Event, EventTarget, MessageEvent
from webapi.dom.event import FIRED, FIRED_IN_DISPATCH
from webapi.html.message_event import ReceivedMessageEvent


def test_a_new_message_event_has_the_standards_defaults():
    event = MessageEvent("message")
    assert isinstance(event, Event)
    assert event.type == "message"
    assert (event.data, event.origin, event.lastEventId) == (None, "", "")
    assert event.source is None
    assert event.ports == ()
    assert (event.bubbles, event.cancelable, event.composed) == (False, False, False)
    assert not event.isTrusted


@pytest.mark.parametrize("given", ["dict", "keywords"])
def test_a_message_event_takes_its_members(given):
    source, data = EventTarget(), object()
    members = {
        "data": data,
        "origin": "ws://h",
        "lastEventId": "7",
        "source": source,
        "ports": [],
        "cancelable": True,
    }
    event = MessageEvent("m", members) if given == "dict" else MessageEvent("m", **members)
    assert event.data is data
    assert event.source is source
    assert (event.origin, event.lastEventId, event.ports) == ("ws://h", "7", ())
    assert event.cancelable


def test_undefined_members_count_as_left_out_and_surplus_arguments_are_ignored():
    members = {"data": UNDEFINED, "origin": UNDEFINED, "ports": UNDEFINED, "source": UNDEFINED}
    event = MessageEvent("m", members, "surplus")
    assert (event.data, event.origin, event.ports, event.source) == (None, "", (), None)


def test_origin_and_last_event_id_keep_lone_surrogates():
    # Chromium and Firefox do, though the IDL says USVString for the origin.
    event = MessageEvent("m", origin="a\ud800", lastEventId="a\ud800")
    assert (event.origin, event.lastEventId) == ("a\ud800", "a\ud800")
    event = MessageEvent("m", origin=None, lastEventId=5)
    assert (event.origin, event.lastEventId) == ("null", "5")


def test_the_ports_are_frozen_and_always_the_same_object():
    event = MessageEvent("m", ports=[])
    assert isinstance(event.ports, tuple)
    assert event.ports is event.ports


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("source", "window"),
        ("source", 5),
        ("source", Event("x")),
        ("ports", None),
        ("ports", 5),
        ("ports", "ports"),
        ("ports", {}),  # no iterable in JavaScript
        ("ports", MappingProxyType({})),
        ("ports", [1]),
        ("ports", [object()]),
        ("origin", object()),
        ("lastEventId", []),
    ],
)
def test_a_member_of_the_wrong_kind_is_a_type_error(member, value):
    with pytest.raises(TypeError, match=member):
        MessageEvent("m", {member: value})
    arguments = {"source": None, "ports": (), "origin": "", "lastEventId": "", member: value}
    with pytest.raises(TypeError, match=member):
        MessageEvent("m").initMessageEvent("m", **arguments)


def test_missing_and_wrong_arguments_are_type_errors():
    with pytest.raises(TypeError):
        MessageEvent()
    with pytest.raises(TypeError):
        MessageEvent("m", 5)
    with pytest.raises(TypeError):
        MessageEvent("m").initMessageEvent()


@pytest.mark.parametrize("name", ["data", "origin", "lastEventId", "source", "ports"])
def test_the_members_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(MessageEvent("m"), name, None)


# -- initMessageEvent --------------------------------------------------------------------------


def test_init_message_event_sets_the_event_up_anew():
    source = EventTarget()
    event = MessageEvent("m", data="old", composed=True)
    event.initMessageEvent("n", True, True, "new", "o", "id", source, [], "surplus")
    assert (event.type, event.bubbles, event.cancelable) == ("n", True, True)
    assert (event.data, event.origin, event.lastEventId) == ("new", "o", "id")
    assert event.source is source
    assert event.ports == ()
    assert event.composed


@pytest.mark.parametrize("arguments", [(), (UNDEFINED,) * 7])
def test_init_message_event_has_the_defaults_for_what_is_left_out(arguments):
    event = MessageEvent("m", data="old", origin="o", lastEventId="id", bubbles=True)
    event.initMessageEvent("n", *arguments)
    assert (event.type, event.bubbles, event.cancelable) == ("n", False, False)
    assert (event.data, event.origin, event.lastEventId) == (None, "", "")
    assert (event.source, event.ports) == (None, ())


def test_init_message_event_during_dispatch_does_nothing():
    target = EventTarget()
    target.addEventListener("m", lambda event: event.initMessageEvent("n", data="new"))
    event = MessageEvent("m", data="old")
    target.dispatchEvent(event)
    assert (event.type, event.data) == ("m", "old")


def test_init_event_leaves_the_message_alone():
    event = MessageEvent("m", data="data", origin="o")
    event.initEvent("n")
    assert (event.type, event.data, event.origin) == ("n", "data", "o")


# -- as the receiver makes them ------------------------------------------------------------------


@pytest.fixture
def target() -> EventTarget:
    return EventTarget()


@pytest.fixture
def received(target) -> MessageEvent:
    """A message event whose dispatch is over."""
    event = ReceivedMessageEvent()
    event._shared = (target, time.perf_counter(), ("ws://h", "", None, ()))
    event._flags, event._data = FIRED, "text"
    return event


def test_a_received_message_event_looks_like_any_other(target, received):
    assert isinstance(received, MessageEvent)
    assert type(received).__name__ == "MessageEvent"
    assert repr(received) == "<MessageEvent 'message'>"
    assert received.type == "message"
    assert received.target is received.srcElement is target
    assert (received.data, received.origin, received.lastEventId) == ("text", "ws://h", "")
    assert (received.source, received.ports) == (None, ())
    assert received.ports is received.ports
    assert (received.bubbles, received.cancelable, received.composed) == (False, False, False)
    assert received.isTrusted
    assert received.timeStamp > 0
    assert (received.currentTarget, received.eventPhase) == (None, Event.NONE)
    assert received.composedPath() == []
    received.preventDefault()
    assert not received.defaultPrevented


def test_a_received_message_event_in_dispatch_is_at_its_target(target, received):
    received._flags = FIRED_IN_DISPATCH
    assert (received.currentTarget, received.eventPhase) == (target, Event.AT_TARGET)
    assert received.composedPath() == [target]
    received.initMessageEvent("n", data="new")
    received.initEvent("n")
    assert (received.type, received.data) == ("message", "text")
    with pytest.raises(DOMException) as caught:
        target.dispatchEvent(received)
    assert caught.value.name == "InvalidStateError"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_received_message_event_may_be_dispatched_again(target, received, elsewhere):
    where = EventTarget() if elsewhere else target
    seen = []
    where.addEventListener(
        "message", lambda event: seen.append((event.target, event.currentTarget, event.isTrusted))
    )
    stamp = received.timeStamp
    where.dispatchEvent(received)
    assert seen == [(where, where, False)]
    assert received.target is where
    assert (received.data, received.origin) == ("text", "ws://h")
    assert received.timeStamp == stamp
    target.dispatchEvent(received)
    assert received.target is target


def test_a_received_message_event_may_be_set_up_anew_by_init_event(received):
    stamp = received.timeStamp
    received.initEvent("n", True)
    assert (received.type, received.target, received.bubbles) == ("n", None, True)
    assert (received.data, received.origin, received.timeStamp) == ("text", "ws://h", stamp)
    assert not received.isTrusted


def test_a_received_message_event_may_be_set_up_anew_by_init_message_event(received):
    received.initMessageEvent("n", data="new", origin="o")
    assert (received.type, received.target, received.data) == ("n", None, "new")
    assert received.origin == "o"
    assert type(received) is MessageEvent
