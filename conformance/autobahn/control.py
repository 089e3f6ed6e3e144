"""Asking the fuzzing server for case counts, case names, verdicts and reports.

The server takes these requests as WebSocket connections too. The smallest client that can make
them is written out here, so that the harness depends neither on the client under test nor on
another WebSocket package.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import struct
from typing import Any
from urllib.parse import urlencode

TEXT, CLOSE = 1, 8
EMPTY_MASKED_CLOSE = bytes([0x80 | CLOSE, 0x80, 0, 0, 0, 0])


class ControlError(Exception):
    """The fuzzing server did not answer a request as it should."""


class Control:
    """The requests that one fuzzing server, on the loopback ``port``, takes."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def case_url(self, case: int, agent: str) -> str:
        """Where the client under test has to connect to be put through case number ``case``."""
        query = urlencode({"case": case, "agent": agent})
        return f"ws://{self.host}:{self.port}/runCase?{query}"

    async def case_count(self, timeout: float = 10) -> int:
        """How many cases the server was started with."""
        return int(await self._ask("getCaseCount", timeout))

    async def case_id(self, case: int, timeout: float = 30) -> str:
        """The name (such as ``1.1.2``) of the case numbered ``case`` from 1."""
        return str((await self._ask("getCaseInfo", timeout, case=case))["id"])

    async def wait_for_verdict(self, case: int, agent: str, timeout: float) -> None:
        """Wait until the server has seen the end of that case: a client sees it earlier."""
        await self._ask("getCaseStatus", timeout, case=case, agent=agent)

    async def write_reports(self, agent: str, timeout: float = 300) -> None:
        """Have the server write the reports of all cases run so far."""
        await self._ask("updateReports", timeout, agent=agent)

    async def _ask(self, request: str, timeout: float, **query: Any) -> Any:
        target = f"/{request}?{urlencode(query)}" if query else f"/{request}"
        try:
            answer = await asyncio.wait_for(self._exchange(target), timeout)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            raise ControlError(f"{request}: {error or type(error).__name__}") from error
        return json.loads(answer) if answer else None

    async def _exchange(self, target: str) -> bytes:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(self._handshake(target))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise ControlError(f"{target}: {head!r}")
            return await _text_until_close(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _handshake(self, target: str) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        return (
            f"GET {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()


async def _text_until_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    answer = b""
    while True:
        opcode, payload = await _read_frame(reader)
        if opcode == TEXT:
            answer += payload
        elif opcode == CLOSE:
            writer.write(EMPTY_MASKED_CLOSE)
            return answer


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    return first & 0x0F, await reader.readexactly(length)
