"""Keep-alive pings, which browsers do not send: for programs that must notice a dead connection.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.5.2
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from webapi.protocol import frames
from webapi.protocol.sender import Control

if TYPE_CHECKING:
    from webapi.net.connection import Connection

__all__ = ["KeepAlive"]


class KeepAlive:
    """Sends a Ping every `interval` seconds, and ends a connection that is silent after one.

    Whatever comes is a sign of life, for a pong stands in the line behind a long message. What is
    not read because handlers are slow is no silence.

    Args:
        connection: whose.
        interval: seconds.
        timeout: seconds after a ping, until which something must have come; None for no limit.
        on_readable: the connection's own reader.
    """

    def __init__(
        self,
        connection: Connection,
        interval: float,
        timeout: float | None,
        on_readable: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._interval = interval
        self._timeout = timeout
        self._on_readable = on_readable
        self._reads = 0
        self._pings = 0
        self._ping_timer = connection.page.call_later(interval, self._ping)
        self._dead_timer: asyncio.TimerHandle | None = None

    def on_readable(self) -> None:
        """Stand where the connection's own reader does, and count: no other pays for that."""
        self._reads += 1
        self._on_readable()

    def stop(self) -> None:
        """Send no more pings."""
        self._ping_timer.cancel()
        if self._dead_timer is not None:
            self._dead_timer.cancel()
            self._dead_timer = None

    def _ping(self) -> None:
        connection = self._connection
        if not connection.is_open():
            return  # the closing handshake has limits of its own
        self._pings += 1
        connection.sender.queue.append(Control(frames.PING, self._pings.to_bytes(4, "big")))
        connection.flush()
        if not connection.is_open():
            return
        self._ping_timer = connection.page.call_later(self._interval, self._ping)
        if self._timeout is not None and self._dead_timer is None:
            self._wait(self._timeout)

    def _wait(self, timeout: float) -> None:
        self._dead_timer = self._connection.page.call_later(
            timeout, self._look, self._reads, timeout
        )

    def _look(self, reads: int, timeout: float) -> None:
        """Have the loop look at the network once more before the end is decided.

        After a handler that held the loop, this may be called before what came meanwhile is read.
        """
        if self._connection.is_open() and not self._connection.is_reading():
            self._wait(timeout)  # handlers are slow, and may be done before it is decided
            return
        soon = self._connection.page.loop.call_soon
        soon(soon, self._decide, reads, timeout)

    def _decide(self, reads: int, timeout: float) -> None:
        self._dead_timer = None
        if not self._connection.is_open() or reads != self._reads:
            return
        if not self._connection.is_reading():
            self._wait(timeout)  # handlers are slow
            return
        self._connection.give_up(
            f"nothing came within {timeout:g} s of a ping (ping_timeout): the connection is dead"
        )
