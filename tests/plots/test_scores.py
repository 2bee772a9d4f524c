"""score_figure and responses_table."""

import math

import numpy as np
import pytest

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots import Span
from mmduet.plots.colors import HEAD_COLORS
from mmduet.plots.slider import move
from mmduet.policy import HEADS, FrameScores, Greedy, ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Query, Response
from tests.plots.figures import drawn, examples_and_table, make_trace, make_words, named, pictures
from tests.policies import EveryThird, Smoothed


def test_both_heads_are_drawn_as_they_are_in_the_colours_of_every_figure():
    trace = make_trace()
    fig = plots.score_figure(trace, ScoreThreshold(0.5))
    for head in HEADS:
        np.testing.assert_array_equal(named(fig, head).y, getattr(trace, head))
        np.testing.assert_array_equal(named(fig, head).x, trace.times)
        assert named(fig, head).line.color == HEAD_COLORS[head]
    assert "informative + relevance" not in [t.name for t in fig.data]


def test_two_chosen_heads_show_the_decision_score_on_a_scale_that_holds_it():
    trace = make_trace()
    fig = plots.score_figure(trace, ScoreThreshold(1.2, heads=HEADS))
    score = next(t for t in fig.data if t.name == "informative + relevance")
    np.testing.assert_allclose(score.y, trace.informative + trace.relevance)
    assert fig.layout.yaxis2.range[1] > 2
    assert list(named(fig, "threshold").y) == [1.2, 1.2]


@pytest.mark.parametrize(
    "policy",
    [ScoreThreshold(0.123456789), ScoreThreshold(0.9, heads=HEADS), ScoreSum(1.7), ScoreSum(2.0, heads=HEADS)],
    ids=repr,
)
def test_every_step_of_the_slider_replays_its_threshold(policy):
    trace = make_trace(40)
    fig = plots.score_figure(trace, policy)
    slider = fig.layout.sliders[0]
    assert 15 <= len(slider.steps) <= 30
    assert float(slider.steps[slider.active].value) == policy.threshold, "the policy's own, to the last digit"
    thresholds = [float(step.value) for step in slider.steps]
    assert thresholds == sorted(set(thresholds))
    assert len({step.label for step in slider.steps}) == len(slider.steps)
    for threshold, step in zip(thresholds, slider.steps, strict=True):
        change, indices = step.args
        assert fig.data[indices[0]].name.startswith("would speak")
        expected = trace.replay(type(policy)(threshold, heads=policy.heads)).tolist()
        assert drawn(change["y"][0]) == expected
        assert change["name"][0] == f"would speak {len(expected)}×"
        assert list(change["y"][1]) == [threshold, threshold]


def test_the_figure_opens_at_the_sliders_first_place():
    fig = plots.score_figure(make_trace(), ScoreSum(1.7))
    slider = fig.layout.sliders[0]
    change, indices = slider.steps[slider.active].args
    for index, y, name in zip(indices, change["y"], change["name"], strict=True):
        assert list(fig.data[index].y) == list(y)
        assert fig.data[index].name == name


def test_the_slider_spans_always_to_never_speaking():
    trace = make_trace(40)
    for policy in (ScoreThreshold(0.5), ScoreSum(2.0)):
        steps = plots.score_figure(trace, policy).layout.sliders[0].steps
        spoken = [len(drawn(step.args[0]["y"][0])) for step in steps]
        assert spoken[0] > 20
        assert spoken[-1] == 0


def test_without_a_slider_the_changes_are_returned():
    trace, policy = make_trace(40), ScoreSum(1.7)
    fig, still = plots.score_figure(trace, ScoreSum(2.4), slider=False), plots.score_figure(trace, policy)
    assert not fig.layout.sliders
    move(fig, plots.score_changes(fig, trace, policy))
    for name in ("would speak", "threshold", "running sum"):
        assert list(named(fig, name).y) == list(named(still, name).y)


def test_narrow_scores_get_a_fine_slider():
    trace = make_trace(40)
    trace.informative = 0.02 + 0.03 * trace.informative
    steps = plots.score_figure(trace, ScoreThreshold(0.03)).layout.sliders[0].steps
    assert len(steps) >= 10
    assert float(steps[-1].value) < 0.06


def test_sum_mode_draws_the_sum_the_policy_compares():
    times = np.arange(5.0)
    trace = DuetTrace(times, np.array([0.5, 0.25, 0.5, 0.5, 0.25]), np.zeros(5))
    fig = plots.score_figure(trace, ScoreSum(1.0))
    assert list(named(fig, "running sum").y) == [0.5, 0.75, 1.25, 0.5, 0.75]
    assert drawn(named(fig, "would speak").y) == [2]
    assert named(fig, "threshold").yaxis == named(fig, "running sum").yaxis != named(fig, "informative").yaxis


def test_a_policy_in_use_keeps_its_sum():
    policy = ScoreSum(5.0)
    policy.need(FrameScores(0.0, 0.75, 0.0))
    plots.score_figure(make_trace(), policy)
    assert policy.total == 0.75


def test_never_speaking_is_a_threshold_without_a_line():
    fig = plots.score_figure(make_trace(), ScoreThreshold(math.inf))
    assert drawn(named(fig, "threshold").y) == []
    assert drawn(named(fig, "would speak").y) == []
    assert float(fig.layout.sliders[0].steps[-1].value) == math.inf


def test_responses_are_full_numbered_marks_and_replayed_ones_are_hollow():
    responses = [Response(4.0, "a cup of coffee"), Response(1.0, "a cat")]  # out of order
    fig = plots.score_figure(make_trace(responses=responses), ScoreThreshold(0.5))
    said = named(fig, "said")
    assert list(said.x) == [1.0, 4.0]
    assert list(said.text) == ["1", "2"]
    assert "a cat" in said.hovertext[0]
    assert "1.0 s" in said.hovertext[0]
    assert said.marker.symbol == "circle"
    assert named(fig, "would speak").marker.symbol == "circle-open"
    assert said.y[0] != next(y for y in named(fig, "would speak").y if y is not None)


def test_queries_are_marks_with_a_dashed_line():
    fig = plots.score_figure(make_trace(queries=[Query(2.5, "What now?")]), ScoreThreshold(0.5))
    assert list(named(fig, "asked").x) == [2.5]
    (line,) = [shape for shape in fig.layout.shapes if shape.type == "line"]
    assert (line.x0, line.x1, line.line.dash) == (2.5, 2.5, "dash")


def test_crowded_responses_keep_apart_or_lose_their_numbers():
    trace = make_trace(400)
    trace.responses = [Response(float(t), "still stirring the soup") for t in trace.times[:50]]
    trace.responses.append(Response(180.0, "done"))
    said = named(plots.score_figure(trace, ScoreThreshold(0.5)), "said")
    assert len(set(said.y)) == 3
    assert said.text[-1] == "51"
    assert said.text[0] == ""
    assert said.marker.size[0] < said.marker.size[-1]


def test_spans_are_bands_in_rows_of_their_own_that_do_not_overlap():
    spans = [Span(3.0, 5.0, "pour the milk"), Span(0.0, 2.0, "boil water"), Span(1.0, 4.0, "stir"), Span(2.0, 3.0)]
    fig = plots.score_figure(make_trace(), ScoreThreshold(0.5), spans=spans)
    bands = named(fig, "reference")
    rows = {}
    for start, length, row in zip(bands.base, bands.x, bands.y, strict=True):
        assert all(start >= end or start + length <= begin for begin, end in rows.get(row, []))
        rows.setdefault(row, []).append((start, start + length))
    assert len(rows) == 2
    assert "boil water" in bands.text
    assert len([shape for shape in fig.layout.shapes if shape.type == "rect"]) == 4


@pytest.mark.parametrize("span", [Span(2.0, 1.0, "x"), Span(math.nan, 1.0), Span(0.0, math.inf)])
def test_a_span_that_is_none_is_refused(span):
    with pytest.raises(DuetError, match="start <= end"):
        plots.score_figure(make_trace(), ScoreThreshold(0.5), spans=[span])


@pytest.mark.parametrize("policy", [ScoreThreshold(0.5), ScoreSum(1.0, heads=HEADS)], ids=repr)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_frames_or_none(policy, count):
    responses = [Response(0.0, "so soon")] * (count > 0)
    fig = plots.score_figure(make_trace(count, responses), policy, frames=pictures(count), title="few")
    assert len(fig.layout.images) == count
    assert ("no frames" in [note.text for note in fig.layout.annotations]) == (count == 0)
    assert fig.layout.xaxis.range[0] < fig.layout.xaxis.range[1]
    assert fig.to_json()


def test_one_frame_is_a_point_since_a_line_would_not_show():
    assert named(plots.score_figure(make_trace(1), ScoreThreshold(0.5)), "informative").mode == "markers"


@pytest.mark.parametrize("policy", [ScoreThreshold(1.0, heads=HEADS), ScoreSum(3.0, heads=HEADS)], ids=repr)
def test_a_long_video_stays_small(policy):
    noise = np.random.default_rng(0).random((2, 2000))
    trace = DuetTrace(np.arange(2000) / 2, *noise)
    trace.responses = [Response(float(t), "The man keeps stirring the soup.") for t in trace.times[::10]]
    assert len(plots.score_figure(trace, policy).to_json()) < 1_000_000


def test_a_policy_without_a_threshold_has_marks_alone():
    trace = make_trace(7)
    fig = plots.score_figure(trace, EveryThird())
    assert drawn(named(fig, "would speak").y) == [2, 5]
    assert not any(t.name.startswith("threshold") for t in fig.data if t.name)
    assert not fig.layout.sliders
    with pytest.raises(DuetError, match="has no threshold, which a figure over thresholds needs"):
        plots.threshold_figure(*examples_and_table(ScoreThreshold(0.5))[::-1], EveryThird())


def test_an_own_decision_curve_is_drawn_with_the_scores():
    trace, policy = make_trace(20), Smoothed(0.4)
    fig = plots.score_figure(trace, policy)
    np.testing.assert_allclose(named(fig, "decision score").y, policy.decision_curve(trace))
    assert drawn(named(fig, "would speak").y) == trace.replay(policy).tolist()
    assert len(fig.layout.sliders[0].steps) > 10


@pytest.mark.parametrize("policy", [object(), "sum", None])
def test_an_unknown_policy_is_refused(policy):
    with pytest.raises(DuetError, match="is not a policy"):
        plots.score_figure(make_trace(), policy)
    with pytest.raises(DuetError, match="is not a policy"):
        plots.threshold_figure(*examples_and_table(ScoreThreshold(0.5))[::-1], policy)


def test_the_table_numbers_responses_as_the_figure_does_and_names_their_spans():
    responses = [Response(4.0, "<b>late</b>"), Response(1.0, "early"), Response(9.0, "after")]
    spans = [Span(3.0, 5.0, "pour & stir"), Span(0.0, 4.0, "boil")]
    table = plots.responses_table(make_trace(responses=responses), spans)
    assert table.to_dict("list") == {
        "number": [1, 2, 3],
        "time": [1.0, 4.0, 9.0],
        "text": ["early", "<b>late</b>", "after"],
        "span": ["boil", "boil; pour & stir", ""],
    }
    assert list(plots.responses_table(make_trace()).columns) == ["number", "time", "text", "span"]


@pytest.mark.parametrize("policy", [Greedy(), ScoreThreshold(0.7), ScoreThreshold(0.7, heads=HEADS)], ids=repr)
def test_a_model_that_decides_in_words_has_one_curve(policy):
    trace = make_words()
    fig = plots.score_figure(trace, policy)
    np.testing.assert_array_equal(named(fig, "reply").y, trace.reply)
    assert named(fig, "reply").line.color == HEAD_COLORS["reply"]
    assert not {*HEADS, "informative + relevance", "decision score"} & {t.name for t in fig.data}
    assert fig.layout.yaxis2.range[1] < 1.1, "one score, whatever heads a policy names"
    expected = trace.replay(policy).tolist()
    assert 0 < len(expected) < len(trace)
    assert drawn(named(fig, f"would speak {len(expected)}×").y) == expected
    assert bool(fig.layout.sliders) == isinstance(policy, ScoreThreshold), "only a threshold can be moved"


def test_a_sum_of_replies_is_drawn_in_its_panel():
    trace = make_words()
    fig = plots.score_figure(trace, ScoreSum(2.0))
    assert named(fig, "running sum").yaxis == "y3"
    assert max(named(fig, "running sum").y) > 1
