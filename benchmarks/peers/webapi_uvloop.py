"""`webapi` on a loop of the user's own, uvloop's; only by `--peers webapi_uvloop`."""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks.peers import main
from benchmarks.peers.webapi import echo, flood, latency, many, opening, upload

__all__ = ["echo", "flood", "latency", "many", "opening", "upload"]

if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    main(__name__)
