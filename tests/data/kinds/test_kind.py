"""What all kinds have in common: files are read or refused, labels are those of the published code."""

import json
import pickle
from random import Random

import pytest

from mmduet.data.conversations import Clock
from mmduet.data.kinds import KINDS
from mmduet.data.mixture import MixtureDataset
from mmduet.errors import AnnotationError
from mmduet.model.prompt import StreamTurn

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
CONTENTS = {"narration": NARRATION, "magqa": MAGQA, "grounding": GROUNDING}


def write(folder, content):
    path = folder / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def only_entry(kind, content, folder):
    (entry,) = KINDS[kind].entries(KINDS[kind].read(write(folder, content)))
    return entry


def test_the_published_names_in_mixture_files():
    assert {kind.name: kind.dataset_cls for kind in KINDS.values()} == {
        "narration": "DenseVideoCaptioningStreamDataset",
        "magqa": "MAGQAStreamDataset",
        "grounding": "GroundingStreamDataset",
        "alert": "AlertStreamDataset",  # this project's own
    }


def test_kinds_reach_data_loader_workers():
    """Where workers are spawned, the data set and its kinds are pickled."""
    assert list(pickle.loads(pickle.dumps(KINDS))) == list(KINDS)


@pytest.mark.parametrize(
    ("kind", "name", "starts"),
    [
        ("narration", "v.mp4/0", {"narration 0 start": 0}),
        ("magqa", "0 (v.mp4)", {"turn 0 start": 0, "turn 1 start": 0}),
        ("grounding", "0 (v.mp4)", {"timestamps[0] start": 0}),
    ],
)
def test_published_formats_are_read(tmp_path, kind, name, starts):
    entry = only_entry(kind, CONTENTS[kind], tmp_path)
    assert (entry.video, entry.name, entry.starts) == ("v.mp4", name, starts)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("narration", [("a cat", ((0, 2),))]),
        ("magqa", [("?", ()), ("a cat", ())]),
        ("grounding", [("a cat", ((0, 2),))]),
    ],
)
def test_texts_have_the_spans_that_they_describe(tmp_path, kind, texts):
    """An answer of MAGQA need not describe what is in view."""
    entry = only_entry(kind, CONTENTS[kind], tmp_path)
    assert [(text.text, text.spans) for text in KINDS[kind].texts(entry.annotation)] == texts


@pytest.mark.parametrize(
    ("kind", "content", "message"),
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
def test_mistakes_are_named(tmp_path, kind, content, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        KINDS[kind].read(write(tmp_path, content))
    assert "annotations.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(AnnotationError, match="no readable JSON"):
        KINDS["magqa"].read(write(tmp_path, "{"))
    with pytest.raises(AnnotationError, match="does not exist"):
        KINDS["magqa"].read(tmp_path / "gone.json")


class FullLeadIn(Random):
    def randint(self, a, b):
        return b


@pytest.mark.parametrize("case", ["dvc", "magqa", "grounding"])
def test_published_labels(reference, tmp_path, case):
    """shared/reference/duet_tiny: what the published code made of these annotations."""
    data = json.loads((reference / "duet_tiny/expected_training.json").read_text())
    kind, expected = "narration" if case == "dvc" else case, data["cases"][case]
    clock = Clock(data["frame_fps"], data["metadata"]["v0.mp4"]["duration"])
    templates = {"narration": expected.get("user_texts", [])[:1], "magqa": [], "grounding": ["{query}"]}[kind]
    annotation = only_entry(kind, data["annotations"][case], tmp_path).annotation
    made = KINDS[kind].conversation(annotation, clock, rng=FullLeadIn(), templates=templates, max_frames=128)
    turns = [
        {"role": "stream", "num_frames": turn.frames}
        if isinstance(turn, StreamTurn)
        else {"role": turn.role, "content": turn.text}
        for turn in made.turns
    ]
    # the published list leaves the narration's instruction out
    assert turns[-len(expected["turns"]) :] == expected["turns"]
    assert [made.first_frame, made.first_frame + made.frames] == expected["load_range"]
    streams = [turn for turn in made.turns if isinstance(turn, StreamTurn)]
    for head in ("informative", "relevance"):
        labels = [label for turn in streams for label in getattr(turn, head) or ()]
        assert (labels or None) == expected[f"{head}_labels"]


def _far(content, seconds):
    """The content with all that is at 2 s at another time."""
    return json.loads(json.dumps(content).replace("2.0", str(seconds)))


@pytest.mark.parametrize(("kind", "content"), [*CONTENTS.items(), ("alert", [{**GROUNDING[0], "reply": "There."}])])
def test_an_end_far_past_the_video_is_refused(kind, content, tmp_path):
    """It would be clipped, and label no frame, or every frame. Published ones end up to 5 s past the video."""
    (tmp_path / "metadata.json").write_text(json.dumps({"v.mp4": {"duration": 6.7}}))
    entry = {"video_root": ".", "anno_file": "annotations.json", "metadata_path": "metadata.json"}
    (tmp_path / "mixture.json").write_text(json.dumps([entry | {"dataset_cls": KINDS[kind].dataset_cls}]))
    write(tmp_path, _far(content, 11.7))
    MixtureDataset(tmp_path / "mixture.json")[0]
    write(tmp_path, _far(content, 60.0))
    with pytest.raises(AnnotationError, match=r"entry .*v\.mp4.* end 60\.0 s lies past the video's end at 6\.70 s"):
        MixtureDataset(tmp_path / "mixture.json")
