"""The page of a watched video."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup

from mmduet.policy import Greedy, ScoreThreshold
from mmduet.reports import trace_page
from mmduet.trace import DuetTrace, Query, Response
from tests.clips import write_clip

LONG = "<script>x</script> & " + "word " * 40 + "\nend"


def trace_of(count: int = 6) -> DuetTrace:
    scores = np.linspace(0, 1, count)
    said = [Response(1.0, LONG), Response(2.0, "a --> b")]
    return DuetTrace(np.arange(count) / 2, scores, 1 - scores, said, [Query(0.0, "What?")])


def page_of(clip: Path | None = None, trace: DuetTrace | None = None) -> BeautifulSoup:
    given = trace_of() if trace is None else trace
    policy = Greedy() if given.reply is not None else ScoreThreshold(0.5)
    text = trace_page.trace_page(given, policy, title="a\n# clip", command="mmduet watch `x``", clip=clip)
    return BeautifulSoup(text, "html.parser")


def test_it_has_all_that_was_said_as_text() -> None:
    page = page_of()
    assert [heading.text for heading in page.find_all("h1")] == ["a # clip"]
    rows = [[cell.text for cell in row.find_all("td")] for row in page.main.find_all("tr")]
    assert rows == [
        [],
        ["0.0", "user", "What?"], ["1.0", "model", LONG], ["2.0", "model", "a --> b"],
    ]  # fmt: skip
    assert "mmduet watch `x``" in [code.text.strip() for code in page.find_all("code")]
    assert not page.find("video")
    assert not page.find_all("a", href=re.compile("#t=")), "there is no clip to go to"
    assert not page.find_all("details"), "it was made by a command, not by cells that one could run"


def test_its_figure_has_the_scores() -> None:
    plot = json.loads(page_of().find("script", type="application/json").text)
    assert {"informative", "relevance"} <= {drawn.get("name") for drawn in plot["data"]}


def test_a_clip_is_in_it_with_captions(tmp_path: Path) -> None:
    video = page_of(write_clip(tmp_path / "a.mp4", frames=36)).find("video")
    assert video["src"].startswith("data:video/mp4;base64,")
    assert video.track["src"].startswith("data:text/vtt;base64,")


@pytest.mark.parametrize(("name", "reason"), [("a.mkv", "browsers play .mp4 and .webm"), ("a.mp4", "more than 0 MB")])
def test_a_clip_that_is_not_in_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.setattr(trace_page, "MAX_VIDEO_BYTES", 100)
    page = page_of(write_clip(tmp_path / name, frames=36))
    assert not page.find("video")
    assert re.search(f"The clip is not in this page: .*{reason}", page.main.text)


@pytest.mark.parametrize(
    "trace", [DuetTrace.from_events([]), DuetTrace(np.arange(3.0), reply=np.zeros(3), greedy=np.zeros(3, bool))]
)
def test_a_trace_without_frames_or_in_words_has_a_page(tmp_path: Path, trace: DuetTrace) -> None:
    assert page_of(write_clip(tmp_path / "a.mp4"), trace).find("video")
