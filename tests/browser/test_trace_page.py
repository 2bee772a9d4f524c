"""The page of a watched video in a browser: its clip, captions and transcript show the same times."""

from pathlib import Path

import numpy as np
import pytest

from mmduet.policy import ScoreThreshold
from mmduet.reports.trace_page import trace_page
from tests.chromium import Page, until
from tests.clips import write_clip
from tests.widgets.players import make_trace

VIDEO = "document.querySelector('video')"


def shows(page: Page, time: float) -> None:
    until(page, f"!{VIDEO}.seeking && {VIDEO}.readyState >= 2 && Math.abs({VIDEO}.currentTime - {time}) < 0.05")


@pytest.fixture(params=["a.mp4", "a.webm", "late.mp4", "late.webm"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Six seconds, of a file whose times may begin at 7.5 s."""
    start = 7500 if request.param.startswith("late") else 0
    clip = write_clip(tmp_path / request.param, frames=72, times=start + np.round(1000 * np.arange(72) / 12))
    path = tmp_path / "page.html"
    text = trace_page(make_trace(), ScoreThreshold(0.5), title="A clip", command="mmduet watch", clip=clip)
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


def test_clip_captions_and_transcript_have_the_times_of_the_trace(page: Page, address: str) -> None:
    page.goto(address)
    shows(page, 0)
    assert page.evaluate(f"{VIDEO}.duration") == pytest.approx(6, abs=0.1)
    until(page, f"{VIDEO}.textTracks[0].cues?.length === 2")
    assert page.evaluate(f"[...{VIDEO}.textTracks[0].cues].map((cue) => cue.startTime)") == [2.0, 4.0]
    for row, time in (("A cat.", 4), ("What is there?", 0), ("A cat.", 4)):
        page.get_by_role("row", name=row).get_by_text(row).click()
        shows(page, time)
    page.evaluate(f"{VIDEO}.currentTime = 1")
    shows(page, 1)
    page.get_by_role("link", name="4.0").press("Enter")
    shows(page, 4)


def test_a_link_opens_a_moment(page: Page, address: str) -> None:
    page.goto(f"{address}#t=3.5")
    shows(page, 3.5)
    page.evaluate("location.hash = '#t=0:02'")
    shows(page, 2)
    assert not page.locator("#show-code").is_visible()
