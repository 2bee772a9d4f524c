import json

import pytest

from mmduet.data.annotations import check_times, read_annotations
from mmduet.errors import AnnotationError

NARRATION = {"v.mp4": {"0": [{"text": "a cat", "time": 2.0, "timespan": [0.0, 2.0]}]}}
MAGQA = [
    {
        "video_uid": "v.mp4",
        "video_start_time": 0,
        "conversation": [
            {"role": "user", "content": "?", "time": 0},
            {"role": "assistant", "content": "a cat", "time": 2.0, "timespan": [0.0, 2.0]},
        ],
    }
]
GROUNDING = [{"video_uid": "v.mp4", "query": "a cat", "timestamps": [[0.0, 2.0]]}]


def write(folder, content):
    path = folder / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("kind", "content"), [("narration", NARRATION), ("magqa", MAGQA), ("grounding", GROUNDING)]
)  # fmt: skip
def test_published_formats_are_read(tmp_path, kind, content):
    assert len(read_annotations(write(tmp_path, content), kind)) == 1


@pytest.mark.parametrize(
    ("kind", "content", "told"),
    [
        (
            "narration",
            {"v.mp4": {"0": [{"text": "a cat", "time": -1, "timespan": [0, 1]}]}},
            r"v\.mp4 / 0 / 0.*'time'.*-1",
        ),
        ("narration", {"v.mp4": {"0": [{"text": "a cat", "time": 1}]}}, r"v\.mp4 / 0 / 0.*'timespan'.*required"),
        ("narration", {"v.mp4": {"0": []}}, r"v\.mp4.*at least 1"),
        ("grounding", [{"video_uid": "v", "query": "q", "timestamps": [[3, 1]]}], r"entry 0 / .*ends before it starts"),
        ("grounding", [{"video_uid": "v", "query": "q", "timestamps": []}], r"'timestamps'.*at least 1"),
        ("magqa", [{"video_uid": "v", "conversation": []}], r"entry 0, field 'conversation'.*at least 1"),
        (
            "magqa",
            [{"video_uid": "v", "conversation": [{"role": "assistant", "content": "x", "time": 1}]}],
            r"needs a timespan",
        ),
        ("magqa", {"not": "a list"}, r"list"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, kind, content, told):
    with pytest.raises(AnnotationError, match=told) as caught:
        read_annotations(write(tmp_path, content), kind)
    assert "annotations.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_and_missing_files(tmp_path):
    with pytest.raises(AnnotationError, match="no readable JSON"):
        read_annotations(write(tmp_path, "{"), "magqa")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_annotations(tmp_path / "gone.json", "magqa")


def test_a_time_past_the_end_is_refused():
    check_times("a.json", "3", {"narration 0 time": 10.3}, 10.0)
    with pytest.raises(AnnotationError, match=r"a\.json: entry 3, narration 1 time 12\.0 s lies past .* 10\.00 s"):
        check_times("a.json", "3", {"narration 0 time": 1.0, "narration 1 time": 12.0}, 10.0)
