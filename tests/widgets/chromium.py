"""A page in headless Chromium, driven with real pointers and keys over its own debugging protocol."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--remote-debugging-port=0", "--remote-allow-origins=*", "--mute-audio",
    "--autoplay-policy=no-user-gesture-required", "--disable-features=IsolateSandboxedIframes",
]  # fmt: skip
PATIENCE = 15  # s


def find_chromium() -> str:
    """Its path; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("there is no chromium on this machine")
    return found


class Page:
    """One page. `requests`: the addresses it asked for. `errors`: its uncaught exceptions' texts."""

    def __init__(self, socket: Any):
        self.socket, self.count, self.held = socket, 0, False
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command, waits for its answer; notes what the page reports meanwhile."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.count:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(message["params"]["exceptionDetails"]))

    def open(self, path: Path, *, width: int = 760, height: int = 800) -> None:
        """Shows a file in a window of so many pixels."""
        self.requests.clear()
        self.errors.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def value(self, expression: str, **where: Any) -> Any:
        """What a JavaScript expression gives, as JSON."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, **where)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, **where: Any) -> None:
        """Waits for an expression to come true."""
        ending = time.monotonic() + PATIENCE
        while not self.value(expression, **where):
            assert time.monotonic() < ending, f"never came true: {expression}; errors: {self.errors}"
            time.sleep(0.02)

    def frame_world(self) -> int:
        """The id of a script world in the page's first frame, for `contextId`."""
        tree = self.call("Page.getFrameTree")["frameTree"]
        frame = tree["childFrames"][0]["frame"]["id"]
        return self.call("Page.createIsolatedWorld", frameId=frame)["executionContextId"]

    def center(self, selector: str) -> tuple[float, float]:
        """The middle of an element, pixels."""
        box = self.value(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({found(selector)})")
        return box[0], box[1]

    def pointer(self, kind: str, x: float, y: float) -> None:
        """kind: "mousePressed", "mouseMoved" or "mouseReleased"."""
        self.held = kind == "mousePressed" or (self.held and kind == "mouseMoved")
        button = "none" if kind == "mouseMoved" and not self.held else "left"
        place = {"type": kind, "x": x, "y": y, "button": button, "buttons": int(self.held), "clickCount": 1}
        self.call("Input.dispatchMouseEvent", **place)

    def click(self, x: float, y: float) -> None:
        self.pointer("mousePressed", x, y)
        self.pointer("mouseReleased", x, y)

    def key(self, key: str) -> None:
        code = {" ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}[key]
        text = {"text": " "} if key == " " else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


def found(selector: str) -> str:
    """The expression of an element's box."""
    return f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"


@contextmanager
def open_chromium(folder: Path) -> Iterator[Page]:
    """A browser with one page; ended and its processes reaped on leaving. folder: for its profile."""
    websocket = pytest.importorskip("websocket")
    browser = subprocess.Popen(
        [find_chromium(), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        socket = websocket.create_connection(_page_address(folder / "DevToolsActivePort"), timeout=PATIENCE)
        yield Page(socket)
        socket.close()
    finally:
        browser.terminate()
        browser.wait(PATIENCE)


def _page_address(port_file: Path) -> str:
    ending = time.monotonic() + PATIENCE
    while time.monotonic() < ending:
        if port_file.exists() and (lines := port_file.read_text().splitlines()):
            with urlopen(f"http://127.0.0.1:{lines[0]}/json") as answer:
                pages = [target for target in json.load(answer) if target["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.02)
    raise AssertionError("chromium did not start")
