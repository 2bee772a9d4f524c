import json
import re

import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks.qvhighlights import score_submission
from mmduet.evaluation.benchmarks.submission import (
    NO_WINDOW,
    read_queries,
    read_submission,
    submission_lines,
    to_submission,
    write_submission,
)
from mmduet.evaluation.prediction_file import Segment
from mmduet.evaluation.references import HighlightQuery, read_references
from tests.evaluation.conftest import prediction

LINE = {"qid": 1, "pred_relevant_windows": [[2, 6, 0.9]], "pred_saliency_scores": [0.5, 1]}
RELEVANCE = [0, 0, 1, 1, 0, 0, 0.6, 0.6, 0, 0]


def query(qid=1, duration=10):
    return HighlightQuery(qid=qid, query="a cat", duration=duration, vid="v_0_10")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([LINE | {"pred_relevant_windows": [[2, 8], [0, 4], [10, 20]]}], "line 1: .*windows / 0: .*start, end, score"),
        ([LINE | {"pred_relevant_windows": [[2, 8, 1, 1]]}], "line 1: .*windows / 0: .*start, end, score"),
        ([LINE | {"pred_relevant_windows": [[8, 2, 1]]}], "line 1: .*windows / 0: .*its end is not before"),
        ([LINE | {"pred_relevant_windows": [[0, 2, float("nan")]]}], "line 1: .*windows / 0 / 2: .*finite"),
        ([LINE | {"pred_relevant_windows": [2, 6, 0.9]}], "line 1: .*windows / 0: .*valid list"),
        ([LINE | {"pred_saliency_scores": [0, None]}], "line 1: .*saliency_scores / 1"),
        ([LINE | {"pred_saliency_scores": [True]}], "line 1: .*saliency_scores / 0"),
        ([LINE | {"pred_saliency_scores": []}], "line 1: .*saliency_scores"),
        ([LINE | {"qid": True}], "line 1: field qid"),
        ([LINE, LINE], "line 2: qid 1 comes more than once"),
        ([LINE, {"qid": 2, "pred_saliency_scores": [1]}], "line 2: the line has pred_saliency_scores, and the first"),
        ([{"qid": 2}], "line 1: the line has neither"),
        (["[]"], "line 1: field: .*valid dictionary"),
        (["{"], "line 1: no JSON"),
    ],
)
def test_what_is_no_submission_is_refused_with_its_line_and_field(written, lines, message):
    path = written(*lines)
    with pytest.raises(DuetError, match=re.escape(str(path)) + ", " + message):
        read_submission(path)


def test_a_submission_of_other_queries_is_refused(written):
    with pytest.raises(DuetError, match=r"none of the 1 queries"):
        score_submission(read_submission(written(LINE)), {"7": None})


@pytest.mark.parametrize(("window", "threshold"), [(-1, 0.5), (2, float("nan")), (2, 1.5), (2, -0.1)])
def test_settings_out_of_range_are_refused(window, threshold):
    with pytest.raises(DuetError, match=r"window=-1|threshold="):
        to_submission({"1": prediction("1", relevance=RELEVANCE)}, window=window, threshold=threshold)


def test_clips_are_counted_by_time_where_frames_do_not_fit_them():
    """At 4 frames in 3 s, frames 0 to 2 are in the first 2 s and 3 to 5 in the next."""
    made = to_submission({"1": prediction("1", relevance=[0, 0, 0, 1, 1, 1, 0, 0], fps=4 / 3)}, window=0)["1"]
    assert (made.saliency > 0).tolist() == [False, True, False]


def test_a_line_has_what_the_official_sample_has():
    (line,) = submission_lines({"1": prediction("1", relevance=RELEVANCE)}, {"1": query(duration=9)}, window=0)
    assert line == {
        "qid": 1,
        "query": "a cat",
        "vid": "v_0_10",
        "pred_relevant_windows": [[2.0, 4.0, 1.0], [6.0, 8.0, 0.6]],
        "pred_saliency_scores": [0.0, 2.0, 0.0, 1.2, 0.0],
    }


def test_windows_end_with_the_video_and_one_is_always_there():
    predictions = {
        "1": prediction("1", segments=[Segment(8, 12, ""), Segment(11, 12, "")], duration=12),
        "2": prediction("2", relevance=[0.4] * 10),
    }
    lines = submission_lines(predictions, {"1": query(1), "2": query(2), "3": query(3)})
    assert [line["qid"] for line in lines] == [1, 2]
    assert lines[0]["pred_relevant_windows"] == [[8.0, 10.0, 1.0]]
    assert lines[1]["pred_relevant_windows"] == NO_WINDOW
    with pytest.raises(DuetError, match=r"'a' *: QVHighlights' questions are numbers"):
        submission_lines({"a": prediction("a", relevance=RELEVANCE)})


def test_export_writes_what_evaluate_reads(written, tmp_path):
    labels = {"relevant_clip_ids": [1], "saliency_scores": [[4, 4, 4]], "relevant_windows": [[2, 4]]}
    release = {"qid": 1, "query": "a cat", "duration": 10, "vid": "v"}
    frames = [{"time": i, "informative_score": 0, "relevance_score": score} for i, score in enumerate(RELEVANCE)]
    line = {"question_id": 1, "video_duration": 10.0, "model_response_list": [], "debug_data": frames}
    predictions, test = written(line), written(release, name="test.jsonl")
    gold, output = written(release | labels, name="gold.jsonl"), tmp_path / "submission.jsonl"
    command = ["export", "qvhighlights", str(predictions), "--output", str(output), "--window", "0"]
    done = CliRunner().invoke(app, [*command, "--references", str(test)])
    assert done.exit_code == 0, done.output
    scores = score_submission(read_submission(output), read_references(gold, "qvhighlights"))
    assert scores.loc["1", ["MR-full-R1@0.5", "HL-min-VeryGood-mAP"]].tolist() == [100, 100]
    assert json.loads(output.read_text()).keys() == {*release, *LINE} - {"duration"}
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "vid" not in json.loads(output.read_text())
    kept = predictions.read_bytes()
    done = CliRunner().invoke(app, [*command[:3], "--output", str(predictions)])
    assert isinstance(done.exception, DuetError)
    assert predictions.read_bytes() == kept


def test_lines_are_as_the_official_sample(reference, tmp_path):
    """Same fields, types and lengths, written and read again."""
    folder = reference / "qvhighlights"
    queries = read_queries(folder / "highlight_val_release.jsonl")
    some = dict(list(queries.items())[:50])
    made = {name: prediction(name, relevance=[0.1, 0.9] * 75, duration=item.duration) for name, item in some.items()}
    lines = submission_lines(made, some)
    write_submission(tmp_path / "s.jsonl", lines)
    assert read_submission(tmp_path / "s.jsonl").keys() == some.keys()
    sample = {line["qid"]: line for line in map(json.loads, (folder / "sample_val_preds.jsonl").open(encoding="utf-8"))}
    for line in lines:
        official = sample[line["qid"]]
        assert {name: type(value) for name, value in line.items()} == {n: type(v) for n, v in official.items()}
        assert (line["query"], line["vid"]) == (official["query"], official["vid"])
        assert len(line["pred_saliency_scores"]) == -(-queries[str(line["qid"])].duration // 2)
        assert all(isinstance(number, float) for window in line["pred_relevant_windows"] for number in window)
        assert all(isinstance(number, float) for number in line["pred_saliency_scores"])
