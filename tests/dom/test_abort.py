"""`AbortController`, `AbortSignal`: https://dom.spec.whatwg.org/#aborting-ongoing-activities"""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import weakref

import pytest

from webapi import UNDEFINED, AbortController, AbortSignal, DOMException, Event, EventTarget
from webapi.html.background import background

DEADLINE = 45.0


@pytest.fixture
def controller() -> AbortController:
    return AbortController()


@pytest.fixture
def log() -> list[object]:
    return []


# -- AbortController: https://dom.spec.whatwg.org/#interface-abortcontroller --------------------


def test_a_new_controllers_signal_is_not_aborted(controller):
    signal = controller.signal
    assert isinstance(signal, AbortSignal)
    assert isinstance(signal, EventTarget)
    assert controller.signal is signal
    assert signal.aborted is False
    assert signal.reason is UNDEFINED
    signal.throwIfAborted("surplus")
    assert AbortController("surplus").signal is not signal


@pytest.mark.parametrize("name", ["aborted", "reason"])
def test_a_signals_members_are_read_only(controller, name):
    with pytest.raises(AttributeError):
        setattr(controller.signal, name, True)
    with pytest.raises(AttributeError):
        controller.signal = None


def test_abort_sets_an_abort_error_as_the_reason(controller):
    controller.abort()
    reason = controller.signal.reason
    assert controller.signal.aborted is True
    assert isinstance(reason, DOMException)
    assert (reason.name, reason.code) == ("AbortError", 20)


@pytest.mark.parametrize("reason", [None, False, 0, "", "why", ValueError("why"), object()])
def test_abort_takes_any_reason(controller, reason):
    controller.abort(reason, "surplus")
    assert controller.signal.aborted is True
    assert controller.signal.reason is reason


def test_an_undefined_reason_counts_as_left_out(controller):
    controller.abort(UNDEFINED)
    assert controller.signal.reason.name == "AbortError"


def test_abort_fires_one_trusted_abort_event_when_the_signal_is_aborted_already(controller, log):
    def listener(event):
        log.append((event.type, event.target, event.isTrusted, event.target.aborted))
        log.append((event.bubbles, event.cancelable, type(event)))

    controller.signal.addEventListener("abort", listener)
    controller.abort("first")
    controller.abort("second")
    assert log == [("abort", controller.signal, True, True), (False, False, Event)]
    assert controller.signal.reason == "first"


def test_a_listener_that_aborts_again_does_nothing(controller, log):
    def again(event):
        log.append("called")
        controller.abort("again")

    controller.signal.addEventListener("abort", again)
    controller.abort("first")
    assert log == ["called"]
    assert controller.signal.reason == "first"


def test_onabort_is_an_event_handler_attribute(controller, log):
    signal = controller.signal
    assert signal.onabort is None
    signal.onabort = log.append
    assert signal.onabort == log.append
    controller.abort()
    assert [event.type for event in log] == ["abort"]


def test_algorithms_run_before_the_abort_event(controller, log):
    """https://dom.spec.whatwg.org/#run-the-abort-steps"""
    target = EventTarget()
    controller.signal.addEventListener("abort", lambda event: log.append(target._has_listener("x")))
    target.addEventListener("x", print, signal=controller.signal)
    controller.abort()
    assert log == [False]


def test_an_exception_in_an_abort_listener_is_reported_and_the_others_run(controller, log, reports):
    def broken(event):
        raise ValueError

    controller.signal.addEventListener("abort", broken)
    controller.signal.addEventListener("abort", lambda event: log.append("next"))
    controller.abort()
    assert log == ["next"]
    assert len(reports.exceptions) == 1


# -- throwIfAborted -----------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [ValueError("why"), KeyboardInterrupt()])
def test_throw_if_aborted_raises_the_reason_itself(reason):
    with pytest.raises(type(reason)) as caught:
        AbortSignal.abort(reason).throwIfAborted()
    assert caught.value is reason


@pytest.mark.parametrize("reason", ["why", None, ValueError, 5])
def test_throw_if_aborted_wraps_a_reason_that_python_cannot_raise(reason):
    with pytest.raises(DOMException) as caught:
        AbortSignal.abort(reason).throwIfAborted()
    assert caught.value.name == "AbortError"
    assert repr(reason) in caught.value.message


# -- AbortSignal.abort: https://dom.spec.whatwg.org/#dom-abortsignal-abort ----------------------


def test_a_signal_cannot_be_constructed():
    with pytest.raises(TypeError, match="AbortController"):
        AbortSignal()
    with pytest.raises(TypeError):
        AbortSignal(object())


def test_abort_returns_a_signal_that_is_aborted_already(log):
    assert AbortSignal.abort().reason.name == "AbortError"
    assert AbortSignal.abort(UNDEFINED).reason.name == "AbortError"
    assert AbortSignal.abort(None, "surplus").reason is None
    assert AbortSignal.abort("why").aborted is True


# -- AbortSignal.timeout: https://dom.spec.whatwg.org/#dom-abortsignal-timeout ------------------


@pytest.mark.parametrize("milliseconds", [0, 1, 0.9, -0.5, "1", True, None])
def test_a_timeout_aborts_on_the_running_loop(run_on_loop, log, milliseconds):
    async def main():
        signal = AbortSignal.timeout(milliseconds, "surplus")
        assert not signal.aborted
        done = asyncio.Event()

        @signal.addEventListener("abort")
        def aborted(event):
            log.append((signal.reason.name, signal.reason.code, event.isTrusted))
            log.append(asyncio.get_running_loop())
            done.set()

        await done.wait()
        assert log == [("TimeoutError", 23, True), asyncio.get_running_loop()]

    assert run_on_loop(main) == []


def test_a_timeout_waits_at_least_its_time(run_on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        start = loop.time()
        signal = AbortSignal.timeout(20)
        signal.onabort = lambda event: done.set_result(loop.time())
        # The clock's resolution is what asyncio allows a timer to be early by.
        assert await done - start >= 0.020 - 0.001

    assert run_on_loop(main) == []


def test_timeouts_abort_in_the_order_of_their_times(run_on_loop, log, monkeypatch):
    async def main():
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        now = loop.time()
        with monkeypatch.context() as patch:  # they begin at one time, however long it takes
            patch.setattr(loop, "time", lambda: now)
            signals = {time: AbortSignal.timeout(time) for time in (15, 5, 10)}
            for time, signal in signals.items():
                signal.onabort = lambda event, time=time: log.append(time)
            signals[15].addEventListener("abort", lambda event: done.set())
            for _ in range(3):
                await asyncio.sleep(0)
        await done.wait()

    assert run_on_loop(main) == []
    assert log == [5, 10, 15]


def test_a_timeout_off_the_loop_aborts_on_the_background_loop():
    done = threading.Event()
    threads = []
    signal = AbortSignal.timeout(1)

    def aborted(event):
        threads.append(threading.current_thread())
        done.set()

    signal.addEventListener("abort", aborted)
    if signal.aborted:  # before we listened
        done.set()
    assert done.wait(DEADLINE)
    assert signal.reason.name == "TimeoutError"
    assert threads in ([], [background().thread])


def test_a_timeout_that_somebody_waits_for_is_not_collected(run_on_loop):
    async def main():
        done = asyncio.Event()
        AbortSignal.timeout(1).addEventListener("abort", lambda event: done.set())
        gc.collect()
        await done.wait()

    assert run_on_loop(main) == []


@pytest.mark.parametrize(
    "milliseconds", [-1, 2**53, math.nan, math.inf, "soon", [1], object(), UNDEFINED]
)
def test_a_time_out_of_range_is_a_type_error(milliseconds):
    with pytest.raises(TypeError, match="milliseconds"):
        AbortSignal.timeout(milliseconds)


def test_timeout_needs_an_argument():
    with pytest.raises(TypeError):
        AbortSignal.timeout()


# -- AbortSignal.any: https://dom.spec.whatwg.org/#create-a-dependent-abort-signal --------------


def test_any_aborts_with_the_first_source_and_its_reason(log):
    one, two = AbortController(), AbortController()
    signal = AbortSignal.any([one.signal, two.signal], "surplus")
    signal.addEventListener("abort", log.append)
    assert not signal.aborted
    two.abort("two")
    one.abort("one")
    assert signal.reason == "two"
    assert [(event.target, event.isTrusted) for event in log] == [(signal, True)]


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_any_takes_any_iterable(controller, make):
    signal = AbortSignal.any(make([controller.signal, controller.signal]))
    controller.abort("why")
    assert signal.reason == "why"


def test_any_of_nothing_never_aborts():
    signal = AbortSignal.any([])
    assert not signal.aborted
    assert not AbortSignal.any([signal]).aborted


def test_any_of_an_aborted_signal_is_aborted_with_the_first_ones_reason(controller, log):
    first, second = AbortSignal.abort("first"), AbortSignal.abort("second")
    signal = AbortSignal.any([controller.signal, first, second])
    signal.addEventListener("abort", log.append)
    assert signal.reason == "first"
    controller.abort("late")
    assert signal.reason == "first"
    assert log == []


def test_any_of_any_depends_on_the_sources_themselves(controller, log):
    inner = AbortSignal.any([controller.signal])
    outer = AbortSignal.any([inner])
    outer.onabort = lambda event: log.append("outer")
    ref = weakref.ref(inner)
    del inner
    gc.collect()
    assert ref() is None
    controller.abort("why")
    assert outer.reason == "why"
    assert log == ["outer"]


def test_dependents_are_aborted_in_the_order_in_which_they_were_made(controller, log):
    signals = []
    for number in range(30):
        signal = AbortSignal.any([signals[-1] if number % 3 else controller.signal])
        signal.onabort = lambda event, number=number: log.append(number)
        signals.append(signal)
    controller.signal.onabort = lambda event: log.append("source")
    controller.abort()
    assert log == ["source", *range(30)]


def test_all_dependents_are_aborted_before_the_first_event(controller, log):
    dependents = [AbortSignal.any([controller.signal]) for _ in range(3)]
    controller.signal.onabort = lambda event: log.extend(each.aborted for each in dependents)
    controller.abort()
    assert log == [True] * 3


def test_a_dependent_that_a_listener_makes_of_an_aborted_signal_is_aborted(controller, log):
    def listener(event):
        log.append(AbortSignal.any([controller.signal]).reason)

    controller.signal.onabort = listener
    controller.abort("why")
    assert log == ["why"]


@pytest.mark.parametrize("item", [None, "signal", AbortController()])
def test_an_item_that_is_no_signal_is_a_type_error(controller, item):
    with pytest.raises(TypeError, match=r"AbortSignal.any\(\) takes AbortSignals"):
        AbortSignal.any([controller.signal, item])


@pytest.mark.parametrize("value", [None, 5, "", {}])
def test_any_takes_a_sequence(value):
    with pytest.raises(TypeError, match="signals is a"):
        AbortSignal.any(value)


# -- garbage collection: https://dom.spec.whatwg.org/#abort-signal-garbage-collection -----------


def test_a_dependent_that_nobody_waits_for_is_collected(controller):
    ref = weakref.ref(AbortSignal.any([controller.signal]))
    gc.collect()
    assert ref() is None


def test_a_dependent_with_an_abort_listener_is_kept(controller, log):
    AbortSignal.any([controller.signal]).addEventListener("abort", lambda event: log.append(1))
    gc.collect()
    controller.abort()
    assert log == [1]


def test_a_dependent_with_onabort_is_kept(controller, log):
    AbortSignal.any([controller.signal]).onabort = lambda event: log.append(1)
    gc.collect()
    controller.abort()
    assert log == [1]


def test_a_dependent_that_removes_a_listener_when_aborted_is_kept(controller, log):
    target = EventTarget()
    target.addEventListener("x", log.append, signal=AbortSignal.any([controller.signal]))
    gc.collect()
    controller.abort()
    target.dispatchEvent(Event("x"))
    assert log == []


def test_a_listener_for_another_event_keeps_no_dependent(controller):
    signal = AbortSignal.any([controller.signal])
    signal.addEventListener("x", print)
    ref = weakref.ref(signal)
    del signal
    gc.collect()
    assert ref() is None


def test_a_dependent_is_collected_once_nobody_waits_for_it_any_more(controller):
    signal = AbortSignal.any([controller.signal])
    signal.onabort = print
    signal.onabort = None
    ref = weakref.ref(signal)
    del signal
    gc.collect()
    assert ref() is None


def test_a_dependent_that_one_source_aborted_is_not_kept_by_another(controller):
    other = AbortController()
    signal = AbortSignal.any([controller.signal, other.signal])
    signal.onabort = lambda event: None
    other.abort()
    ref = weakref.ref(signal)
    del signal, other
    gc.collect()
    assert ref() is None


def test_a_dependent_keeps_its_timeout(run_on_loop, log):
    async def main():
        done = asyncio.Event()
        AbortSignal.any([AbortSignal.timeout(1)]).onabort = lambda event: done.set()
        gc.collect()
        await done.wait()

    assert run_on_loop(main) == []


def test_a_dependent_that_was_collected_does_not_disturb_the_abort(controller, log):
    for _ in range(5):
        AbortSignal.any([controller.signal])
    kept = AbortSignal.any([controller.signal])
    gc.collect()
    controller.abort("why")
    assert kept.reason == "why"
