"""WebSockets: the `WebSocket` and `CloseEvent` interfaces.

Spec: https://websockets.spec.whatwg.org/
"""
