"""A price feed on FastAPI: subscribe to a symbol, and prices come until you go."""

import asyncio
import itertools

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/prices/{symbol}")
async def prices(websocket: WebSocket, symbol: str):
    await websocket.accept()
    try:
        for number in itertools.count():
            await websocket.send_json({"symbol": symbol, "price": 100 + number})
            await asyncio.sleep(0.01)
    except WebSocketDisconnect:
        pass
