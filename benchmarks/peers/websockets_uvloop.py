"""PyPI `websockets`, its asyncio client on uvloop."""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks.peers import main
from benchmarks.peers.websockets_asyncio import deflate, echo, flood, latency, many, opening, upload

__all__ = ["deflate", "echo", "flood", "latency", "many", "opening", "upload"]

if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    main(__name__)
