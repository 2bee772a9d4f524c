"""ProactiveVideoQA: the published figures, the definition turn by turn, both rules, forms of files, and judges."""

import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.data.scenes.annotations import annotation_files
from mmduet.data.scenes.script import write_script
from mmduet.errors import DuetError
from mmduet.evaluation import PROACTIVEVIDEOQA, ConceptJudge, GivenAnswers, judges, proactivevideoqa, read_questions
from mmduet.evaluation.benchmarks.proactive.items import ProactiveItem, read_predictions
from mmduet.evaluation.benchmarks.proactive.judging import COVERAGE, DUPLICATES, read_verdict
from mmduet.evaluation.benchmarks.proactive.scores import turn_scores
from mmduet.evaluation.benchmarks.proactive.turns import coverage_pairs, duplicate_pairs, read_coverage_id, turns_of
from mmduet.evaluation.judges import Rating
from mmduet.evaluation.metrics.pauc import RULES
from mmduet.evaluation.references import read_references
from mmduet.trace import Query
from tests.evaluation.conftest import prediction

MEAN = "duplicates, turn mean"
BOTH = pytest.mark.parametrize("rule", list(RULES))


def item(*answers, name="q", turns=((0, "What happens?"),), **more):
    """answers: (text, start, end) or (text, start, end, end of what it is about); turns: (time, text) of the user."""
    return ProactiveItem.model_validate(
        {
            "question_id": name,
            "video": "v.mp4",
            "conversation": [{"role": "user", "content": text, "time": time} for time, text in turns],
            "answer": [
                {"content": a[0], "reply_timespan": (a[1], a[2]), "related_timespan": (a[1], a[3] if a[3:] else a[2])}
                for a in answers
            ],
            **more,
        }
    )


class ByteJudge:
    """Grades and verdicts from the sum of the bytes that it reads."""

    def __init__(self, rubric=COVERAGE):
        self.rubric, self.identity = rubric, f"bytes {rubric.version}"

    def about(self, rubric):
        return ByteJudge(rubric)

    def ask(self, asked):
        for texts in asked:
            number = sum("".join(texts).encode())
            answer = ("yes", "no")[number % 2] if self.rubric == DUPLICATES else str(1 + number % 3)
            yield texts, self.rubric.read(answer)


def scored(predictions, references, **options):
    return proactivevideoqa.score(predictions, references, judge=ByteJudge(), say=str, **options)


def turn_table(predictions, references, *, rule, judge=None, single_question=True, omega=0.5):
    turns, is_judged = proactivevideoqa.counted_turns(
        predictions, references, rule=rule, single_question=single_question
    )
    ratings = proactivevideoqa.ratings_of(turns, judge or ByteJudge(), duplicates=is_judged, say=str)
    return turn_scores(turns, ratings, rule=rule, omega=omega, judged_duplicates=is_judged)


# the published figures


@pytest.fixture(scope="module")
def published(reference):
    folder = reference / "streaming" / "proactivevideoqa"
    if not folder.is_dir():
        pytest.skip(f"the reference files are not at {folder}")
    return folder, json.loads((folder / "expected.json").read_text())


def read(folder):
    references = read_references(folder / "anno.json", PROACTIVEVIDEOQA)
    return read_predictions(folder / "predictions.jsonl", references).by_id, references


def check_turns(table, expected, metrics):
    assert len(table) == len(expected)
    for row, turn in zip(table.to_dict("records"), expected, strict=True):
        assert (row["question_id"], row["turn"]) == (turn["question_id"], turn["turn"])
        for name, key in metrics.items():
            wanted = turn[key] if not isinstance(key, tuple) else turn[key[0]][key[1]]
            assert row[name] == pytest.approx(math.nan if wanted is None else wanted, abs=1e-9, nan_ok=True), row


def test_the_figures_of_the_benchmarks_own_rule(published):
    folder, expected = published[0], published[1]["proactivevideoqa_rule"]
    predictions, references = read(folder)
    omegas = {"PAUC, omega 0": ("pauc", "0"), "PAUC": ("pauc", "0.5"), "PAUC, omega 1": ("pauc", "1")}
    for judge in (GivenAnswers(folder / "judge_answers.json"), folder / "judge_batch_output.jsonl"):
        table = turn_table(predictions, references, rule="proactivevideoqa", judge=judge)
        check_turns(table, expected["per_turn"], omegas | {"replies": "in_span"})
        scores = proactivevideoqa.score(predictions, references, judge=judge, say=str)
        assert len(scores) == expected["examples"]
        assert scores["turns"].sum() == expected["turns"]
        estimates = PROACTIVEVIDEOQA.estimate(scores)
        for name, (_, omega) in omegas.items():
            assert estimates[name].value == pytest.approx(expected["mean"][omega], abs=1e-9)
            assert round(100 * estimates[name].value, 2) == expected["port_printed_percent"][omega]
    turns = turns_of(predictions, references, RULES["proactivevideoqa"])
    assert len(coverage_pairs(turns)) == expected["judged_pairs"]


@pytest.mark.parametrize("single", [False, True])
def test_the_figures_of_mmduet2s_rule(published, single):
    folder, expected = published[0], published[1]["mmduet2_rule"][f"is_single_question={single:d}"]
    predictions, references = read(folder)
    options = {"rule": "mmduet2", "judge": GivenAnswers(folder / "judge_answers.json"), "single_question": single}
    table = turn_table(predictions, references, **options)
    check_turns(table, expected["per_turn"], {"PAUC": "pauc", "duplicates": "repetition", "immediate": "immediate"})
    assert table["replies"].tolist() == [len(turn["replies"]) for turn in expected["per_turn"]]
    scores = proactivevideoqa.score(predictions, references, say=str, **options)
    assert (len(scores), scores["turns"].sum()) == (expected["examples"], expected["turns_in_pauc"])
    estimates = PROACTIVEVIDEOQA.estimate(scores)
    for name, key in (("PAUC", "pauc"), (MEAN, "repetition"), ("immediate", "immediate")):
        assert estimates[name].value == pytest.approx(expected[key], abs=1e-9)
    pauc, repetition, at_once = (estimates[name].value for name in ("PAUC", MEAN, "immediate"))
    assert (
        f"PAUC: {100 * pauc:.2f}; repetition: {100 * repetition:.2f}; immediate score: {at_once:.2f}"
        == expected["printed"]
    )


def test_the_command_gives_the_published_figures(published, tmp_path):
    folder, expected = published
    given = ["--predictions", str(folder / "predictions.jsonl"), "--references", str(folder / "anno.json")]
    given += ["--answers", str(folder / "judge_answers.json"), "--output", str(tmp_path / "figures.json")]
    wanted = {
        (): expected["proactivevideoqa_rule"]["mean"]["0.5"],
        ("--omega", "0"): expected["proactivevideoqa_rule"]["mean"]["0"],
        ("--rule", "mmduet2"): expected["mmduet2_rule"]["is_single_question=1"]["pauc"],
        ("--rule", "mmduet2", "--no-single-question"): expected["mmduet2_rule"]["is_single_question=0"]["pauc"],
    }
    for options, value in wanted.items():
        result = CliRunner().invoke(app, ["evaluate", "proactivevideoqa", *given, *options])
        assert result.exit_code == 0, result.output
        assert f"{100 * value:.2f}" in result.output
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert figures["PAUC"]["value"] == pytest.approx(value, abs=1e-9)


def test_answers_are_read_more_strictly_than_the_published_evaluations(published):
    for row in published[1]["judge_answer_read_as"]:
        value = COVERAGE.read(row["answer"]).value
        score = None if value is None else value - 1
        assert score in (None, row["vlmevalkit_port"]), "never another score than the port's"
        assert score == row["mmduet2"] or row["mmduet2"] == 0, "an answer that it reads as a number is one"


# the definition


def plain(predictions, references, rule):
    """PAUC at ω 0.5, duplicates and immediate score of each turn, one step of the definition after the other."""
    rows = []
    for name, reference in references.items():
        if name not in predictions and rule == "mmduet2":
            continue
        said = [(r.time, r.text) for r in predictions[name].trace.responses] if name in predictions else []
        if rule == "mmduet2":
            said = [(time, text.strip()) for time, text in said if text.strip() != "NO REPLY"]
        for answer in reference.answer:
            (start, end), pauc, repetition, immediate = answer.reply_timespan, None, None, None
            is_immediate = rule == "mmduet2" and end - start < 0.5
            if is_immediate:
                start = end = 0
            curve, heard, repeats = {}, [], 0
            inside = [(time, text) for time, text in said if start <= time <= end]
            for time, text in inside:
                if text in heard:
                    repeats += 1
                    continue
                repeats += bool(heard) and sum((" ".join(heard) + text).encode()) % 2 == 0
                heard.append(text)
                grade = sum(("What happens?" + answer.content + " ".join(heard)).encode()) % 3
                curve.setdefault(time, []).append(grade)
            if is_immediate:
                immediate = next(iter(curve.values()))[0] if curve else 0.5
            else:
                points = {time: grades[-1] for time, grades in curve.items()}
                if rule == "proactivevideoqa":
                    early = [grade for time, grade in points.items() if time <= answer.related_timespan[1]]
                    late = {t: g for t, g in points.items() if t > answer.related_timespan[1]}
                    points = {t: g for t, g in points.items() if t not in late or not early or g >= early[-1]}
                height, at, area = 0.5, start, 0.0
                for time, grade in points.items():
                    area += height * (start + (time - start) / 2 - at)
                    at, height = start + (time - start) / 2, grade
                area += height * (end - at)
                pauc = 0.25 if not points else area / (2 * (end - start)) if end > start else 0
                repetition = None if not inside else repeats / max(1, len(inside) - 1)
            rows.append((name, pauc, repetition, immediate))
    return pd.DataFrame(rows, columns=["name", "PAUC", MEAN, "immediate"]).astype(
        {"PAUC": float, MEAN: float, "immediate": float}
    )


TIMES = st.integers(0, 24).map(lambda n: n / 4)
TEXTS = st.sampled_from(["a", "b", "c d", " a", "NO REPLY"])
ANSWERS = st.lists(
    st.tuples(st.sampled_from(["x", "y", "z"]), TIMES, TIMES, TIMES).map(
        lambda a: (a[0], *sorted(a[1:])[::2], sorted(a[1:])[1])
    ),
    min_size=1,
    max_size=3,
)
REPLIES = st.lists(st.tuples(TIMES, TEXTS), max_size=7).map(lambda said: sorted(said, key=lambda reply: reply[0]))
EXAMPLES = st.lists(st.tuples(ANSWERS, st.none() | REPLIES), min_size=1, max_size=4)


def built(examples):
    references = {f"q{i}": item(*answers, name=f"q{i}") for i, (answers, _) in enumerate(examples)}
    predictions = {
        f"q{i}": prediction(f"q{i}", responses=said) for i, (_, said) in enumerate(examples) if said is not None
    }
    return predictions, references


@BOTH
@given(EXAMPLES)
def test_the_scores_are_the_definition(rule, examples):
    predictions, references = built(examples)
    wanted = plain(predictions, references, rule)
    scores = scored(predictions, references, rule=rule, duplicates="judged")
    assert list(scores.index) == list(dict.fromkeys(wanted["name"]))
    if len(scores):
        estimates = PROACTIVEVIDEOQA.estimate(scores)
        for name in ("PAUC", MEAN, "immediate"):
            assert estimates[name].value == pytest.approx(wanted[name].mean(), abs=1e-12, nan_ok=True)
        assert scores["errors"].sum() == 0


@BOTH
@given(EXAMPLES, st.randoms())
def test_the_order_of_questions_changes_nothing(rule, examples, rng):
    predictions, references = built(examples)
    names = rng.sample(list(predictions), len(predictions))
    scores = scored({name: predictions[name] for name in names}, references, rule=rule)
    pd.testing.assert_frame_equal(scores, scored(predictions, references, rule=rule))


@BOTH
@given(EXAMPLES)
def test_every_figure_is_in_its_range(rule, examples):
    scores = scored(*built(examples), rule=rule, duplicates="judged")
    for name, metric in PROACTIVEVIDEOQA.metrics.items():
        low, high = {"0 to 1": (0, 1), "0 to 2": (0, 2), "a question": (0, math.inf)}[metric.unit]
        assert scores[name].dropna().between(low, high).all(), name
    assert (scores[MEAN].dropna() >= scores["literal duplicates, turn mean"].dropna()).all(), (
        "literal ones are judged too"
    )


# by hand


def test_both_rules_by_hand():
    """Two turns: three replies, the second said before and the third late; and none."""
    replies = [(1, "hello"), (3, "a"), (5, "a"), (9, "b")]
    predictions, references = {"q": prediction(responses=replies)}, {"q": item(("x", 2, 10, 8), ("y", 20, 30))}
    turns = turns_of(predictions, references, RULES["mmduet2"])
    assert [pair.custom_id for pair in coverage_pairs(turns)] == ["q=0=3.0", "q=0=9.0"]
    assert [pair.texts for pair in coverage_pairs(turns)] == [
        ("What happens?", "x", "a"),
        ("What happens?", "x", "a b"),
    ]
    assert [pair.texts for pair in duplicate_pairs(turns)] == [("", "a", "b")]
    ratings = {"q=0=3.0": Rating(3, "3"), "q=0=9.0": Rating(1, "1"), "q=0=2=duplicate": Rating(0, "no")}
    table = turn_scores(turns, ratings, rule="mmduet2", omega=0)
    assert table["PAUC"].tolist() == [(0.5 + 12) / 16, 0.25]
    assert table["duplicates"].tolist() == [0.5, pytest.approx(math.nan, nan_ok=True)]
    assert turn_scores(turns, ratings, rule="proactivevideoqa", omega=0)["PAUC"].tolist() == [(0.5 + 14) / 16, 0.25]


def test_replies_outside_every_span_and_means_over_turns():
    predictions = {"a": prediction(responses=[(1, "x"), (5, "y"), (6, "z")]), "b": prediction("b", responses=[])}
    references = {"a": item(("x", 0, 2), ("x", 5, 5.5)), "b": item(("x", 0, 1)), "c": item(("x", 0, 1), ("y", 2, 3))}
    scores = scored(predictions, references)
    assert scores["turns"].tolist() == [2, 1, 2]
    assert scores["replies"].tolist() == [3, 0, 0]
    assert scores["outside"].tolist() == [pytest.approx(1 / 3), *[pytest.approx(math.nan, nan_ok=True)] * 2]
    estimate = PROACTIVEVIDEOQA.estimate(scores)["PAUC"]
    assert estimate.value == pytest.approx((2 * scores["PAUC"]["a"] + 3 * 0.25) / 5), "over turns, not questions"
    assert list(scored(predictions, references, over="predicted").index) == ["a", "b"]
    assert list(scored(predictions, references, rule="mmduet2").index) == ["a", "b"]
    assert list(scored(predictions, references, rule="mmduet2", over="references").index) == ["a", "b", "c"]


def test_turn_mean_and_ratio_of_duplicates_differ():
    """One of one, and none of three: a mean of 1/2, a ratio of 1/4."""
    replies = [(1, "a"), (1.5, "a"), (5, "b"), (6, "c"), (7, "d"), (8, "e")]
    scores = scored({"q": prediction(responses=replies)}, {"q": item(("x", 0, 2), ("y", 4, 9))}, rule="mmduet2")
    row = scores.loc["q"]
    assert row[["literal duplicates, turn mean", "literal duplicates, ratio"]].tolist() == [0.5, 0.25]
    assert row[["literal duplicates, turns", "literal duplicates, replies"]].tolist() == [2, 4]


def test_an_immediate_turn_is_scored_at_the_question_and_not_in_pauc():
    said = prediction(responses=[(3, "a"), (3, "b"), (4, "c")])
    said.trace.queries = [Query(0, "earlier"), Query(3, "late")]
    answers = (("x", 5, 5.4), ("y", 3, 8))
    references = {"q": item(*answers, turns=((0, "first"), (6, "second")))}
    for single, moment in ((True, 0.0), (False, 3.0)):
        first, _ = turns_of({"q": said}, references, RULES["mmduet2"], single_question=single)
        assert first.span == (moment, moment)
        assert [reply.text for reply in first.judged] == ([] if single else ["a"])
    table = turn_table({"q": said}, references, rule="mmduet2")
    assert table["immediate"].tolist() == [0.5, pytest.approx(math.nan, nan_ok=True)]
    assert table["PAUC"].isna().tolist() == [True, False]


def test_an_immediate_turn_without_the_predictions_user_turn_is_due_at_the_references():
    references = {"q": item(("x", 5, 5.4), turns=((2, "What?"),))}
    (turn,) = turns_of({"q": prediction(responses=[(2, "a")])}, references, RULES["mmduet2"])
    assert turn.span == (2, 2)
    assert len(turn.judged) == 1


@pytest.mark.parametrize(("end", "shown"), [(0, "q"), (1, "one"), (3, "four"), (4, "four"), (9, "four")])
def test_the_question_that_the_published_code_shows(end, shown):
    references = {"q": item(("x", 0, end), turns=((0, "q"), (1, "one"), (4, "four")))}
    for single in (True, False):
        turns = turns_of({"q": prediction()}, references, RULES["mmduet2"], single_question=single)
        assert turns[0].question == ("q" if single else shown)


# errors are no scores


class Says(ByteJudge):
    """Gives one answer to everything that contains a word; ByteJudge's to the rest."""

    def __init__(self, word, answer, rubric=COVERAGE):
        super().__init__(rubric)
        self.word, self.answer = word, answer

    def about(self, rubric):
        return Says(self.word, self.answer, rubric)

    def ask(self, asked):
        for texts, rating in super().ask(asked):
            yield texts, self.rubric.read(self.answer) if self.word in texts[2] else rating


@BOTH
@pytest.mark.parametrize("answer", ["", "three", "0", "4", "13", "2 out of 3"])
def test_an_unreadable_answer_is_an_error_and_no_score(rule, answer):
    references = {"q": item(("x", 0, 4), ("y", 5, 9), ("z", 10, 12), name="q")}
    predictions = {"q": prediction(responses=[(1, "bad"), (6, "good"), (7, "bad")])}
    judge = Says("bad", answer)
    with pytest.warns(UserWarning, match=r"\d of 3 ratings are errors and count nowhere"):
        scores = proactivevideoqa.score(predictions, references, judge=judge, rule=rule, duplicates="literal", say=str)
    assert scores.loc["q", "errors"] == 2
    assert scores.loc["q", "turns"] == 2, "the first turn has no rated reply and is in no mean; the third is silent"
    without = {"q": prediction(responses=[(6, "good")])}
    of_second = turn_table(without, references, rule=rule)["PAUC"][1]
    assert scores.loc["q", "PAUC"] == pytest.approx((of_second + 0.25) / 2)
    turns = turns_of(predictions, references, RULES[rule])
    with pytest.warns(UserWarning, match="errors"):
        ratings = proactivevideoqa.ratings_of(turns, judge, duplicates=False, say=str)
    found = proactivevideoqa.errors_of(turns, ratings, duplicates=False)
    assert list(found.index) == ["q=0=1.0", "q=1=7.0"]
    assert (found["text"] == answer).all()


def test_a_duplicate_without_verdict_is_in_no_share():
    references = {"q": item(("x", 0, 9))}
    predictions = {"q": prediction(responses=[(1, "a"), (2, "unclear"), (3, "a"), (4, "b")])}
    with pytest.warns(UserWarning, match="1 of 2 ratings are errors"):
        scores = proactivevideoqa.score(
            predictions, references, judge=Says("unclear", "perhaps 2"), rule="mmduet2", say=str
        )
    assert scores.loc["q", [MEAN, "duplicates, replies", "errors"]].tolist() == [0.5, 2, 1], "b is none"


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", 1), (" Yes, it is.", 1), ("YES", 1), ("no", 0), ("No.", 0), ("Not at all", 0), ("nothing new", None),
     ("", None), ("perhaps", None), ("It is: yes", None)],
)  # fmt: skip
def test_verdicts(text, value):
    assert read_verdict(text).value == value


# judges


def test_batches_have_the_benchmarks_names_and_both_kinds_of_requests(tmp_path):
    references = {"a=b%Q": item(("x", 0, 9), name="a=b%Q")}
    turns = turns_of({"a=b%Q": prediction(responses=[(1, "a"), (2, "b")])}, references, RULES["mmduet2"])
    judge = judges.EndpointJudge("m")
    path = tmp_path / "requests.jsonl"
    more = (duplicate_pairs(turns), judge.about(DUPLICATES))
    assert judges.write_batch(path, coverage_pairs(turns), judge.about(COVERAGE), more) == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    written = [line["custom_id"] for line in lines]
    assert [name[:-9] for name in written] == ["a=b%Q=0=1.0", "a=b%Q=0=2.0", "a=b%Q=0=1=duplicate"]
    texts = [line["body"]["messages"][0]["content"] for line in lines]
    assert "Question: What happens?\nGround Truth Answer: x\nPredicted Answer: a b\n" in texts[1]
    assert "Earlier replies: a\nNew reply: b\n" in texts[2]

    def answer(names, *contents):
        bodies = [{"body": {"choices": [{"message": {"content": content}}]}} for content in contents]
        lines = [{"custom_id": name, "response": body} for name, body in zip(names, bodies, strict=True)]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    names = ["a=b%Q=0=1", "a=b%Q=0=2.0", "a=b%Q=0=1=duplicate", "other=0=3"]  # an integer time, another question
    answer(names, "3", "1", "yes", "2")
    ratings = proactivevideoqa.ratings_of(turns, path, duplicates=True)
    assert {name: rating.value for name, rating in ratings.items()} == {
        "a=b%Q=0=1.0": 3, "a=b%Q=0=2.0": 1, "a=b%Q=0=1=duplicate": 1,
    }  # fmt: skip
    answer(written, "3", "1", "yes")
    assert proactivevideoqa.ratings_of(turns, path, duplicates=True) == ratings, "names with a digest are read, too"
    answer(written, "3", "1", "y")
    with pytest.raises(DuetError, match="none of 1 pairs has a rating, the first of question 'a=b%Q': neither yes nor"):
        proactivevideoqa.ratings_of(turns, path, duplicates=True)
    answer(["a=b%Q=0=5.0"], "3")
    with pytest.raises(DuetError, match=r"line 1: 'a=b%Q=0=5.0' is no pair of these predictions"):
        proactivevideoqa.ratings_of(turns, path, duplicates=True)


@pytest.mark.parametrize("name", ["", "q", "q=1", "q=x=1.0", "q=0=x", "q=0=1=duplicate"])
def test_other_names_are_no_coverage_pairs(name):
    assert read_coverage_id(name) == ("", "")


def test_answers_are_kept_by_rubric(tmp_path):
    predictions = {"q": prediction(responses=[(1, "a"), (2, "b")])}
    references = {"q": item(("x", 0, 9))}
    heard = []
    for _ in range(2):
        scores = proactivevideoqa.score(
            predictions, references, judge=ByteJudge(), cache=tmp_path / "cache.jsonl", rule="mmduet2", say=heard.append
        )
    assert [line.split(";")[0] for line in heard] == [
        "2 pairs, 0 of them answered already", "1 pairs, 0 of them answered already",
        "2 pairs, 2 of them answered already", "1 pairs, 1 of them answered already",
    ]  # fmt: skip
    assert scores.loc["q", "PAUC"] == scored(predictions, references, rule="mmduet2").loc["q", "PAUC"]


def test_a_text_without_a_given_answer_is_an_error(tmp_path):
    path = tmp_path / "answers.json"
    known = {"question": "What happens?", "gold": "x", "predicted": "a", "answer": "2"}
    path.write_text(json.dumps({"similarity": [known]}))
    with pytest.warns(UserWarning, match="1 of 2 ratings are errors .*: not in the file"):
        scores = proactivevideoqa.score(
            {"q": prediction(responses=[(1, "a"), (2, "b")])},
            {"q": item(("x", 1, 9))},
            judge=GivenAnswers(path),
            say=str,
        )
    assert scores.loc["q", ["PAUC", "errors"]].tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "upstream"}, "rule='upstream' is not known"),
        ({"omega": 2.0}, "omega=2.0: must be from 0"),
        ({"over": "answered"}, "over='answered' is not known; known are"),
        ({"duplicates": "no"}, "duplicates='no' is not known; known are"),
        ({"single_question": False}, "rule 'proactivevideoqa' always shows the first user turn"),
        ({"judge": None}, "no judge: give --judge MODEL"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(DuetError, match=message):
        proactivevideoqa.score({}, {"q": item(("x", 0, 1))}, **({"judge": ByteJudge()} | options))


# files


def test_the_benchmarks_own_forms_of_predictions(written):
    references = {"1": item(("x", 0, 4), name=1, duration=9), "b": item(("x", 0, 4), name="b")}
    path = written(
        {"question_id": 1, "model_response_list": [{"time": 5, "content": "late"}, {"time": 2, "content": "a"}]},
        {"question_id": "b", "video_span": [4, 8], "answerable": "Yes", "model_response": "second"},
        {"question_id": "b", "video_span": [0, 4.0], "answerable": True, "model_response": ["first", "part"]},
        {"question_id": "b", "video_span": [8, 12], "answerable": "no", "model_response": "not said"},
        {"question_id": "c", "error": "unreadable"},
    )
    found = read_predictions(path, references)
    assert [(r.time, r.text) for r in found.by_id["1"].trace.responses] == [(2, "a"), (5, "late")]
    assert [(r.time, r.text) for r in found.by_id["b"].trace.responses] == [(4, "first part"), (8, "second")]
    assert (found.by_id["1"].duration, found.by_id["b"].duration) == (9, 8)
    assert found.errors == {"c": "unreadable"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"question_id": "q", "video_span": [0, 4], "answerable": "maybe"}, "line 1: field answerable is 'maybe'"),
        ({"question_id": "q", "video_span": [4, 0], "answerable": "yes"}, "line 1: field video_span"),
        (
            {"question_id": "q", "model_response_list": [{"time": "1", "content": "a"}]},
            "model_response_list / 0 / time",
        ),
        ({"question_id": "q", "model_response_list": [{"time": 1}]}, "model_response_list / 0 / content"),
        ({"question_id": "q", "model_response_list": 3}, "line 1"),
        ({"model_response_list": []}, "line 1: field question_id"),
        ([], "line 1"),
    ],
)
def test_a_wrong_line_is_refused(written, line, message):
    with pytest.raises(DuetError, match=message):
        read_predictions(written(line), {"q": item(("x", 0, 4))})


def test_a_question_has_one_line(written):
    line = {"question_id": "q", "model_response_list": []}
    chunk = {"question_id": "q", "video_span": [0, 4], "answerable": "no"}
    with pytest.raises(DuetError, match="question 'q' has a prediction already"):
        read_predictions(written(line, chunk), {})
    with pytest.raises(DuetError, match="does not exist"):
        read_predictions("nowhere.jsonl", {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": []}, "entry 0 / answer"),
        ({"answer": [{"content": "x", "reply_timespan": [4, 2]}]}, r"entry 0 / answer / 0 / reply_timespan"),
        ({"duration": 0}, "entry 0 / duration"),
        ({"conversation": []}, "entry 0.*no turn of the user"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path, change, message):
    entry = {
        "question_id": "q", "video": "v.mp4", "duration": 9,
        "conversation": [{"role": "user", "content": "?", "time": 0}],
        "answer": [{"content": "x", "reply_timespan": [0, 2], "type": "step"}],
    }  # fmt: skip
    path = tmp_path / "references.json"
    path.write_text(json.dumps([entry]))
    assert read_references(path, PROACTIVEVIDEOQA)["q"].spans == [(0, 2, "x")]
    path.write_text(json.dumps([entry | change]))
    with pytest.raises(DuetError, match=message):
        read_references(path, PROACTIVEVIDEOQA)


def test_subtitles_are_asked_while_the_video_plays(tmp_path):
    turns = [{"role": "user", "content": str(time), "time": time} for time in (0, 4.5, 8.9, 9.5)]
    entry = {"question_id": "q", "video": "v.mp4", "conversation": turns, "duration": 9.9}
    (tmp_path / "q.json").write_text(json.dumps([entry]))
    (question,) = read_questions(tmp_path / "q.json", PROACTIVEVIDEOQA)
    assert [query.time for query in question.queries] == [0, 4.5, 8.9]


def test_scenes_has_the_format_and_a_judge(tmp_path):
    files = annotation_files("test", [write_script(0, "test", index) for index in range(8)])
    path = tmp_path / PROACTIVEVIDEOQA.scenes
    path.write_text(files[path.name])
    references = read_references(path, PROACTIVEVIDEOQA)
    assert len(references) == 8
    perfect, wrong = {}, {}
    for name, reference in references.items():
        for answer in reference.answer:
            assert answer.reply_timespan[1] == min(answer.related_end + 1, reference.duration)
        said = [(answer.reply_timespan[0], answer.content) for answer in reference.answer]
        perfect[name] = prediction(name, responses=said)
        wrong[name] = prediction(name, responses=[(time, "Nothing.") for time, _ in said])
    for predictions, value in ((perfect, 1), (wrong, 0)):
        scores = proactivevideoqa.score(predictions, references, judge=ConceptJudge(), rule="mmduet2", say=str)
        if value:
            assert scores["PAUC, omega 1"].min() > 0.4, (
                "a scene's reply may fall into the last second of the one before"
            )
        else:
            assert (scores["PAUC, omega 1"] == 0).all()


@pytest.mark.parametrize(
    ("rubric", "earlier", "reply", "value"),
    [
        (COVERAGE, "It is the moon.", "I see the moon.", 3),
        (COVERAGE, "It is the moon.", "A horse. The moon.", 2),
        (COVERAGE, "It is the moon.", "A horse.", 1),
        (COVERAGE, "It is the moon.", "", 1),
        (DUPLICATES, "The moon. A horse.", "Now the moon.", 1),
        (DUPLICATES, "The moon.", "A horse by the moon.", 0),
    ],
)
def test_the_judge_of_scenes(rubric, earlier, reply, value):
    ((_, rating),) = ConceptJudge().about(rubric).ask([("", earlier, reply)])
    assert rating.value == value
    assert ConceptJudge().about(rubric).identity != ConceptJudge().identity == "concepts of scenes"


def test_the_judge_of_scenes_refuses_other_answers_and_rubrics():
    with pytest.raises(DuetError, match="knows the answers of scenes alone"):
        list(ConceptJudge(COVERAGE).ask([("", "A zebra.", "A zebra.")]))
    with pytest.raises(DuetError, match="knows the rubrics GRADES, COVERAGE and DUPLICATES alone"):
        ConceptJudge().about(judges.Rubric("{reply}", read_verdict))


# the command


@pytest.fixture
def files(tmp_path, written):
    """Options of the command: one question, two replies in its span."""
    (tmp_path / "gold.json").write_text(json.dumps([item(("x", 0, 9)).model_dump()]))
    said = [{"time": 1, "content": "a"}, {"time": 2, "content": "b"}]
    path = written({"question_id": "q", "model_response_list": said})
    return ["evaluate", "proactivevideoqa", "--predictions", str(path), "--references", str(tmp_path / "gold.json")]


def test_the_command_writes_batches(files, tmp_path):
    path = tmp_path / "requests.jsonl"
    for more, count in (([], 2), (["--rule", "mmduet2"], 3)):
        command = [*files, "--write-batch", str(path), "--judge", "gpt-4.1", *more]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        assert f"{count} requests" in result.output
        assert {json.loads(line)["body"]["model"] for line in path.read_text().splitlines()} == {"gpt-4.1"}
    with pytest.raises(DuetError, match="no judge: give --judge MODEL, whose name"):
        CliRunner().invoke(app, [*files, "--write-batch", str(path)], catch_exceptions=False)


def test_the_command_asks_before_an_endpoint_is_asked(files):
    with pytest.raises(DuetError, match="no judge: give --judge MODEL, with --url"):
        CliRunner().invoke(app, files, catch_exceptions=False)
    with pytest.raises(DuetError, match=r"nowhere\.json"):
        CliRunner().invoke(app, [*files, "--answers", "nowhere.json"], catch_exceptions=False)
    result = CliRunner().invoke(app, [*files, "--judge", "m", "--url", "http://localhost:1/v1"], input="n\n")
    assert result.exit_code == 1
    assert "2 pairs, 0 of them answered already; 2 to ask" in result.output
    assert "Ask it?" in result.output
    assert "PAUC" not in result.output
