"""Interoperability: ``webapi.WebSocket`` against the servers that people run, the real programs."""
