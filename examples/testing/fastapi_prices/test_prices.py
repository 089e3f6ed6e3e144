"""The client against the real server, and against what real networks do."""

import asyncio

import pytest
from client import PriceFeed
from server import app


async def until(true):
    async with asyncio.timeout(5) if hasattr(asyncio, "timeout") else _Forever():
        while not true():
            await asyncio.sleep(0.001)


class _Forever:  # Python 3.10 has no asyncio.timeout
    async def __aenter__(self):
        pass

    async def __aexit__(self, *_):
        pass


def test_the_real_server(page, live_server):
    tap = page.tap(page.WebSocket(live_server.ws + "/prices/EURUSD"))
    tap.wait_for_message(json={"symbol": "EURUSD", "price": 100})
    tap.wait_for_message(json={"price": 102})
    tap.ws.close(1000)
    assert tap.wait_for("close").wasClean


@pytest.mark.asyncio
async def test_it_comes_back_when_the_network_breaks(page, live_server, naps):
    feed = PriceFeed(page.WebSocket, live_server.ws + "/prices/EURUSD", sleep=naps)
    await until(lambda: not feed.stale)
    page.drop_connections()
    await until(lambda: naps.delays == [0.5])
    await until(lambda: not feed.stale)  # reconnected, and prices flow again
    feed.stop()


@pytest.mark.asyncio
async def test_backoff_doubles_while_the_server_refuses(page, ws_server, naps):
    refusals = 6

    @ws_server.route("/prices/{symbol}", handshake=False)
    async def flaky(peer):
        nonlocal refusals
        if refusals:
            refusals -= 1
            await peer.reject(503)
            return
        await peer.accept()
        await peer.send_json({"price": 1.08})
        await peer.wait_closed()

    feed = PriceFeed(page.WebSocket, ws_server.url + "/prices/EURUSD", sleep=naps)
    await until(lambda: feed.price == 1.08)
    assert naps.delays == [0.5, 1, 2, 4, 8, 8]
    feed.stop()
    await until(lambda: feed.ws.readyState == feed.ws.CLOSED)


@pytest.mark.asyncio
async def test_offline_is_stale_and_online_is_not(page, naps):
    page.route("ws://prices.example/**").to_asgi(app)  # without a server
    feed = PriceFeed(page.WebSocket, "ws://prices.example/prices/GBPUSD", sleep=naps)
    await until(lambda: not feed.stale)
    page.emulate(offline=True)
    page.drop_connections()
    await until(lambda: len(naps.delays) >= 3)
    assert feed.stale
    page.emulate()
    await until(lambda: not feed.stale)
    feed.stop()
    await until(lambda: feed.ws.readyState == feed.ws.CLOSED)
