"""Chromium without a window, driven by the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PATIENCE = 60  # seconds until a browser that hangs is taken for broken
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def program() -> str | None:
    """Return the path of a browser that can be driven, `None` if there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Chromium:
    """A browser; each page is a tab of its own."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [
                *(str(program()), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *(
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--hide-scrollbars",
                ),
                *("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        port_file = folder / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        lines: list[str] = []
        while len(lines) < 2:
            assert self._process.poll() is None, "the browser has ended"
            assert time.monotonic() < deadline, "the browser does not start"
            lines = port_file.read_text().split() if port_file.is_file() else []
            time.sleep(0.01)
        self._connection: ClientConnection = connect(
            f"ws://127.0.0.1:{lines[0]}{lines[1]}", max_size=None, proxy=None, compression=None
        )
        self._numbers = itertools.count(1)
        self.notes: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        """Of each tab: the events that the browser has sent, in their order."""

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._connection.send(json.dumps(message))
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _receive(self) -> Mapping[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=PATIENCE))
        if "method" in message:
            self.notes.setdefault(message.get("sessionId", ""), []).append((message["method"], message["params"]))
        return message

    def wait_for(self, session: str, method: str) -> None:
        """Wait until the browser has sent an event of a tab."""
        while not any(name == method for name, _ in self.notes.get(session, ())):
            self._receive()

    def close(self) -> None:
        """End the browser."""
        self._connection.close()
        self._process.terminate()
        self._process.wait(PATIENCE)


class Page:
    """A tab with a file in it."""

    def __init__(
        self, browser: Chromium, file: Path, *, width: int = 1000, height: int = 800, dark: bool = False
    ) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=file.as_uri())
        browser.wait_for(self._session, "Page.loadEventFired")

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol for this tab."""
        return self._browser.call(method, self._session, **params)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the tab, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition of JavaScript holds; it is looked at before each frame that the browser draws."""
        deadline = time.monotonic() + PATIENCE
        frame = "new Promise((resolve) => requestAnimationFrame(() => resolve(Boolean({}))))"
        while not self.value(frame.format(condition)):
            assert time.monotonic() < deadline, f"never: {condition}"

    def settle(self) -> None:
        """Wait until all that is requested is drawn."""
        self.value("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press a key and let it go."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        params: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0}
        if key == "Tab":
            params |= {"code": "Tab", "windowsVirtualKeyCode": 9}
        self.call("Input.dispatchKeyEvent", type="keyDown", **params, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **params)
        self.settle()

    def click(self, selector: str) -> None:
        """Click into the middle of an element with the mouse."""
        x, y = self.middle_of(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def middle_of(self, selector: str) -> tuple[float, float]:
        """Return the middle of an element, after it was scrolled into sight."""
        box = (
            f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
            " element.scrollIntoView({block: 'nearest'}); const box = element.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        x, y = self.value(box)
        return float(x), float(y)

    def wheel(self, x: float, y: float, across: float = 0, down: float = 0, *, control: bool = False) -> None:
        """Turn the wheel of the mouse."""
        modifiers = 2 if control else 0
        self.call(
            "Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=across, deltaY=down, modifiers=modifiers
        )
        self.settle()

    def touch(self, *steps: list[tuple[float, float]]) -> None:
        """Put fingers down where the first step says, move them to the others, and lift them."""
        for kind, points in (("touchStart", steps[0]), *(("touchMove", step) for step in steps[1:]), ("touchEnd", [])):
            where = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=where)
            self.settle()

    @property
    def problems(self) -> list[str]:
        """What the console shows of errors and warnings, and what the page has asked the network for."""
        found = []
        for name, params in self._browser.notes.get(self._session, []):
            if name == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            elif name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"]))
            elif name == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif name == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "about:")):
                    found.append(f"a request to {url}")
        return found

    def screenshot(self, file: Path) -> None:
        """Write a picture of what is in sight."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)
