"""A headless Chromium for tests of pages, over its debugging protocol."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    # Without a mouse the browser would report that it cannot hover.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)
_START_S = 20.0
_MAX_WAIT_S = 15.0
_KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "Escape": 27,
    "Tab": 9,
    "Enter": 13,
}


def installed():
    """Return the path of a browser, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running(profile):
    """Run a browser with an empty profile, and yield its address."""
    command = [installed(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with (profile / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as browser:
        try:
            yield _address(profile / "DevToolsActivePort", browser)
        finally:
            browser.terminate()


def _address(port_file, browser):
    give_up_at = time.monotonic() + _START_S
    while time.monotonic() < give_up_at and browser.poll() is None:
        lines = port_file.read_text().split("\n") if port_file.exists() else []
        if len(lines) > 1:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise RuntimeError(f"the browser did not start: {(port_file.parent / 'log').read_text()[-2000:]}")


class Page:
    """One tab. `problems` contains its errors, warnings and exceptions."""

    def __init__(self, socket, session):
        self.problems = []
        self._socket = socket
        self._session = session
        self._calls = 0
        self._loads = 0

    async def call(self, method, **parameters):
        """Send a command of the protocol and return its result."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        await self._socket.send_json({**call, "sessionId": self._session} if self._session else call)
        while (answer := await self._receive()).get("id") != self._calls:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def open(self, address):
        """Go to an address and wait until the page is loaded."""
        loads = self._loads
        await self.call("Page.navigate", url=address)
        while self._loads == loads:
            await self._receive()

    async def run(self, script):
        """Evaluate JavaScript, await what it returns, and return its value."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, condition):
        """Wait until a condition in JavaScript holds.

        Raises:
            RuntimeError: it did not hold within many times what a busy machine needs.
        """
        await self.run(
            f"""new Promise((done, fail) => {{
            const max_wait = performance.now() + {_MAX_WAIT_S * 1000};
            const look = () => {{
              const value = ({condition});
              if (value) done(value);
              else if (performance.now() > max_wait) fail(new Error({json.dumps(condition)}));
              else setTimeout(look, 10);
            }};
            look();
            }})"""
        )

    async def press(self, key, *, modifiers=0):
        """Press and release a key."""
        code = _KEYS.get(key, ord(key.upper()[0]))
        named = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        text = {} if key in _KEYS or modifiers else {"text": key}
        await self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **named, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    async def type(self, text):
        """Type a text into the focused element."""
        await self.call("Input.insertText", text=text)

    async def point(self, selector):
        """Move the mouse to the middle of an element, and return its coordinates."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = await self.run(f"(() => {{ const b = {box}; return [b.x + b.width / 2, b.y + b.height / 2]; }})()")
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        return x, y

    async def click(self, selector):
        """Click in the middle of an element."""
        x, y = await self.point(selector)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def prefer(self, **features):
        """Set media features of the user, such as `prefers_color_scheme="dark"`."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=chosen)

    async def _receive(self):
        message = await self._socket.receive_json()
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loads += 1
            case "Runtime.exceptionThrown":
                self.problems.append(params["exceptionDetails"].get("exception", {}).get("description", str(params)))
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.problems.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.problems.append(params["entry"]["text"])
        return message


@asynccontextmanager
async def new_page(address):
    """Open a tab of a running browser, 1280 by 800, and close it afterwards."""
    async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
        browser = Page(socket, None)
        await browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        target = (await browser.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await browser.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = Page(socket, session)
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        await page.call("Emulation.setDeviceMetricsOverride", **size)
        try:
            yield page
        finally:
            await browser.call("Target.closeTarget", targetId=target)
