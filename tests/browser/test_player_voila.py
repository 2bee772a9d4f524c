"""The live player on a page of Voilà: a clip that is sent from the page, and a kernel that is gone."""

import base64
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.servers import serve, write_notebook
from tests.browser.test_any_clip import DROP
from tests.browser.test_kernel_gone import STATUS, TOLD_WITHIN
from tests.chromium import Browser, Page, until
from tests.clips import write_clip, write_coded

CELL = """
import os
from pathlib import Path
from mmduet import DuetSession, ScoreThreshold
from mmduet.checkpoints import build_tiny
from mmduet_widgets import LiveDuet

Path("process").write_text(str(os.getpid()))
LiveDuet(DuetSession(*build_tiny(), policy=ScoreThreshold(2.0), frame_fps=2), ["clip.mp4"])
"""
PLAYER = "document.querySelector('.mmduet-player')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("voila")


@pytest.fixture(scope="module")
def app(browser: Browser, folder: Path) -> Iterator[Page]:
    """A page with a live player of a long clip."""
    write_clip(folder / "clip.mp4", frames=1200)
    write_notebook(folder / "live.ipynb", CELL)
    with serve(folder, "voila", "live.ipynb", "--Voila.ip=127.0.0.1", "--token", "--no-browser") as (address, token):
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.goto(f"{address}/?{token}", timeout=180_000)
        page.locator(".mmduet-player").wait_for(timeout=180_000)
        yield page
        page.close()


def test_a_clip_that_is_dropped_is_watched(app: Page, tmp_path: Path) -> None:
    dropped = write_coded(tmp_path / "dropped.avi", "MPEG-4", frames=50)
    app.evaluate(DROP, [".mmduet-player", base64.b64encode(dropped.read_bytes()).decode(), dropped.name])
    until(app, f"{PLAYER}.querySelector('.mmduet-player-title').textContent === 'dropped.avi'")
    app.get_by_role("button", name="Watch", exact=True).click()
    until(app, f"{PLAYER}.querySelector('.mmduet-player-picture')?.naturalWidth > 0")
    until(app, f"{STATUS} === 'watched to the end'")


def test_a_kernel_that_is_killed_is_reported(app: Page, folder: Path) -> None:
    app.get_by_label("Clip", exact=True).select_option("clip.mp4")
    until(app, f"{PLAYER}.querySelector('.mmduet-player-title').textContent === 'clip.mp4'")
    app.get_by_role("button", name="Watch", exact=True).click()
    until(app, f"{STATUS} === 'watching' && /in [1-9]\\d* frames/.test({PLAYER}.textContent)")
    os.kill(int((folder / "process").read_text()), signal.SIGKILL)
    killed = time.monotonic()
    until(app, f"{STATUS} === 'no answer'")
    assert time.monotonic() - killed < TOLD_WITHIN
