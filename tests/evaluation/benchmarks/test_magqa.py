import json
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks import magqa
from mmduet.evaluation.judges import Rating, errors, rate, read_batch
from mmduet.evaluation.prediction_file import Segment, read_predictions
from mmduet.evaluation.references import AnsweredItem, read_references
from tests.evaluation.conftest import prediction


def item(*answers, name="q", question="What happens?"):
    """answers: (text, start, end)."""
    return AnsweredItem(
        question_id=name,
        video="v.mp4",
        conversation=[{"role": "user", "content": question, "time": 0}],
        answer=[{"content": text, "time": (start, end)} for text, start, end in answers],
    )


class ByteJudge:
    """1 + (sum of the bytes of both texts) % 5, as in the reference files."""

    identity = "bytes"

    def ask(self, asked):
        for question, gold, reply in asked:
            yield (question, gold, reply), Rating(1 + sum((gold + reply).encode()) % 5, "said")


def rated(predictions, references):
    return rate(magqa.pairs(predictions, references), ByteJudge())


def scored(predictions, references, **kwargs):
    return magqa.score(predictions, references, rated(predictions, references), **kwargs)


@pytest.fixture(scope="module")
def published(reference):
    folder = reference / "eval"
    predictions = read_predictions(folder / "magqa_pred.jsonl").by_id
    references = read_references(folder / "magqa_gold.json", "magqa")
    return predictions, references, json.loads((folder / "magqa_expected.json").read_text())


@pytest.mark.parametrize(("over", "name"), [("answered", "exact"), ("references", "padded_to_40")])
def test_the_published_figures(published, reference, over, name):
    predictions, references, expected = published
    pairs = magqa.pairs(predictions, references)
    from_batch = read_batch(reference / "eval" / "magqa_batch_output.jsonl", pairs)
    assert set(from_batch) == {pair.custom_id for pair in pairs}
    for ratings in (rate(pairs, ByteJudge()), from_batch):
        table = magqa.score(predictions, references, ratings, over=over)
        means = magqa.evaluate(predictions, references, ratings, over=over)
        assert len(table) == expected[name]["num_examples"]
        # 4.325 turns were printed as 4.32: NumPy's rounding, not Python's
        printed = [np.round(means[metric], 2) for metric in magqa.METRICS]
        assert printed == [expected[name][key] for key in ("in_span_score", "turns", "turns_dedup")]
        assert means["errors"] == 0


def plain(predictions, references, names):
    """The definition, a reply at a time: (in-span score, turns, different turns), means over `names`."""
    rows = []
    for name in names:
        said = [(r.time, r.text) for r in predictions[name].trace.responses] if name in predictions else []
        golds = []
        for answer in references[name].answer:
            inside = [t for when, t in said if when == -1 or answer.time[0] <= when <= answer.time[1]]
            marks = [1 + sum(answer.content.encode() + t.encode()) % 5 for t in inside]
            golds.append(sum(marks) / len(marks) if marks else 1)
        rows.append((sum(golds) / len(golds), len(said), len({t for _, t in said})))
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]


TIMES = st.one_of(st.just(-1.0), st.integers(0, 12).map(lambda n: n / 2))
TEXTS = st.sampled_from(["", "a", "b", "ein Käse", "猫", "a "])
ANSWERS = st.lists(
    st.tuples(TEXTS, st.integers(0, 6), st.integers(0, 6)).map(lambda a: (a[0], min(a[1:]), max(a[1:]))),
    min_size=1,
    max_size=4,
)
EXAMPLES = st.lists(st.tuples(ANSWERS, st.none() | st.lists(st.tuples(TIMES, TEXTS), max_size=6)), min_size=1)


def built(examples):
    references = {f"q{i}": item(*answers, name=f"q{i}") for i, (answers, _) in enumerate(examples)}
    predictions = {
        f"q{i}": prediction(f"q{i}", responses=said) for i, (_, said) in enumerate(examples) if said is not None
    }
    return predictions, references


@given(EXAMPLES)
def test_the_scores_are_the_definition(examples):
    predictions, references = built(examples)
    ratings = rated(predictions, references)
    answered = [name for name in predictions if predictions[name].trace.responses]
    for over, names in (("references", list(references)), ("predicted", list(predictions)), ("answered", answered)):
        table = magqa.score(predictions, references, ratings, over=over)
        assert table.index.tolist() == names
        if names:
            means = magqa.evaluate(predictions, references, ratings, over=over)
            assert [means[name] for name in magqa.METRICS] == pytest.approx(plain(predictions, references, names))
            assert table["in-span score"].between(1, 5).all()
            assert (table["turns, de-duplicated"] <= table["turns"]).all()


@given(EXAMPLES, st.randoms())
def test_the_order_of_pairs_and_examples_is_irrelevant(examples, rng):
    predictions, references = built(examples)
    pairs = magqa.pairs(predictions, references)
    names = rng.sample(list(references), len(references))
    shuffled = {name: predictions[name] for name in names if name in predictions}
    ratings = rate(rng.sample(pairs, len(pairs)), ByteJudge())
    table = magqa.score(shuffled, {name: references[name] for name in names}, ratings, over="references")
    wanted = scored(predictions, references, over="references")
    assert table.loc[wanted.index].equals(wanted)


@given(EXAMPLES)
def test_exactly_the_needed_pairs_are_rated(examples):
    predictions, references = built(examples)
    pairs = magqa.pairs(predictions, references)
    assert len({pair.custom_id for pair in pairs}) == len({(pair.question_id, pair.texts) for pair in pairs})
    assert len(pairs) == len({(pair.question_id, pair.texts) for pair in pairs})
    for left_out in pairs[:3]:  # each of them is used
        ratings = rate([pair for pair in pairs if pair is not left_out], ByteJudge())
        assert magqa.evaluate(predictions, references, ratings)["errors"] == 1


def test_by_hand():
    """The first answer has replies rated 2 and 5, the second has none: (3.5 + 1) / 2."""
    predictions = {"q": prediction(responses=[(1, "x"), (4, "y"), (5, "x"), (9, "z")])}
    references = {"q": item(("gold", 0, 4), ("other", 6, 8))}
    pairs = magqa.pairs(predictions, references)
    assert [pair.custom_id for pair in pairs] == ["q*0*0,2", "q*0*1"]
    assert pairs[0].texts == ("What happens?", "gold", "x")
    ratings = {"q*0*0,2": Rating(2, "2"), "q*0*1": Rating(5, "5")}
    row = magqa.score(predictions, references, ratings).loc["q"]
    assert row.to_dict() == {"in-span score": 2.25, "turns": 4, "turns, de-duplicated": 3, "errors": 0}


def test_a_span_has_both_its_ends():
    replies = [(1.9, "before"), (2.0, "start"), (5.5, "end"), (5.6, "after")]
    pairs = magqa.pairs({"q": prediction(responses=replies)}, {"q": item(("gold", 2, 5.5))})
    assert [pair.texts[2] for pair in pairs] == ["start", "end"]


def test_a_repeated_gold_answer_is_rated_once_and_counts_where_its_reply_is():
    predictions = {"q": prediction(responses=[(7, "x")])}
    references = {"q": item(("gold", 0, 1), ("other", 2, 3), ("gold", 6, 8))}
    (pair,) = magqa.pairs(predictions, references)
    assert pair.custom_id == "q*0,2*0"
    row = magqa.score(predictions, references, {pair.custom_id: Rating(4, "4")}).loc["q"]
    assert row["in-span score"] == (1 + 1 + 4) / 3


def test_a_reply_without_time_is_inside_every_span():
    predictions = {"q": prediction(responses=[(-1.0, "x")])}
    references = {"q": item(("a", 0, 1), ("b", 2, 3))}
    assert [pair.custom_id for pair in magqa.pairs(predictions, references)] == ["q*0*0", "q*1*0"]
    ratings = {"q*0*0": Rating(5, "5"), "q*1*0": Rating(2, "2")}
    assert magqa.evaluate(predictions, references, ratings)["in-span score"] == 3.5


def test_a_baseline_s_segment_is_said_at_its_middle():
    segments = [Segment(0, 8, "x"), Segment(8, 10, "y")]
    predictions = {"q": prediction(segments=segments)}
    references = {"q": item(("a", 3, 4.5), ("b", 8, 8.9))}
    assert [pair.custom_id for pair in magqa.pairs(predictions, references)] == ["q*0*0"]
    assert magqa.evaluate(predictions, references, {"q*0*0": Rating(5, "5")}) == {
        "in-span score": 3.0,
        "turns": 2.0,
        "turns, de-duplicated": 2.0,
        "errors": 0.0,
    }


def test_a_baseline_without_any_times():
    """It has no segments; what it said stands untimed in its trace."""
    predictions = {"q": prediction(segments=[], responses=[(magqa.UNTIMED, "all of it")])}
    assert [pair.custom_id for pair in magqa.pairs(predictions, {"q": item(("a", 3, 4))})] == ["q*0*0"]


def test_which_examples_count():
    predictions = {"said": prediction("said", responses=[(1, "x")]), "silent": prediction("silent")}
    references = {name: item(("gold", 0, 2), name=name) for name in ("said", "silent", "missing")}
    ratings = {"said*0*0": Rating(4, "4")}
    found = {over: magqa.evaluate(predictions, references, ratings, over=over) for over in magqa.OVER}
    assert {over: figures["in-span score"] for over, figures in found.items()} == {
        "predicted": 2.5,
        "references": 2.0,
        "answered": 4.0,
    }
    assert found["references"]["turns"] == 1 / 3
    with pytest.raises(DuetError, match="over='all' is not known"):
        magqa.score(predictions, references, ratings, over="all")


def test_errors_count_nowhere_and_are_named():
    """Of q, the reply x has no rating, y is rated 5; of r nothing is left; s is sound."""
    predictions = {
        "q": prediction("q", responses=[(1, "x"), (2, "y")]),
        "r": prediction("r", responses=[(1, "x")]),
        "s": prediction("s", responses=[(1, "x")]),
    }
    references = {name: item(("gold", 0, 3), name=name) for name in predictions}
    ratings = {
        "q*0*0": Rating(None, "no idea", "no number"),
        "q*0*1": Rating(5, "5"),
        "s*0*0": Rating(2, "2"),
    }
    table = magqa.score(predictions, references, ratings)
    assert table.loc["q", ["in-span score", "errors"]].tolist() == [5, 1]
    assert math.isnan(table.loc["r", "in-span score"])
    means = magqa.evaluate(predictions, references, ratings)
    assert (means["in-span score"], means["errors"]) == (3.5, 2)
    named = errors(magqa.pairs(predictions, references), ratings)
    assert named[["question_id", "reply", "reason"]].to_numpy().tolist() == [
        ["q", "x", "no number"],
        ["r", "x", "not rated"],
    ]
    assert named.loc["q*0*0", "text"] == "no idea"


def test_an_empty_reply_is_a_reply():
    predictions = {"q": prediction(responses=[(1, "")])}
    references = {"q": item(("gold", 0, 3))}
    assert [pair.texts[2] for pair in magqa.pairs(predictions, references)] == [""]
    assert scored(predictions, references).loc["q", "turns"] == 1


def test_no_question_is_an_error():
    reference = item(("gold", 0, 3)).model_copy(update={"conversation": []})
    with pytest.raises(DuetError, match="'q' has an empty conversation"):
        magqa.pairs({"q": prediction(responses=[(1, "x")])}, {"q": reference})


def test_the_paper_s_rows():
    assert len(magqa.PUBLISHED) == 14
    assert magqa.PUBLISHED["MMDuet, t=0.5, judged by GPT-4o"] == {
        "in-span score": 2.61,
        "turns": 18.4,
        "turns, de-duplicated": 5.3,
    }


def test_many_examples_against_the_definition():
    """With times as a run at 2 frames a second has them."""
    rng = random.Random(0)
    examples = []
    for _ in range(200):
        edges = np.sort([rng.uniform(0, 60) for _ in range(6)])
        answers = [(f"gold {rng.randrange(2)}", *map(float, edges[i : i + 2])) for i in (0, 2, 4)]
        said = sorted((rng.randrange(120) / 2, f"Antwort № {rng.randrange(4)}") for _ in range(rng.randrange(9)))
        examples.append((answers, said))
    predictions, references = built(examples)
    means = magqa.evaluate(predictions, references, rated(predictions, references))
    assert [means[name] for name in magqa.METRICS] == pytest.approx(plain(predictions, references, references))
