import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks import charades_sta
from mmduet.evaluation.prediction_file import Segment, read_predictions
from mmduet.evaluation.references import GroundedItem, read_references
from tests.evaluation.conftest import prediction


def item(*spans, name="q", video="v.mp4"):
    return GroundedItem(question_id=name, video=video, conversation=[], timestamps=list(spans))


def test_all_published_cells(reference):
    folder = reference / "eval"
    predictions = read_predictions(folder / "charades_pred.jsonl").by_id
    references = read_references(folder / "charades_gold.json", "charades_sta")
    table = charades_sta.sweep(predictions, references).table()
    expected = json.loads((folder / "charades_expected.json").read_text())
    assert len(table) == len(expected) == 315
    for cell in expected:
        found = table.loc[(cell["smooth_window_size"], cell["threshold"])]
        assert found.tolist() == pytest.approx(cell["scores"], abs=1e-9)


def plain_iou(scores, times, spans, window, threshold):
    """The definition, a frame at a time."""
    smoothed = [np.mean(scores[max(0, i - window) : i + window + 1]) for i in range(len(scores))]
    low, high = min(smoothed), max(smoothed)
    chosen = [high > low and (s - low) / (high - low) >= threshold for s in smoothed]
    gold = [any(s <= t <= e for s, e in spans) for t in times]
    union = sum(a or b for a, b in zip(chosen, gold, strict=True))
    return sum(a and b for a, b in zip(chosen, gold, strict=True)) / union if union else 0.0


@given(
    st.lists(st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=30), min_size=1, max_size=4),
    st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted),
)
def test_the_sweep_is_the_definition(curves, span):
    predictions = {str(i): prediction(str(i), relevance=curve, fps=2) for i, curve in enumerate(curves)}
    references = {name: item(tuple(span), name=name) for name in predictions}
    swept = charades_sta.sweep(predictions, references, windows=[0, 1, 6], thresholds=[0.3, 0.5])
    for q, curve in enumerate(curves):
        for w, window in enumerate(swept.windows):
            for t, threshold in enumerate(swept.thresholds):
                plain = plain_iou(curve, np.arange(len(curve)) / 2, [span], window, threshold)
                assert swept.iou[w, t, q] == plain


def test_by_hand():
    """Frames 2 and 3 are chosen, 2 to 5 are gold: IoU 1/2."""
    scores = charades_sta.score(
        {"q": prediction(relevance=[0, 0, 1, 1, 0, 0, 0])}, {"q": item((2, 5))}, window=0, threshold=0.5
    )
    assert scores.loc["q"].to_dict() == {"mIoU": 50.0, "R@0.3": 100.0, "R@0.5": 100.0, "R@0.7": 0.0}


def test_a_flat_curve_chooses_nothing():
    figures = charades_sta.evaluate({"q": prediction(relevance=[0.4] * 5)}, {"q": item((0, 4))})
    assert figures == {"mIoU": 0, "R@0.3": 0, "R@0.5": 0, "R@0.7": 0}


def test_no_scores_is_an_error():
    with pytest.raises(DuetError, match="'q' has no frame scores"):
        charades_sta.evaluate({"q": prediction()}, {"q": item((0, 4))})


def test_whole_video_baselines():
    predictions = {
        "a": prediction("a", segments=[Segment(0, 4, "")]),
        "b": prediction("b", segments=[]),
    }
    references = {name: item((2, 6), name=name) for name in predictions}
    scores = charades_sta.score(predictions, references)
    assert scores["mIoU"].tolist() == pytest.approx([100 / 3, 0])
    assert charades_sta.segment_iou([Segment(0, 10, "")], [(0, 2), (5, 8)]) == 0.5


TIMES = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted).map(tuple)


@given(TIMES, st.lists(TIMES, min_size=1, max_size=4))
def test_the_iou_of_a_segment_is_that_of_the_seconds_it_shares_with_any_span(segment, spans):
    seconds = np.arange(20)
    chosen, relevant = (
        np.any([(start <= seconds) & (seconds < end) for start, end in each], axis=0) for each in ([segment], spans)
    )
    union = (chosen | relevant).sum()
    expected = (chosen & relevant).sum() / union if union else 0.0
    assert charades_sta.segment_iou([Segment(*segment, "")], spans) == pytest.approx(expected)


def test_the_setting_is_chosen_on_other_videos():
    rng = np.random.default_rng(0)
    predictions = {f"q{i}": prediction(f"q{i}", relevance=rng.random(20)) for i in range(30)}
    references = {f"q{i}": item((3, 9), name=f"q{i}", video=f"v{i // 3}.mp4") for i in range(30)}
    swept = charades_sta.sweep(predictions, references)
    window, threshold, held_out = charades_sta.choose_setting(swept, metric="mIoU")
    videos = {references[name].video for name in held_out.index}
    chosen_on = [name for name in references if references[name].video not in videos]
    assert len(videos) == 5
    assert len(chosen_on) == 15
    best = charades_sta.sweep({name: predictions[name] for name in chosen_on}, references).table()["mIoU"]
    assert best.max() == pytest.approx(best[(window, threshold)])
    again = charades_sta.score(predictions, references, window=window, threshold=threshold)
    assert held_out.equals(again.loc[held_out.index])
    with pytest.raises(DuetError, match="metric='IoU' is not known"):
        charades_sta.choose_setting(swept, metric="IoU")


def test_a_question_s_own_best_threshold():
    predictions = {"a": prediction("a", relevance=[0, 0.4, 1, 0]), "b": prediction("b", relevance=[0, 0.9, 1, 0])}
    references = {name: item((1, 2), name=name) for name in predictions}
    swept = charades_sta.sweep(predictions, references, windows=[0], thresholds=[0.3, 0.7])
    assert swept.table().loc[(0, 0.7), "mIoU"] == 75
    assert swept.best_per_question(0)["mIoU"] == 100
    assert math.isclose(swept.table().loc[(0, 0.3), "mIoU"], 100)
