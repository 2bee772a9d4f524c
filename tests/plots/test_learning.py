"""training_figure and auc_figure."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS
from tests.plots.figures import named


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


@given(
    st.lists(
        st.tuples(*[st.one_of(st.none(), st.floats(0, 9)) for _ in range(2)], st.floats(0, 9)), min_size=1, max_size=9
    )
)
def test_the_loss_never_lies_below_its_parts(rows):
    """Trainer averages the loss over all steps, a part over the steps that have its labels."""
    history = [{"step": s, "lm_loss": a, "video_loss": b, "loss": c} for s, (a, b, c) in enumerate(rows)]
    drawn = {t.name: dict(zip(t.x, t.y, strict=True)) for t in plots.training_figure(history).data}
    loss = drawn.get("loss, as logged", {})
    both = [s for s, (a, b, _) in enumerate(rows) if a is not None and b is not None]
    assert list(loss) == (both or list(range(len(rows))))
    for part in ("language loss, as logged", "video loss, as logged"):
        assert all(loss[step] >= drawn[part][step] for step in both)


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
