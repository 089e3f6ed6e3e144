"""Lines from standard input, while a socket's events go on.

Both sources are asynchronous iterators over batches: lists of lines, as bytes without their end.
They end at the end of the input (Ctrl-D on a terminal).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator

__all__ = ["has_prompt", "piped_lines", "prompted_lines"]

READ_SIZE = 64 * 1024


class LineSplitter:
    """Splits a stream of bytes into lines; what a line is made of is joined once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._pieces.append(rest)
            return []
        lines = b"".join([*self._pieces, whole]).split(b"\n")
        self._pieces = [rest]
        return lines

    def end(self) -> list[bytes]:
        """Return the last line if it has no end, or nothing."""
        rest = b"".join(self._pieces)
        self._pieces = []
        return [rest] if rest else []


async def piped_lines() -> AsyncGenerator[list[bytes], None]:
    """Read lines in a thread, and no further than they are asked for."""
    if sys.stdin is None:
        return
    reader = _Reader(sys.stdin.fileno())
    splitter = LineSplitter()
    while data := await reader.read():
        if lines := splitter.feed(data):
            yield lines
    if lines := splitter.end():
        yield lines


class _Reader:
    """Reads a file descriptor in a daemon thread.

    An executor would not do: its threads are waited for at the end, and a read from a terminal
    does not end. Nor would `sys.stdin`, whose lock the thread would take into Python's shutdown.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(0)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        threading.Thread(target=self._run, name="webapi stdin", daemon=True).start()

    async def read(self) -> bytes:
        """Return the next bytes, or none at the end."""
        self._wanted.release()
        return await self._chunks.get()

    def _run(self) -> None:
        data = b"?"
        while data:
            self._wanted.acquire()
            try:
                data = os.read(self._fd, READ_SIZE)
            except OSError:  # a terminal that went away, for one
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, data)


def has_prompt() -> bool:
    """Tell whether `prompted_lines` can be used: prompt_toolkit is there, and a terminal."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        import prompt_toolkit  # noqa: F401
    except ImportError:
        return False
    return True


async def prompted_lines(prompt: str) -> AsyncGenerator[list[bytes], None]:
    """Read lines at a prompt below whatever is written meanwhile, with the history of this run.

    One prompt stays for all lines, and the terminal's mode too while others are written: a change
    of mode loses keys, and Ctrl-D in particular.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.patch_stdout import patch_stdout

    typed: asyncio.Queue[str | BaseException] = asyncio.Queue()

    def accept(buffer: Buffer) -> bool:
        typed.put_nowait(buffer.text)
        return False  # begin the next line

    async def ask() -> None:
        try:
            await session.prompt_async(prompt)
        except (EOFError, KeyboardInterrupt) as end:
            typed.put_nowait(end)

    session: PromptSession[str] = PromptSession(erase_when_done=True)
    session.default_buffer.accept_handler = accept
    session.input.cooked_mode = contextlib.nullcontext  # type: ignore[method-assign]
    with patch_stdout(raw=True):  # what is written is escaped already, and may be coloured
        asking = asyncio.create_task(ask())
        try:
            while isinstance(line := await typed.get(), str):
                yield [line.encode("utf-8", "surrogateescape")]
        finally:
            asking.cancel()
            await asyncio.wait([asking])
    if isinstance(line, KeyboardInterrupt):
        raise line
