"""`world`: what its streams show, what is said of them, and that a model trains on them."""

import copy
import itertools
import json
import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from mmduet.checkpoints.concepts import concept_config
from mmduet.data import Collator, FeatureCache, MixtureDataset
from mmduet.data.kinds import ALERT, GROUNDING, MAGQA, NARRATION
from mmduet.data.world import generate, make_world
from mmduet.data.world.annotations import AWAY, SHOWN, SURE, Words, annotate, scenes_of
from mmduet.data.world.kinds import classes_of, with_article
from mmduet.data.world.script import LENGTHS, LONGEST, write_script
from mmduet.data.world.stream import CELLS, draw_logits, make_classifier
from mmduet.errors import AnnotationError, DuetError
from tests.concept_models import build_concepts, real_tower

NAMES = concept_config(64).names


@pytest.fixture(scope="module")
def classifier():
    return make_classifier(real_tower(), build_concepts()[1], imprinted=1000)


def alike(classes=30):
    """No two classes are alike."""
    return np.eye(classes, dtype=np.float32)


@given(st.integers(0, 1000), st.integers(0, 50))
def test_a_script_depends_on_seed_and_number_alone_and_has_no_gap(seed, index):
    script = write_script(seed, "train", index, alike())
    assert script == write_script(seed, "train", index, alike())
    assert [shot.start for shot in script.shots] == [0, *[shot.end for shot in script.shots[:-1]]]
    things = [shot.thing for shot in script.shots if shot.thing is not None]
    assert things
    assert all(one != other for one, other in itertools.pairwise(things))
    least, most = LENGTHS[script.kind]
    assert script.frames <= most <= LONGEST
    assert script.frames > least - 5


def test_kinds_name_classes_that_exist():
    kinds = classes_of(NAMES)
    assert all(members for members in kinds.values())
    named = {kind: {NAMES[number] for number in members} for kind, members in kinds.items()}
    assert {"beagle", "standard poodle"} <= named["dog"]
    assert "tabby" in named["cat"]
    assert "hen" in named["bird"]
    assert "kite" not in named["bird"], "the word means a toy as well, and the classifier sees kites in any sky"
    assert "violin" in named["musical instrument"]
    assert "great white shark" in named["fish"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("dog", "a dog"), ("espresso", "espresso"), ("umbrella", "an umbrella"), ("sunglasses", "sunglasses"),
     ("unicycle", "a unicycle"), ("abacus", "an abacus"), ("compass", "a compass")],
)  # fmt: skip
def test_articles(name, said):
    assert with_article(name) == said


def test_a_stream_is_what_its_script_says(classifier):
    sure = right = 0
    confidences = {True: [], False: []}  # of scenes, and of pauses
    for index in range(40):
        script = write_script(0, "val", index, classifier.similarity.numpy())
        logits = draw_logits(script, classifier)
        assert logits.shape == (script.frames, 1 + CELLS, len(NAMES))
        assert bool(logits.isfinite().all())
        scenes = scenes_of(script, logits, classifier)
        shown = [shot for shot in script.shots if shot.thing is not None]
        for scene, shot in zip(scenes, shown, strict=True):
            sure += scene.thing is not None
            right += scene.thing == shot.thing
        chances = classifier.tower.probabilities(logits[:, 0])
        for shot in script.shots:
            confidences[shot.thing is not None].append(float(chances[shot.start : shot.end].mean(0).max()))
    assert right / sure > 0.8
    assert np.median(confidences[False]) < 0.3 < SURE < np.median(confidences[True])


def test_nothing_is_said_of_what_is_not_sure_and_absent_things_are_absent(classifier):
    words, kinds, absent = Words(NAMES, classes_of(NAMES)), set(), 0
    for index in range(150):
        script = write_script(1, "train", index, classifier.similarity.numpy())
        scenes = scenes_of(script, draw_logits(script, classifier), classifier)
        entry = annotate(script, scenes, words)
        sure = [scene for scene in scenes if scene.thing is not None]
        if entry is None:
            assert not sure or script.kind in (ALERT.name, GROUNDING.name)
            continue
        kinds.add(script.kind)
        if script.kind == NARRATION.name:
            assert [item["timespan"][0] for item in entry] == [scene.start for scene in sure]
            assert all(NAMES[scene.thing] in item["text"].lower() for scene, item in zip(sure, entry, strict=True))
        if script.kind == ALERT.name:
            absent += not entry["timestamps"]
            name = re.sub("^an? ", "", entry["query"])
            members = words.kinds.get(name) or [number for number, other in enumerate(NAMES) if other == name]
            seen = [[scene.start, scene.end] for scene in scenes if scene.shows(members) >= SHOWN]
            assert seen == entry["timestamps"], "a kind is in view also where no name is sure"
            assert not any(AWAY < scene.shows(members) < SHOWN for scene in scenes), "nothing doubtful is asked for"
    assert kinds == {kind.name for kind in (NARRATION, MAGQA, ALERT, GROUNDING)}
    assert absent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twelve streams for a model of random weights, and the model."""
    model, processor = build_concepts()
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "load_duet", lambda *_, **__: (model, processor))
        make_world(root, train=12, val=2)
        yield root, model, processor


@pytest.fixture
def world(made, tmp_path):
    """A copy of them."""
    root, model, processor = made
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return tmp_path, copy.deepcopy(model), processor


def test_a_model_trains_on_streams_as_it_does_on_videos(world):
    root, model, processor = world
    dataset = MixtureDataset(root / "world" / "annotations" / "train_mixture.json")
    assert len(dataset) == 12
    cache = FeatureCache(root / "features", model, processor)
    cache.prepare(dataset.samples)
    files = [path.name for path in (root / "features").iterdir() if not path.name.startswith("tower-")]
    assert not files, "features that are there are not computed"
    batch = Collator(processor, cache)([dataset[index] for index in range(4)])
    output = model(**{name: value for name, value in batch.items() if name != "samples"})
    assert bool(output.loss.isfinite())


def test_streams_need_a_cache_and_their_own_tower(world):
    root, model, processor = world
    dataset = MixtureDataset(root / "world" / "annotations" / "train_mixture.json")
    with pytest.raises(DuetError, match="holds features and no pictures"):
        Collator(processor, None)([dataset[0]])
    model.vision_tower.add("flag", torch.ones(1280), torch.tensor(0.0), torch.ones(4, 64))
    with pytest.raises(DuetError, match="features of another vision tower"):
        Collator(processor, FeatureCache(root / "features", model, processor))([dataset[0]])


def test_a_damaged_stream_is_told_to_be_made_again(world):
    root, model, processor = world
    dataset = MixtureDataset(root / "world" / "annotations" / "train_mixture.json")
    dataset[0].video.write_bytes(b"no features")
    with pytest.raises(DuetError, match=r"cannot be read .*: get it, or make it, again"):
        Collator(processor, FeatureCache(root / "features", model, processor))([dataset[0]])


def test_the_same_seed_makes_the_same_world_and_another_one_is_refused(world, tmp_path_factory):
    root, *_ = world
    other = tmp_path_factory.mktemp("other")
    make_world(other, train=12, val=2)
    streams = [load_file(made / "world/streams/train/train_00003.safetensors")["features"] for made in (root, other)]
    assert torch.equal(*streams)
    for name in ("train_alert.json", "train_narration.json", "val_mixture.json"):
        one, two = ((made / "world/annotations" / name).read_text() for made in (root, other))
        assert one == two
    with pytest.raises(AnnotationError, match="was made with seed 0, and this is 1"):
        make_world(root, seed=1, train=12, val=2)
    assert json.loads((root / "world" / "world.json").read_text())["seed"] == 0
    with pytest.raises(AnnotationError, match="train=-1"):
        make_world(root, train=-1)
    with pytest.raises(AnnotationError, match="a split has at most 100,000 streams"):
        make_world(root, val=100_001)
