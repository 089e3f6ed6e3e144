"""An open connection: a socket on the event loop, and the closing handshake.

Spec: https://www.rfc-editor.org/rfc/rfc6455#section-7

Theory of operation. A `Connection` lives on one event loop, whose thread alone runs its methods;
other threads may append to `sender.queue` and call `schedule`, `start_closing` and `unsent`.

Its state, `state`, goes one way:

    OPENING -> OPEN -> CLOSING -> CLOSED          CLOSING: a Close frame was queued or received
    OPENING ----------------------> CLOSED        the opening handshake failed or was aborted

* Reading: one `recv` a turn, whose messages form the inbox. The owner (the `WebSocket`) dispatches
  them within a time limit; what it leaves goes on in the next turn, and nothing more is read until
  then. So a slow handler is the back-pressure, and one socket's flood does not starve the others.
* Writing: what a turn queued leaves in one `send` at its end. What the kernel does not take waits
  for it to become writable; no caller is ever blocked.
* The owner is referred to weakly: when nobody else holds it, it is collected, and the connection
  closes itself (https://websockets.spec.whatwg.org/#garbage-collection).
* The end of the owner's page (`disappear`) is a closing handshake without events; the loop's own
  end (`unload`) waits for nothing.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, Protocol

from webapi.html.event_loop import EventLoop
from webapi.net.keepalive import KeepAlive
from webapi.net.opening import Established, OpeningFailed, establish
from webapi.net.raw_socket import TRY_AGAIN, Linger, join_short, left_of, send_some
from webapi.net.settings import Options
from webapi.protocol import frames
from webapi.protocol.deflate import Deflater, Inflater, Parameters
from webapi.protocol.frames import Close, Failure, Ping, close_body
from webapi.protocol.receiver import Message, Receiver
from webapi.protocol.sender import Control, Item, Sender, payload_size
from webapi.url import without_credentials

__all__ = ["Closed", "Connection", "Owner", "State"]

# Seconds, as in Chromium's network stack but for the first, which it has at 60 by now.
CLOSING_TIMEOUT: Final = 10.0
"""How long the server may take to answer a Close frame."""
END_TIMEOUT: Final = 2.0
"""How long the server may take to end the TCP connection after the closing handshake."""

# A read takes what the page's `buffer` holds, and this where messages may be compressed:
# DEFLATE makes up to 1032 bytes of one, and what a turn
# inflates, whatever a hostile server sends, shall be 16 MiB at most (45 ms). Messages of 64 KiB
# even gain (a tenth), short ones that came as they are lose a twentieth.
COMPRESSED_READ_SIZE: Final = 16 * 1024
# What one record carries at most, and full records are: RFC 8446 §5.1.
TLS_RECORD: Final = 16 * 1024
# Batches of the sender's that one turn may write.
BATCHES_PER_TURN: Final = 8
# Control frames that one turn takes: they are a page's time too, and a read may bring 131,072.
CONTROLS_PER_TURN: Final = 2048
# Pongs that may wait to be sent; of the pings beyond, the latest is answered (RFC 6455 §5.5.3).
MAX_WAITING_PONGS: Final = 128

# From the end of the last task that `asyncio.run` cancels to the unloading of the page.
_TURNS_OF_SHUTDOWN: Final = 5

_log = logging.getLogger("webapi")


class State(enum.Enum):
    """See "Theory of operation"."""

    OPENING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


# Each turn asks; `State.CLOSED` takes 50 ns before Python 3.12, a name of the module's 5.
OPENING, OPEN, CLOSING, CLOSED = State


class Closed(NamedTuple):
    """How a connection ended.

    Spec: https://websockets.spec.whatwg.org/#feedback-from-the-protocol
    """

    failed: bool
    """Whether the connection was failed (RFC 6455 §7.1.7): an `error` event comes first."""
    clean: bool
    code: int
    reason: str


class Owner(Protocol):
    """What a connection tells, in tasks of its event loop."""

    def _connection_established(self, protocol: str, extensions: str) -> bool:
        """Take note; return False if the owner no longer wants the connection."""

    def _fire_open(self) -> None: ...

    def _receive(self, messages: Sequence[Message], start: int) -> int:
        """Dispatch data messages from `start`; return the index of the first one not taken."""

    def _closing_handshake_started(self) -> None: ...

    def _connection_closed(self, closed: Closed) -> None: ...

    def _page_is_gone(self) -> None:
        """Take note that its loop ended: nothing will happen any more, and nothing is fired."""

    def _queue_changed(self) -> None:
        """The queue was emptied, or has something that must wait."""


def _nobody() -> None:
    """Stand for the reference to an owner that is told nothing more."""


class Connection:
    """A client's connection, from its opening to its end.

    Args:
        page: the event loop it lives on.
        owner: who is told; referred to weakly.
        options: what to connect to, and how.
    """

    __slots__ = (
        "__weakref__",
        "_close_left",
        "_devtools",
        "_end_timer",
        "_goes_on",
        "_in_flight",
        "_inbox",
        "_inbox_at",
        "_keep_alive",
        "_latest_ping",
        "_lock",
        "_lost",
        "_opening",
        "_opening_sock",
        "_options",
        "_owner",
        "_progress",
        "_read_error",
        "_reading",
        "_received_close",
        "_taken",
        "_unsent",
        "_write_error",
        "_writing",
        "page",
        "receiver",
        "scheduled",
        "sender",
        "sock",
        "state",
    )

    def __init__(self, page: EventLoop, owner: Owner, options: Options) -> None:
        self.page = page
        self.state = OPENING
        self.sender = Sender(masked=True)
        self.receiver = Receiver(max_message_size=options.max_message_size)
        self.sock: socket.socket | None = None
        # True while a flush is due; whoever queues an item sets it. The flush clears it before it
        # looks at the queue, so none is forgotten.
        self.scheduled = False
        self._owner: Callable[[], Owner | None] = weakref.ref(owner, self._owner_collected)
        self._options = options
        self._devtools = options.page.devtools
        self._keep_alive: KeepAlive | None = None
        self._taken: list[int | Item] | None = None  # a batch's, for the developer tools
        self._opening_sock: socket.socket | None = (
            None  # the opening task's, until it is established
        )
        self._opening: asyncio.Task[None] | None = None
        self._inbox: Sequence[Message] = ()
        self._inbox_at = 0
        self._reading = False  # whether the loop watches for reading
        self._writing = False  # whether it watches for writing
        self._goes_on = False  # whether a flush that had enough for a turn is to go on
        self._unsent: memoryview | None = None  # of the batch that the kernel took a part of
        self._in_flight: list[
            tuple[int, int | Item]
        ] = []  # that batch: wire bytes, what they carry
        self._lost = 0  # application bytes that will never be sent
        self._lock = threading.Lock()  # guards what `unsent` adds up
        self._received_close: Close | None = None
        self._close_left = False  # whether the kernel took our Close frame
        self._write_error: OSError | None = None
        self._read_error: OSError | None = None  # to be told of with the next read
        self._end_timer: asyncio.TimerHandle | None = None
        self._progress = 0  # counts writes, so that a timeout sees whether data still leave
        self._latest_ping: bytes | None = None  # beyond the pongs that may wait

    # -- opening -----------------------------------------------------------------------------

    def open(self) -> None:
        """Start to connect; the owner is told of the end of it."""
        if self.state is OPENING:
            if self._devtools.listening:
                self._devtools.created(self._options.request_id, self._options.url.href)
            self.page.connections.add(self)
            self._opening = self.page.create_task(self._open())

    async def _open(self) -> None:
        # Whatever comes of it is dispatched by the loop itself, not within this task, and where no
        # exception is at hand: a page learns nothing of why it failed.
        then: Callable[[], None] = self._fail_opening
        try:
            connect = self._options.page.establish or establish
            established = await connect(self._options, self._dialled)
        except OpeningFailed as failure:
            self._log("failed", str(failure))
        except asyncio.CancelledError:
            then = partial(self._cancelled, _TURNS_OF_SHUTDOWN)
        except Exception:  # a fault of ours, or of an ssl_context's callback
            if self.state is not CLOSED:  # else the process ends, and the loop is gone
                _log.exception("WebSocket connection to %s failed", self._shown_url())
        else:
            then = partial(self._established, established)
        with suppress(RuntimeError):  # the loop is closed
            self.page.at_end_of_turn(then)

    def _cancelled(self, turns: int) -> None:
        """The opening was cancelled; where not by us, that may be the beginning of the page's end.

        `asyncio.run` cancels all tasks, and then has the page unload; who cancels them otherwise
        fails the connection.
        """
        if self.state is not OPENING or not turns:
            self._fail_opening()
        elif any(getattr(task, "cancelling", int)() for task in asyncio.all_tasks()):
            # others are still at it; Python 3.10 does not tell
            self.page.call_later(0.005, self._cancelled, _TURNS_OF_SHUTDOWN)
        else:
            self.page.loop.call_soon(self._cancelled, turns - 1)

    def _dialled(self, sock: socket.socket) -> None:
        self._opening_sock = sock

    def _established(self, established: Established) -> None:
        owner = self._owner()
        self.sock, self._opening_sock = established.sock, None
        accepted = established.accepted
        if self.state is not OPENING or owner is None:
            self._drop()
            return
        if not owner._connection_established(accepted.protocol, accepted.extensions):
            # close() or the page's end came first, and queued what ends the opening, and tells.
            self.sock.close()
            self.sock = None
            return
        self._use_extension(accepted.deflate)
        self.state = OPEN
        owner._fire_open()
        interval = self._options.ping_interval
        if interval is not None:
            self._keep_alive = KeepAlive(
                self, interval, self._options.ping_timeout, self._on_readable
            )
        if established.received:
            self._take(self.receiver.feed(established.received))
        self._watch()
        self._after_read()
        if self.sender:
            self.schedule()

    def _use_extension(self, deflate: Parameters | None) -> None:
        """Spec: https://www.rfc-editor.org/rfc/rfc7692#section-7.2"""
        if deflate is not None:
            self.sender.deflater = Deflater(
                deflate.client_max_window_bits, not deflate.client_no_context_takeover
            )
            self.receiver.inflater = Inflater(
                deflate.server_max_window_bits, not deflate.server_no_context_takeover
            )

    def abort(self, why: str = "it was closed before the connection was established") -> None:
        """Abort the opening handshake, and tell the owner in a later task.

        Spec: https://websockets.spec.whatwg.org/#close-the-websocket, step 3.2
        """
        if self.state is OPENING:
            self._log("failed", why)
            self._end_opening()
            self._tell_closed(Closed(True, False, frames.ABNORMAL_CLOSURE, ""))

    def _end_opening(self) -> None:
        self.state = CLOSED
        self.page.connections.discard(self)
        if self._opening is not None:  # else nobody was told that it was created
            self._devtools.closed(self._options.request_id)
            self._opening.cancel()

    def _fail_opening(self) -> None:
        if self.state is OPENING:
            self.state = CLOSED
            self._devtools.closed(self._options.request_id)
            self.page.connections.discard(self)
            self._tell_closed(Closed(True, False, frames.ABNORMAL_CLOSURE, ""))

    # -- reading -----------------------------------------------------------------------------

    def _watch(self) -> None:
        """Watch the socket for reading unless messages wait for the owner."""
        wanted = self.state is not CLOSED and not self._inbox
        if wanted is self._reading or self.sock is None:
            return
        self._reading = wanted
        if wanted:
            self.page.loop.add_reader(self.sock.fileno(), self._reader())
        else:
            self.page.loop.remove_reader(self.sock.fileno())

    def _reader(self) -> Callable[[], None]:
        keep_alive = self._keep_alive
        return self._on_readable if keep_alive is None else keep_alive.on_readable

    def _on_readable(self) -> None:
        if self.sock is None or self._inbox:
            return
        try:
            receiver = self.receiver
            buffer = receiver.buffer() if receiver.left else None
            if buffer is not None:
                count = self._recv_into(self.sock, buffer)
                del buffer  # a bytearray with a view on it cannot grow
                messages = receiver.filled(count) if count else None
            else:
                into = self.page.buffer
                if receiver.inflater is not None:
                    into = into[:COMPRESSED_READ_SIZE]
                count = self._recv_into(self.sock, into)
                messages = receiver.feed(into[:count]) if count else None
        except TRY_AGAIN:
            return
        except OSError as error:
            lost = error.with_traceback(None)
        else:
            if messages:
                self._take(messages)
            elif messages is None:
                self._on_end()
            else:
                self._after_read()
            return
        self._on_lost(lost)  # here, so that listeners do not see it as the exception at hand

    def _after_read(self) -> None:
        """See to what no event of the loop would tell of."""
        self._read_what_tls_has()
        undecoded = self.receiver.undecoded
        if undecoded and not self._inbox:
            # in the turn after the next, that is, when the next one read nothing
            soon = self.page.loop.call_soon
            soon(soon, self._decode_now, undecoded)

    def _decode_now(self, undecoded: int) -> None:
        """Decode text that waited for more, so that a bad byte fails although no more came."""
        if self.sock is not None and not self._inbox and self.receiver.undecoded == undecoded:
            messages = self.receiver.decode_now()
            if messages:
                self._take(messages)

    def _recv_into(self, sock: socket.socket, into: memoryview) -> int:
        """Read up to the length of `into`; TLS gives a record of 16 KiB at most with each call."""
        if self._read_error is not None:
            raise self._read_error
        count = sock.recv_into(into)
        if count < TLS_RECORD or not isinstance(sock, ssl.SSLSocket):
            return count
        more = TLS_RECORD
        try:
            while more >= TLS_RECORD and count < len(into):  # after a short one mostly none is left
                more = sock.recv_into(into[count:])
                count += more
        except TRY_AGAIN:
            pass
        except OSError as error:  # what came before it comes first
            self._read_error = error
            self.page.loop.call_soon(self._on_readable)
        return count

    def _read_what_tls_has(self) -> None:
        """Go on reading what TLS has decrypted already: the kernel does not know of it."""
        if isinstance(self.sock, ssl.SSLSocket) and not self._inbox and self.sock.pending():
            self.page.loop.call_soon(self._on_readable)

    def _take(self, messages: Sequence[Message]) -> None:
        if self._devtools.frames_wanted:
            self._devtools.frames_received(self._options.request_id, messages)
        self._inbox, self._inbox_at = messages, 0
        self._work_on_inbox()

    def resume(self) -> None:
        """Go on with the messages that the owner did not take before."""
        if self._inbox:
            self._work_on_inbox()

    def _work_on_inbox(self) -> None:
        """Have messages dispatched until there are no more, or the turn's time is over."""
        inbox, at, end = self._inbox, self._inbox_at, len(self._inbox)
        self.scheduled = True  # what handlers send leaves at the end of this turn
        owner = self._owner()
        held = False
        controls = 0
        while at < end and self.state is not CLOSED:
            message = inbox[at]
            if isinstance(message, tuple):
                if controls == CONTROLS_PER_TURN:
                    break
                controls += 1
                at += 1
                self._on_control(message)
                continue
            if owner is None:
                at += 1
                continue
            # Set before: a handler that runs a nested loop must not see a message twice.
            taken = owner._receive(inbox, at)
            held = taken == at
            at = taken
            if held or (at < end and not isinstance(inbox[at], tuple)):
                break
        owner = None  # it may be collected now
        if at < end and self.state is not CLOSED:
            self._inbox_at = at
            if not held:
                # behind what the loop finds in its next turn: the other sockets (measured:
                # `python -m benchmarks fairness`)
                self.page.loop.call_soon(self.page.loop.call_soon, self.resume)
        else:
            self._inbox, self._inbox_at = (), 0
        # No calls that would find nothing to do: measured with `python -m benchmarks many`.
        self.scheduled = False
        if self.sender.queue or self.sender:
            self.flush()
        self._watch()
        if not self._inbox and (self.receiver.left or type(self.sock) is not socket.socket):
            self._after_read()

    def _on_control(self, message: tuple[object, ...]) -> None:
        if isinstance(message, Ping):
            self._on_ping(message)
        elif isinstance(message, Close):
            self._on_close(message)
        elif isinstance(message, Failure):
            self.fail(message.code, message.reason)

    def _on_ping(self, ping: Ping) -> None:
        """Spec: https://www.rfc-editor.org/rfc/rfc6455#section-5.5.3"""
        if self._received_close is not None:
            return
        pongs = self.sender.pongs
        if len(pongs) >= MAX_WAITING_PONGS:
            self.flush()
            self.scheduled = True
        if len(pongs) >= MAX_WAITING_PONGS:
            self._latest_ping = ping.payload
            return
        self._latest_ping = None  # an earlier one need not be answered any more
        pongs.append(Control(frames.PONG, ping.payload))

    def _on_close(self, close: Close) -> None:
        """Spec: https://websockets.spec.whatwg.org/#feedback-from-the-protocol and RFC 6455 §7.1.3

        Both browsers echo the code and the reason.
        """
        self._received_close = close
        owner = self._owner()
        if owner is not None:
            owner._closing_handshake_started()
        if self.state is OPEN:
            self.state = CLOSING
            body = close_body(close.code, close.reason.encode())
            self.sender.queue.append(Control(frames.CLOSE, body))
        self._arm(END_TIMEOUT)

    # -- writing -----------------------------------------------------------------------------

    def schedule(self) -> None:
        """Have what is queued sent in a later task; call it from any thread."""
        self.scheduled = True
        with suppress(RuntimeError):  # the loop is closed: it stays in the queue for good
            self.page.at_end_of_turn(self.flush)

    def has_data(self) -> bool:
        """Tell whether something waits to be sent; call it from any thread."""
        return bool(self.sender) or self._unsent is not None

    def unsent(self) -> int:
        """Return the application bytes that the kernel did not take; call it from any thread."""
        with self._lock:
            return self._lost + self.sender.count() + self._in_flight_size()

    def lose(self, size: int) -> None:
        """Count `size` bytes that will never be sent; call it from any thread."""
        with self._lock:
            self._lost += size

    def _in_flight_size(self) -> int:
        """Return the application bytes in what is left of the batch."""
        if self._unsent is None:
            return 0
        left, size = len(self._unsent), 0
        for wire_size, item in reversed(self._in_flight):
            if left <= 0:
                break
            carried = item if isinstance(item, int) else payload_size(item)
            if left >= wire_size or carried <= wire_size:
                size += (
                    min(carried, left) if left < wire_size else carried
                )  # the header leaves first
            else:
                size += carried * left // wire_size  # compressed: its share
            left -= wire_size
        return size

    def flush(self) -> None:
        """Send what is queued, as far as the kernel takes it now."""
        self.scheduled = False
        if self._unsent is not None or self.sock is None or self.state is CLOSED:
            return
        sender, batches = self.sender, 0
        # mostly it is the queue, and that is no call; what stands there after a Close frame stays
        while (sender.queue and not sender.closed) or sender:
            if batches == BATCHES_PER_TURN:
                self._go_on_later()
                break
            batches += 1
            broken = None
            try:
                with self._lock:
                    sent_all = self._send_batch()
            except OSError as error:
                broken = error.with_traceback(None)
            if self._taken is not None:
                self._report_taken()
            if broken is not None:
                self._on_write_error(broken)
                return
            if not sent_all:
                self._watch_writing(True)
                break
        self._after_flush()

    def _flush_now(self) -> None:
        """Send what is queued, as far as the kernel takes it, though it be more than a turn's."""
        self.flush()
        while self.sender and self._can_send():
            self.flush()

    def _can_send(self) -> bool:
        return self._unsent is None and self.sock is not None

    def _go_on_later(self) -> None:
        """Flush again in a later turn, once: each flush before may ask for it."""
        self.scheduled = True
        if not self._goes_on:
            self._goes_on = True
            self.page.at_end_of_turn(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        self.flush()

    def _report_taken(self) -> None:
        """Tell the developer tools what leaves; without the lock, for listeners do as they like."""
        taken, self._taken = self._taken, None
        if taken is not None:
            self._devtools.frames_sent(self._options.request_id, taken)

    def _send_batch(self) -> bool:
        """Send a batch, and tell whether the kernel took all of it."""
        assert self.sock is not None
        pieces, carried = self.sender.take(self.page.buffer)
        if not pieces:  # a long message is being compressed, which is progress, too
            self._progress += 1
            return True
        if self._devtools.frames_wanted:
            self._taken = carried
        if len(pieces) == 1:
            buffers, size = pieces, len(pieces[0])
        else:
            buffers = join_short(pieces) if self.sender.took_long else [b"".join(pieces)]
            size = sum(map(len, buffers))
        sent, error = send_some(self.sock, buffers)
        if error is None:
            self._progress += 1
        if sent == size:
            return True
        self._in_flight = list(zip(map(len, pieces), carried, strict=True))
        self._unsent = left_of(buffers, sent)
        if error is not None:
            raise error
        return False

    def _on_writable(self) -> None:
        if self.sock is None or self._unsent is None:
            return
        broken = None
        try:
            with self._lock:
                sent = self.sock.send(self._unsent)
                self._progress += 1
                if sent < len(self._unsent):
                    self._unsent = self._unsent[sent:]
                    return
                self._unsent, self._in_flight = None, []
        except TRY_AGAIN:
            return
        except OSError as error:
            broken = error.with_traceback(None)
        if broken is not None:
            self._on_write_error(broken)
            return
        self._watch_writing(False)
        self._see_whether_close_left()
        self.flush()

    def _watch_writing(self, wanted: bool) -> None:
        if wanted is self._writing or self.sock is None:
            return
        self._writing = wanted
        if wanted:
            self.page.loop.add_writer(self.sock.fileno(), self._on_writable)
        else:
            self.page.loop.remove_writer(self.sock.fileno())

    def _after_flush(self) -> None:
        self._see_whether_close_left()
        if self._latest_ping is not None and not self.sender.pongs:
            self.sender.pongs.append(Control(frames.PONG, self._latest_ping))
            self._latest_ping = None
            self.schedule()
        owner = self._owner()
        if owner is not None:
            owner._queue_changed()

    def _on_write_error(self, error: OSError) -> None:
        """Writing broke. What the server sent before may still be read, and tells more."""
        self._watch_writing(False)
        self._write_error = error
        if self._inbox or not self._reading:
            self._on_lost(error)
        else:
            self._arm(END_TIMEOUT)

    # -- closing -----------------------------------------------------------------------------

    def start_closing(self, code: int | None = None, reason: bytes = b"") -> None:
        """Start the closing handshake behind what is queued; call it from any thread.

        Spec: https://www.rfc-editor.org/rfc/rfc6455#section-7.1.2
        """
        self.sender.queue.append(Control(frames.CLOSE, close_body(code, reason)))
        with suppress(RuntimeError):
            self.page.queue_task(self._started_closing)

    def _started_closing(self) -> None:
        if self.state is OPEN:
            self.state = CLOSING
            self._arm(CLOSING_TIMEOUT)
            self.flush()

    def _see_whether_close_left(self) -> None:
        """Begin the wait for the server's next step, for data do not leave any more."""
        if self.sender.closed and self._unsent is None and not self._close_left:
            self._close_left = True
            self.page.let_go(self)  # see `disappear`
            self._arm(CLOSING_TIMEOUT if self._received_close is None else END_TIMEOUT)

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection, with `code` in the Close frame.

        Spec: https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7
        """
        if self.state is CLOSED or self.sock is None:
            return
        self._log("failed", reason)
        # What handlers sent before goes out before: Autobahn 3.* and 4.* insist.
        self.flush()
        while self.sender.compressing and self._can_send():
            self.flush()
        if self.sock is None:
            return
        sock = self.sock
        if not self._is_in_frame() and self.state is not CLOSING:
            self._send_now(sock, code)
        self._finish(Closed(True, False, frames.ABNORMAL_CLOSURE, ""), keep_socket=True)
        Linger(self.page, sock, END_TIMEOUT)

    def is_open(self) -> bool:
        """Tell whether the connection is open, and no closing handshake has begun."""
        return self.state is OPEN and self.sock is not None

    def is_reading(self) -> bool:
        """Tell whether what comes is read, and does not wait for slow handlers."""
        return self._reading

    def give_up(self, reason: str) -> None:
        """Fail a connection that is dead: nobody is there to be sent a Close frame."""
        self._log("failed", reason)
        self._finish(Closed(True, False, frames.ABNORMAL_CLOSURE, ""))

    def _on_end(self) -> None:
        """The server ended the TCP connection. Both browsers fire no `error` for that alone."""
        if self._write_error is not None:  # a reset, which writing was told of and reading not
            self._on_lost(self._write_error)
            return
        self._finish(self._how_closed(failed=False))

    def _on_lost(self, error: OSError) -> None:
        """The TCP connection broke: RFC 6455 §7.2.1 fails it, unless it was closed already."""
        closed = self._how_closed(failed=True)
        if not closed.clean:
            self._log("failed", f"the connection broke: {error}")
        self._finish(closed)

    def _how_closed(self, failed: bool) -> Closed:
        """Spec: https://www.rfc-editor.org/rfc/rfc6455#section-7.1.4 to 7.1.6"""
        close = self._received_close
        if close is None:
            return Closed(failed, False, frames.ABNORMAL_CLOSURE, "")
        code = frames.NO_STATUS_RECEIVED if close.code is None else close.code
        clean = self.sender.closed and self._unsent is None
        return Closed(failed and not clean, clean, code, close.reason)

    def _arm(self, seconds: float) -> None:
        """Wait `seconds` for the server's next step, and as long again while data still leave.

        That is, until our Close frame did: pongs, which a server may ask for without end, are none.
        """
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._end_timer = self.page.call_later(seconds, self._on_timeout, seconds, self._progress)

    def _on_timeout(self, seconds: float, progress: int) -> None:
        self._end_timer = None
        if self.state is CLOSED:
            return
        if progress != self._progress and self.has_data() and not self._close_left:
            self._arm(seconds)
            return
        if self._write_error is not None:
            self._on_lost(self._write_error)
            return
        if self._received_close is None:
            self._log("ended", f"the server sent no Close frame within {seconds:g} s")
        self._finish(self._how_closed(failed=False))

    def _finish(self, closed: Closed, keep_socket: bool = False) -> None:
        if self.state is CLOSED:
            return
        self._drop(keep_socket)
        self._tell_closed(closed)

    def _drop(self, keep_socket: bool = False) -> None:
        """Leave the loop, count what was not sent as lost, and close the socket."""
        if self.state is not CLOSED:
            self._devtools.closed(self._options.request_id)
        self.state = CLOSED
        self._inbox = ()
        self.receiver.forget()
        self._watch()
        self._watch_writing(False)
        with self._lock:
            self._lost += self.sender.clear() + self._in_flight_size()
            self._unsent, self._in_flight = None, []
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None
        if self._keep_alive is not None:
            self._keep_alive.stop()
            self._keep_alive = None
        if self.sock is not None and not keep_socket:
            self.sock.close()
        self.sock = None
        self.page.connections.discard(self)
        self.page.let_go(self)

    def _tell_closed(self, closed: Closed) -> None:
        owner = self._owner()
        if owner is not None:
            owner._connection_closed(closed)

    # -- the page's end, and the owner's ---------------------------------------------------------

    def disappear(self) -> None:
        """Start to close with 1001, and tell the owner nothing more, because its page goes away.

        Spec: https://websockets.spec.whatwg.org/#make-disappear

        The loop goes on. What is queued leaves before, within the limits of any closing handshake,
        and keeps the loop's page alive until then; what comes is dropped.
        """
        self._owner = _nobody
        if self.state is OPENING:
            self._end_opening()
            return
        if self.state is OPEN:
            self.start_closing(frames.GOING_AWAY)
        if self.state is not CLOSED and not self._close_left:
            self.page.keep_alive(self)
        self.resume()

    def unload(self) -> None:
        """Close with 1001 at once and without events, because the loop ends.

        Spec: https://websockets.spec.whatwg.org/#make-disappear
        """
        self._tell_gone()
        if self.state is OPENING:
            self._end_opening()
        elif self.state is not CLOSED and self.sock is not None:
            self._flush_now()
            if self.sock is not None:  # the flush may have found it broken
                sock = self.sock
                if not self.sender.closed and not self._is_in_frame():
                    self._send_now(sock, frames.GOING_AWAY)
                self._drop(keep_socket=True)
                Linger(self.page, sock, END_TIMEOUT)

    def _tell_gone(self) -> None:
        owner, self._owner = self._owner(), _nobody
        if owner is not None:
            owner._page_is_gone()

    def _is_in_frame(self) -> bool:
        """Tell whether the kernel may have a part of a frame only, so that none may follow."""
        return self._unsent is not None or self.sender.in_frame

    def _send_now(self, sock: socket.socket, code: int) -> None:
        """Send a Close frame if the kernel takes it at once."""
        sender = Sender(masked=True)
        sender.queue.append(Control(frames.CLOSE, close_body(code)))
        pieces, carried = sender.take()
        with suppress(OSError):
            sock.send(pieces[0])
            if self._devtools.frames_wanted:
                self._devtools.frames_sent(self._options.request_id, carried)

    def end(self) -> None:
        """Close the socket at once."""
        self._drop()

    def replace_socket(self, replace: Callable[[socket.socket], socket.socket]) -> None:
        """Go on with another socket, for a test's tool that stands between it and the network."""
        if self.sock is None:
            return
        loop, reading, writing = self.page.loop, self._reading, self._writing
        if reading:
            loop.remove_reader(self.sock.fileno())
        if writing:
            loop.remove_writer(self.sock.fileno())
        self.sock = replace(self.sock)
        if reading:
            loop.add_reader(self.sock.fileno(), self._reader())
        if writing:
            loop.add_writer(self.sock.fileno(), self._on_writable)

    def end_with_process(self) -> None:
        """Close with 1001 what the kernel takes at once, because the loop does not run any more."""
        self.state = CLOSED
        sock, self.sock = self.sock, None
        if sock is not None:
            if not self.sender.closed and not self._is_in_frame():
                self._send_now(sock, frames.GOING_AWAY)
            sock.close()

    def abandon_after_fork(self) -> None:
        """Close a child process's copy of the socket; the parent's loop stays as it is."""
        self._tell_gone()
        self.state = CLOSED
        for sock in (self.sock, self._opening_sock):
            if sock is not None:
                sock.close()
        self.sock = self._opening_sock = None

    def _owner_collected(self, _: object) -> None:
        """Spec: https://websockets.spec.whatwg.org/#garbage-collection: a Close without a code.

        Called in whatever thread the collector runs.
        """
        with suppress(RuntimeError):
            self.page.queue_task(self._close_unowned)

    def _close_unowned(self) -> None:
        if self.state is OPENING:
            self._end_opening()
        elif self.state is OPEN:
            self.start_closing()
            self.resume()

    # -- words ---------------------------------------------------------------------------------

    def _log(self, what: str, why: str) -> None:
        _log.warning("WebSocket connection to %s %s: %s", self._shown_url(), what, why)
        self._devtools.failed(self._options.request_id, why)

    def _shown_url(self) -> str:
        return f"'{without_credentials(self._options.url.href)}'"
