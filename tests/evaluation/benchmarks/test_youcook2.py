import json
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks import youcook2
from mmduet.evaluation.prediction_file import Segment, read_predictions
from mmduet.evaluation.references import AnsweredItem, read_references
from mmduet.trace import Query
from tests.evaluation.conftest import prediction

UNPUBLISHED = {"paragraph CIDEr", "paragraph METEOR"}
TIMES = st.lists(st.integers(0, 40).map(lambda n: n / 2), max_size=12).map(sorted)
SPANS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 100)).map(lambda s: (s[0] / 10, (s[0] + s[1]) / 10)), max_size=5
)


def item(*answers, name="q"):
    """answers: (text, start, end)."""
    answer = [{"content": text, "time": (start, end)} for text, start, end in answers]
    return AnsweredItem(question_id=name, video="v.mp4", conversation=[], answer=answer)


def said(*texts, first=0.0, step=10.0):
    """A prediction whose captions, the first left out, are `texts`, each of `step` seconds from `first` on."""
    turns = [(first + step * i, text) for i, text in enumerate(["(nothing yet)", *texts])]
    return prediction(responses=turns)


class SameOrNot:
    """In place of METEOR: 1 for equal texts, else 0."""

    def __init__(self, java=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def score(self, pairs):
        each = np.array([float(hypothesis == reference) for hypothesis, reference in pairs])
        return float(each.mean()) if pairs else 0.0, each


@pytest.fixture(scope="module")
def no_java():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(youcook2, "Meteor", SameOrNot)
        patch.setattr(youcook2, "tokenize", lambda texts, java=None: [t.strip(".").lower() for t in texts])
        yield


def test_all_published_figures(reference, ready_meteor):
    folder = reference / "eval"
    predictions = read_predictions(folder / "youcook2_pred.jsonl").by_id
    references = read_references(folder / "youcook2_gold.json", "youcook2")
    expected = json.loads((folder / "youcook2_expected.json").read_text())
    names = {
        "CIDER": "CIDEr", "SODA_c_2": "SODA_c", "Precision_Mean": "Precision", "Recall_Mean": "Recall",
        "F1_Score": "F1", "n_preds": "captions",
    }  # fmt: skip
    scores = youcook2.score(predictions, references).loc[expected["keys"]]
    compared = {names.get(name, name): name for name in expected["r"] if name != "SODA_c_1"}
    assert compared.keys() == set(youcook2.METRICS) - UNPUBLISHED
    for ours, theirs in compared.items():
        assert scores[ours].tolist() == pytest.approx(expected["per_video"][theirs], abs=1e-12)
        assert scores[ours].mean() == pytest.approx(expected["r"][theirs], abs=1e-12)


@pytest.fixture(scope="module")
def scores(ready_meteor):
    """With Java, of made-up videos."""
    predictions = {
        "same": said("Stir the onions.", "fry two eggs", "Serve crème brûlée"),
        "silent": prediction(),
        "once": prediction(responses=[(4.0, "stir"), (6.0, "stir")]),
        "cats": prediction(segments=[Segment(0, 10, "a cat"), Segment(20, 30, "A cat.")]),
        "empty": said("", "fry two eggs", ""),
        "unasked": prediction(),
    }
    gold = item(("stir the onions", 0, 10), ("fry two eggs", 10, 20), ("serve crème brûlée", 20, 30))
    references = dict.fromkeys(["same", "silent", "once", "empty"], gold) | {
        "cats": item(("a dog", 0, 10)),
        "unanswered": gold,
    }
    return youcook2.score(predictions, references)


def test_perfect_captions(scores):
    row = scores.loc["same"]
    ones = row.drop(["CIDEr", "captions", "Precision@0.9", "paragraph CIDEr"])
    assert ones.tolist() == pytest.approx([1] * len(ones), abs=1e-8)
    assert row["captions"] == 3
    # three or four words: n-grams of three or four sizes
    assert row["CIDEr"] == pytest.approx(10 * 0.75, abs=1e-8)


def test_few_captions(scores):
    assert list(scores.index) == ["same", "silent", "once", "empty", "cats"]
    assert not scores.loc[["silent", "once"]].to_numpy().any()
    assert scores.loc["empty", ["captions", "F1"]].tolist() == [3, 1]
    assert scores.loc["empty", "SODA_c"] == pytest.approx(1 / 3)


def test_captions_by_hand(scores):
    """The second caption meets a word that nothing matches: its length counts, in METEOR's precision and recall."""
    p, r = 0.25 / 2, 0.25 / 1.75
    row = scores.loc["cats"]
    assert row["METEOR"] == pytest.approx(0.4 * p * r / (0.85 * p + 0.15 * r))
    r = 0.25
    assert row["paragraph METEOR"] == pytest.approx(0.4 * p * r / (0.85 * p + 0.15 * r))
    assert row["CIDEr"] == pytest.approx((10 * 0.5 / 4 + 0) / 2)
    assert row["SODA_c"] == pytest.approx(2 * 0.1 / 3)
    assert row[["Precision", "Recall", "F1"]].tolist() == pytest.approx([1 / 2, 1, 2 / 3])


def test_what_was_said_becomes_captions():
    found = prediction(responses=[(4.0, "a"), (6.0, "a"), (7.0, "b"), (9.0, "c"), (12.0, "c"), (13.0, "a")])
    upstream = [Segment(6, 7, "b"), Segment(7, 12, "c"), Segment(12, 13, "a")]
    assert youcook2.captions(found) == upstream
    assert youcook2.captions(found, rule="corrected") == [Segment(0, 6, "a"), *upstream]
    found.trace.queries = [Query(1.0, "?"), Query(3.0, "?"), Query(5.0, "?")]
    assert youcook2.captions(found, rule="corrected")[0] == Segment(3, 6, "a")
    with pytest.raises(DuetError, match="rule='last' is not known; known are"):
        youcook2.captions(found, rule="last")


@pytest.mark.parametrize("rule", youcook2.RULES)
def test_a_baseline_s_captions_are_its_segments(rule):
    segments = [Segment(3, 4, "b"), Segment(0, 1, "a")]
    assert youcook2.captions(prediction(segments=segments), rule=rule) == segments
    assert youcook2.captions(prediction(segments=[]), rule=rule) == []


@given(TIMES, st.data())
def test_captions_are_in_order(times, data):
    texts = [data.draw(st.sampled_from("abc")) for _ in times]
    found = prediction(responses=zip(times, texts, strict=True))
    all_of_them = youcook2.captions(found, rule="corrected")
    assert youcook2.captions(found) == all_of_them[1:]
    assert all(c.start <= c.end for c in all_of_them)
    for before, after in pairwise(all_of_them):
        assert before.end == after.start
        assert before.text != after.text
    if times:
        assert (all_of_them[0].start, all_of_them[-1].end) == (0, times[-1])


@given(SPANS.filter(bool), SPANS)
def test_iou_is_the_definition(gold, spans):
    iou = youcook2.segment_iou(gold, spans)
    assert iou.shape == (len(gold), len(spans))
    for row, (first, last) in zip(iou, gold, strict=True):
        for cell, (start, end) in zip(row, spans, strict=True):
            shared = max(0, min(last, end) - max(first, start))
            assert cell == pytest.approx(shared / (last - first + end - start - shared), abs=1e-6)
            assert 0 <= cell < 1


def test_localisation_by_hand():
    """Of three captions one is placed well and one fairly; they share a gold caption, the other is missed."""
    found = youcook2.localise(np.array([[0.8, 0.4, 0], [0, 0.2, 0]]))
    assert [found[f"Precision@{bound}"] for bound in youcook2.THRESHOLDS] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert [found[f"Recall@{bound}"] for bound in youcook2.THRESHOLDS] == [0.5, 0.5, 0.5, 0]
    assert [found["Precision"], found["Recall"]] == pytest.approx([1 / 3, 3 / 8])
    assert found["F1"] == pytest.approx(2 / (3 + 8 / 3))
    assert set(youcook2.localise(np.zeros((2, 0))).values()) == {0}


def plain_soda(gains):
    """Every matching that keeps the order."""
    golds, captions = gains.shape
    best = 0.0
    for size in range(min(golds, captions) + 1):
        for rows in combinations(range(golds), size):
            for columns in combinations(range(captions), size):
                best = max(best, sum(gains[pair] for pair in zip(rows, columns, strict=True)))
    return 2 * best / (golds + captions)


@given(st.integers(1, 4), st.integers(0, 4), st.data())
def test_soda_is_the_best_matching_in_order(golds, captions, data):
    cells = st.lists(st.integers(0, 10), min_size=captions, max_size=captions)
    gains = np.array([data.draw(cells) for _ in range(golds)]).reshape(golds, captions) / 10
    assert youcook2.soda(gains) == pytest.approx(plain_soda(gains))
    assert 0 <= youcook2.soda(gains) <= 1


@given(st.integers(1, 15), st.integers(1, 30))
def test_perfect_captions_score_1(no_java, count, step):
    texts = [f"step {i}" for i in range(count)]
    gold = item(*((text, step * i, step * (i + 1)) for i, text in enumerate(texts)))
    segments = [Segment(step * i, step * (i + 1), text) for i, text in enumerate(texts)]
    found = youcook2.score({"q": prediction(segments=segments)}, {"q": gold}, rule="corrected").loc["q"]
    assert found[["Precision", "Recall", "F1", "METEOR"]].tolist() == [1, 1, 1, 1]
    assert found["SODA_c"] == pytest.approx(1, abs=1e-6)


def test_the_published_soda_mixes_up_more_than_ten_captions(no_java):
    """Sorted as text, 0, 1, 10, 11, 2, …, only the first two of twelve keep their place."""
    texts = [f"step {i}" for i in range(12)]
    predictions = {"q": prediction(segments=[Segment(i, i + 1, text) for i, text in enumerate(texts)])}
    references = {"q": item(*((text, i, i + 1) for i, text in enumerate(texts)))}
    soda = [youcook2.evaluate(predictions, references, rule=rule)["SODA_c"] for rule in youcook2.RULES]
    assert soda == pytest.approx([2 / 12, 1], abs=1e-6)


def test_means(no_java):
    predictions = {"a": said("stir", "fry"), "b": prediction(), "c": said("stir", "stir")}
    references = {name: item(("stir", 0, 10), ("fry", 10, 20)) for name in ("a", "b")}
    scores, means = youcook2.score(predictions, references), youcook2.evaluate(predictions, references)
    assert list(means) == list(scores.columns) == list(youcook2.METRICS)
    assert scores.index.tolist() == ["a", "b"]
    assert means == pytest.approx(scores.mean().to_dict())
    assert all(type(value) is float for value in means.values())
    assert means["F1"] == 0.5
    assert youcook2.score({}, references).empty


def test_paragraphs_are_letters_and_end():
    assert youcook2._letters(" Add 1/2 cup of crème!\n") == "add cup of cr me"
    assert youcook2._letters("stir " * 9999) == " ".join(["stir"] * youcook2.MOST_WORDS)


def test_published_rows():
    assert all(row.keys() == {"SODA_c", "CIDEr", "F1"} for row in youcook2.PUBLISHED.values())
    # the paper's 2.4, 5.7 and 19.2, in the units of our figures
    assert youcook2.PUBLISHED["MMDuet"] == pytest.approx({"SODA_c": 2.4 / 100, "CIDEr": 5.7 / 100, "F1": 19.2 / 100})
    assert youcook2.UNITS.keys() == set(youcook2.METRICS)
