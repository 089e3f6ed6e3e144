"""Make session.har anew, with Chromium, websockets and trustme: `python -m recorder session.har`.

A page in Chromium speaks with a real server while Chromium's own DevTools watch it; the file is
what the code behind the Network panel's "Export HAR (sanitized)" makes of that. `python -m recorder
--open FILE` shows what the code behind "Import HAR" makes of a file.
"""

import argparse
import asyncio
import json
import ssl
import tempfile
from pathlib import Path

import trustme
from recorder.chromium import Chromium
from recorder.server import todo_server

SITE = "todo.example"

# Modules of DevTools itself: https://github.com/ChromeDevTools/devtools-frontend, front_end/
EXPORT = """
    const Logs = await import("devtools://devtools/bundled/models/logs/logs.js");
    const HAR = await import("devtools://devtools/bundled/models/har/har.js");
    const requests = Logs.NetworkLog.NetworkLog.instance().requests();
    const log = await HAR.Log.Log.build(requests, {sanitize: true});
    return JSON.stringify({log}, null, 1);
"""
IMPORT = """
    const HAR = await import("devtools://devtools/bundled/models/har/har.js");
    const root = new HAR.HARFormat.HARRoot(JSON.parse(%s));
    const requests = HAR.Importer.Importer.requestsFromHARLog(root.log);
    const shown = (request) => ({
        url: request.url(), status: request.statusCode, type: request.resourceType().name(),
        frames: request.frames().map(({type, opCode, text}) => [type, opCode, text]),
    });
    return JSON.stringify(requests.map(shown));
"""


async def record(chromium, profile):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(SITE).configure_cert(context)
    async with todo_server(context) as server:
        port = server.sockets[0].getsockname()[1]
        await chromium.start(
            profile,
            f"--host-resolver-rules=MAP {SITE}:443 127.0.0.1:{port}",
            "--ignore-certificate-errors",
        )
        tab, devtools = await chromium.open_with_devtools()
        await chromium("Page.navigate", tab, url=f"https://{SITE}/")
        await chromium.until(tab, "return typeof todo === 'object' && todo.items.size === 1")
        await chromium.run(tab, "todo.add('buy bread')")
        await chromium.until(tab, "return todo.items.get(2)?.[1]")
        await chromium.run(tab, "todo.ws.close(1000)")
        await chromium.until(tab, "return todo.ws.readyState === WebSocket.CLOSED")
        har = await chromium.run(devtools, EXPORT)
        await chromium.stop()
    return har + "\n"


async def open_file(chromium, profile, text):
    await chromium.start(profile)
    _, devtools = await chromium.open_with_devtools()
    return await chromium.run(devtools, IMPORT % json.dumps(text))


async def main():
    parser = argparse.ArgumentParser(prog="python -m recorder", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--open", action="store_true", help="show what DevTools import")
    args = parser.parse_args()
    chromium = Chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            if args.open:
                text = args.file.read_text(encoding="utf-8")
                print(await open_file(chromium, profile, text))
            else:
                har = await record(chromium, profile)
                args.file.write_text(har, encoding="utf-8")
        finally:
            await chromium.stop()


asyncio.run(asyncio.wait_for(main(), 60))
