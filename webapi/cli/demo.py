"""`python -m webapi demo`: the main job, step by step, on a server in this process.

Each step shows the source of the functions that it runs, and then what happened: the socket's
`readyState` and events, what the server saw, and what a browser would write to its console. Every
line is compared with what is expected here; a difference ends the demo with status 1.
"""

# ruff: noqa: ARG005 - `lambda event:` is how JavaScript would write it

from __future__ import annotations

import asyncio
import inspect
import shutil
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from webapi.cli.terminal import ConsoleHandler, Terminal
from webapi.fileapi import ArrayBuffer
from webapi.html.run import run
from webapi.protocol.frames import TEXT, Close
from webapi.testing.server import Peer, Server
from webapi.websockets.close_event import CloseEvent
from webapi.websockets.websocket import WebSocket

__all__ = ["add_parser", "demo"]

DEADLINE = 20.0
"""Seconds for the whole demo; on loopback it takes some hundredths, unless the machine is busy."""

Tell = Callable[[str, str], None]
"""Puts an event's name and details on the timeline."""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "demo",
        help="show text, binary data, a ping, a clean close and a failure on a built-in server",
        description="Show a WebSocket's life on a built-in server: states, events, and the code "
        "that made them. Exit status 0 if all went as it says.",
    )
    parser.set_defaults(run=lambda _: demo())


# -- what is shown, and run -----------------------------------------------------------------------


def connect(url: str) -> WebSocket:
    ws = WebSocket(url, ["demo.v2", "demo.v1"])
    ws.binaryType = "arraybuffer"
    return ws


def listen(ws: WebSocket, tell: Tell) -> None:
    ws.onopen = lambda event: tell("open", f"protocol={ws.protocol!r}")
    ws.onmessage = lambda event: tell("message", shown(event.data))
    ws.onerror = lambda event: tell("error", "no reason here: see the console")
    ws.onclose = lambda event: tell("close", shown(event))


def send_text(ws: WebSocket) -> None:
    ws.send("Grüße, 世界")


def send_binary(ws: WebSocket) -> None:
    ws.send(b"\xde\xad\xbe\xef")


def ask_for_a_ping(ws: WebSocket) -> None:
    ws.send("ping me")


async def ping(peer: Peer, tell: Tell) -> None:
    await peer.ping(b"are you there?")
    tell("got pong", shown(await peer.receive_pong()))


def close(ws: WebSocket) -> None:
    ws.close(1000, "that was all")


def meet_a_faulty_server(url: str) -> WebSocket:
    return WebSocket(url + "faulty")


async def set_a_reserved_bit(peer: Peer, tell: Tell) -> None:
    await peer.send_frame(TEXT, b"oops", rsv=0b010)
    tell("got close", shown(await peer.receive_any()))


def shown(data: object) -> str:
    """Return what the timeline shows of a message, a Close frame or a close event."""
    if isinstance(data, CloseEvent):
        return f"code={data.code} reason={data.reason!r} wasClean={data.wasClean}"
    if isinstance(data, Close):
        return f"code={data.code} reason={data.reason!r}"
    if isinstance(data, ArrayBuffer):
        return f"ArrayBuffer {data.hex(' ')}"
    return str(data) if isinstance(data, str) else repr(data)


# -- the server -----------------------------------------------------------------------------------


async def serve(peer: Peer, tell: Tell) -> None:
    """Answer each message with itself; ping when asked to; on the path /faulty be faulty."""
    if peer.path == "/faulty":
        await set_a_reserved_bit(peer, tell)
        return
    while True:
        message = await peer.receive_any()
        if isinstance(message, Close):
            tell("got close", shown(message))
            await peer.answer_close()
            return
        if isinstance(message, str):
            tell("got text", message)
        if message == "ping me":
            await ping(peer, tell)
        elif isinstance(message, (str, bytes, bytearray)):
            if not isinstance(message, str):
                tell("got binary", message.hex(" "))
            await peer.send(message)


# -- the steps ------------------------------------------------------------------------------------


SERVER, CONSOLE = "server", "console"


class Entry(NamedTuple):
    """A line of the timeline: whose it is (a `readyState`, or another's name), what, details."""

    who: str
    what: str
    details: str

    def is_as(self, expected: Entry) -> bool:
        """Tell whether this is what is `expected`; of a console line, its beginning counts."""
        if self.who == expected.who == CONSOLE:
            return self.details.startswith(expected.details)
        return self == expected


class Step(NamedTuple):
    """A step: its title, what to watch for, what to run, what to show, and what must happen."""

    title: str
    note: str
    code: Callable[..., WebSocket | None]
    shows: Sequence[Callable[..., Any]]
    expected: Sequence[Entry]


STEPS = (
    Step(
        "Connect",
        "The constructor returns at once; open comes later, in a task of its own.",
        connect,
        (connect, listen),
        (
            Entry("CONNECTING", "", "{url}"),
            Entry("OPEN", "open", "protocol='demo.v1'"),
        ),
    ),
    Step(
        "Text",
        "bufferedAmount counts bytes of UTF-8, until the network took them.",
        send_text,
        (send_text,),
        (
            Entry("OPEN", "", "bufferedAmount=15"),
            Entry(SERVER, "got text", "Grüße, 世界"),
            Entry("OPEN", "message", "Grüße, 世界"),
        ),
    ),
    Step(
        "Binary",
        "It arrives as binaryType says: as a Blob, or as here, as an ArrayBuffer.",
        send_binary,
        (send_binary,),
        (
            Entry("OPEN", "", "bufferedAmount=4"),
            Entry(SERVER, "got binary", "de ad be ef"),
            Entry("OPEN", "message", "ArrayBuffer de ad be ef"),
        ),
    ),
    Step(
        "A ping from the server",
        "It is answered for you, as in a browser: no event tells of it.",
        ask_for_a_ping,
        (ask_for_a_ping, ping),
        (
            Entry("OPEN", "", "bufferedAmount=7"),
            Entry(SERVER, "got text", "ping me"),
            Entry(SERVER, "got pong", "b'are you there?'"),
        ),
    ),
    Step(
        "A clean close",
        "CLOSING comes at once, CLOSED when both sides have sent a Close frame.",
        close,
        (close,),
        (
            Entry("CLOSING", "", "bufferedAmount=0"),
            Entry(SERVER, "got close", "code=1000 reason='that was all'"),
            Entry("CLOSED", "close", "code=1000 reason='that was all' wasClean=True"),
        ),
    ),
    Step(
        "A failure",
        "The reason goes to the logger 'webapi', as a browser's goes to its console.",
        meet_a_faulty_server,
        (meet_a_faulty_server, set_a_reserved_bit),
        (
            Entry("CONNECTING", "", "{url}faulty"),
            Entry("OPEN", "open", "protocol=''"),
            Entry(CONSOLE, "", "WebSocket connection to '{url}faulty' failed: a reserved bit"),
            Entry("CLOSED", "error", "no reason here: see the console"),
            Entry("CLOSED", "close", "code=1006 reason='' wasClean=False"),
            Entry(SERVER, "got close", "code=1002 reason=''"),
        ),
    ),
)


# -- the tour through them ------------------------------------------------------------------------


class DemoFailed(Exception):
    """Something did not go as the demo says."""


def demo() -> int:
    """Run the demo, and return its exit status."""
    terminal, timeline = Terminal(), Timeline()
    terminal.line(("The browser's WebSocket in Python", "bold"))
    terminal.line(
        ("What runs is shown behind │, what came of it below, with the readyState before.", "dim")
    )
    try:
        with (
            Server(partial(serve, tell=timeline.server_tells), protocols=["demo.v1"]) as server,
            ConsoleHandler(partial(timeline.add, CONSOLE, "")),
        ):
            page: Callable[..., Any] = tour
            run(page, terminal, timeline, server.url)
        if server.errors:
            raise DemoFailed(f"the server's script raised {server.errors[0]!r}")
    except Exception as failure:
        words = str(failure) if isinstance(failure, DemoFailed) else repr(failure)
        Terminal(error=True).line(("✖ The demo failed: ", "bold red"), words)
        return 1
    terminal.line()
    terminal.line(("✔ ", "bold green"), f"All {len(STEPS)} steps went as they say.")
    return 0


async def tour(terminal: Terminal, timeline: Timeline, url: str) -> None:
    """Run the steps in order, within the deadline."""
    timeline.start(terminal)
    ends = timeline.loop.time() + DEADLINE
    subject: Any = url
    for number, step in enumerate(STEPS, 1):
        show_step(terminal, number, step)
        timeline.begin(
            [entry._replace(details=entry.details.format(url=url)) for entry in step.expected]
        )
        takes_url = "url" in inspect.signature(step.code).parameters
        made = step.code(url if takes_url else subject)
        if made is not None:
            subject = made
            listen(made, partial(timeline.page_tells, made))
            timeline.add(state_of(made), "", made.url)
        else:
            timeline.add(state_of(subject), "", f"bufferedAmount={subject.bufferedAmount}")
        await timeline.finish(step.title, ends - timeline.loop.time())


def state_of(ws: WebSocket) -> str:
    """Return the name of the socket's `readyState`."""
    return ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[ws.readyState]


def show_step(terminal: Terminal, number: int, step: Step) -> None:
    """Show a step's title, note and source."""
    terminal.line()
    terminal.line((f"{number}  {step.title}", "bold"))
    terminal.line("   ", (step.note, "dim"))
    sources = [inspect.getsource(function).rstrip() for function in step.shows]
    terminal.code("\n\n".join(sources), "   │ ")


class Timeline:
    """What happens, shown as it happens and compared with what must."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self._terminal: Terminal
        self._entries: list[Entry] = []
        self._expected: list[Entry] = []
        self._changed: asyncio.Event

    def start(self, terminal: Terminal) -> None:
        """Begin to show entries on `terminal`; the running loop is the page's."""
        self.loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._terminal = terminal

    def begin(self, expected: list[Entry]) -> None:
        """Begin a step."""
        self._entries, self._expected = [], expected

    def page_tells(self, ws: WebSocket, what: str, details: str) -> None:
        """Add an event of a socket."""
        self.add(state_of(ws), what, details)

    def server_tells(self, what: str, details: str) -> None:
        """Add what the server saw; this is called in the server's thread."""
        # Called before the server answers, so it comes before the answer's event.
        self.loop.call_soon_threadsafe(self.add, SERVER, what, details)

    def add(self, who: str, what: str, details: str) -> None:
        """Add an entry; this is called in the page's thread."""
        entry = Entry(who, what, details)
        self._entries.append(entry)
        self._show(entry)
        self._changed.set()

    async def finish(self, title: str, seconds: float) -> None:
        """Return when all that is expected happened.

        Raises:
            DemoFailed: something else did, or too little within `seconds`.
        """
        ends = self.loop.time() + seconds
        while _first_difference(self._expected, self._entries) == len(self._entries):
            if len(self._entries) == len(self._expected):
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), ends - self.loop.time())
            except asyncio.TimeoutError:
                break
        raise DemoFailed(_difference(title, self._expected, self._entries))

    def _show(self, entry: Entry) -> None:
        style = _STYLES[entry.who]
        sign = _SIGNS.get(entry.who, "●")
        start = (f"   {sign} {entry.who:<10}  ", style)
        if entry.who == CONSOLE:
            for line in self._wrapped(entry.details, " " * len(start[0])):
                self._terminal.line(start, (line, style))
                start = ("", "")
        elif entry.what:
            self._terminal.line(start, (f"{entry.what:<10} ", "bold"), entry.details)
        else:
            self._terminal.line(start, (entry.details, "dim"))

    def _wrapped(self, text: str, indent: str) -> list[str]:
        """Break a long line for a terminal."""
        if not self._terminal.is_tty:
            return [text]
        # Before Python 3.11, 0 columns where the terminal does not know; and one may be narrow.
        width = max(shutil.get_terminal_size().columns or 80, len(indent) + 20)
        first, *rest = textwrap.wrap(
            indent + text, width, subsequent_indent=indent, break_on_hyphens=False
        )
        return [first[len(indent) :], *rest]


_SIGNS = {SERVER: "→", CONSOLE: "✖"}
_STYLES = {
    "CONNECTING": "yellow",
    "OPEN": "green",
    "CLOSING": "yellow",
    "CLOSED": "magenta",
    SERVER: "blue",
    CONSOLE: "red",
}


def _first_difference(expected: Sequence[Entry], entries: Sequence[Entry]) -> int:
    """Return the index of the first entry that is not as expected, or the number of entries."""
    for at, entry in enumerate(entries):
        if at >= len(expected) or not entry.is_as(expected[at]):
            return at
    return len(entries)


def _difference(title: str, expected: Sequence[Entry], entries: Sequence[Entry]) -> str:
    at = _first_difference(expected, entries)
    wanted, came = _words(expected[at : at + 1]), _words(entries[at : at + 1])
    return f'in step "{title}" there was to be {wanted}, but there was {came}'


def _words(entries: Sequence[Entry]) -> str:
    return " ".join(f"<{' '.join(filter(None, entry))}>" for entry in entries) or "nothing more"
