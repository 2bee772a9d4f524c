"""CompareTraces: whose responses it shows, how it aligns them, and that its page is text and needs nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup
from mmduet_widgets import CompareTraces

from mmduet.errors import DuetError, VideoError
from mmduet.policy import Greedy, ScoreSum, ScoreThreshold
from mmduet.trace import UNTIMED, DuetTrace, Query, Response
from tests.clips import write_clip
from tests.widgets.players import ATTACK, inner, make_trace, make_words


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=144)


def said(*responses: tuple[float, str]) -> DuetTrace:
    return DuetTrace.from_events([Response(*response) for response in responses])


def compare(clip: Path, **options: Any) -> CompareTraces:
    traces = {"one": said((2.0, "A cat."), (8.0, "A dog.")), "two": said((2.75, "It is a cat."), (11.0, ATTACK))}
    return CompareTraces(clip, **{"traces": traces, **options})


def tables(widget: CompareTraces) -> list[list[list[str]]]:
    """The cells of both tables as they are shown."""
    found = BeautifulSoup(widget.children[2].value, "html.parser").find_all("table")
    return [
        [
            [cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in row.find_all(["th", "td"])]
            for row in table.find_all("tr")
        ]
        for table in found
    ]


def test_responses_are_aligned_and_counted(clip: Path) -> None:
    figures, transcript = tables(compare(clip))
    assert figures[1:] == [["one", "2", "10.0", "1.00", "0.50"], ["two", "2", "10.0", "0.50", "1.00"]]
    assert transcript == [
        ["time", "one", "two"],
        ["2.0 s", "A cat.", "+0.8 s: It is a cat."],
        ["8.0 s", "A dog.", ""],
        ["11.0 s", "", ATTACK],
    ]


@pytest.mark.parametrize(("frames", "watched"), [(6, 3.0), (12, 6.0), (23, 11.5), (24, 12.0)])
def test_the_rate_is_of_what_was_watched(clip: Path, frames: int, watched: float) -> None:
    traces = {"cut": make_trace(frames), "whole": make_trace(24)}
    rates = compare(clip, traces=traces).figures["responses a minute"]
    assert rates.to_dict() == pytest.approx({"cut": 2 * 60 / watched, "whole": 10.0})


def test_the_tolerance_moves_both_tables_and_the_slider(clip: Path) -> None:
    widget = compare(clip)
    widget.tolerance = 3.0
    assert widget.figures.loc["one", "agreement with two"] == 1
    assert [row[0] for row in tables(widget)[1][1:]] == ["2.0 s", "8.0 s"]
    slider = widget.children[1]
    assert slider.value == 3.0
    slider.value = 0.5
    assert widget.figures.loc["one", "agreement with two"] == 0
    for wrong in (-1.0, 11.0, float("nan")):
        with pytest.raises(DuetError, match="tolerance="):
            widget.tolerance = wrong
    assert widget.tolerance == 0.5


def test_a_policy_says_where_a_trace_speaks(clip: Path) -> None:
    heads, words = make_trace(24), make_words()
    policies = {"low": ScoreThreshold(0.35), "sum": ScoreSum(2.0), "words": Greedy()}
    traces = {"low": heads, "sum": heads, "words": words, "own": heads}
    widget = CompareTraces(clip, traces, policies=policies)
    counts = [len(traces[name].replay(policy)) for name, policy in policies.items()]
    assert widget.figures["responses"].tolist() == [*counts, len(heads.responses)]
    row = widget.transcript[widget.transcript["words"].str.contains("A cat")]
    assert row["time"].between(6.0, 7.0).all(), "the words of this run at the times where it spoke"
    assert "(not said in this run)" in set(widget.transcript["low"])
    assert tables(widget)[1][1][1] == "What is there?", "a query, once"


def test_scores_are_above_each_other_over_one_time_axis(clip: Path) -> None:
    traces = {"heads": make_trace(24), "words": make_words(), "alone": said((1.0, "A cat."))}
    policies = {"heads": ScoreThreshold(0.65), "words": ScoreThreshold(0.4)}
    figure = CompareTraces(clip, traces, policies=policies, spans=[(1.0, 3.0, "a cat")]).figure
    panels = {trace.name: trace.yaxis for trace in figure.data if trace.name in ("informative", "relevance", "reply")}
    assert panels["informative"] == panels["relevance"] != panels["reply"]
    domains = [figure.layout["yaxis" + panels[name][1:]].domain for name in ("informative", "reply")]
    assert domains[0][0] > domains[1][1]
    assert [list(trace.y) for trace in figure.data if trace.name == "threshold"] == [[0.65, 0.65], [0.4, 0.4]]
    assert figure.layout.yaxis.ticktext == ("asked", "heads", "words", "alone", "reference")
    assert len(figure.layout.images) > 5


def test_the_page_shows_text_as_text(clip: Path) -> None:
    traces = {ATTACK: make_trace(24), "time": said((1.0, ATTACK)), "asked": make_trace(24)}
    widget = compare(clip, traces=traces, title=ATTACK)
    document = BeautifulSoup(inner(widget.to_html()), "html.parser")
    assert document.find_all(["img", "iframe", "link"]) == []
    assert ATTACK in [cell.text for cell in document.find_all(["td", "th"])]
    assert not [script for script in document.find_all("script") if script.get("src")]
    transcript = document.find(attrs={"aria-label": "Transcript"})
    assert transcript is not None
    assert transcript["tabindex"] == "0", "the keyboard scrolls it"
    json.loads(widget.children[0].figure)


def test_silent_models_have_nothing_to_agree_on(clip: Path) -> None:
    widget = compare(clip, traces={"one": said(), "two": said()})
    assert np.isnan(widget.figures["agreement with two"]).all()
    assert [row[3:] for row in tables(widget)[0][1:]] == [["–", "–"]] * 2
    assert len(widget.transcript) == 0


def test_what_cannot_be_compared_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(DuetError, match="give two or more"):
        compare(clip, traces={"one": said()})
    with pytest.raises(DuetError, match="policies has 'three'"):
        compare(clip, policies={"three": Greedy()})
    with pytest.raises(DuetError, match=r"times=\[-1.0\]"):
        compare(clip, traces={"one": said(), "two": said((UNTIMED, "A cat."))})
    with pytest.raises(VideoError):
        compare(tmp_path / "none.mp4")
    asked = DuetTrace.from_events([Query(0.0, "what?")])
    assert len(compare(clip, traces={"one": asked, "two": asked}).transcript) == 1
