"""The network: dialling, the opening handshake on websocket-client, and the open connection."""
