"""A headless Chromium, driven over its DevTools protocol; it knows nothing of the pages."""

import asyncio
import contextlib
import itertools
import shutil

import aiohttp
import pytest

WAIT = 20.0
"""Seconds after which a test gives up waiting for the browser."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # the pages are ours, and root may not have a sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--ignore-certificate-errors",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


def find_chromium():
    """The path of the browser; without one the calling test is skipped."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed (apt-get install chromium)")


@contextlib.asynccontextmanager
async def chromium(folder, wait=WAIT):
    """A `Browser` with its profile in the empty `folder`; `wait` is the seconds for its start."""
    process = await asyncio.create_subprocess_exec(
        *(find_chromium(), *FLAGS, f"--user-data-dir={folder}", "about:blank"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(wait):
            url = await devtools_of(process)
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            browser = Browser(socket, wait)
            reading = asyncio.create_task(browser.read())
            complaints = asyncio.create_task(process.stderr.read())
            yield browser
            await browser.call("Browser.close")
            async with asyncio.timeout(wait):
                await asyncio.gather(reading, complaints, process.wait())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def devtools_of(process):
    """The URL of the browser's DevTools, which the browser prints to its standard error."""
    said = b""
    while line := await process.stderr.readline():
        said += line
        if line.startswith(b"DevTools listening on "):
            return line.decode().split()[-1]
    pytest.fail(f"Chromium did not start: {said.decode()}")


class Browser:
    """A browser, controlled through a WebSocket to its DevTools."""

    def __init__(self, socket, wait):
        self.socket = socket
        self.wait = wait
        self.numbers = itertools.count(1)
        self.answers = {}

    async def read(self):
        """Hand out answers until the browser is closed; events are dropped."""
        async for message in self.socket:
            data = message.json()
            answer = self.answers.pop(data.get("id"), None)
            if answer is not None and not answer.done():  # the caller may have given up
                answer.set_result(data)

    async def call(self, method, session=None, **parameters):
        """Call a method of the protocol, and return its result."""
        number = next(self.numbers)
        answer = self.answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self.socket.send_json(message | ({"sessionId": session} if session else {}))
        async with asyncio.timeout(self.wait):
            data = await answer
        assert "error" not in data, data
        return data["result"]

    async def open(self, url):
        """`url` in a tab of its own, loaded."""
        target = await self.call("Target.createTarget", url="about:blank")
        tab = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, target["targetId"], tab["sessionId"])
        await self.call("Page.navigate", page.session, url=url)
        await page.until(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")
        return page


class Page:
    """One tab."""

    def __init__(self, browser, target, session):
        self.browser = browser
        self.target = target
        self.session = session

    async def close(self):
        await self.browser.call("Target.closeTarget", targetId=self.target)

    async def evaluate(self, expression):
        """The value of a JavaScript expression; of a promise, the value it resolves to."""
        answer = await self.browser.call(
            "Runtime.evaluate",
            self.session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition):
        """Wait until a JavaScript expression is true."""
        look = f"const look = () => ({condition}) ? done() : setTimeout(look, 10)"
        try:
            await self.evaluate(f"new Promise(done => {{ {look}; look() }})")
        except TimeoutError:
            text = await self.evaluate("document.body.innerText")
            pytest.fail(f"not so in {self.browser.wait} s: {condition}; the page shows:\n{text}")

    async def choose_files(self, selector, *paths):
        """Fill in a file input."""
        document = await self.browser.call("DOM.getDocument", self.session)
        node = await self.browser.call(
            "DOM.querySelector",
            self.session,
            nodeId=document["root"]["nodeId"],
            selector=selector,
        )
        await self.browser.call(
            "DOM.setFileInputFiles", self.session, nodeId=node["nodeId"], files=[*map(str, paths)]
        )
