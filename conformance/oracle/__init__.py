"""The differential oracle: our receiver beside those of `wsproto` and PyPI `websockets`."""
