"""What the log says of one socket."""

from __future__ import annotations

import pytest

from webapi.url import without_credentials

START = "WebSocket connection to '"


def logged(caplog: pytest.LogCaptureFixture, url: str) -> list[str]:
    """Return the lines of the logger `webapi`, without those about other URLs.

    A socket that an earlier test left may say its last word meanwhile: a name's lookup takes long.
    """
    lines = [record.getMessage() for record in caplog.records if record.name == "webapi"]
    ours = f"{START}{without_credentials(url)}'"
    return [line for line in lines if line.startswith(ours) or not line.startswith(START)]
