import json

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmduet.data.mixture import MixtureDataset
from mmduet.data.scenes import make_scenes
from mmduet.data.scenes.annotations import QUESTIONS
from mmduet.data.scenes.concepts import CONCEPTS, concepts_in
from mmduet.data.scenes.render import _draw_box, render_clip
from mmduet.data.scenes.script import write_script
from mmduet.errors import AnnotationError, FileError
from mmduet.video import read_metadata

scripts = st.builds(write_script, st.integers(0, 99), st.sampled_from(["train", "val", "test"]), st.integers(0, 9999))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small data set."""
    return make_scenes(tmp_path_factory.mktemp("data"), train=2, val=1, test=1, workers=2)


def test_there_are_enough_concepts():
    assert len(CONCEPTS) >= 16


def test_a_split_has_no_more_clips_than_names(tmp_path):
    with pytest.raises(AnnotationError, match="a split has at most 100,000 clips"):
        make_scenes(tmp_path, train=100_001)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", CONCEPTS)
def test_every_wording_names_its_concept_and_no_other(key):
    concept = CONCEPTS[key]
    assert concept.photograph.path.is_file()
    for text in (*concept.captions, *concept.queries, *concept.answers, concept.noun):
        assert concepts_in(text) == {key}, text
    assert not any(concepts_in(question) for question in QUESTIONS)


@given(st.sampled_from(sorted(CONCEPTS)), st.integers(0, 999))
def test_every_view_shows_the_subject(key, seed):
    """A caption about a smile needs the face in the picture."""
    subject = np.array(CONCEPTS[key].photograph.subject).reshape(2, 2)
    with Image.open(CONCEPTS[key].photograph.path) as picture:
        size = np.array(picture.size)
    box = _draw_box(size, subject, np.random.default_rng(seed)).reshape(2, 2)
    assert (box >= -1e-6).all()
    assert (box <= size + 1e-6).all()
    assert (box[0] <= subject[0] * size + 1e-6).all()
    assert (box[1] >= subject[1] * size - 1e-6).all()


@given(scripts)
def test_scripts_keep_their_rules(script):
    assert 10 <= script.duration <= 40
    assert script.shots[0].start == 0
    for before, shot in zip(script.shots, script.shots[1:], strict=False):
        assert before.end == shot.start
        assert before.concept != shot.concept
    for shot in script.shots:
        start, end = shot.span
        assert start * 2 == int(start * 2), "scenes begin on half seconds"
        assert 3 <= end - start <= 10 if shot.concept else 2 <= end - start <= 5
        assert shot.fade <= 0.8 * 12
    assert 2 <= len(script.scenes) <= 5


def test_same_seed_same_bytes(tmp_path):
    script = write_script(3, "val", 5)
    for name in ("a.mp4", "b.mp4"):
        render_clip(script, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_more_clips_change_none(made):
    before = {path: path.read_bytes() for path in (made / "videos").rglob("*.mp4")}
    again = make_scenes(made.parent, train=3, val=0, test=0)
    assert again == made
    assert {path: path.read_bytes() for path in before} == before
    listed = json.loads((made / "annotations/train_scenes.json").read_text())
    assert [item["video"] for item in listed] == [f"train_0000{n}.mp4" for n in range(3)]
    assert len(json.loads((made / "annotations/val_scenes.json").read_text())) == 1, "val keeps its clip"


def test_another_seed_is_refused(made):
    with pytest.raises(AnnotationError, match="another root"):
        make_scenes(made.parent, seed=1, train=1, val=0, test=0)


def test_an_interrupted_run_keeps_its_seed(tmp_path, monkeypatch):
    """The clips made so far must not be taken for another seed's."""
    monkeypatch.setattr(
        "mmduet.data.scenes.generate._render_missing", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path, seed=0, train=1, val=0, test=0)
    with pytest.raises(AnnotationError, match="another root"):
        make_scenes(tmp_path, seed=1, train=1, val=0, test=0)


@pytest.mark.parametrize("found", [None, "[]"])
def test_an_annotation_that_is_lost_or_of_before_is_written_again(made, found):
    path = made / "annotations/test_magqa.json"
    text = path.read_text()
    path.unlink()
    if found is not None:
        path.write_text(found)
    make_scenes(made.parent, train=0, val=0, test=0)
    assert path.read_text() == text


def test_spans_last_as_many_frames_in_training_as_in_use(made):
    """With queries at a low frame rate alone, the relevance head learns that nothing lasts."""
    training = MixtureDataset(made / "annotations/train_mixture.json")
    rates = {(sample.kind, sample.video.name): sample.fps for sample in training.samples}
    assert {rate for (kind, _), rate in rates.items() if kind != "grounding"} == {2}
    assert [rates["grounding", f"train_0000{n}.mp4"] for n in range(2)] == [2, 0.5]


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": 0}'])
def test_a_damaged_manifest_is_told(tmp_path, text):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes/scenes.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"scenes\.json is damaged.*made again"):
        make_scenes(tmp_path, train=0, val=0, test=0)


@pytest.mark.parametrize("name", ["scenes/mine.mp4", "scenes/videos/mine.mp4", "scenes"])
def test_a_folder_of_others_stays(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(FileError, match="another root"):
        make_scenes(tmp_path, train=1, val=0, test=0)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_clips_are_h264_of_the_annotated_length(made):
    for path in (made / "videos").rglob("*.mp4"):
        split = path.parent.name
        stated = json.loads((made / f"annotations/{split}_metadata.json").read_text())[path.name]
        metadata = read_metadata(path)
        assert metadata.frame_count == stated["frame_count"]
        assert metadata.duration == pytest.approx(stated["duration"], abs=1e-3)
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"


def test_annotations_agree_with_the_truth(made):
    folder = made / "annotations"
    for split in ("train", "val", "test"):
        truth = {item["video"]: item for item in json.loads((folder / f"{split}_scenes.json").read_text())}
        narrated = json.loads((folder / f"{split}_narration.json").read_text())
        for video, item in truth.items():
            said = [concepts_in(line["text"]) for line in narrated[video]["0"]]
            assert said == [{scene["concept"]} for scene in item["scenes"]]
            for line, scene in zip(narrated[video]["0"], item["scenes"], strict=True):
                assert scene["start"] <= line["timespan"][0] <= line["time"] <= scene["end"]
        for line in (line for path in folder.glob(f"{split}_grounding*.json") for line in json.loads(path.read_text())):
            spans = [
                [scene["start"], scene["end"]]
                for scene in truth[line["video_uid"]]["scenes"]
                if {scene["concept"]} == concepts_in(line["query"])
            ]
            assert line["timestamps"] == spans


def test_mixture_labels_match_the_truth(made):
    """A frame is relevant exactly while what is asked for is on screen."""
    dataset = MixtureDataset(made / "annotations/val_mixture.json")
    truth = json.loads((made / "annotations/val_scenes.json").read_text())[0]
    for index, sample in enumerate(dataset.samples):
        if sample.kind != "grounding":
            continue
        (wanted,) = concepts_in(sample.annotation.query)
        times = np.arange(int(truth["duration"] * 2)) / 2
        on_screen = np.zeros(len(times), int)
        for scene in truth["scenes"]:
            if scene["concept"] == wanted:
                on_screen |= (scene["start"] <= times) & (times < scene["end"])
        assert list(dataset[index].conversation.turns[1].relevance) == on_screen.tolist()


def test_benchmark_files_have_the_published_keys(made):
    folder = made / "annotations"
    rated = [json.loads(line) for line in (folder / "train_qvhighlights.jsonl").read_text().splitlines()]
    for line in rated:
        assert set(line) == {
            "qid", "query", "duration", "vid", "relevant_clip_ids", "saliency_scores", "relevant_windows",
        }  # fmt: skip
        assert len(line["relevant_clip_ids"]) == len(line["saliency_scores"])
        covered = [clip for start, end in line["relevant_windows"] for clip in range(start // 2, end // 2)]
        assert covered == line["relevant_clip_ids"]
        assert all(1 <= score <= 4 for scores in line["saliency_scores"] for score in scores)
        assert [4, 4, 4] in line["saliency_scores"], "every rater finds the best clip very good"
    for name in ("youcook2", "magqa_test"):
        for line in json.loads((folder / f"train_{name}.json").read_text()):
            assert set(line) == {"question_id", "video", "conversation", "answer"}
    for line in json.loads((folder / "train_charades_sta.json").read_text()):
        assert set(line) == {"question_id", "video", "conversation", "timestamps"}
        assert len(line["timestamps"]) == 1
