"""OVO-Bench's forward tasks online."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation import read_predictions, read_questions, read_references
from mmduet.evaluation.benchmarks import OVOBENCH_ONLINE, ovobench_online
from mmduet.evaluation.benchmarks.ovo.items import OvoItem
from tests.evaluation.benchmarks.test_ovobench import CHOICE, CLUE, COUNT, ENTRIES, STEPS
from tests.evaluation.conftest import prediction

times = st.lists(st.integers(0, 40).map(lambda value: value / 2), max_size=8)


def items(*entries):
    return {str(entry["id"]): OvoItem.model_validate(entry) for entry in entries}


def said(*seconds):
    return prediction(responses=[(time, "x") for time in seconds], duration=20.0)


def test_the_published_figures_come_out(reference):
    folder = reference / "streaming" / "ovobench"
    expected = json.loads((folder / "expected_online.json").read_text())
    found = read_references(folder / "anno.json", OVOBENCH_ONLINE)
    predictions = read_predictions(folder / "online_predictions.jsonl").by_id
    figures = ovobench_online.evaluate(predictions, found)
    timing = expected["videochat3_ovo_timing"]
    for task in ("REC", "SSR", "CRR"):
        for figure in ("recall", "precision", "f1"):
            name = f"{task} {figure.replace('f1', 'F1')}"
            assert figures[name] == pytest.approx(timing[task][f"{figure}_at_2s"], abs=1e-9)
            assert round(figures[name], 4) == expected["emgarde_printed"][task][figure]
    for figure in ("recall", "precision", "f1"):
        assert figures[figure.replace("f1", "F1")] == pytest.approx(timing[f"average_{figure}_at_2s"], abs=1e-9)
    scores = ovobench_online.score(predictions, found)
    for entry in expected["per_item"]:
        item, row = found[str(entry["id"])], scores.loc[str(entry["id"])]
        assert sorted(item.times) == entry["gold_times"]
        assert item.stream == (entry["stream_start"], entry["stream_end"])
        assert [r.time for r in ovobench_online.replies(predictions[str(entry["id"])], item)] == entry["replies"]
        assert row[f"{entry['task']} recall"] == pytest.approx(entry["recall"], abs=1e-9)
        assert row[f"{entry['task']} precision"] == pytest.approx(entry["precision"], abs=1e-9)


def test_the_command_writes_them(reference, tmp_path):
    folder, output = reference / "streaming" / "ovobench", tmp_path / "figures.json"
    given = ["--predictions", str(folder / "online_predictions.jsonl"), "--references", str(folder / "anno.json")]
    done = CliRunner().invoke(app, ["evaluate", "ovobench_online", *given, "--output", str(output)])
    assert done.exit_code == 0, done.output
    expected = json.loads((folder / "expected_online.json").read_text())["videochat3_ovo_timing"]["average_f1_at_2s"]
    assert json.loads(output.read_text())["F1"]["value"] == pytest.approx(expected, abs=1e-9)
    assert "13 questions\n" in done.output, "the other tasks are not missed"


@given(times, times, st.floats(0, 5))
def test_a_match_uses_a_reply_once_and_is_near(due, replied, tolerance):
    found = ovobench_online.match(due, replied, tolerance=tolerance)
    used = [index for index in found if index is not None]
    assert len(used) == len(set(used))
    assert len(found) == len(due)
    for time, index in zip(sorted(due), found, strict=True):
        free = {i for i, t in enumerate(replied) if abs(t - time) <= tolerance}
        assert index in free if index is not None else free <= set(used)


@given(times, st.permutations(range(4)))
def test_the_order_of_due_times_changes_nothing(replied, order):
    due = [1.0, 4.0, 9.0, 9.5]
    assert ovobench_online.match([due[i] for i in order], replied) == ovobench_online.match(due, replied)


def test_recall_precision_and_f1_of_a_task():
    found = items(COUNT, COUNT | {"id": 6})
    figures = ovobench_online.evaluate({"3": said(3.0, 5.0, 7.0), "6": said()}, found)
    assert (figures["REC recall"], figures["REC precision"]) == (0.5, pytest.approx(1 / 3))
    assert figures["REC F1"] == pytest.approx(0.4), "of the two means"
    assert figures["F1"] == pytest.approx(0.4 / 3), "an absent task counts 0"
    assert np.isnan(figures["SSR F1"])


def test_an_entry_without_a_prediction_may_count():
    found = items(COUNT, COUNT | {"id": 6})
    predictions = {"3": said(3.0, 7.0)}
    assert ovobench_online.evaluate(predictions, found)["REC recall"] == 1
    assert ovobench_online.evaluate(predictions, found, over="references")["REC recall"] == 0.5
    with pytest.raises(DuetError, match="over='all' is not known"):
        ovobench_online.score(predictions, found, over="all")


def test_two_seconds_count_and_more_do_not():
    scores = ovobench_online.score({"4": said(3.0)}, items(STEPS))
    assert scores.loc["4", "SSR recall"] == 1
    assert ovobench_online.score({"4": said(2.9)}, items(STEPS)).loc["4", "SSR recall"] == 0
    assert ovobench_online.score({"4": said(2.9)}, items(STEPS), tolerance=2.1).loc["4", "SSR recall"] == 1


def test_replies_outside_the_stream_do_not_count():
    found = items(CLUE)
    assert ovobench_online.score({"5": said(1.0, 6.0, 9.0)}, found).loc["5", "CRR precision"] == 1
    assert ovobench_online.score({"5": said(2.0, 6.0, 8.0)}, found).loc["5", "CRR precision"] == pytest.approx(1 / 3)


def test_one_query_a_stream_and_only_of_forward_tasks(tmp_path):
    path = tmp_path / "anno.json"
    path.write_text(json.dumps(ENTRIES))
    asked = read_questions(path, OVOBENCH_ONLINE)
    assert [(q.question_id, q.queries[0].time) for q in asked] == [("3", 0.0), ("4", 0.0), ("5", 2.0)]
    assert asked[1].queries[0].text == "Describe each step as it is done: make red tea."
    assert all(len(question.queries) == 1 for question in asked)


def test_an_unknown_task_and_a_negative_tolerance_are_refused(tmp_path):
    path = tmp_path / "anno.json"
    path.write_text(json.dumps([CHOICE, COUNT | {"task": "NEW"}]))
    with pytest.raises(DuetError, match=r"entry 1.*task 'NEW' is not known"):
        read_references(path, OVOBENCH_ONLINE)
    with pytest.raises(DuetError, match="tolerance=-1"):
        ovobench_online.score({}, {}, tolerance=-1)
