"""Running the Autobahn test suite's fuzzing server against a WebSocket client."""
