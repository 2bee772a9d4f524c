"""Clips that no browser shows: the player shows the frames that the model sees, and knows the length."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.servers import open_notebook, run_code
from tests.chromium import Browser, Page, until
from tests.clips import RATE, number_of, write_clip, write_coded, write_large, write_sounding

CELL = """
from mmduet import DuetSession, ScoreThreshold
from mmduet.checkpoints import build_tiny
from mmduet_widgets import LiveDuet

session = DuetSession(*build_tiny(), policy=ScoreThreshold(2.0), frame_fps=5)
live = LiveDuet(session, ["small.mp4", "clip.avi", "sounding.mp4", "large.mp4"])
live
"""
PLAYER = "document.querySelector('.mmduet-player')"
STATUS = f"{PLAYER}.querySelector('.mmduet-player-status').textContent"
TIME = f"{PLAYER}.querySelector('.mmduet-player-time').textContent"
FRAMES = 75
# the picture that is shown, as base64
PICTURE = """
async () => {
  const image = document.querySelector(".mmduet-player-picture");
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    write_clip(folder / "small.mp4")
    write_coded(folder / "clip.avi", "MPEG-4", frames=FRAMES)
    write_sounding(folder / "sounding.mp4", "HEVC open GOP", frames=FRAMES)
    write_large(folder / "large.mp4", megabytes=30, frames=FRAMES)
    assert (folder / "large.mp4").stat().st_size > 30e6
    return folder


@pytest.fixture(scope="module")
def lab(browser: Browser, folder: Path) -> Iterator[Page]:
    """A notebook with a live player of all clips."""
    with open_notebook(browser, folder, CELL) as page:
        yield page


def picture_number(page: Page) -> int:
    """The number of the source frame in the picture that is shown."""
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(page.evaluate(PICTURE)))))
    side = shown.shape[0]
    border = side // 8  # 4:3 in a square
    return number_of(shown[border : side - border])


@pytest.mark.parametrize("name", ["clip.avi", "sounding.mp4", "large.mp4"])
def test_the_frames_are_shown_while_the_model_watches(lab: Page, name: str) -> None:
    live = lab.locator(".mmduet-player")
    live.get_by_label("Clip", exact=True).select_option(name)
    until(lab, f"{TIME} === '0:00.0 / 0:03.0'")
    until(lab, f"{PLAYER}.querySelector('.mmduet-player-note')")
    assert not live.locator(".mmduet-player-picture").count(), "frames of the clip before are gone"
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{PLAYER}.querySelector('.mmduet-player-picture')?.naturalWidth > 0")
    first = picture_number(lab)
    until(lab, f"{STATUS} === 'watched to the end'")
    until(lab, f"{TIME} === '0:02.8 / 0:03.0'")
    last = picture_number(lab)
    assert 0 <= first < last
    assert last == 2.8 * RATE, "the frame that the model saw last"
    assert not live.locator(".mmduet-player-note").count()
    live.locator(".mmduet-player-timeline").scroll_into_view_if_needed()
    live.focus()
    lab.keyboard.press("Home")
    until(lab, f"{TIME} === '0:00.0 / 0:03.0'")
    assert picture_number(lab) < last, "one can go back to the frames that were seen"


def test_no_frames_are_sent_of_a_clip_that_the_browser_plays(lab: Page) -> None:
    live = lab.locator(".mmduet-player")
    live.get_by_label("Clip", exact=True).select_option("small.mp4")
    until(lab, f"{PLAYER}.querySelector('video')?.videoWidth > 0")
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{STATUS} === 'watched to the end'")
    assert run_code(lab, "print(live.frames_wanted, live.picture)") == "False {}\n"
    assert not live.locator(".mmduet-player-picture").count()


DROP = """
([selector, base64, name]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  const node = document.querySelector(selector);
  const options = { dataTransfer, bubbles: true, cancelable: true };
  for (const type of ["dragover", "drop"]) node.dispatchEvent(new DragEvent(type, options));
}
"""


def test_a_clip_that_is_dropped_or_chosen_is_watched(lab: Page, tmp_path: Path) -> None:
    live = lab.locator(".mmduet-player")
    title = f"{PLAYER}.querySelector('.mmduet-player-title').textContent"
    dropped = write_coded(tmp_path / "dropped.mp4", frames=50)
    lab.evaluate(DROP, [".mmduet-player", base64.b64encode(dropped.read_bytes()).decode(), dropped.name])
    chosen = write_large(tmp_path / "chosen.mp4", megabytes=3, frames=50)
    for path in (dropped, chosen):
        if path is chosen:
            with lab.expect_file_chooser() as chooser:
                live.get_by_role("button", name="Upload …").click()
            chooser.value.set_files(path)
        until(lab, f"{title} === '{path.name}' && {PLAYER}.querySelector('video, .mmduet-player-note')")
        live.get_by_role("button", name="Watch", exact=True).click()
        until(lab, f"{STATUS} === 'watched to the end' && {TIME} === '0:01.8 / 0:02.0'")
    assert run_code(lab, "print(len(live.clips))") == "6\n"


@pytest.mark.parametrize("size", [1, 8, 1_500_000], ids=["a byte", "a piece", "two pieces"])
def test_what_is_no_clip_is_reported_and_the_next_one_can_be_chosen(lab: Page, size: int) -> None:
    lab.evaluate(DROP, [".mmduet-player", base64.b64encode(b"x" * size).decode(), "text.mp4"])
    message = f"{PLAYER}.querySelector('.mmduet-player-message').textContent"
    until(lab, f"{message}.startsWith('text.mp4 ') && {message}.includes('is not a video')")
    until(lab, f"{PLAYER}.querySelector('.mmduet-player-upload-status').textContent === 'not taken'")
    assert lab.locator(".mmduet-player").get_by_role("button", name="Upload …").count() == 1
    assert run_code(lab, "print(len(live.clips))") == "6\n"
    lab.evaluate(DROP, [".mmduet-player", "", "none.mp4"])
    until(lab, f"{PLAYER}.querySelector('.mmduet-player-upload-status').textContent === 'none.mp4 is empty'")
