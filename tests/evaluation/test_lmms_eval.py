"""Sample logs of lmms-eval."""

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation import lmms_eval

LINE = {"doc_id": 0, "target": "B", "filtered_resps": ["B"], "doc_hash": "x", "acc": {"a": 1}, "other": 2, "input": "?"}


def test_a_log_is_known_by_its_first_line(written, tmp_path):
    assert lmms_eval.is_log(written(LINE))
    assert not lmms_eval.is_log(written({"question_id": 1, "video_duration": 2.0}, name="p.jsonl"))
    assert not lmms_eval.is_log(tmp_path / "none.jsonl")


def test_a_response_may_stand_in_lists(written):
    (sample,) = lmms_eval.read_log(written(LINE | {"filtered_resps": [["B"]]}))
    assert (sample.filtered_resps, sample.metrics) == ("B", {"acc": {"a": 1}})
    (sample,) = lmms_eval.read_log(written(LINE | {"filtered_resps": [["1", None]]}))
    assert sample.filtered_resps == ["1", None]


def test_a_second_run_in_a_file_counts_once_if_it_is_the_same(written):
    assert len(lmms_eval.read_log(written(LINE, LINE | {"doc_id": 1}, LINE | {"filtered_resps": "B"}))) == 2
    with pytest.raises(DuetError, match="line 2: doc_id 0 has another line before, with another response"):
        lmms_eval.read_log(written(LINE, LINE | {"filtered_resps": "A"}))


def test_the_digest_is_of_the_document_as_lmms_eval_writes_it():
    """The SHA-256 of '{\\n  "a": "é"\\n}'."""
    line = lmms_eval.sample_line(0, {"a": "é"}, target="", response="", metrics={}, query="")
    assert line["doc_hash"] == "b5ae292d17fb4383a97796d5d926011d5caedf92998389d36257775ae91aa691"
