"""Response timing: a case by hand, laws, and what has no timing."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks.ovo.results import Answers
from mmduet.evaluation.benchmarks.streamingbench_items import Polled
from mmduet.evaluation.metrics.timing import sweep
from mmduet.evaluation.prediction_file import Prediction
from mmduet.evaluation.response_timing import (
    DELAY,
    DUPLICATES,
    IN_SPANS,
    METRICS,
    OUTSIDE,
    PRECISION,
    RATE,
    RECALL,
    WEIGHTS,
    estimate_timing,
    has_spans,
    timing_scores,
    timing_table,
)
from mmduet.evaluation.text_times import Segment
from mmduet.policy import ScoreThreshold
from mmduet.trace import UNTIMED, DuetTrace, Query, Response

NAN = math.nan


def predicted(*responses, duration=60.0, asked=0.0):
    """A prediction without scores. responses: (time, text)."""
    said = [Response(time, text) for time, text in responses]
    return Prediction("q", duration, DuetTrace(np.empty(0), responses=said, queries=[Query(asked, "What?")]))


def due(*spans):
    """An item. spans: (start, end)."""
    return SimpleNamespace(spans=[(*span, "due") for span in spans])


PREDICTIONS = {
    "a": predicted((5.0, "Hello."), (12.0, "Yes."), (16.0, "Yes."), (40.0, "No.")),
    "b": predicted((10.0, "No."), (45.0, "No."), duration=120.0, asked=30.0),
}
REFERENCES = {"a": due((10.0, 20.0), (15.0, 30.0), (50.0, 60.0)), "b": due((40.0, 46.0))}


def test_figures_by_hand():
    scores = timing_scores(PREDICTIONS, REFERENCES)
    assert list(scores.columns) == [*METRICS, *WEIGHTS]
    by_hand = {  # the response of b at 10 s comes before its question
        RATE: [4 / 1, 1 / 1.5],
        IN_SPANS: [2 / 0.5, 1 / 0.1],
        OUTSIDE: [2 / 0.5, 0],
        PRECISION: [2 / 4, 1],
        RECALL: [2 / 3, 1],
        DELAY: [(2 + 1) / 2, 5],
        DUPLICATES: [1 / 3, NAN],
    }
    pd.testing.assert_frame_equal(scores[[*METRICS]], pd.DataFrame(by_hand, pd.Index(["a", "b"], name="question_id")))
    over_all = {name: estimate.value for name, estimate in estimate_timing(scores).items()}
    assert over_all == pytest.approx(
        {
            RATE: 5 / 2.5, IN_SPANS: 3 / 0.6, OUTSIDE: 2 / 1.9, PRECISION: 3 / 5, RECALL: 3 / 4,
            DELAY: (2 + 1 + 5) / 3, DUPLICATES: 1 / 3,
        }
    ), "ratios of sums, not means of ratios"  # fmt: skip


@pytest.mark.parametrize(
    ("prediction", "spans", "expected"),
    [
        (predicted(), [(10, 20)], [0, 0, 0, NAN, 0, NAN, NAN]),
        (predicted((3, "x")), [], [1, NAN, NAN, NAN, NAN, NAN, NAN]),
        (predicted((3, "x"), (3, "x")), [(3, 3)], [2, NAN, 0, 1, 1, 0, 1]),
        (predicted((3, "x")), [(0, 99)], [1, 1, NAN, 1, 1, 3, NAN]),
        (predicted((61, "x")), [(10, 20), (58, 62)], [1, 5, 0, 1, 0.5, 3, NAN]),
        (predicted((40, "x"), asked=30), [(10, 20), (25, 45)], [2, 4, 0, 1, 0.5, 10, NAN]),
        (predicted((70, "x"), asked=70), [(10, 20)], [NAN, NAN, NAN, 0, 0, NAN, NAN]),
    ],
    ids=["silent", "no span", "spans of 0 s", "one span", "after the end", "asked within a span", "asked too late"],
)
def test_edge_cases_by_hand(prediction, spans, expected):
    scores = timing_scores({"q": prediction}, {"q": due(*spans)})
    np.testing.assert_allclose(scores[[*METRICS]].loc["q"], expected)


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction("q", 60.0, DuetTrace.from_events([]), segments=[Segment(10, 20, "x")]),
        Prediction("q", 60.0, DuetTrace.from_events([Response(UNTIMED, "x")]), segments=[]),
        predicted((UNTIMED, "x")),
        Answers("q", 60.0, DuetTrace.from_events([Query(12, "?"), Response(12, "x")]), rounds=(("x",),)),
        Polled("q", 60.0, DuetTrace.from_events([Query(9, "?"), Response(12, "x")])),
    ],
    ids=["segments", "a text without times", "a response without a time", "answers when asked", "polled"],
)
def test_times_that_the_model_did_not_choose_are_no_timing(prediction):
    scores = timing_scores({"q": prediction}, {"q": due((10, 20))})
    assert scores.loc["q"].isna().all(), "NaN, and not 0"
    both = timing_scores(PREDICTIONS | {"q": prediction}, REFERENCES | {"q": due((10, 20))})
    alone = timing_scores(PREDICTIONS, REFERENCES)
    assert {n: e.value for n, e in estimate_timing(both).items()} == pytest.approx(
        {n: e.value for n, e in estimate_timing(alone).items()}
    )


def test_an_item_of_any_benchmark_may_have_no_spans():
    references = {"a": SimpleNamespace(question_id="a")}
    assert not has_spans(references)
    assert not has_spans({"a": due()})
    assert has_spans(references | {"b": due((0, 1))})
    table = timing_table({"mine": (PREDICTIONS, references)})
    assert table.loc["mine"].to_list() == [1, "4 [–]", *"–––––", "0.333 [–]"]


QUARTERS = st.integers(0, 160).map(lambda number: number / 4)
RESPONSES = st.lists(st.tuples(QUARTERS, st.sampled_from("abc")), max_size=8)
SPANS = st.lists(st.tuples(QUARTERS, st.integers(1, 40)).map(lambda s: (s[0], s[0] + s[1] / 4)), max_size=5)


@given(RESPONSES, SPANS, QUARTERS, st.integers(0, 2**32 - 1))
def test_the_order_of_responses_spans_and_questions_changes_nothing(responses, spans, asked, seed):
    mixed = np.random.default_rng(seed).permutation
    said, places = [responses[i] for i in mixed(len(responses))], [spans[i] for i in mixed(len(spans))]
    predictions = PREDICTIONS | {"q": predicted(*responses, asked=asked)}
    other = {"q": predicted(*said, asked=asked)} | dict(reversed(PREDICTIONS.items()))
    scores = timing_scores(predictions, REFERENCES | {"q": due(*spans)})
    again = timing_scores(other, {"q": due(*places)} | REFERENCES)
    pd.testing.assert_frame_equal(again.loc[scores.index], scores)


@given(RESPONSES, SPANS.filter(bool), QUARTERS)
def test_responses_inside_and_outside_are_all(responses, spans, asked):
    row = timing_scores({"q": predicted(*responses, asked=asked)}, {"q": due(*spans)}).loc["q"]
    assert row["minutes in spans"] + row["minutes outside spans"] == pytest.approx(row["minutes"])
    counts = row[[IN_SPANS, OUTSIDE]].fillna(0).to_numpy() * row[["minutes in spans", "minutes outside spans"]]
    inside = sum(time >= asked and any(start <= time <= end for start, end in spans) for time, _ in responses)
    everything = sum(time >= asked for time, _ in responses)
    assert row["responses"] == everything
    assert counts["minutes outside spans"] == pytest.approx(everything - inside)
    if row["minutes in spans"]:
        assert counts["minutes in spans"] == pytest.approx(inside)
    assert not everything or row[PRECISION] == pytest.approx(inside / everything)


@given(RESPONSES, SPANS, QUARTERS, st.integers(0, 400))
def test_moving_all_times_together_changes_nothing(responses, spans, asked, later):
    scores = timing_scores({"q": predicted(*responses, asked=asked)}, {"q": due(*spans)})
    moved = predicted(*((t + later, text) for t, text in responses), asked=asked + later, duration=60.0 + later)
    again = timing_scores({"q": moved}, {"q": due(*((start + later, end + later) for start, end in spans))})
    pd.testing.assert_frame_equal(again, scores)


@given(RESPONSES, SPANS.filter(bool))
def test_one_more_response_in_a_span_never_lowers_precision_and_recall(responses, spans):
    row = timing_scores({"q": predicted(*responses)}, {"q": due(*spans)}).loc["q"]
    more = timing_scores({"q": predicted(*responses, (spans[0][0], "new"))}, {"q": due(*spans)}).loc["q"]
    assert more[RECALL] >= row[RECALL]
    assert not more[PRECISION] < row[PRECISION]


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=8), min_size=1, max_size=4), SPANS, st.integers(0, 9))
def test_a_sweep_has_the_same_figures_at_the_threshold_in_use(scores, spans, asked):
    predictions = {}
    for name, row in enumerate(map(np.array, scores)):
        said = [Response(float(time), "x") for time in np.flatnonzero(row > 0.5)]
        trace = DuetTrace(np.arange(len(row), dtype=float), row, np.zeros(len(row)), said, [Query(asked, "What?")])
        predictions[str(name)] = Prediction(str(name), 10.0, trace)
    references = dict.fromkeys(predictions, due(*spans))
    swept = sweep(predictions, {name: item.spans for name, item in references.items()}, ScoreThreshold(0.5), [0.5])
    values = swept.values(np.ones((1, len(predictions))))
    found = estimate_timing(timing_scores(predictions, references))
    for name in (RATE, OUTSIDE, PRECISION, RECALL):
        if name in values:
            assert values[name].item() == pytest.approx(found[name].value, nan_ok=True), name
        else:
            assert not spans


SHORT = st.tuples(QUARTERS, st.integers(0, 3)).map(lambda span: (span[0], span[0] + span[1]))


@given(st.lists(st.tuples(RESPONSES, st.lists(SHORT, max_size=2), QUARTERS), min_size=1, max_size=4))
def test_rates_over_all_questions_are_ratios_of_sums_also_without_a_minute_in_one(questions):
    predictions = {str(i): predicted(*said, asked=asked, duration=39.0) for i, (said, _, asked) in enumerate(questions)}
    references = {str(i): due(*spans) for i, (_, spans, _) in enumerate(questions)}
    scores = timing_scores(predictions, references)
    found = estimate_timing(scores)
    inside = outside = everything = 0
    for said, spans, asked in questions:
        within = [any(start <= time <= end for start, end in spans) for time, _ in said if time >= asked]
        everything += len(within)
        inside += sum(within)
        outside += (len(within) - sum(within)) if spans else 0
    for name, count in ((RATE, everything), (IN_SPANS, inside), (OUTSIDE, outside)):
        minutes = scores[METRICS[name].weight].sum()
        assert found[name].value == pytest.approx(count / minutes if minutes else NAN, nan_ok=True), name
        assert not math.isinf(found[name].high)


def test_a_table_has_a_row_a_system():
    result = SimpleNamespace(predictions=PREDICTIONS, references=REFERENCES)
    silent = ({"a": predicted()}, {"a": due((0, 6))})
    table = timing_table({"this run": result, "<b>silent</b>": silent})
    assert list(table.index) == ["this run", "<b>silent</b>"]
    assert list(table.columns) == ["questions", *(f"{name} ({metric.unit})" for name, metric in METRICS.items())]
    assert table.loc["<b>silent</b>", f"{DELAY} (s)"] == "–"
    assert table.loc["<b>silent</b>", f"{RATE} (of video)"] == "0 [–]"
    assert table.loc["this run", f"{DELAY} (s)"] == "2.7 [1.5, 5.0]"
    assert table["questions"].to_list() == [2, 1]


@pytest.mark.parametrize(
    ("evaluated", "message"),
    [
        ({}, "give at least one result"),
        ({"mine": (PREDICTIONS, {"z": due()})}, "'mine': none of 2 predictions has one of the 1 references"),
    ],
)
def test_a_table_of_nothing_is_refused(evaluated, message):
    with pytest.raises(DuetError, match=message):
        timing_table(evaluated)
