"""ScorePlot: slider, threshold and figure agree."""

import json
import math
from typing import Any

import numpy as np
import pytest
import traitlets
from hypothesis import given
from hypothesis import strategies as st
from mmduet_widgets import ScorePlot
from mmduet_widgets.threshold_slider import ThresholdSlider

from mmduet.errors import DuetError
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Response


def make_trace(frames: int = 20) -> DuetTrace:
    times = np.arange(frames) / 2
    return DuetTrace(times, 0.5 + 0.4 * np.sin(times), np.full(frames, 0.25), [Response(1.0, "A cat.")])


def slider_of(plot: ScorePlot | ThresholdSlider) -> Any:
    """The slider that a hand would move."""
    (slider,) = plot.children if isinstance(plot, ThresholdSlider) else plot.children[0].children
    return slider


def names(plot: ScorePlot) -> list[str]:
    """What the browser shows of what moves."""
    return json.loads(plot.children[1].moved)["changes"]["name"]


@pytest.mark.parametrize("policy", [ScoreThreshold(0.6), ScoreSum(2.0)], ids=repr)
def test_the_slider_moves_the_threshold_and_replays(policy):
    plot = ScorePlot(make_trace(), policy=policy)
    assert slider_of(plot).value == policy.threshold == plot.threshold
    slider_of(plot).value = 0.7
    assert plot.threshold == 0.7
    spoken = len(plot.trace.replay(type(policy)(0.7)))
    assert names(plot)[:2] == [f"would speak {spoken}×", "threshold 0.7"]


def test_the_threshold_moves_the_slider_and_can_be_linked():
    plot, other = (
        ScorePlot(make_trace(), policy=ScoreThreshold(0.6)),
        ScorePlot(make_trace(), policy=ScoreThreshold(0.3)),
    )
    traitlets.link((plot, "threshold"), (other, "threshold"))
    plot.threshold = 0.45
    assert slider_of(plot).value == slider_of(other).value == other.threshold == 0.45
    assert names(other)[1] == "threshold 0.45"


def test_a_threshold_beyond_the_slider_stays_as_it_is():
    plot = ScorePlot(make_trace(), policy=ScoreThreshold(0.6))
    plot.threshold = math.inf
    assert plot.threshold == math.inf
    assert slider_of(plot).value == slider_of(plot).max == 0.9
    assert names(plot)[0] == "would speak 0×"
    slider_of(plot).value = 0.5
    assert plot.threshold == 0.5


def test_never_speaking_is_a_policy_like_any():
    assert ScorePlot(make_trace(), policy=ScoreThreshold(math.inf)).threshold == math.inf


def test_nan_is_no_threshold():
    plot = ScorePlot(make_trace(), policy=ScoreThreshold(0.6))
    with pytest.raises(DuetError, match="threshold=nan"):
        plot.threshold = math.nan


def test_an_update_shows_another_trace_at_the_threshold_as_it_stands():
    plot = ScorePlot(make_trace(4), policy=ScoreThreshold(0.6), title="first")
    plot.threshold = 0.55
    longer = make_trace(30)
    plot.update(longer, spans=[(1.0, 4.0, "a span")], title="second")
    shown = json.loads(plot.children[1].figure)
    assert len(shown["data"][-2]["y"]) == 30
    assert shown["data"][-1]["name"] == "threshold 0.55"
    assert shown["layout"]["title"]["text"] == "second"
    assert json.loads(plot.children[1].moved)["traces"] == []
    slider_of(plot).value = 0.8
    assert names(plot)[0] == f"would speak {len(longer.replay(ScoreThreshold(0.8)))}×"


def test_a_session_that_has_seen_nothing_yet_is_shown():
    plot = ScorePlot(DuetTrace.from_events([]), policy=ScoreThreshold(0.6))
    plot.update(make_trace(1))
    assert json.loads(plot.children[1].figure)["data"][-2]["name"] == "would speak 0×"


def test_a_report_has_the_figure_with_a_slider_of_its_own():
    plot = ScorePlot(make_trace(), policy=ScoreThreshold(0.6))
    plot.threshold = 0.2
    (figure,) = plot.report()
    assert figure.layout.sliders[0].currentvalue.suffix == "  (used: 0.6)"
    assert plot.to_html().startswith("<iframe")


def test_a_slider_follows_other_scales():
    slider = ThresholdSlider(0.5)
    slider.scale([0.4, 0.6, math.inf])
    assert (slider_of(slider).min, slider_of(slider).max, slider.threshold) == (0.4, 0.6, 0.5)
    slider.scale([2.0, 3.0])
    assert (slider_of(slider).min, slider_of(slider).max, slider.threshold) == (2.0, 3.0, 0.5)
    slider.scale([0.0, 1.0])
    assert slider_of(slider).value == 0.5


@given(low=st.floats(-2, 2), span=st.floats(1e-4, 1e4), place=st.integers(0, 400))
def test_what_a_slider_shows_is_its_threshold(low: float, span: float, place: int) -> None:
    slider = ThresholdSlider(0.5)
    slider.scale([low, low + span])
    hand = slider_of(slider)
    assert hand.min <= low + 1e-9 * max(1, span)
    assert hand.max >= low + span - 1e-9 * max(1, span)
    slider.threshold = hand.min
    hand.value = min(hand.min + place * hand.step, hand.max)
    shown = format(hand.value, hand.readout_format)
    assert float(shown) == pytest.approx(slider.threshold, rel=1e-9, abs=1e-9)
