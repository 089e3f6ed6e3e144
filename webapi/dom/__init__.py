"""DOM: events, event targets and aborting.

Spec: https://dom.spec.whatwg.org/#events and https://dom.spec.whatwg.org/#aborting-ongoing-activities
"""

from webapi.dom.abort import AbortController, AbortSignal
from webapi.dom.event import Event
from webapi.dom.event_target import EventTarget

__all__ = ["AbortController", "AbortSignal", "Event", "EventTarget"]
