"""Lines on a terminal or in a pipe: safe, and beautiful where that is wanted.

What a server sends is untrusted. `Terminal.line` escapes all that could steer a terminal or change
how a line reads - control characters, bidirectional overrides, line separators - and no markup is
ever interpreted. `Terminal.data` passes data on as they are, for another program to read.

Colours need a terminal, the package rich, and no NO_COLOR (https://no-color.org/); without any of
them the same text is plain. FORCE_COLOR colours a pipe too.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO, Union

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "ConsoleHandler",
    "Span",
    "Terminal",
    "escape",
    "hex_dump",
    "pass_utf_8",
    "prepare_streams",
]

Span = Union[str, "tuple[str, str]"]
"""A piece of a line: text, or a pair of text and a rich style such as "bold red"."""

# Zero-width joiners hold emoji and some scripts together; they can do no harm.
_HARMLESS = frozenset("\u200c\u200d")

_ASCII = str.maketrans("↑↓●✖✔│…→", "^v*xo|~>")


def prepare_streams() -> None:
    """Make standard output and error write each line at once, and never fail to encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def pass_utf_8() -> None:
    """Make standard output UTF-8: what another program reads depends on no locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def escape(text: str) -> str:
    """Return `text` with all that a terminal would not simply show as Python escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _HARMLESS else repr(char)[1:-1] for char in text
    )


def hex_dump(data: bytes | bytearray | memoryview) -> Iterator[str]:
    """Give `data` as lines of 16 bytes: offset, hexadecimal, ASCII."""
    for offset in range(0, len(data), 16):
        row = bytes(data[offset : offset + 16])
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{offset:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{shown}|"


class Terminal:
    """Standard output or, with `error`, standard error.

    `is_tty` tells whether somebody looks at it, `styled` whether it is coloured.
    """

    def __init__(self, *, error: bool = False) -> None:
        self._error = error
        self.is_tty = self.stream is not None and self.stream.isatty()
        self._console = _make_console(error) if _wants_style(self.is_tty) else None
        self._unicode = _takes(self.stream, "↑↓●✖✔│…→")

    @property
    def stream(self) -> TextIO:
        """The stream as it is now: a prompt that stays below the lines stands in for it."""
        return sys.stderr if self._error else sys.stdout

    @property
    def styled(self) -> bool:
        """Whether lines are coloured."""
        return self._console is not None

    def line(self, *spans: Span) -> None:
        """Write one line of pieces, each escaped."""
        pairs = [(span, "") if isinstance(span, str) else span for span in spans]
        pairs = [(self._glyphs(escape(text)), style) for text, style in pairs]
        if self._console is None:
            self._write("".join(text for text, _ in pairs).rstrip() + "\n")
        else:
            self._print(_styled(pairs))

    def code(self, source: str, margin: str) -> None:
        """Write Python source, which is ours and not escaped, with `margin` before each line."""
        lines = source.rstrip().split("\n")
        margin = self._glyphs(margin)
        if self._console is None:
            self._write("".join((margin + line).rstrip() + "\n" for line in lines))
            return
        for highlighted in _highlighted(source.rstrip(), len(lines)):
            self._print(_styled([(margin, "bright_black")]).append_text(highlighted))

    def data(self, text: str) -> None:
        """Write a message as it is, and the end of the line, for another program."""
        self._write(text + "\n")

    def _glyphs(self, text: str) -> str:
        return text if self._unicode else text.translate(_ASCII)

    def _print(self, text: Text) -> None:
        assert self._console is not None
        self._console.print(text, soft_wrap=True)

    def _write(self, text: str) -> None:
        if self.stream is not None:  # it was closed before we started
            self.stream.write(text)


class ConsoleHandler(logging.Handler):
    """Shows the lines of the logger `webapi`, as a browser's console shows why a socket failed.

    Use it in a `with` statement; it calls `show` with each line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record's message."""
        try:
            self._show(record.getMessage())
        except Exception:
            self.handleError(record)

    def __enter__(self) -> ConsoleHandler:
        logging.getLogger("webapi").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("webapi").removeHandler(self)
        self.close()


# -- styles, which need rich -------------------------------------------------------------------


def _wants_style(is_tty: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_tty and os.environ.get("TERM") != "dumb"


def _make_console(error: bool) -> Console | None:
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(stderr=error, force_terminal=True, highlight=False, markup=False, emoji=False)


def _styled(pairs: list[tuple[str, str]]) -> Text:
    from rich.text import Text

    text = Text(end="\n")
    for piece, style in pairs:
        text.append(piece, style)
    return text


def _highlighted(source: str, count: int) -> list[Text]:
    from rich.syntax import Syntax

    # The terminal's own colours: readable on light and on dark.
    syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
    lines = syntax.highlight(source).split("\n", allow_blank=True)
    return list(lines)[:count]


def _takes(stream: TextIO | None, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
