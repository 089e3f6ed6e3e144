"""One module a peer, each with its ``PEER``."""
