"""Three readers of one connection's bytes, and what each makes of them.

`webapi`'s receiver, `wsproto`'s connection and `websockets`' sans-I/O protocol. Each is given the
whole stream at once; where reads may cut it is the fuzzer's subject, not this one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from webapi.protocol.deflate import Inflater
from webapi.protocol.frames import Close, Failure, Ping, Pong
from webapi.protocol.receiver import Receiver


@dataclass(frozen=True)
class Stream:
    """What is read, and how."""

    wire: bytes
    masked: bool = False
    """Whether the frames are a client's, so that the readers are servers."""
    limit: int = 128 * 1024
    """The longest message taken, in bytes."""
    window_bits: int | None = None
    """The sender's window where messages may be compressed."""
    takeover: bool = True


class Verdict(NamedTuple):
    """What a reader made of a stream."""

    messages: tuple[Any, ...]
    """Texts, bytes, and ("ping" or "pong", payload), in order."""
    end: str
    """"open", "closed" by a Close frame, or "failed"."""
    code: int | None = None
    """The Close frame's code, or the one that the reader fails with."""
    why: str = ""
    """The reader's own words; they do not count."""

    def agrees(self, other: Verdict) -> bool:
        """Tell whether the other says the same."""
        return self[:3] == other[:3]


def read_with_webapi(stream: Stream) -> Verdict:
    """Our own."""
    receiver = Receiver(masked=stream.masked, max_message_size=stream.limit)
    if stream.window_bits is not None:
        receiver.inflater = Inflater(stream.window_bits, stream.takeover)
    messages: list[Any] = []
    for message in receiver.feed(stream.wire):
        if isinstance(message, Failure):
            return Verdict(tuple(messages), "failed", message.code, message.reason)
        if isinstance(message, Close):
            return Verdict(tuple(messages), "closed", message.code, message.reason)
        if isinstance(message, (Ping, Pong)):
            messages.append((type(message).__name__.lower(), message.payload))
        else:
            messages.append(message if isinstance(message, str) else bytes(message))
    return Verdict(tuple(messages), "open")


def read_with_wsproto(stream: Stream) -> Verdict:
    """`wsproto.connection.Connection`, behind its opening handshake."""
    from wsproto import connection, events
    from wsproto.extensions import PerMessageDeflate

    extensions = []
    if stream.window_bits is not None:
        extension = PerMessageDeflate()
        flag = "" if stream.takeover else "; {0}_no_context_takeover"
        offer = f"permessage-deflate; {{0}}_max_window_bits={stream.window_bits}{flag}"
        extension.finalize(offer.format("client" if stream.masked else "server"))
        extensions.append(extension)
    side = connection.SERVER if stream.masked else connection.CLIENT
    reader = connection.Connection(side, extensions)  # type: ignore[arg-type]
    reader.receive_data(stream.wire)
    messages: list[Any] = []
    parts: list[Any] = []
    for event in reader.events():
        if isinstance(event, events.CloseConnection):
            # It says the same event for a Close frame that came and for one that it would send.
            if reader.state is connection.ConnectionState.REMOTE_CLOSING:
                code = None if event.code == 1005 else int(event.code)
                return Verdict(tuple(messages), "closed", code, event.reason or "")
            return Verdict(tuple(messages), "failed", int(event.code), event.reason or "")
        if isinstance(event, events.Ping):
            messages.append(("ping", bytes(event.payload)))
        elif isinstance(event, events.Pong):
            messages.append(("pong", bytes(event.payload)))
        elif isinstance(event, (events.TextMessage, events.BytesMessage)):
            parts.append(event.data)
            if event.message_finished:
                messages.append(type(parts[0])().join(parts))
                parts = []
    return Verdict(tuple(messages), "open")


def read_with_websockets(stream: Stream) -> Verdict:
    """`websockets.protocol.Protocol`, open, with the UTF-8 check that its connections add to it."""
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.frames import Close as PeersClose
    from websockets.frames import Opcode
    from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

    side = SERVER if stream.masked else CLIENT
    protocol = Protocol(side, state=OPEN, max_size=stream.limit)
    if stream.window_bits is not None:
        protocol.extensions = [
            PerMessageDeflate(not stream.takeover, False, stream.window_bits, 15)
        ]
    protocol.receive_data(stream.wire)
    messages: list[Any] = []
    parts: list[bytes] = []
    text = False
    for frame in protocol.events_received():
        data = bytes(frame.data)
        if frame.opcode is Opcode.CLOSE:
            close = PeersClose.parse(data)
            code = None if close.code == 1005 else int(close.code)
            return Verdict(tuple(messages), "closed", code, close.reason)
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            messages.append((frame.opcode.name.lower(), data))
            continue
        if frame.opcode is not Opcode.CONT:
            parts, text = [], frame.opcode is Opcode.TEXT
        parts.append(data)
        if frame.fin:
            try:
                messages.append(b"".join(parts).decode() if text else b"".join(parts))
            except UnicodeDecodeError as error:
                return Verdict(tuple(messages), "failed", 1007, str(error))
    if protocol.parser_exc is not None:
        assert protocol.close_sent is not None
        return Verdict(
            tuple(messages), "failed", int(protocol.close_sent.code), repr(protocol.parser_exc)
        )
    return Verdict(tuple(messages), "open")


PEERS: dict[str, Callable[[Stream], Verdict]] = {
    "websockets": read_with_websockets,
    "wsproto": read_with_wsproto,
}
