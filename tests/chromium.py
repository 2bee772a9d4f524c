"""Headless Chromium through Playwright: the system's own, nothing is downloaded."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Frame, Page, sync_playwright

PATIENCE = 30  # s
# without a GPU's emulation, which costs more than drawing without
FLAGS = ["--no-sandbox", "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required"]


@dataclass
class Record:
    """What a page did so far. requests: addresses. errors: uncaught exceptions, and what it wrote as an error."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def find_chromium(*, shell: bool) -> str:
    """Its path; skips the test where there is none.

    Args:
        shell: Whether Debian's shell without windows will do. It needs less processor time, asks for no permission,
            and closes a page without the page's own handlers.
    """
    names = [*(["chromium-headless-shell"] if shell else []), "chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"this machine has none of {', '.join(names)}")
    return found


@contextmanager
def open_browser(*flags: str, shell: bool = True) -> Iterator[Browser]:
    """A browser, ended on leaving. flags: more of Chromium's own. shell: as of `find_chromium`."""
    path = find_chromium(shell=shell)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        yield browser
        browser.close()


def record(page: Page) -> Record:
    """Begins to note what a page does."""
    seen = Record()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    return seen


def until(page: Page | Frame, expression: str) -> Any:
    """Waits for a JavaScript expression to come true; its value. Playwright's own way is eval: pages forbid it."""
    began = time.monotonic()
    while not (value := page.evaluate(expression)):
        waited = time.monotonic() - began
        assert waited < PATIENCE, f"never came true: {expression}"
        page.wait_for_timeout(20 + 50 * min(waited, 4))  # ms; what takes long is looked for less often
    return value
