"""Figures: what they draw is what the data say, text stays text, and odd sizes work."""

import base64
import html
import io
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import torch
from PIL import Image

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots import Span
from mmduet.plots.labels import CELL_KINDS
from mmduet.plots.slider import move
from mmduet.plots.strip import thumbnail
from mmduet.plots.style import HEAD_COLORS, INK
from mmduet.policy import HEADS, FrameScores, ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Query, Response
from tests.policies import EveryThird, Smoothed

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "<b>bold</b>", "&lt;i&gt; $x$ and $y$"]


def make_trace(count=12, responses=(), queries=()):
    """Scores that rise and fall, two frames a second."""
    times = np.arange(count) / 2
    informative = 0.5 + 0.4 * np.sin(times)
    return DuetTrace(times, informative, 0.8 - 0.5 * informative, list(responses), list(queries))


def pictures(count, height=48, width=64):
    """Frames of one grey each, darker to lighter."""
    greys = np.linspace(0, 250, count).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 3, height, width))


def named(fig, name):
    """The one trace of that name (or whose name starts with it)."""
    (found,) = [t for t in fig.data if t.name and (t.name == name or t.name.startswith(name + " "))]
    return found


def drawn(values):
    """Indices of the points that are there."""
    return [index for index, value in enumerate(values) if value is not None]


def strings(node):
    """Every string in a figure's JSON."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        return [s for value in node.values() for s in strings(value)]
    return [s for value in node for s in strings(value)] if isinstance(node, (list, tuple, np.ndarray)) else []


# --- score_figure -------------------------------------------------------------------------------------


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


# --- threshold_figure ---------------------------------------------------------------------------------


def examples_and_table(policy, texts=("a cat", "a dog")):
    """Two examples of different length, and two figures over three thresholds."""
    traces = [make_trace(12, [Response(2.0, texts[0])]), make_trace(20)]
    examples = [plots.ReplayedExample(text, t, [(1.0, 3.0, text)]) for text, t in zip(texts, traces, strict=True)]
    index = [0.2, policy.threshold, 0.9]
    table = pd.DataFrame({"a minute": [9.0, 3.0, 0.0], "a rate": [0.2, 0.4, math.nan]}, index=index)
    return examples, table


def test_figures_over_thresholds_stand_at_the_policys_and_the_slider_replays_every_example():
    policy = ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    fig = plots.threshold_figure(table, examples, policy)
    assert [t.name for t in fig.data if t.meta] == ["a minute 3.00", "a rate 0.40", "threshold 0.5", "threshold 0.5",
        f"would speak {sum(len(e.trace.replay(policy)) for e in examples)}×"]  # fmt: skip
    assert fig.layout.yaxis2.domain[1] < fig.layout.yaxis.domain[0], "what exceeds 1 has a panel of its own"
    slider = fig.layout.sliders[0]
    assert slider.active == 1
    for step, threshold in zip(slider.steps, table.index, strict=True):
        change, indices = step.args
        assert [fig.data[i].meta is not None for i in indices] == [True] * 5
        assert change["x"][0] == [threshold]
        expected = [
            (example.trace.times[index], row + 0.5)
            for row, example in enumerate(examples)
            for index in example.trace.replay(ScoreThreshold(threshold))
        ]
        assert list(zip(change["x"][-1], change["y"][-1], strict=True)) == expected


def test_between_thresholds_figures_are_interpolated_and_beyond_them_unknown():
    policy = ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    fig = plots.threshold_figure(table, examples, policy, slider=False)
    changes = plots.threshold_changes(fig, table, examples, ScoreThreshold(0.35))
    assert changes["name"][0] == "a minute 6.00"
    changes = plots.threshold_changes(fig, table, examples, ScoreThreshold(math.inf))
    assert changes["x"][0] == [None]
    assert changes["name"][0] == "a minute –"
    assert changes["name"][-1] == "would speak 0×"


def test_intervals_are_bands_around_their_curves():
    policy = ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    fig = plots.threshold_figure(table, examples, policy, intervals=(table * 0.9, table * 1.1))
    bands = [t for t in fig.data if t.type == "scatter" and t.fill == "toself"]
    np.testing.assert_allclose(bands[0].y, [8.1, 2.7, 0, 0, 3.3, 9.9])
    assert len(bands[1].x) == 4, "where a figure is not known there is no band"


# --- paged_figure -------------------------------------------------------------------------------------


def test_pages_show_one_figure_at_a_time():
    trace = make_trace(6, queries=[Query(0.0, "now?")])
    pages = [
        ("first", plots.label_figure(trace.times, frames=pictures(6), title="one")),
        ("<b>", plots.label_figure(trace.times, turns=trace.queries, title="two")),
    ]
    fig = plots.paged_figure(pages, shown=1)
    assert fig.layout.title.text == "two"
    menu = fig.layout.updatemenus[0]
    assert (menu.active, menu.buttons[1].label) == (1, "&lt;b&gt;")
    for number, button in enumerate(menu.buttons):
        visible, layout = button.args
        kept = [t for t, v in zip(fig.data, visible["visible"], strict=True) if v]
        assert [t.name for t in kept] == [t.name for t in pages[number][1].data]
        assert len(layout["images"]) == len(pages[number][1].layout.images)
        assert len(layout["shapes"]) == len(pages[number][1].layout.shapes)
    assert [t.visible for t in fig.data] == list(menu.buttons[1].args[0]["visible"])


def test_one_page_needs_no_buttons():
    fig = plots.label_figure(make_trace(3).times)
    assert plots.paged_figure([("alone", fig)]) is fig


# --- text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_models_and_annotations_is_never_markup(text):
    trace = make_trace(40, [Response(2.0, text)], [Query(0.0, text)])
    figures = [
        plots.score_figure(trace, ScoreThreshold(0.5), spans=[Span(0.0, 20.0, text)], title=text),
        plots.label_figure(trace.times, turns=[*trace.queries, *trace.responses], title=text),
        plots.training_figure([], title=text),
        plots.auc_figure([0, 1], [0.1, 0.9], "relevance", title=text),
        plots.distribution_figure([1.0, 2.0], text, text),
        plots.threshold_figure(
            pd.DataFrame({text: [0.1, 0.2]}, index=[0.3, 0.5]),
            [plots.ReplayedExample("an example", trace, [(0.0, 2.0, text)])],
            ScoreThreshold(0.5),
            title=text,
        ),
    ]
    for fig in figures:
        found = [s for s in strings(fig.to_plotly_json()) if "alert" in s or "bold" in s or "i&" in s]
        assert found, "the text is somewhere"
        for shown in found:
            body = re.sub(r"^<b>[a-z]+(?: at|,) [\d. a-z]+</b>", "", shown).replace("<br>", " ")
            assert "<" not in body
            assert "$" not in body, "between dollars plotly sets TeX"
            assert text in " ".join(html.unescape(body).split())
        assert "</script><script>" not in fig.to_html(include_plotlyjs=False)


def test_names_of_examples_are_never_markup():
    examples, table = examples_and_table(ScoreThreshold(0.5), texts=("<b>$x$", "<i>" * 100))
    ticks = plots.threshold_figure(table, examples, ScoreThreshold(0.5)).layout.yaxis3.ticktext
    assert ticks[0] == "&lt;b&gt;&#36;x&#36;"
    assert "<" not in ticks[1]
    assert len(html.unescape(ticks[1])) == 24


def test_long_text_is_wrapped_on_hover_and_shortened_next_to_the_mark():
    text = "word " * 1000
    fig = plots.score_figure(make_trace(responses=[Response(1.0, text)]), ScoreThreshold(0.5))
    lines = named(fig, "said").hovertext[0].split("<br>")
    assert len(lines) == 21
    assert max(map(len, lines)) <= 62
    (shown,) = next(t for t in fig.data if t.name == "said, text").text
    assert shown.endswith("…")
    assert len(shown) < 130


# --- pictures -----------------------------------------------------------------------------------------


def decoded(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_a_thumbnail_is_a_small_jpeg_of_the_frame():
    frame = np.zeros((3, 384, 512), np.uint8)
    frame[0] = 200
    for given in (frame, torch.from_numpy(frame)):
        picture = decoded(thumbnail(given))
        assert picture.shape == (96, 128, 3)
        np.testing.assert_allclose(picture.mean((0, 1)), [200, 0, 0], atol=6)
    assert decoded(thumbnail(frame[:, :40, :30])).shape == (40, 30, 3), "never enlarged"


def test_a_filmstrip_shows_each_slots_middle():
    strip = plots.film_strip(pictures(100), np.arange(100) / 2, count=10)
    assert len(strip) == 10
    assert strip[0].start == 0.0
    assert strip[-1].end == 50.0
    for picture in strip:
        middle = (picture.start + picture.end) / 2
        assert middle - 0.5 < picture.time <= middle
        grey = pictures(100)[int(picture.time * 2), 0, 0, 0]
        assert abs(decoded(picture.uri).mean() - grey) < 4


def test_the_filmstrip_lies_on_the_time_axis():
    fig = plots.score_figure(make_trace(60), ScoreThreshold(0.5), frames=torch.from_numpy(pictures(60).copy()))
    images = fig.layout.images
    assert 12 <= len(images) <= 16
    assert {image.xref for image in images} == {"x"}
    gaps = np.diff([image.x for image in images])
    np.testing.assert_allclose(gaps, 30.0 / len(images))
    assert all(image.sizex <= gaps[0] for image in images)


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(DuetError, match="11 of them but 12 times"):
        plots.score_figure(make_trace(12), ScoreThreshold(0.5), frames=pictures(11))
    with pytest.raises(DuetError, match=r"float64 \[3, 4, 4\]"):
        thumbnail(np.zeros((3, 4, 4)))
    with pytest.raises(DuetError, match=r"uint8 \[4, 4, 3\]"):
        thumbnail(np.zeros((4, 4, 3), np.uint8))


# --- label_figure -------------------------------------------------------------------------------------


def test_labels_are_cells_of_their_heads_colour():
    fig = plots.label_figure(
        np.arange(4) / 2,
        informative=[0, 1, 1, -100],
        turns=[Query(0.0, "narrate"), Response(1.5, "a cat")],
        frames=pictures(4),
    )
    cells = named(fig, "labels")
    meaning = [name for _, name in CELL_KINDS]
    shown = [[meaning[code] for code in row] for row in cells.z]
    assert shown == [["0", "informative 1", "informative 1", "unlabelled"], ["unlabelled"] * 4]
    assert list(cells.x) == [0.0, 0.5, 1.0, 1.5, 2.0], "edges: from each frame's time to the next one's"
    assert cells.hovertext[0][1] == "frame 1, 0.5 s<br>informative: 1"
    scale = dict(cells.colorscale[1::2])
    assert scale[0.75] == HEAD_COLORS["informative"]
    assert scale[1.0] == HEAD_COLORS["relevance"]
    assert list(named(fig, "said").x) == [1.5]
    assert list(named(fig, "asked").x) == [0.0]
    assert len(fig.layout.images) == 4


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_labels_of_any_number_of_frames(count):
    fig = plots.label_figure(np.arange(count) / 2, relevance=np.ones(count, int))
    assert len(fig.to_json()) < 1_000_000
    assert ("no frames" in [note.text for note in fig.layout.annotations]) == (count == 0)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(DuetError, match=r"relevance labels: shape \[3\] for 2 frames"):
        plots.label_figure([0.0, 0.5], relevance=[0, 1, 0])
    with pytest.raises(DuetError, match="informative labels: 2 among them"):
        plots.label_figure([0.0, 0.5], informative=[0, 2])


# --- the others ---------------------------------------------------------------------------------------


def test_training_draws_what_was_logged():
    steps = range(10, 410, 10)
    history = [{"step": s, "loss": 2.0, "lm_loss": 1.5 + s % 20 / 10, "learning_rate": 1e-4} for s in steps]
    history += [{"step": 200, "eval_loss": 1.8, "eval_informative_auc": 0.7, "eval_relevance_auc": 0.4}]
    history += [{"step": 400, "train_runtime": 9.0, "eval_informative_auc": 0.9, "eval_relevance_auc": None}]
    fig = plots.training_figure(history, title="a run")
    assert list(named(fig, "language loss, as logged").y) == [1.5 + s % 20 / 10 for s in steps]
    assert np.std(named(fig, "language loss").y[2:-2]) < 0.3 * np.std(named(fig, "language loss, as logged").y)
    np.testing.assert_allclose(next(t for t in fig.data if t.name == "loss").y, 2.0)
    assert list(named(fig, "loss, eval").y) == [1.8]
    assert list(named(fig, "informative AUC").x) == [200, 400]
    assert list(named(fig, "relevance AUC").y) == [0.4]
    assert named(fig, "informative AUC").line.color == HEAD_COLORS["informative"]
    assert not [t.name for t in fig.data if t.name.startswith("video")]
    assert fig.layout.yaxis2.range[0] < 0.4
    (chance,) = fig.layout.shapes
    assert (chance.y0, chance.y1, chance.yref) == (0.5, 0.5, "y2")


def test_training_without_aucs_is_one_panel_and_without_rows_says_so():
    fig = plots.training_figure([{"step": 1, "loss": 1.0}, {"step": 2, "loss": math.nan}])
    assert "yaxis2" not in fig.layout.to_plotly_json()
    assert list(named(fig, "loss, as logged").y) == [1.0]
    (note,) = plots.training_figure([]).layout.annotations
    assert note.text == "nothing logged yet"


def test_rates_of_a_run_get_panels_where_they_were_logged():
    rows = [{"step": s, "loss": 1.0, "learning_rate": s * 1e-5, "samples_per_second": 3.0} for s in (1, 2, 3)]
    fig = plots.training_figure(rows)
    assert list(named(fig, "learning rate").y) == [row["learning_rate"] for row in rows]
    assert list(named(fig, "samples per second").y) == [3.0, 3.0, 3.0]
    assert (named(fig, "learning rate").yaxis, named(fig, "samples per second").yaxis) == ("y2", "y3")
    assert fig.layout.yaxis3.domain[0] == 0.0
    taller = plots.training_figure([*rows, {"step": 3, "eval_informative_auc": 0.7}])
    assert taller.layout.height > fig.layout.height
    assert taller.layout.yaxis2.title.text == "AUC"


def test_auc_leaves_unlabelled_frames_out():
    labels, scores = [0, 0, 1, 1, -100, -100], [0.1, 0.4, 0.35, 0.8, 0.99, 0.0]
    fig = plots.auc_figure(labels, scores, "relevance")
    curve = named(fig, "relevance, AUC")
    assert curve.name == "relevance, AUC 0.750"
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert curve.line.color == HEAD_COLORS["relevance"]
    assert sum(named(fig, "label 0").y) == pytest.approx(100)
    assert named(fig, "label 1").name == "label 1 (n = 2)"


def test_a_long_roc_curve_is_thinned_and_its_area_is_not():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000)
    fig = plots.auc_figure(labels, rng.random(20_000), "informative")
    assert len(named(fig, "informative, AUC").x) <= 500
    assert len(fig.to_json()) < 60_000


@pytest.mark.parametrize("labels", [[], [0, 0], [-100, 1]])
def test_auc_without_both_labels_says_so(labels):
    fig = plots.auc_figure(labels, [0.5] * len(labels), "informative")
    assert "both labels" in fig.layout.annotations[0].text


def test_auc_refuses_unknown_heads_and_other_lengths():
    with pytest.raises(DuetError, match="head='both'"):
        plots.auc_figure([0, 1], [0.1, 0.2], "both")
    with pytest.raises(DuetError, match=r"shape \[2\] for 3 frames"):
        plots.auc_figure([0, 1], [0.1, 0.2, 0.3], "relevance")


def test_distributions_count_whole_numbers_one_by_one():
    fig = plots.distribution_figure([1, 1, 3, math.nan], "Turns", "turns")
    (bars,) = fig.data
    np.testing.assert_allclose(bars.x, [1, 2, 3])
    assert list(bars.y) == [2, 0, 1]
    assert fig.layout.title.text == "Turns (n = 3)"
    assert fig.layout.annotations[0].text == "median 1"


@pytest.mark.parametrize("values", [[], [2.5], [1.0, 1e9], np.linspace(0, 1, 500)])
def test_distributions_of_any_values(values):
    fig = plots.distribution_figure(values, "Durations", "s")
    assert sum(sum(bars.y) for bars in fig.data) == len(values)
    assert all(len(bars.x) <= 41 for bars in fig.data)


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


def test_stages_are_stacked_a_bar_a_run():
    fig = plots.stages_figure({"a": {"decode": 1.0, "rest": 2.0}, "b": {"decode": 3.0, "rest": 4.0}})
    assert [bar.name for bar in fig.data] == ["decode", "rest"]
    assert [bar.marker.color for bar in fig.data] == [None, INK]
    assert [list(bar.x) for bar in fig.data] == [[1.0, 3.0], [2.0, 4.0]]
    assert fig.layout.barmode == "stack"
    with pytest.raises(DuetError, match="no runs"):
        plots.stages_figure({})


def test_latencies_are_a_curve_and_a_histogram_with_their_percentiles():
    waits = np.r_[np.linspace(10, 20, 99), 60.0]
    fig = plots.latency_figure(waits, title="Latency")
    curve, bars = fig.data
    assert np.array_equal(curve.y, waits)
    assert sum(bars.x) == 100
    assert bars.orientation == "h"
    assert fig.layout.yaxis2.matches == "y", "both count ms on one axis"
    texts = [note.text for note in fig.layout.annotations]
    assert texts == [f"p{percent} {np.percentile(waits, percent):.3g} ms" for percent in (50, 95)]
    lines = {shape.y0 for shape in fig.layout.shapes}
    assert lines == {np.percentile(waits, 50), np.percentile(waits, 95)}
    assert len(plots.latency_figure([12.5]).data) == 2
    with pytest.raises(DuetError, match="no latencies"):
        plots.latency_figure([])


def test_the_template_is_see_through_and_no_default_changes():
    template = pio.templates["mmduet"]
    assert template.layout.paper_bgcolor == template.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert pio.templates.default == "plotly"
    fig = plots.distribution_figure([1.0], "x", "s")
    assert isinstance(fig, go.Figure)
    assert fig.layout.template.layout.font.color == INK


def test_plots_load_no_torch():
    code = "import sys, mmduet.plots; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
