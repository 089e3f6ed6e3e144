"""Headless Chromium and its DevTools, driven over the DevTools protocol by `webapi.WebSocket`."""

import asyncio
import contextlib
import itertools
import json
import shutil

import webapi

NAMES = ("chromium", "chromium-browser", "google-chrome")

LOADED = "return location.href !== 'about:blank' && document.readyState === 'complete'"

ATTACHED = """
    const SDK = await import("devtools://devtools/bundled/core/sdk/sdk.js");
    return SDK.TargetManager.TargetManager.instance().primaryPageTarget() !== null;
"""


class Navigated(Exception):
    """The tab went to another page while a script ran in it."""


class Chromium:
    """Call it with a method of https://chromedevtools.github.io/devtools-protocol/."""

    def __init__(self):
        self.process = None
        self.ids, self.answers = itertools.count(1), {}

    async def start(self, profile, *arguments):
        program = next(filter(None, map(shutil.which, NAMES)))
        self.process = await asyncio.create_subprocess_exec(
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--remote-debugging-port=0", "--remote-allow-origins=*",
            f"--user-data-dir={profile}", *arguments, "about:blank",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        line = ""
        while not line.startswith("DevTools listening on "):
            line = (await self.process.stderr.readline()).decode()
            if not line:
                raise RuntimeError(f"{program} did not start")
        self.url = line.split()[-1]
        self.ws = webapi.WebSocket(self.url)
        opened = asyncio.get_running_loop().create_future()
        self.ws.onopen = opened.set_result
        self.ws.onmessage = self.on_message
        await opened

    async def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    def on_message(self, event):
        message = json.loads(event.data)
        if "id" in message:  # else it is an event
            self.answers.pop(message["id"]).set_result(message)

    async def __call__(self, method, session=None, **params):
        id = next(self.ids)
        answer = self.answers[id] = asyncio.get_running_loop().create_future()
        message = {"id": id, "method": method, "params": params}
        self.ws.send(json.dumps(message | ({"sessionId": session} if session else {})))
        answered = await answer
        if "error" in answered:
            message = answered["error"]["message"]
            if message.startswith(("Execution context was", "Cannot find", "Inspected target")):
                raise Navigated(message)
            raise RuntimeError(f"{method}: {message}")
        return answered["result"]

    async def open_with_devtools(self):
        """Open a tab, and DevTools on it in another; return both sessions."""
        target, tab = await self._open("about:blank")
        browser = self.url.partition("//")[2].partition("/")[0]
        _, devtools = await self._open(
            "devtools://devtools/bundled/devtools_app.html"
            f"?ws={browser}/devtools/page/{target}&panel=network"
        )
        await self.until(devtools, LOADED)
        await self.until(devtools, ATTACHED)
        return tab, devtools

    async def _open(self, url):
        target = (await self("Target.createTarget", url=url))["targetId"]
        attached = await self("Target.attachToTarget", targetId=target, flatten=True)
        return target, attached["sessionId"]

    async def run(self, session, body):
        """Return what the body of an async function returns in a tab."""
        result = await self(
            "Runtime.evaluate",
            session,
            expression=f"(async () => {{ {body} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    async def until(self, session, body):
        """Wait until the body of an async function returns something true in a tab."""
        while True:
            with contextlib.suppress(Navigated):
                if await self.run(session, body):
                    return
            await asyncio.sleep(0.02)
