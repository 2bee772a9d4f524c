import pytest

from mmduet.errors import AnnotationError
from mmduet.evaluation.references import read_references

GROUNDED = {"question_id": "a", "video": "v.mp4", "conversation": [], "timestamps": [[1, 2]]}


def test_keys_are_text(written):
    assert list(read_references(written(GROUNDED | {"question_id": 7}, name="a.jsonl"), "charades_sta")) == ["7"]


@pytest.mark.parametrize(
    ("benchmark", "item", "video", "spans"),
    [
        ("magqa", GROUNDED | {"answer": [{"content": "x", "time": [1, 2]}]}, "v.mp4", [(1.0, 2.0, "x")]),
        ("charades_sta", GROUNDED, "v.mp4", [(1.0, 2.0, "")]),
        (
            "charades_sta",
            GROUNDED | {"conversation": [{"role": "user", "content": "q?", "time": 0}]},
            "v.mp4",
            [(1.0, 2.0, "q?")],
        ),
        (
            "qvhighlights",
            {"qid": 7, "query": "q?", "duration": 4, "vid": "w", "relevant_clip_ids": [1],
             "saliency_scores": [[1, 2, 3]], "relevant_windows": [[2, 4]]},
            "w.mp4",
            [(2.0, 4.0, "q?")],
        ),
    ],
)  # fmt: skip
def test_every_item_says_its_video_and_where_something_is_due(written, benchmark, item, video, spans):
    (item,) = read_references(written(item, name="gold.jsonl"), benchmark).values()
    assert item.video == video
    assert item.spans == spans


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GROUNDED, GROUNDED], "question 'a' comes more than once"),
        ([GROUNDED | {"timestamps": [[3, 1]]}], r"entry 0 / timestamps / 0.*ends before it starts"),
        ([GROUNDED | {"timestamps": []}], r"entry 0 / timestamps"),
        ([{"question_id": "a"}], r"entry 0 / video"),
        ([GROUNDED, "{"], r"line 2: no JSON"),
    ],
)
def test_mistakes_are_named(written, lines, message):
    with pytest.raises(AnnotationError, match=message):
        read_references(written(*lines, name="gold.jsonl"), "charades_sta")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        read_references(tmp_path / "none.jsonl", "magqa")
