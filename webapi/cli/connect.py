"""`python -m webapi connect URL`: an interactive client, which works in pipes too.

A line that is typed is a message; events are shown as they come. On a terminal all is shown on
standard output, what a server sends with its control characters escaped. Where standard output is
no terminal, it gets the messages as they are, one a line and in UTF-8 whatever the locale, and
standard error gets the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

from webapi.cli.lines import has_prompt, piped_lines, prompted_lines
from webapi.cli.terminal import ConsoleHandler, Span, Terminal, hex_dump, pass_utf_8
from webapi.cli.trace import tracing
from webapi.fileapi import ArrayBuffer
from webapi.html.message_event import MessageEvent
from webapi.html.run import run
from webapi.webidl import DOMException
from webapi.websockets.close_event import CloseEvent
from webapi.websockets.websocket import WebSocket

__all__ = ["add_parser", "connect"]

IDLE = 0.5
"""Seconds without a message after which a piped client has had its replies."""

WAIT = 10.0
"""Seconds after which it closes in any case."""

HIGH_WATER = 1024 * 1024
"""Bytes that may wait to be sent before no more input is read."""

POLL = 0.010
"""Seconds between looks at bufferedAmount, which no event tells of."""

MAX_SHOWN = 4096
"""Characters, or bytes, of a message that a terminal shows."""

FAILED, WRONG_USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141

_EPILOG = """\
Each line of standard input is sent as a message. Ctrl-D closes with 1000, Ctrl-C ends at once.

In a pipe, when the input ends and all is sent, the connection is closed once no message came for
0.5 s (--idle), or after 10 s in any case (--wait): what a server sends after close() is lost, for
such is the standard. --wait 0 closes at once.

Exit status: 0 after a clean close by either side, 1 after a failure (standard error says why),
2 for wrong usage, 130 after Ctrl-C.
"""


class WrongUsage(Exception):
    """The arguments are wrong; the message says which, and how."""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "connect",
        help="talk to a server: type a line, see events; pipes work",
        description="Talk to a WebSocket server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="ws://, wss://, http:// or https://")
    add("--protocol", metavar="P", action="append", default=[], help="a subprotocol to ask for")
    add("--header", metavar="'NAME: VALUE'", action="append", default=[], help="one more header")
    add("--binary", action="store_true", help="send lines as bytes, show all data in hexadecimal")
    add("--hex", action="store_true", help="--binary, and lines are hexadecimal: de ad be ef")
    add("--trace", action="store_true", help="show the handshake and each frame, on standard error")
    add("--cafile", metavar="FILE", help="trust the authorities in this PEM file only")
    add("--insecure", action="store_true", help="trust any certificate: for test servers")
    add("--close-code", metavar="N", type=int, default=1000, help="1000 or 3000 to 4999")
    add("--close-reason", metavar="TEXT", default="", help="at most 123 bytes of UTF-8")
    add("--idle", metavar="SECONDS", type=_seconds, default=IDLE, help="see below; default 0.5")
    add("--wait", metavar="SECONDS", type=_seconds, help="see below; default 10, or --idle")
    parser.set_defaults(run=connect, prog=parser.prog)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is given, where seconds are expected, 0 or more")


def connect(arguments: argparse.Namespace) -> int:
    """Run the client, and return its exit status."""
    try:
        session: Callable[..., Any] = _session
        return int(run(session, arguments))
    except KeyboardInterrupt:  # run() has closed the socket with 1001
        return INTERRUPTED
    except WrongUsage as error:
        _say_error(arguments, str(error))
        return WRONG_USAGE
    except OSError as error:
        # Nobody reads on, or the disk is full; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        _say_error(arguments, f"cannot write: {error.strerror or error}")
        return FAILED


def _say_error(arguments: argparse.Namespace, text: str) -> None:
    with contextlib.suppress(OSError):
        Terminal(error=True).line((f"{arguments.prog}: error: ", "bold red"), text)


# -- the arguments --------------------------------------------------------------------------------


def _make_socket(arguments: argparse.Namespace) -> WebSocket:
    _check_close(arguments.close_code, arguments.close_reason)
    try:
        return WebSocket(
            arguments.url,
            arguments.protocol,
            headers=[_header(text) for text in arguments.header],
            ssl_context=_ssl_context(arguments),
        )
    except DOMException as error:
        raise WrongUsage(error.message) from None
    except (TypeError, ValueError) as error:
        raise WrongUsage(str(error)) from None


def _check_close(code: int, reason: str) -> None:
    """Refuse at once what `close()` would refuse in the end."""
    if code != 1000 and not 3000 <= code <= 4999:
        raise WrongUsage(f"--close-code is {code}, where 1000, or 3000 to 4999, is allowed")
    size = len(reason.encode("utf-8", "replace"))
    if size > 123:
        raise WrongUsage(f"--close-reason has {size} bytes in UTF-8, where 123 are allowed")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise WrongUsage(f"--header is {text!r}, where 'Name: value' is expected")
    return name.strip(), value.strip()


def _ssl_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if not (arguments.cafile or arguments.insecure):
        return None
    try:
        context = ssl.create_default_context(cafile=arguments.cafile)
    except OSError as error:
        raise WrongUsage(f"--cafile {arguments.cafile}: {error.strerror or error}") from None
    if arguments.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


# -- the session ----------------------------------------------------------------------------------


async def _session(arguments: argparse.Namespace) -> int:
    """Connect, send lines until they end or the connection does, and return the exit status."""
    display = Display(hexadecimal=arguments.binary or arguments.hex)
    with ConsoleHandler(display.console), tracing(arguments.trace):
        session = Session(_make_socket(arguments), arguments, display)
        return await session.run()


class Session:
    """One connection, from the constructor to the close event."""

    def __init__(self, ws: WebSocket, arguments: argparse.Namespace, display: Display) -> None:
        self.ws = ws
        self.arguments = arguments
        self.display = display
        self.failure: BaseException | None = None
        self.closed_cleanly = False
        self.last_message = time.monotonic()
        self._opened, self._ended = asyncio.Event(), asyncio.Event()
        ws.binaryType = "arraybuffer"
        ws.onopen = self._guarded(self._on_open)
        ws.onmessage = self._guarded(self._on_message)
        ws.onclose = self._guarded(self._on_close)

    async def run(self) -> int:
        """Return the exit status when the connection is closed."""
        pump = asyncio.create_task(self._pump())
        await self._ended.wait()
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pump
        if self.failure is not None:
            raise self.failure
        return 0 if self.closed_cleanly else FAILED

    def _end(self, failure: BaseException | None = None) -> None:
        self.failure = self.failure or failure
        self._ended.set()

    # -- events

    def _guarded(self, listener: Callable[[Any], None]) -> Callable[[Any], None]:
        """Have what `listener` raises end the session: nobody may be there to read on."""

        def guarded(event: object) -> None:
            try:
                listener(event)
            except Exception as error:
                self._end(error)

        return guarded

    def _on_open(self, _: object) -> None:
        self.display.opened(self.ws.protocol)
        self._opened.set()

    def _on_message(self, event: MessageEvent) -> None:
        self.last_message = time.monotonic()
        self.display.received(event.data)

    def _on_close(self, event: CloseEvent) -> None:
        self.closed_cleanly = event.wasClean
        self.display.closed(event, self.ws.bufferedAmount)
        self._end()

    # -- what is sent

    async def _pump(self) -> None:
        try:
            await self._opened.wait()
            interactive = has_prompt()
            lines = prompted_lines(self.display.prompt) if interactive else piped_lines()
            await self._send_lines(lines)
            if not sys.stdin or not sys.stdin.isatty():
                await self._replies()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # Ctrl-C at the prompt, for one
            self._end(error)
        else:
            self.ws.close(self.arguments.close_code, self.arguments.close_reason)

    async def _send_lines(self, batches: AsyncGenerator[list[bytes], None]) -> None:
        async with contextlib.aclosing(batches):  # a prompt gives the terminal back
            async for lines in batches:
                for line in lines:
                    self._send(line)
                await self._until_buffered(HIGH_WATER)

    def _send(self, line: bytes) -> None:
        try:
            data = self._message(line)
        except ValueError:
            problem = f"{line.decode('utf-8', 'replace')!r} is not hexadecimal, and was not sent"
            if not sys.stdin.isatty():
                raise WrongUsage(problem) from None
            self.display.problem(problem)
            return
        self.ws.send(data)
        self.display.sent(data)

    def _message(self, line: bytes) -> str | bytes:
        if self.arguments.hex:
            return bytes.fromhex(line.decode("ascii"))
        if self.arguments.binary:
            return line
        return line.removesuffix(b"\r").decode("utf-8", "replace")

    async def _until_buffered(self, amount: int) -> None:
        while self.ws.bufferedAmount > amount:
            await asyncio.sleep(POLL)

    async def _replies(self) -> None:
        """Give the server its chance to answer all: see the help text."""
        await self._until_buffered(0)
        idle, wait = self.arguments.idle, self.arguments.wait
        start = time.monotonic()
        ends = start + (max(WAIT, idle) if wait is None else wait)
        while True:
            now = time.monotonic()
            quiet = max(start, self.last_message) + idle
            if now >= min(quiet, ends):
                return
            await asyncio.sleep(min(quiet, ends) - now)


# -- what is shown --------------------------------------------------------------------------------


class Mark(NamedTuple):
    """A kind of line: its sign, and the sign's style."""

    sign: str
    style: str


SENT = Mark("↑", "bold green")
RECEIVED = Mark("↓", "bold red")
EVENT = Mark("●", "bold blue")
PROBLEM = Mark("✖", "bold red")


class Display:
    """Shows events, with the arrows of a browser's developer tools.

    Args:
        hexadecimal: whether text too is shown in hexadecimal.
    """

    def __init__(self, *, hexadecimal: bool) -> None:
        self._hexadecimal = hexadecimal
        self._output, self._errors = Terminal(), Terminal(error=True)
        self._on_terminal = self._output.is_tty
        if not self._on_terminal:
            pass_utf_8()
        # What is typed at a plain terminal is there to see already.
        self._echoes = self._on_terminal and (has_prompt() or not _is_tty(sys.stdin))
        self._explained = False

    @property
    def prompt(self) -> str:
        """What stands before the line that is being typed."""
        return f"{'':12} {SENT.sign} "

    def opened(self, protocol: str) -> None:
        """Show the open event."""
        self._event("open", f"protocol {protocol}" if protocol else "")

    def sent(self, data: str | bytes) -> None:
        """Show what was sent, where it is not there to see already."""
        if self._echoes:
            self._show_message(SENT, data)

    def received(self, data: str | ArrayBuffer) -> None:
        """Show a message event's data."""
        if self._on_terminal:
            self._show_message(RECEIVED, data)
        elif isinstance(data, str) and not self._hexadecimal:
            self._output.data(data)
        else:
            self._output.data("\n".join(hex_dump(_as_bytes(data))))

    def closed(self, event: CloseEvent, unsent: int) -> None:
        """Show the close event, and what must be said of it."""
        details = f"{event.code} {event.reason}".rstrip()
        self._event("close", details if event.wasClean else f"{details} (not clean)")
        if not event.wasClean and not self._explained:
            self.problem("the connection ended without a closing handshake")
        if unsent:
            self.problem(f"{unsent} bytes were not sent")

    def console(self, text: str) -> None:
        """Show a line of the logger `webapi`, which says why a connection failed."""
        self._explained = True
        self.problem(text)

    def problem(self, text: str) -> None:
        """Show what went wrong, on standard error."""
        self._line(self._errors, PROBLEM, (text, "red"))

    def _event(self, name: str, details: str) -> None:
        terminal = self._output if self._on_terminal else self._errors
        self._line(terminal, EVENT, (f"{name:<6}", "bold"), details)

    def _show_message(self, mark: Mark, data: str | bytes) -> None:
        if isinstance(data, str) and not self._hexadecimal:
            more = len(data) - MAX_SHOWN
            rest = f"… {more} more characters" if more > 0 else ""
            self._line(self._output, mark, data[:MAX_SHOWN], (rest, "dim"))
            return
        kind = "text" if isinstance(data, str) else "binary"
        data = _as_bytes(data)
        self._line(self._output, mark, (f"{kind}, {len(data)} bytes", "dim"))
        for row in hex_dump(memoryview(data)[:MAX_SHOWN]):
            self._output.line("  ", row)
        if len(data) > MAX_SHOWN:
            self._output.line("  ", (f"… {len(data) - MAX_SHOWN} more bytes", "dim"))

    def _line(self, terminal: Terminal, mark: Mark, *spans: Span) -> None:
        clock: list[Span] = [(_clock(), "dim"), " "] if terminal.is_tty else []
        terminal.line(*clock, (mark.sign, mark.style), " ", *spans)


def _as_bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _clock() -> str:
    now = time.time()
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03}"


def _is_tty(stream: Any) -> bool:
    return stream is not None and stream.isatty()
