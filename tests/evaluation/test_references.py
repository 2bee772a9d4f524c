import pytest

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.references import read_questions, read_references
from mmduet.trace import Query

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
        ([GROUNDED, "", GROUNDED | {"question_id": None}], r"line 3, entry 1 / question_id"),
        ([GROUNDED | {"question_id": True}], r"entry 0 / question_id"),
        ([GROUNDED | {"timestamps": [["1", 2]]}], r"entry 0 / timestamps / 0 / 0.*valid number; found '1'"),
        ([GROUNDED | {"timestamps": [[1, 1e8]]}], r"entry 0 / timestamps / 0 / 1.*604800"),
        ([GROUNDED | {"timestamps": [[1, float("nan")]]}], r"entry 0 / timestamps / 0 / 1.*finite"),
        ([GROUNDED | {"video": "../v.mp4"}], r"entry 0 / video.*in the video folder"),
        ([GROUNDED | {"video": "/etc/passwd"}], r"entry 0 / video.*in the video folder"),
        ([GROUNDED | {"video": "C:\\v.mp4"}], r"entry 0 / video.*in the video folder"),
        ([GROUNDED | {"video": ""}], r"entry 0 / video.*in the video folder"),
        ([GROUNDED | {"conversation": [{"role": "user", "content": None, "time": 0}]}], r"conversation / 0 / content"),
        ([7], r"entry 0: .*valid dictionary"),
        ([GROUNDED, "{"], r"line 2: no JSON"),
    ],
)
def test_mistakes_are_named(written, lines, message):
    with pytest.raises(AnnotationError, match=message):
        read_references(written(*lines, name="gold.jsonl"), "charades_sta")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        read_references(tmp_path / "none.jsonl", "magqa")


HIGHLIGHT = {
    "qid": 7, "query": "q?", "duration": 20, "vid": "w", "relevant_clip_ids": [1, 2],
    "saliency_scores": [[1, 2, 3], [4, 0, 4]], "relevant_windows": [[2, 6]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration": 1e8}, "duration: .*604800"),
        ({"duration": 0}, "duration: .*greater than 0"),
        ({"duration": float("inf")}, "duration"),
        ({"qid": "7"}, "qid"),
        ({"vid": "../w"}, "vid: .*in the video folder"),
        ({"relevant_clip_ids": [-1, 2]}, "relevant_clip_ids / 0"),
        ({"relevant_clip_ids": [1, 10]}, "relevant_clip_ids names clip 10, which starts after 20 s"),
        ({"relevant_clip_ids": [1, 1]}, "names a clip twice"),
        ({"relevant_clip_ids": [1]}, "1 relevant_clip_ids have 2 saliency_scores"),
        ({"saliency_scores": [[1, 2, 5], [0, 0, 0]]}, "saliency_scores / 0 / 2: .*less than or equal to 4"),
        ({"saliency_scores": [[1, 2], [0, 0, 0]]}, "saliency_scores / 0"),
        ({"relevant_windows": [[2, 60]]}, "ends after 20 s"),
        ({"relevant_windows": [[2, 6, 1.0]]}, "relevant_windows / 0"),
    ],
)
def test_labels_of_qvhighlights_are_bounded(written, change, message):
    with pytest.raises(AnnotationError, match=f"line 1, entry 0( /|:) .*{message}"):
        read_references(written(HIGHLIGHT | change, name="gold.jsonl"), "qvhighlights")


def test_the_test_split_is_asked_and_not_measured(written):
    path = written({name: HIGHLIGHT[name] for name in ("qid", "query", "duration", "vid")}, name="test.jsonl")
    (question,) = read_questions(path, "qvhighlights")
    assert (question.question_id, question.video, question.queries) == (7, "w.mp4", (Query(0.0, "q?"),))
    with pytest.raises(AnnotationError, match=r"has no labels .*mmduet export qvhighlights"):
        read_references(path, "qvhighlights")
    with pytest.raises(AnnotationError, match=r"line 2, entry 1: .*has no labels"):
        read_references(
            written(HIGHLIGHT, {"qid": 8, "query": "", "duration": 2, "vid": "w"}, name="x.jsonl"), "qvhighlights"
        )


def test_a_question_without_a_turn_of_the_user_is_named(written):
    with pytest.raises(AnnotationError, match="question 'a' has no turn of the user"):
        read_questions(written(GROUNDED, name="gold.jsonl"), "charades_sta")


@pytest.mark.parametrize("read", [read_questions, read_references])
def test_an_unknown_benchmark_is_an_error_with_the_known_ones(written, read):
    with pytest.raises(DuetError, match=r"benchmark='coin' is not known: use one of \['charades_sta', 'magqa', .*\]"):
        read(written(GROUNDED, name="gold.jsonl"), "coin")
