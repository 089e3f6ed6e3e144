"""What only needs a bare socket."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Any

import pytest

from webapi.html.event_loop import EventLoop
from webapi.net.raw_socket import Linger, left_of, send_some


class WithoutSendmsg:
    """A socket as Windows has it."""

    def __init__(self, sock: socket.socket) -> None:
        self.send = sock.send


def test_several_buffers_leave_where_there_is_no_sendmsg() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        buffers = [b"a" * 5000, memoryview(b"b" * 5000), b"c"]
        assert send_some(WithoutSendmsg(ours), buffers) == (10_001, None)  # type: ignore[arg-type]
        received = b""
        while len(received) < 10_001:
            received += theirs.recv(65536)
        assert received == b"a" * 5000 + b"b" * 5000 + b"c"


def test_what_the_kernel_does_not_take_is_left() -> None:
    for kind in (lambda sock: sock, WithoutSendmsg):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            data = [bytes([number]) * 49_999 for number in range(256)]
            sent, error = send_some(kind(ours), data)  # type: ignore[arg-type]
            left = left_of(data, sent)  # type: ignore[arg-type]
            assert error is None
            assert 0 < sent < 256 * 49_999
            received = b""
            while len(received) < sent:
                received += theirs.recv(1 << 20)
            assert received + left == b"".join(data)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="needs Linux's epoll")
def test_a_socket_that_ctrl_c_left_half_registered_is_closed_at_once() -> None:
    """A KeyboardInterrupt may leave `selectors` between the kernel's table and its own."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        page = EventLoop.current()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            loop._selector._selector.register(ours.fileno(), select.EPOLLIN)
            Linger(page, ours, 60)
            assert ours.fileno() == -1
            assert theirs.recv(1) == b""
            assert not page.connections

    asyncio.run(main())
