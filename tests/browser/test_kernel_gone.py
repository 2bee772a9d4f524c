"""A kernel that is killed while the model watches: the player says so, and stays usable as far as it can."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.browser.servers import run_code, run_notebook, serve_lab, write_notebook
from tests.chromium import Browser, Page, until
from tests.clips import write_clip

TOLD_WITHIN = 5.0  # s
CELL = """
import os
from mmduet import DuetSession, ScoreThreshold
from mmduet.checkpoints import build_tiny
from mmduet_widgets import LiveDuet

live = LiveDuet(DuetSession(*build_tiny(), policy=ScoreThreshold(2.0), frame_fps=2), ["clip.mp4"])
live
"""
PLAYER = "document.querySelector('.mmduet-player')"
STATUS = f"{PLAYER}.querySelector('.mmduet-player-status').textContent"
MESSAGE = f"{PLAYER}.querySelector('.mmduet-player-message').textContent"


@pytest.fixture
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with a live player of a long clip."""
    folder = tmp_path_factory.mktemp("lab")
    write_clip(folder / "clip.mp4", frames=1200)
    write_notebook(folder / "live.ipynb", CELL)
    with serve_lab(folder) as (address, token):
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        run_notebook(page, address, token, "live.ipynb")
        page.locator(".mmduet-player").wait_for()
        yield page
        page.close()


def test_a_kernel_killed_in_a_run_is_reported(lab: Page) -> None:
    live = lab.locator(".mmduet-player")
    process = int(run_code(lab, "print(os.getpid())"))
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{STATUS} === 'watching' && /in [1-9]\\d* frames/.test({PLAYER}.textContent)")
    run_code(lab, "live._watcher.join(4)")  # longer than the page waits for a sign of life
    assert lab.evaluate(STATUS) == "watching", "a notebook that is busy is no kernel that is gone"
    os.kill(process, signal.SIGKILL)
    killed = time.monotonic()
    until(lab, f"{STATUS} === 'no answer'")
    assert time.monotonic() - killed < TOLD_WITHIN
    assert "run the cell again" in lab.evaluate(MESSAGE)
    for name in ("Stop", "Pause"):
        assert live.get_by_role("button", name=name, exact=True).first.is_disabled()
    if lab.locator(".jp-Dialog").count():
        lab.keyboard.press("Escape")
    live.get_by_role("button", name="Play", exact=True).click()
    until(lab, f"{PLAYER}.querySelector('video').currentTime > 0.3 && !{PLAYER}.querySelector('video').paused")


def test_a_command_without_an_answer_is_reported(lab: Page) -> None:
    live = lab.locator(".mmduet-player")
    os.kill(int(run_code(lab, "print(os.getpid())")), signal.SIGKILL)
    until(lab, "!['idle', 'busy'].includes(jupyterapp.shell.currentWidget.sessionContext.session.kernel.status)")
    assert lab.evaluate(STATUS) == "ready"
    if lab.locator(".jp-Dialog").count():
        lab.keyboard.press("Escape")
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{STATUS} === 'no answer'")
