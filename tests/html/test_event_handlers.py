"""Event handler attributes: https://html.spec.whatwg.org/#event-handler-attributes"""

from __future__ import annotations

import asyncio
import threading

import pytest

from webapi import UNDEFINED, Event, EventTarget
from webapi.html.event_handlers import EventHandlerAttribute

DEADLINE = 45.0


class Thing(EventTarget):
    onx = EventHandlerAttribute("x")
    onerror = EventHandlerAttribute("error")


@pytest.fixture
def thing() -> Thing:
    return Thing()


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def note(log):
    return lambda name: lambda event: log.append(name)


def fire(thing: Thing, type: str = "x") -> bool:
    return thing.dispatchEvent(Event(type, cancelable=True))


# -- getting and setting: https://html.spec.whatwg.org/#event-handler-idl-attributes ---------------


def test_an_attribute_is_none_until_it_is_set(thing):
    assert thing.onx is None


def test_an_attribute_gives_back_what_was_set(thing, note):
    handler = note("a")
    thing.onx = handler
    assert thing.onx is handler


def test_each_object_has_its_own_handler(thing, note):
    thing.onx = note("a")
    assert Thing().onx is None
    assert thing.onerror is None


def test_the_class_shows_the_attribute_itself():
    assert isinstance(Thing.onx, EventHandlerAttribute)
    assert "'x'" in Thing.onx.__doc__


@pytest.mark.parametrize("primitive", [None, UNDEFINED, 5, 0, 1.5, True, False, "print", ""])
def test_a_primitive_sets_none(thing, log, note, primitive):
    thing.onx = primitive
    assert thing.onx is None
    thing.onx = note("a")
    thing.onx = primitive
    assert thing.onx is None
    fire(thing)
    assert log == []


class WithHandleEvent:
    def handleEvent(self, event):
        raise AssertionError("an event handler is called, never its handleEvent")


@pytest.mark.parametrize("value", [{}, [], object(), WithHandleEvent(), b"bytes"])
def test_an_object_that_cannot_be_called_is_kept_and_ignored(thing, log, note, value):
    thing.onx = value
    assert thing.onx is value
    thing.addEventListener("x", note("next"))
    assert fire(thing)
    assert log == ["next"]


def test_the_handler_is_called_with_the_event_alone(thing):
    calls = []
    thing.onx = lambda *args, **kwargs: calls.append((args, kwargs))
    event = Event("x")
    thing.dispatchEvent(event)
    assert calls == [((event,), {})]


def test_a_handler_is_called_for_its_type_only(thing, log, note):
    thing.onx = note("x")
    thing.onerror = note("error")
    fire(thing, "error")
    assert log == ["error"]


# -- its place in the order: https://html.spec.whatwg.org/#activate-an-event-handler ---------------


def test_a_replaced_handler_keeps_its_place(thing, log, note):
    thing.addEventListener("x", note("A"))
    thing.onx = note("B")
    thing.addEventListener("x", note("C"))
    thing.onx = note("D")
    fire(thing)
    assert log == ["A", "D", "C"]


def test_a_handler_set_to_none_and_again_takes_the_last_place(thing, log, note):
    thing.addEventListener("x", note("A"))
    thing.onx = note("B")
    thing.addEventListener("x", note("C"))
    thing.onx = None
    thing.addEventListener("x", note("F"))
    thing.onx = note("E")
    fire(thing)
    assert log == ["A", "C", "F", "E"]


def test_an_object_that_cannot_be_called_holds_the_place(thing, log, note):
    thing.onx = {}
    thing.addEventListener("x", note("A"))
    thing.onx = note("B")
    fire(thing)
    assert log == ["B", "A"]


def test_a_primitive_gives_up_the_place(thing, log, note):
    thing.onx = 5
    thing.addEventListener("x", note("A"))
    thing.onx = note("B")
    fire(thing)
    assert log == ["A", "B"]


def test_a_handler_is_not_a_capture_listener(thing, log, note):
    thing.onx = note("on")
    thing.addEventListener("x", note("capture"), True)
    fire(thing)
    assert log == ["capture", "on"]


def test_the_same_function_as_handler_and_listener_is_called_twice(thing, log, note):
    both = note("called")
    thing.onx = both
    thing.addEventListener("x", both)
    fire(thing)
    assert log == ["called"] * 2
    thing.removeEventListener("x", both)
    fire(thing)
    assert log == ["called"] * 3


# -- changes during dispatch -------------------------------------------------------------------


def test_a_handler_replaced_during_dispatch_is_the_new_one_when_its_turn_comes(thing, log, note):
    def replace(event):
        thing.onx = note("new")

    thing.addEventListener("x", replace)
    thing.onx = note("old")
    fire(thing)
    assert log == ["new"]


def test_a_handler_that_replaces_itself_is_not_called_again(thing, log, note):
    def replace(event):
        log.append("old")
        thing.onx = note("new")

    thing.onx = replace
    fire(thing)
    assert log == ["old"]
    fire(thing)
    assert log == ["old", "new"]


def test_a_handler_set_to_none_during_dispatch_is_not_called(thing, log, note):
    def unset(event):
        thing.onx = None

    thing.addEventListener("x", unset)
    thing.onx = note("old")
    fire(thing)
    assert log == []


def test_a_handler_first_set_during_dispatch_waits_for_the_next_event(thing, log, note):
    def renew(event):
        thing.onx = None
        thing.onx = note("new")

    thing.addEventListener("x", renew)
    thing.onx = note("old")
    fire(thing)
    assert log == []


# -- the return value: https://html.spec.whatwg.org/#the-event-handler-processing-algorithm --------


@pytest.mark.parametrize(
    ("value", "result"), [(False, False), (None, True), (0, True), ("", True), (True, True)]
)
def test_only_false_cancels_the_event(thing, value, result):
    thing.onx = lambda event: value
    assert fire(thing) is result


def test_false_from_an_ordinary_listener_cancels_nothing(thing):
    thing.addEventListener("x", lambda event: False)
    assert fire(thing)


def test_true_does_not_cancel_an_error_event_that_is_no_error_event_object(thing):
    """Step 4's special case is for `ErrorEvent`s of global objects alone."""
    thing.onerror = lambda event: True
    assert fire(thing, "error")


# -- exceptions and coroutines -----------------------------------------------------------------


def test_an_exception_in_a_handler_is_reported_and_the_others_run(thing, log, note, monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    error = ValueError("broken")

    def broken(event):
        raise error

    thing.onx = broken
    thing.addEventListener("x", note("next"))
    assert fire(thing)
    assert log == ["next"]
    assert reported == [error]


def test_an_async_handler_starts_at_once_and_goes_on_as_a_task(thing, log):
    async def main():
        done = asyncio.Event()

        async def handler(event):
            log.append("begins")
            await asyncio.sleep(0)
            log.append("ends")
            done.set()
            return False  # too late to cancel anything

        thing.onx = handler
        assert fire(thing)
        assert log == ["begins"]
        await asyncio.wait_for(done.wait(), DEADLINE)

    asyncio.run(main())
    assert log == ["begins", "ends"]


# -- in Python -----------------------------------------------------------------------------------


def test_a_bound_method_is_a_handler(thing):
    events = []
    thing.onx = events.append
    assert thing.onx == events.append
    fire(thing)
    assert len(events) == 1


def test_a_subclass_is_told_of_a_replaced_handler():
    changes = []

    class Watching(Thing):
        def _listeners_changed(self, type):
            changes.append((type, self.onx))

    thing = Watching()
    for value in (print, repr, None, None):
        thing.onx = value
    assert changes == [("x", print), ("x", repr), ("x", None)]


def test_a_handlers_function_is_known_to_the_receiver(thing):
    """Where one function is all that listens, messages are given to it without a dispatch."""
    thing.onx = print
    (listener,) = thing._snapshot("x")
    assert listener.plain_function() is print
    thing.onx = {}
    assert listener.plain_function() is None
    for options, expected in (({}, repr), ({"once": True}, None), ({"passive": True}, None)):
        other = EventTarget()
        other.addEventListener("x", repr, options)
        assert other._snapshot("x")[0].plain_function() is expected
    other = EventTarget()
    other.addEventListener("x", WithHandleEvent())
    assert other._snapshot("x")[0].plain_function() is None


def test_threads_that_set_a_handler_at_the_same_time_leave_one_listener():
    for _ in range(50):
        thing = Thing()
        barrier = threading.Barrier(3)

        def work(value, thing=thing, barrier=barrier):
            barrier.wait(DEADLINE)
            thing.onx = value

        threads = [threading.Thread(target=work, args=(value,)) for value in (print, repr, len)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert len(thing._snapshot("x")) == 1
        assert thing._snapshot("x")[0].value is thing.onx
