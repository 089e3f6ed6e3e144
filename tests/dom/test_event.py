"""`Event`: https://dom.spec.whatwg.org/#interface-event"""

from __future__ import annotations

import time

import pytest

from webapi import UNDEFINED, Event, EventTarget


def dispatch(event: Event, listener=lambda event: None) -> EventTarget:
    target = EventTarget()
    target.addEventListener(event.type, listener)
    target.dispatchEvent(event)
    return target


def test_a_new_event_has_the_standards_defaults():
    event = Event("ping")
    assert event.type == "ping"
    assert event.target is event.srcElement is event.currentTarget is None
    assert event.eventPhase == Event.NONE
    assert event.composedPath() == []
    assert not event.bubbles
    assert not event.cancelable
    assert not event.composed
    assert not event.defaultPrevented
    assert not event.isTrusted
    assert not event.cancelBubble
    assert event.returnValue is True


def test_the_members_are_real_booleans():
    event = Event("ping", bubbles=1, cancelable="yes", composed=[1])
    for name in ("bubbles", "cancelable", "composed"):
        assert getattr(event, name) is True
    for name in ("defaultPrevented", "isTrusted", "cancelBubble"):
        assert getattr(event, name) is False


@pytest.mark.parametrize("member", ["bubbles", "cancelable", "composed"])
@pytest.mark.parametrize("given", ["dict", "keyword"])
def test_an_event_init_member_sets_its_attribute_alone(member, given):
    event = Event("x", {member: True}) if given == "dict" else Event("x", **{member: True})
    values = {name: getattr(event, name) for name in ("bubbles", "cancelable", "composed")}
    assert values == {"bubbles": False, "cancelable": False, "composed": False, member: True}


def test_a_keyword_wins_over_the_dictionary_and_unknown_members_are_ignored():
    event = Event("x", {"bubbles": True, "colour": "red", "cancelable": UNDEFINED}, bubbles=False)
    assert not event.bubbles
    assert not event.cancelable


@pytest.mark.parametrize("nothing", [None, UNDEFINED, {}])
def test_the_dictionary_may_be_left_out(nothing):
    assert not Event("x", nothing).bubbles


@pytest.mark.parametrize(
    ("value", "type"),
    [("", ""), (None, "null"), (UNDEFINED, "undefined"), (True, "true"), (1.5, "1.5")],
)
def test_the_type_converts_as_in_javascript(value, type):
    assert Event(value).type == type


def test_wrong_arguments_are_type_errors_and_surplus_ones_are_ignored():
    with pytest.raises(TypeError):
        Event()
    with pytest.raises(TypeError, match="type"):
        Event(object())
    with pytest.raises(TypeError, match="eventInitDict"):
        Event("x", 5)
    assert Event("x", None, "surplus", 1).type == "x"


@pytest.mark.parametrize(
    ("name", "value"),
    [("NONE", 0), ("CAPTURING_PHASE", 1), ("AT_TARGET", 2), ("BUBBLING_PHASE", 3)],
)
def test_the_phase_constants_are_on_the_class_and_on_events(name, value):
    assert getattr(Event, name) == getattr(Event("x"), name) == value


@pytest.mark.parametrize(
    "name",
    ["type", "target", "srcElement", "currentTarget", "eventPhase", "bubbles", "cancelable"]
    + ["composed", "defaultPrevented", "isTrusted", "timeStamp"],
)
def test_the_attributes_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(Event("x"), name, 1)


def test_the_time_stamp_is_in_milliseconds_and_grows():
    before = Event("x").timeStamp
    since = time.perf_counter()
    while time.perf_counter() - since < 0.002:
        pass
    after = Event("x").timeStamp
    assert before > 0
    assert 2 <= after - before < 60_000


def test_the_time_stamp_stays():
    event = Event("x")
    first = event.timeStamp
    dispatch(event)
    assert event.timeStamp == first


# -- while it is dispatched: https://dom.spec.whatwg.org/#concept-event-dispatch ------------------


def test_during_dispatch_the_event_is_at_its_target_and_afterwards_nowhere():
    seen = []

    def listener(event):
        path = event.composedPath()
        seen.append((event.target, event.srcElement, event.currentTarget, event.eventPhase, path))

    event = Event("x")
    target = dispatch(event, listener)
    assert seen == [(target, target, target, Event.AT_TARGET, [target])]
    assert event.target is event.srcElement is target
    assert event.currentTarget is None
    assert event.eventPhase == Event.NONE
    assert event.composedPath() == []


def test_a_capture_listener_runs_at_the_target_too():
    phases = []
    target = EventTarget()
    target.addEventListener("x", lambda event: phases.append(event.eventPhase), True)
    target.dispatchEvent(Event("x"))
    assert phases == [Event.AT_TARGET]


def test_the_composed_path_is_a_fresh_list():
    paths = []

    def listener(event):
        event.composedPath().append("mine")
        paths.append(event.composedPath("surplus"))

    target = dispatch(Event("x"), listener)
    assert paths == [[target]]


def test_dispatch_clears_the_stop_flags_and_keeps_the_canceled_flag():
    def listener(event):
        event.stopImmediatePropagation()
        event.preventDefault()

    event = Event("x", cancelable=True)
    dispatch(event, listener)
    assert not event.cancelBubble
    assert event.defaultPrevented


# -- canceling: https://dom.spec.whatwg.org/#set-the-canceled-flag --------------------------------


def test_prevent_default_cancels_a_cancelable_event():
    event = Event("x", cancelable=True)
    event.preventDefault("surplus")
    assert event.defaultPrevented is True
    assert event.returnValue is False


def test_prevent_default_does_nothing_to_an_event_that_cannot_be_canceled():
    event = Event("x")
    event.preventDefault()
    event.returnValue = False
    assert not event.defaultPrevented
    assert event.returnValue is True


def test_setting_return_value_false_cancels_and_true_does_not_undo_it():
    event = Event("x", cancelable=True)
    event.returnValue = True
    assert not event.defaultPrevented
    event.returnValue = False
    assert event.defaultPrevented
    event.returnValue = True
    assert event.defaultPrevented


# -- stopping: https://dom.spec.whatwg.org/#dom-event-stoppropagation -----------------------------


@pytest.mark.parametrize(
    "stop",
    [
        lambda event: event.stopPropagation("surplus"),
        lambda event: event.stopImmediatePropagation("surplus"),
        lambda event: setattr(event, "cancelBubble", True),
    ],
)
def test_an_event_stopped_before_dispatch_reaches_nobody_that_time(stop):
    seen = []
    event = Event("x")
    stop(event)
    assert event.cancelBubble is True
    target = dispatch(event, seen.append)
    assert seen == []
    assert event.cancelBubble is False
    target.dispatchEvent(event)
    assert seen == [event]


def test_setting_cancel_bubble_false_does_nothing():
    event = Event("x")
    event.stopPropagation()
    event.cancelBubble = False
    assert event.cancelBubble is True


# -- initEvent: https://dom.spec.whatwg.org/#dom-event-initevent ----------------------------------


def test_init_event_sets_the_event_up_anew():
    event = Event("x", bubbles=True, cancelable=True, composed=True)
    dispatch(event, lambda event: event.preventDefault())
    event.stopImmediatePropagation()
    event.initEvent("y")
    assert event.type == "y"
    assert event.target is None
    assert (event.bubbles, event.cancelable) == (False, False)
    assert not event.defaultPrevented
    assert not event.cancelBubble
    assert event.composed  # initEvent does not know it


def test_init_event_takes_bubbles_and_cancelable_and_ignores_surplus():
    event = Event("x")
    event.initEvent("y", True, True, "surplus")
    assert (event.bubbles, event.cancelable) == (True, True)
    event.initEvent(None, UNDEFINED, 0)
    assert (event.type, event.bubbles, event.cancelable) == ("null", False, False)


def test_init_event_makes_a_fired_event_untrusted():
    event = Event("x")
    EventTarget()._fire(event)
    assert event.isTrusted
    event.initEvent("x")
    assert not event.isTrusted


def test_init_event_during_dispatch_does_nothing_but_convert():
    errors = []

    def listener(event):
        event.initEvent("y", True, True)
        try:
            event.initEvent(object())
        except TypeError as error:
            errors.append(error)

    event = Event("x")
    dispatch(event, listener)
    assert (event.type, event.bubbles, len(errors)) == ("x", False, 1)


def test_init_event_needs_a_type():
    with pytest.raises(TypeError):
        Event("x").initEvent()


# -- in Python ---------------------------------------------------------------------------------


def test_a_subclass_may_have_members_of_its_own():
    class Score(Event):
        def __init__(self, points):
            super().__init__("score", bubbles=True)
            self.points = points

    seen = []
    target = dispatch(Score(3), lambda event: seen.append((event.points, event.bubbles)))
    assert seen == [(3, True)]
    assert isinstance(target, EventTarget)


def test_an_event_prints_its_class_and_type():
    assert repr(Event("ping")) == "<Event 'ping'>"
