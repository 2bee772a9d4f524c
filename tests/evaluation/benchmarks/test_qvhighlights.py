import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks import qvhighlights
from mmduet.evaluation.benchmarks.qvhighlights import Highlights
from mmduet.evaluation.prediction_file import Segment, read_predictions
from mmduet.evaluation.references import HighlightItem, read_references
from tests.evaluation.conftest import prediction


def item(qid=1, *, clips=(1,), ratings=((4, 4, 4),), windows=((2, 4),), duration=10):
    return HighlightItem(
        qid=qid, query="a cat", duration=duration, vid="v", relevant_clip_ids=list(clips),
        saliency_scores=list(ratings), relevant_windows=list(windows),
    )  # fmt: skip


def printed(value):
    return float(f"{value:.2f}")


def test_all_published_windows(reference):
    folder = reference / "eval"
    predictions = read_predictions(folder / "qvh_pred.jsonl").by_id
    swept = qvhighlights.sweep(predictions, read_references(folder / "qvh_gold.jsonl", "qvhighlights"))
    expected = json.loads((folder / "qvh_expected.json").read_text())
    assert len(expected) == len(swept) == 15
    for cell in expected:
        means = swept[cell["smooth_window_size"]].mean()
        assert {name: printed(means[name]) for name in cell["results"]["brief"]} == cell["results"]["brief"]


def test_the_official_sample_submission(reference):
    folder = reference / "qvhighlights"
    submission = qvhighlights.read_submission(folder / "sample_val_preds.jsonl")
    references = read_references(folder / "highlight_val_release.jsonl", "qvhighlights")
    means = qvhighlights.score_submission(submission, references).mean()
    official = json.loads((folder / "sample_val_preds_metrics.json").read_text())
    for name in qvhighlights.RANGES:
        for bound, value in official[name]["MR-mAP"].items():
            assert printed(means[f"MR-{name}-mAP" + (f"@{bound}" if bound != "average" else "")]) == value
        for bound, value in official[name]["MR-R1"].items():
            assert printed(means[f"MR-{name}-R1@{bound}"]) == value
    for rating in qvhighlights.RATINGS:
        for metric, value in official[f"HL-min-{rating}"].items():
            assert printed(means[f"HL-min-{rating}-{metric.removeprefix('HL-')}"]) == value


def plain_average_precision(truth, scores):
    """The official definition, on scikit-learn's curve."""
    if not any(truth):
        return 0.0
    precision, recall, _ = precision_recall_curve(truth, scores)
    return float(np.mean(np.maximum.accumulate(precision)[np.where(np.diff(recall))]))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=20))
def test_average_precision_with_ties(clips):
    scores, truth = (np.array(column) for column in zip(*clips, strict=True))
    found = qvhighlights._average_precision(scores[None].astype(float), truth[None, :, None])
    assert found[0, 0] == pytest.approx(plain_average_precision(truth, scores))


def test_highlights_by_hand():
    """Clip 0 comes first, the gold clip 1 second: precision 1/2, no hit."""
    scores = qvhighlights.score_highlights({"1": Highlights(np.array([5.0, 4, 1, 0, 0]), None)}, {"1": item()})
    assert scores.loc["1", "HL-min-VeryGood-mAP"] == 50
    assert scores.loc["1", "HL-min-VeryGood-Hit1"] == 0


def test_a_shorter_or_longer_prediction_than_the_video():
    references = {"1": item(clips=(4,))}
    short = qvhighlights.score_highlights({"1": Highlights(np.array([1.0, 0]), None)}, references)
    assert short.loc["1", "HL-min-Fair-mAP"] == pytest.approx(100 * 1 / 5), "clips without scores share the last rank"
    long = qvhighlights.score_highlights({"1": Highlights(np.arange(8.0), None)}, references)
    assert long.loc["1", "HL-min-Fair-mAP"] == 100
    assert long.loc["1", "HL-min-Fair-Hit1"] == 0, "its top clip lies past the video's end"


def test_moments_by_hand():
    """The first window misses, the second has IoU 1: precision 1/2 at every bound."""
    windows = np.array([[6.0, 8, 0.9], [2, 4, 0.8]])
    scores = qvhighlights.score_moments({"1": Highlights(None, windows)}, {"1": item()})
    assert scores.loc["1", "MR-full-mAP"] == 50
    assert scores.loc["1", "MR-short-mAP@0.95"] == 50
    assert scores.loc["1", "MR-full-R1@0.5"] == 0
    assert np.isnan(scores.loc["1", "MR-long-mAP"])


def test_a_gold_window_is_found_once():
    windows = np.array([[2.0, 4, 0.9], [2, 4, 0.8]])
    scores = qvhighlights.score_moments({"1": Highlights(None, windows)}, {"1": item(windows=((2, 4), (6, 8)))})
    assert scores.loc["1", "MR-full-mAP"] == 50


def test_a_query_without_windows_scores_nothing():
    scores = qvhighlights.score_moments({"1": Highlights(None, np.empty((0, 3)))}, {"1": item()})
    assert scores.loc["1", "MR-full-mAP"] == 0
    assert scores.loc["1", "MR-full-R1@0.5"] == 0


def test_scores_become_clips_and_windows():
    made = qvhighlights.to_submission({"1": prediction("1", relevance=[0, 0, 1, 1, 0, 0, 0.6, 0.6, 0, 0])}, window=0)
    assert made["1"].saliency.tolist() == [0, 2, 0, 1.2, 0]
    assert made["1"].windows.tolist() == [[2, 4, 1], [6, 8, 0.6]]


def test_a_perfect_prediction_scores_100():
    figures = qvhighlights.evaluate({"1": prediction("1", relevance=[0, 0, 1, 1, *[0] * 6])}, {"1": item()}, window=0)
    assert {name: value for name, value in figures.items() if not np.isnan(value)} == pytest.approx(
        {name: 100.0 for name in figures if "short" in name or "full" in name or name.startswith("HL")}
    )


def test_whole_video_baselines():
    made = qvhighlights.to_submission({"1": prediction("1", duration=10, segments=[Segment(1, 5, "")])})
    assert made["1"].saliency.tolist() == [0, 1, 1, 0, 0]
    assert made["1"].windows.tolist() == [[1, 5, 1]]


@pytest.mark.parametrize(("start", "marked"), [(4.0, []), (3.99, [2]), (1.99, [1, 2])])
def test_a_segment_does_not_mark_the_clip_that_starts_with_it_as_published(start, marked):
    made = qvhighlights.to_submission({"1": prediction("1", duration=10, segments=[Segment(start, 6, "")])})
    assert np.flatnonzero(made["1"].saliency).tolist() == marked


@pytest.mark.parametrize(("relevance", "fps", "message"), [([0.5], 1, "1 frame scores"), ([0, 1], 0.25, "every 4 s")])
def test_too_few_frames_is_an_error(relevance, fps, message):
    with pytest.raises(DuetError, match=f"'1' has .*{message}"):
        qvhighlights.to_submission({"1": prediction("1", relevance=relevance, fps=fps)})


def test_a_broken_submission_is_named(written):
    with pytest.raises(DuetError, match=r"line 2: .*qid"):
        qvhighlights.read_submission(written({"qid": 1, "pred_saliency_scores": [1]}, {"query": "a"}))


def test_saliency_alone_is_a_submission(written):
    submission = qvhighlights.read_submission(written({"qid": 1, "pred_saliency_scores": [0, 1, 0, 0, 0]}))
    scores = qvhighlights.score_submission(submission, {"1": item()})
    assert scores.shape == (1, 6)
    assert (scores == 100).all(axis=None)
