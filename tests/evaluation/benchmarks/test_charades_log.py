"""Charades-STA in lmms-eval's sample logs."""

import itertools
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation import CHARADES_STA, charades_sta, lmms_eval, read_references
from mmduet.evaluation.benchmarks.charades_log import best_interval, read_charades, read_interval
from tests.evaluation.conftest import prediction

runner = CliRunner()


def line(number, said, *, query="a cup", span=(2.0, 6.0)):
    key = f"v.mp4>>>{query}>>>{list(span)}"
    metrics = {f"charades_sta_{name}": {key: said} for name in ("IOU@3", "IOU@5", "IOU@7", "mIOU")}
    doc = {"video": "v.mp4", "caption": query, "timestamp": list(span)}
    return lmms_eval.sample_line(number, doc, target=str(list(span)), response=said, metrics=metrics, query=query)


def test_the_figures_and_times_of_lmms_eval_come_out(reference, tmp_path):
    folder = reference / "streaming" / "lmms_eval"
    expected = json.loads((folder / "expected.json").read_text())
    log = folder / "samples_temporal_grounding_charades.jsonl"
    for entry in expected["extracted"]:
        found = read_interval(entry["text"])
        assert ([] if found is None else [list(found)]) == entry["times"], entry["text"]
    output = tmp_path / "figures.json"
    done = runner.invoke(
        app, ["evaluate", "charades_sta", "--predictions", str(log), "--references", str(log), "--output", str(output)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(output.read_text())
    for name, ours in (("IOU@3", "R@0.3"), ("IOU@5", "R@0.5"), ("IOU@7", "R@0.7"), ("mIOU", "mIoU")):
        assert figures[ours]["value"] == pytest.approx(expected["charades_metrics"][name], abs=1e-9)


def test_a_written_line_equals_lmms_evals(reference, tmp_path):
    log = reference / "streaming" / "lmms_eval" / "samples_temporal_grounding_charades.jsonl"
    output = tmp_path / "again.jsonl"
    assert runner.invoke(
        app, ["export", "charades_sta", str(log), "--references", str(log), "--output", str(output)]
    ).exit_code == 0  # fmt: skip
    first, again = (json.loads(path.read_text().split("\n")[0]) for path in (log, output))
    assert list(again) == list(first)
    assert again["doc_hash"] == first["doc_hash"]
    assert again["target"] == first["target"]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("2 - 5 seconds", (2, 5)),
        ("from 2.5 to 5", (2.5, 5)),
        ("5s to 2s", (2, 5)),
        ("00:01:02 - 00:01:05", (62, 65)),
        ("1:02 then 1:05", (62, 65)),
        ("It starts at 3 and ends at 7", None),
        ("Start: 3\nEnd: 7", (3, 7)),
        ("At 1 - 2?\nIt happens in 3 - 4", (3, 4)),
        ("A specific example is : 20.8 - 30.0 seconds", None),
        ("nothing", None),
    ],
)
def test_texts_are_read_as_lmms_eval_does(text, times):
    assert read_interval(text) == times


def test_lines_belong_to_the_references_with_their_video_span_and_query(written, tmp_path):
    log = written(line(0, "2 - 6"), line(1, "0 - 1", query="a dog"), name="log.jsonl")
    turn = {"role": "user", "content": "Where is 'a cup' shown?", "time": 0}
    entry = {"question_id": "q7", "video": "v.mp4", "conversation": [turn], "timestamps": [[2, 6]]}
    (tmp_path / "test.json").write_text(json.dumps([entry]))
    items = read_references(tmp_path / "test.json", CHARADES_STA)
    found = read_charades(log, items).by_id
    assert list(found) == ["q7", "doc_id 1"]
    assert charades_sta.evaluate(found, items)["mIoU"] == 100


def items_of(tmp_path, **texts):
    """References about one video and span. texts: question id -> text."""
    entries = [
        {"question_id": name, "video": "v.mp4", "conversation": [{"role": "user", "content": text, "time": 0}],
         "timestamps": [[2, 6]]}
        for name, text in texts.items()
    ]  # fmt: skip
    (tmp_path / "test.json").write_text(json.dumps(entries))
    return read_references(tmp_path / "test.json", CHARADES_STA)


@pytest.mark.parametrize("prompt", ["{}", "Where does '{}' happen?"])
@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_queries_within_each_other_get_their_own_answers(prompt, order, written, tmp_path):
    queries = ["person sits", "person sits down", "a person sits"]
    items = items_of(tmp_path, **{str(i): prompt.format(queries[i]) for i in order})
    log = written(*(line(i, f"{i} - 9", query=queries[i]) for i in reversed(order)), name="log.jsonl")
    found = read_charades(log, items).by_id
    assert {name: each.segments[0].start for name, each in found.items()} == {"0": 0, "1": 1, "2": 2}


def test_a_query_that_a_question_asks_is_the_answer_of_no_longer_one(written, tmp_path):
    items = items_of(tmp_path, long="person sits down", short="person sits")
    log = written(line(0, "2 - 6", query="person sits"), name="log.jsonl")
    assert list(read_charades(log, items).by_id) == ["short"]


def test_one_query_under_two_prompts_is_the_answer_of_both(written, tmp_path):
    items = items_of(tmp_path, a="Where is 'a cup'?", b="When do we see 'a cup'?")
    assert list(read_charades(written(line(0, "2 - 6"), name="log.jsonl"), items).by_id) == ["a", "b"]


def test_a_text_with_several_queries_is_refused(written, tmp_path):
    log = written(line(0, "2 - 6", query="a man"), line(1, "2 - 6", query="a cup"), name="log.jsonl")
    with pytest.raises(DuetError, match=r"question 'q', 'a man with a cup', has both .*: give references"):
        read_charades(log, items_of(tmp_path, q="a man with a cup"))


def test_lines_with_one_video_span_and_query_are_one_question(written):
    log = written(line(0, "2 - 6"), line(1, "2 - 4"), line(1, "2 - 4"), name="log.jsonl")
    items = read_references(log, CHARADES_STA)
    assert list(items) == ["0"]
    assert charades_sta.evaluate(read_charades(log, items).by_id, items)["mIoU"] == 50, "the later line counts"


def test_the_best_interval_is_the_run_with_the_highest_sum():
    scores = [0, 1, 0, 0.9, 0.8, 0.9, 0, 0, 0, 0]
    assert best_interval(prediction(relevance=scores), window=0) == (3.0, 6.0)
    assert best_interval(prediction(relevance=[0, 0, 0, 0, 1], duration=5.0), window=0) == (4.0, 5.0)
    assert best_interval(prediction(relevance=np.zeros(4)), window=0) is None
    with pytest.raises(DuetError, match="no frame scores"):
        best_interval(prediction())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"charades_sta_IOU@3": {"v.mp4": "2 - 6"}}, "has no metric charades_sta_IOU@3"),
        ({"charades_sta_IOU@3": {"v.mp4>>>a>>>2 to 6": "2 - 6"}}, "is no \\[start, end\\]"),
        ({"charades_sta_IOU@3": {"v.mp4>>>a>>>[6, 2]": "2 - 6"}}, "ends before it starts"),
        ({"filtered_resps": None}, "no response that is a text"),
    ],
)
def test_a_wrong_line_is_refused(change, message, written):
    with pytest.raises(DuetError, match=message):
        read_charades(written(line(0, "2 - 6") | change, name="log.jsonl"), {})


def test_an_export_needs_references(written, tmp_path):
    log = written(line(0, "2 - 6"), name="log.jsonl")
    done = runner.invoke(app, ["export", "charades_sta", str(log), "--output", str(tmp_path / "o.jsonl")])
    assert "give --references" in str(done.exception)
