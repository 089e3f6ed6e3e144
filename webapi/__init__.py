"""The browser's WebSocket API in Python.

Spec: https://websockets.spec.whatwg.org/

The classes, members, events, errors and their order are those that JavaScript sees in a page.

    from webapi import WebSocket

    ws = WebSocket("ws://127.0.0.1:8765/")
    ws.onopen = lambda event: ws.send("hello")
    ws.onmessage = lambda event: print(event.data)
"""

import webapi.html.background  # noqa: F401  - says where sockets live when no loop runs
from webapi.dom import AbortController, AbortSignal, Event, EventTarget
from webapi.fileapi import ArrayBuffer, Blob
from webapi.html.message_event import MessageEvent
from webapi.html.run import run
from webapi.net.devtools import DevTools
from webapi.net.settings import DEFAULT_PAGE
from webapi.version import __version__
from webapi.webidl import UNDEFINED, DOMException
from webapi.websockets.close_event import CloseEvent
from webapi.websockets.websocket import WebSocket
from webapi.window import Window

__all__ = [
    "UNDEFINED",
    "AbortController",
    "AbortSignal",
    "ArrayBuffer",
    "Blob",
    "CloseEvent",
    "DOMException",
    "DevTools",
    "Event",
    "EventTarget",
    "MessageEvent",
    "WebSocket",
    "Window",
    "__version__",
    "devtools",
    "run",
]

devtools = DEFAULT_PAGE.devtools
"""What happens on the sockets that are made without a `Window`."""
