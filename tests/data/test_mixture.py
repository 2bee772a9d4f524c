import json
import shutil
from dataclasses import replace

import pytest
from torch.utils.data import DataLoader

from mmduet.data.conversations import Conversation
from mmduet.data.kinds import KINDS, NARRATION, Entry
from mmduet.data.mixture import MixtureDataset
from mmduet.data.sampler import GroupedSampler
from mmduet.data.statistics import mixture_frame, response_gaps, timeline
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import AnnotationError, DuetError
from mmduet.model.prompt import StreamTurn, TextTurn
from mmduet.trace import Query, Response
from tests.clips import write_clip


@pytest.fixture
def mixture(tmp_path):
    """A mixture of two videos; returns a function that changes a file of it and gives the mixture's path."""
    files = {
        "metadata.json": {"a.mp4": {"duration": 8.0}, "b.mp4": {"duration": 6.0}},
        "narration.json": {"a.mp4": {"0": [{"text": "a cat", "time": 2.0, "timespan": [0.0, 2.0]}]}},
        "grounding.json": [{"video_uid": "b.mp4", "query": "a dog", "timestamps": [[1, 3]]}],
        "mixture.json": [
            {
                "dataset_cls": name,
                "video_root": "videos",
                "anno_file": file,
                "metadata_path": "metadata.json",
                "frame_fps": 2,
                "max_num_frames": 10,
            }
            for name, file in (
                ("DenseVideoCaptioningStreamDataset", "narration.json"),
                ("GroundingStreamDataset", "grounding.json"),
            )
        ],
    }

    def write(**changed):
        for name, content in {**files, **{f"{key}.json": value for key, value in changed.items()}}.items():
            (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / "mixture.json"

    return write


def test_every_annotation_is_a_sample(mixture):
    dataset = MixtureDataset(mixture())
    assert [sample.kind for sample in dataset.samples] == ["narration", "grounding"]
    assert dataset[1].conversation.frames == 10, "cut to max_num_frames"
    assert dataset[0].video == dataset.path.parent / "videos" / "a.mp4"


def test_absolute_paths_are_taken_as_they_are(mixture, tmp_path):
    path = mixture()
    elsewhere = tmp_path / "annotations" / "mixture.json"
    elsewhere.parent.mkdir()
    entries = json.loads(path.read_text())
    for entry in entries:
        entry.update({key: str(tmp_path / entry[key]) for key in ("video_root", "anno_file", "metadata_path")})
    elsewhere.write_text(json.dumps(entries))
    assert [sample.video for sample in MixtureDataset(elsewhere).samples] == [
        sample.video for sample in MixtureDataset(path).samples
    ]


def test_draws_depend_on_seed_epoch_and_index_alone(mixture):
    path = mixture()
    first, second = MixtureDataset(path, seed=1), MixtureDataset(path, seed=1)
    assert first[1] == second[1] == first[1]
    assert first[0, 1] == first[1]
    assert [first[epoch, 1] for epoch in range(20)] == [second[epoch, 1] for epoch in range(20)]
    drawn = {first[epoch, 1].conversation.turns[0].text for epoch in range(20)}
    assert len(drawn) > 2, "each epoch draws another template"


def test_any_number_of_workers_draws_the_same(mixture):
    dataset = MixtureDataset(mixture(), seed=3)
    sampler = GroupedSampler(dataset.lengths(), 1, seed=3)
    sampler.set_epoch(4)
    drawn = [list(DataLoader(dataset, sampler=sampler, collate_fn=list, num_workers=n)) for n in (0, 2)]
    assert drawn[0] == drawn[1] == [[dataset[4, index]] for _, index in sampler]


def test_own_templates_are_drawn(mixture):
    dataset = MixtureDataset(mixture(), templates={"narration": ("only this",), "grounding": ("seek {query} {now}",)})
    assert dataset[0].conversation.turns[0].text == "only this"
    assert dataset[1].conversation.turns[0].text == "seek a dog {now}"


@pytest.mark.parametrize("name", ["../secret.mp4", "/etc/secret.mp4", "more/../../secret.mp4"])
def test_a_video_outside_its_root_is_refused(mixture, name):
    item = {"video_uid": name, "query": "a dog", "timestamps": [[1, 3]]}
    with pytest.raises(
        AnnotationError, match=rf"grounding\.json: entry 0 \({name}\) is about '{name}', which leads out"
    ):
        MixtureDataset(mixture(grounding=[item]))


def test_a_path_outside_the_set_is_refused(mixture, tmp_path):
    good = json.loads(mixture().read_text())
    with pytest.raises(AnnotationError, match=r"mixture\.json: entry 0, anno_file '\.\./\.\./x\.json' leads out of"):
        MixtureDataset(mixture(mixture=[{**good[0], "anno_file": "../../x.json"}]))
    with pytest.raises(AnnotationError, match=r"entry 0, video_root '\.\./videos' leads out of"):
        MixtureDataset(mixture(mixture=[{**good[0], "video_root": "../videos"}]), root=tmp_path)


def test_the_published_form_starts_from_its_root(mixture, tmp_path):
    """Paths from the folder that holds datasets/, the mixture somewhere else; rate and length where they are not 2
    frames a second and 128 frames.
    """
    first, second = json.loads(mixture().read_text())
    del first["frame_fps"], first["max_num_frames"]
    moved = tmp_path / "configs" / "mixture.json"
    moved.parent.mkdir()
    moved.write_text(json.dumps([first, second | {"frame_fps": 0.333, "max_num_frames": 120}]))
    samples = MixtureDataset(moved, root=tmp_path).samples
    assert [(sample.fps, sample.max_frames) for sample in samples] == [(2.0, 128), (0.333, 120)]


def test_a_missing_video_is_named_or_left_out(mixture, tmp_path):
    dataset = MixtureDataset(mixture())
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    message = r"mixture\.json: entry grounding\.json:0 \(b\.mp4\) is about .*b\.mp4, which does not exist: check"
    with pytest.raises(AnnotationError, match=message):
        dataset.check_videos(UnreadableVideos())
    broken = UnreadableVideos("skip", limit=1)
    dataset.check_videos(broken)
    dataset.leave_out(broken.found)
    assert [sample.kind for sample in dataset.samples] == ["narration"]


def test_a_video_that_the_metadata_lacks_can_be_left_out(mixture):
    path = mixture(metadata={"a.mp4": {"duration": 8.0}})
    broken = UnreadableVideos("skip", limit=1)
    assert len(MixtureDataset(path, broken=broken)) == 1
    assert [video.name for video in broken.found] == ["b.mp4"]


def test_missing_metadata_is_made_by_a_scan(mixture, tmp_path):
    path = mixture()
    (tmp_path / "metadata.json").unlink()
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / "videos" / name, frames=48, rate=12)
    dataset = MixtureDataset(path)
    assert [sample.duration for sample in dataset.samples] == [4.0, 4.0]
    assert (tmp_path / "metadata.json").is_file()


def test_videos_keeps_the_first_ones(mixture):
    assert [sample.kind for sample in MixtureDataset(mixture(), videos=1).samples] == ["narration"]


@pytest.mark.parametrize("videos", [0, -1])
def test_fewer_than_one_video_is_refused(mixture, videos):
    with pytest.raises(DuetError, match=f"^videos={videos}: must be at least 1, or None for all"):
        MixtureDataset(mixture(), videos=videos)


def test_mistakes_in_the_mixture_are_named(mixture):
    good = json.loads(mixture().read_text())
    with pytest.raises(
        AnnotationError, match=r"mixture\.json: entry 0 / dataset_cls.*'COIN'; known are AlertStreamDataset, DenseVideo"
    ):
        MixtureDataset(mixture(mixture=[{**good[0], "dataset_cls": "COIN"}]))
    with pytest.raises(AnnotationError, match=r"entry 0 / frame_fps.*greater than 0"):
        MixtureDataset(mixture(mixture=[{**good[0], "frame_fps": 0}]))
    with pytest.raises(AnnotationError, match=r"entry 0 / speed"):
        MixtureDataset(mixture(mixture=[{**good[0], "speed": 2}]))


def test_ones_own_kind_is_known_where_it_is_given(mixture):
    steps = replace(NARRATION, name="steps", dataset_cls="StepsDataset")
    first, second = json.loads(mixture().read_text())
    path = mixture(mixture=[first | {"dataset_cls": "StepsDataset"}, second])
    dataset = MixtureDataset(path, kinds=KINDS | {"steps": steps})
    assert [sample.kind for sample in dataset.samples] == ["steps", "grounding"]
    assert [text.text for text in dataset.texts(0)] == ["a cat"]
    with pytest.raises(AnnotationError, match=r"'StepsDataset'; known are .*add your own kind"):
        MixtureDataset(path)


@pytest.mark.parametrize("changed", [{"name": "steps"}, {"dataset_cls": "StepsDataset"}])
def test_two_kinds_of_one_name_are_refused(mixture, changed):
    with pytest.raises(DuetError, match="two annotation kinds share the name"):
        MixtureDataset(mixture(), kinds=KINDS | {"steps": replace(NARRATION, **changed)})


def test_a_kind_that_makes_too_many_frames_is_named(mixture):
    def endless(annotation, clock, **_):
        return Conversation((StreamTurn(11, informative=(0,) * 11),))

    kind = replace(NARRATION, conversation=endless)
    with pytest.raises(AnnotationError, match=r"narration entry narration\.json:a\.mp4/0: .* 11 frames"):
        MixtureDataset(mixture(), kinds=KINDS | {"narration": kind})[0]


CUT = Conversation((StreamTurn(2, informative=(0, 1)),))
WRONG = [  # a function of a kind, what it returns, and the message after file, kind and entry
    ("conversation", lambda: None, "conversation returned None: return a Conversation"),
    ("conversation", lambda: [TextTurn("user", "q")], "conversation returned an object of type list"),
    ("conversation", lambda: Conversation(("q",)), "conversation returned an object of type str in its list: return T"),
    ("conversation", lambda: Conversation(None), "conversation returned None: return TextTurn and StreamTurn objects"),
    ("conversation", lambda: replace(CUT, first_frame=-1), "first_frame=-1: give a whole number from 0"),
    ("conversation", lambda: replace(CUT, first_frame=0.5), r"first_frame=0\.5"),
    ("conversation", lambda: StreamTurn(2, informative=(1,)), "a stream turn of 2 frames has 1 informative labels"),
    (
        "conversation",
        lambda: TextTurn("Assistant", "q"),
        "a text turn of 'Assistant' with 'q': give one of",
    ),
    ("texts", lambda: None, "texts returned None: return AnnotatedText objects"),
    ("texts", lambda: ["a cat"], "texts returned an object of type str in its list"),
    ("entries", lambda: None, "entries returned None: return Entry objects"),
    ("entries", lambda: [("a.mp4", "0")], "entries returned an object of type tuple in its list"),
    ("entries", lambda: [Entry(7, "0", None)], "entries returned video=7"),
    ("entries", lambda: [Entry("a.mp4", "0", None, starts=[1.0])], r"entry 0 with starts=\[1\.0\]: give a dict"),
    ("entries", lambda: [Entry("a.mp4", "0", None, ends={"end": "1"})], "entry 0 with ends="),
]


def use(path, function, made):
    """Ask a kind of the function's mistake for all that it makes."""
    kind = replace(NARRATION, **{function: lambda *_, **__: made()})
    dataset = MixtureDataset(path, kinds=KINDS | {"narration": kind})
    return dataset[0], dataset.texts(0)


@pytest.mark.parametrize(("function", "made", "message"), WRONG)
def test_what_a_kind_returns_is_checked(mixture, function, made, message):
    where = r"narration\.json: narration" if function == "entries" else r"narration entry narration\.json:a\.mp4/0"
    with pytest.raises(AnnotationError, match=rf"{where}: .*{message}"):
        use(mixture(), function, made)


@pytest.mark.parametrize("turns", [list, iter])
def test_turns_may_be_a_list_or_an_iterator(mixture, turns):
    """They are a tuple afterwards, so that no reader finds an iterator empty."""
    assert use(mixture(), "conversation", lambda: replace(CUT, turns=turns(CUT.turns)))[0].conversation == CUT


@pytest.mark.parametrize("function", ["conversation", "texts", "entries"])
def test_an_error_in_the_code_of_a_kind_keeps_its_traceback_and_names_the_entry(mixture, function):
    with pytest.raises(ZeroDivisionError) as raised:
        use(mixture(), function, lambda: 1 / 0)
    assert "narration.json" in raised.value.__notes__[0]


def test_a_video_without_metadata_is_named(mixture):
    with pytest.raises(AnnotationError, match=r"about 'b\.mp4', which metadata\.json does not list"):
        MixtureDataset(mixture(metadata={"a.mp4": {"duration": 8.0}}))


def test_what_begins_past_the_end_is_named_or_left_out(mixture):
    late = {"a.mp4": {"0": [{"text": "a cat", "time": 2.0, "timespan": [1.8, 2.0]}]}}
    path = mixture(narration=late, metadata={"a.mp4": {"duration": 1.0}, "b.mp4": {"duration": 6.0}})
    with pytest.raises(AnnotationError, match=r"narration\.json: entry a\.mp4/0, narration 0 start 1\.8 s lies past"):
        MixtureDataset(path)
    assert len(MixtureDataset(path, broken=UnreadableVideos("skip", limit=1))) == 1


def test_what_ends_past_the_end_is_clipped(mixture):
    """As published; DiDeMo counts in chunks of 5 s that the last seconds of a video do not fill."""
    dataset = MixtureDataset(mixture(metadata={"a.mp4": {"duration": 1.0}, "b.mp4": {"duration": 2.5}}))
    assert dataset[1].conversation.turns[1].relevance == (0, 0, 1, 1, 1)
    assert dataset[0].conversation.frames == 2


def test_a_text_that_holds_a_token_of_the_prompt_is_named(mixture):
    dataset = MixtureDataset(mixture(grounding=[{"video_uid": "b.mp4", "query": "<image>", "timestamps": [[1, 3]]}]))
    with pytest.raises(
        AnnotationError, match=r"mixture\.json: grounding entry grounding\.json:0 \(b\.mp4\): user text .*<image>"
    ):
        dataset[1]


def test_a_duration_that_is_no_number_is_named(mixture):
    with pytest.raises(AnnotationError, match=r"metadata\.json.*a\.mp4.*duration"):
        MixtureDataset(mixture(metadata={"a.mp4": {"duration": -1}, "b.mp4": {"duration": 6.0}}))


def test_statistics(mixture):
    dataset = MixtureDataset(mixture())
    table = mixture_frame(dataset)
    assert table.responses.tolist() == [1, 0]
    assert table.informative.tolist() == [3, 0]  # frames 0.5 … 1.5 of the narration, ceil(mid) = 1.0: k = 3
    assert table.relevant.tolist() == [0, 4]
    assert response_gaps(dataset).tolist() == [1.5]
    times, informative, relevance, turns = timeline(dataset[0])
    assert times.tolist() == [0, 0.5, 1.0, 1.5]
    assert informative.tolist() == [0, 1, 1, 1]
    assert set(relevance.tolist()) == {-100}
    assert [type(turn) for turn in turns] == [Query, Response]


def test_a_mixture_without_samples_has_no_statistics(mixture):
    with pytest.raises(DuetError, match=r"mixture\.json has no samples: give a mixture that has some"):
        mixture_frame(MixtureDataset(mixture(mixture=[])))


def _said(**changed):
    return {"a.mp4": {"0": [{"text": "a cat", "time": 2.0, "timespan": [0.0, 2.0]} | changed]}}


CHANGES = {
    "text": {"narration": _said(text="a dog")},
    "time": {"narration": _said(time=3.0)},
    "label": {"narration": _said(timespan=[1.9, 2.0])},
    "target": {"narration": _said(learn=False)},
    "duration": {"metadata": {"a.mp4": {"duration": 8.0}, "b.mp4": {"duration": 4.0}}},
    "video": {"grounding": [{"video_uid": "a.mp4", "query": "a dog", "timestamps": [[1, 3]]}]},
}


def test_a_digest_is_that_of_the_data(mixture, tmp_path):
    dataset = MixtureDataset(mixture())
    moved = MixtureDataset(shutil.copytree(tmp_path, tmp_path / "moved") / "mixture.json")
    assert dataset.digest() == moved.digest(), "the folder does not matter"
    digests = [MixtureDataset(mixture(**changed)).digest() for changed in CHANGES.values()]
    for name, value in {"frame_fps": 3, "max_num_frames": 2}.items():
        entries = [entry | {name: value} for entry in json.loads(mixture().read_text())]
        digests.append(MixtureDataset(mixture(mixture=entries)).digest())
    unused = (*KINDS["narration"].templates, "never drawn so far")
    digests.append(MixtureDataset(mixture(), templates={"narration": unused}).digest())
    assert len({dataset.digest(), *digests}) == 1 + len(digests), "each change shows"
