"""What the DOM standard leaves to HTML: reporting exceptions, running coroutines, timers.

`webapi.html.event_loop` fills these hooks when it is imported; the DOM never imports upward.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["hooks"]


class Hooks:
    """The hooks that HTML fills in."""

    # https://html.spec.whatwg.org/#report-the-exception
    report_exception: Callable[[BaseException], None]
    # A coroutine that a listener returned: it starts at once and goes on as a task of the loop.
    start_coroutine: Callable[[Coroutine[Any, Any, Any]], None]
    # https://html.spec.whatwg.org/#run-steps-after-a-timeout, milliseconds first
    run_after: Callable[[float, Callable[[], None]], None]


hooks = Hooks()
