"""Whatever is in the files of a data set: it is read, or one sentence says what is wrong."""

import itertools
import json
import os
import time
import tracemalloc
from contextlib import suppress

import pytest

from mmduet.data.kinds import KINDS
from mmduet.data.mixture import MixtureDataset
from mmduet.data.statistics import mixture_frame
from mmduet.data.templates import read_templates
from mmduet.errors import DuetError
from mmduet.training.config import read_config
from tests.mutations import mutants

SECONDS, BYTES = 5, 500e6

NARRATION = {"a.mp4": {"0": [
    {"text": "a cat", "time": 2.0, "timespan": [0.0, 2.0]}, {"text": "a dog", "time": 3, "timespan": [2, 3]},
]}}  # fmt: skip
MAGQA = [{"video_uid": "a.mp4", "video_start_time": 0, "conversation": [
    {"role": "user", "content": "what?", "time": 0.5},
    {"role": "assistant", "content": "a cat", "time": 2.0, "timespan": [0.0, 2.0], "learn": True},
]}]  # fmt: skip
GROUNDING = [{"video_uid": "a.mp4", "query": "a dog", "timestamps": [[1, 3], [4.5, 6]]}]
ALERT = [{"video_uid": "a.mp4", "query": "a dog", "timestamps": [[1, 3]], "reply": "There is a dog."}]
METADATA = {"a.mp4": {"duration": 8.0, "fps": 25.0, "path": "a.mp4", "frame_count": 200}}
MIXTURE = [
    {"dataset_cls": kind.dataset_cls, "video_root": "videos", "anno_file": f"{kind.name}.json",
     "metadata_path": "metadata.json", "frame_fps": 2, "max_num_frames": 10}
    for kind in KINDS.values()
]  # fmt: skip
TEMPLATES = b"narration: [Go on., 'Say it.']\ngrounding:\n- 'Where is {query}?'\n"
CONFIG = b"""output: out
model: {base: tiny, dtype: float32}
data: {train: train.json, validation: null, train_videos: 3, broken_videos: skip, broken_limit: 2}
features: {folder: features, limit_gb: 0.5}
recipe: {steps: 3, lora: {r: 4, alpha: 8, dropout: 0.1}, learning_rate: 2e-5, warmup: 0.05, workers: 2, seed: 1}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set; its videos' contents do not matter."""
    folder = tmp_path_factory.mktemp("set") / "annotations"
    folder.mkdir()
    contents = {
        "narration": NARRATION,
        "magqa": MAGQA,
        "grounding": GROUNDING,
        "alert": ALERT,
        "metadata": METADATA,
        "mixture": MIXTURE,
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "templates.yaml").write_bytes(TEMPLATES)
    (folder / "config.yaml").write_bytes(CONFIG)
    return folder


def read_all(folder, name):
    """Everything that reads this file."""
    if name == "templates.yaml":
        read_templates(folder / name)
    elif name == "config.yaml":
        read_config(folder / name)
    else:
        with suppress(DuetError):  # also where the mixture refuses what these readers take
            if kind := KINDS.get(name.removesuffix(".json")):
                kind.read(folder / name)
        dataset = MixtureDataset(folder / "mixture.json", seed=3)
        dataset.lengths()
        mixture_frame(dataset)


FILES = [*(f"{name}.json" for name in (*KINDS, "metadata", "mixture")), "templates.yaml", "config.yaml"]
MUTANTS = int(os.environ.get("MMDUET_MUTANTS", "60"))  # of each file


def said(folder, name):
    """What reading a file says is wrong with it."""
    try:
        read_all(folder, name)
    except DuetError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", FILES)
def test_a_mutant_is_read_or_told(folder, name):
    before = (folder / name).read_bytes()
    assert not said(folder, name)
    tracemalloc.start()
    try:
        for number, mutant in enumerate(mutants(before, MUTANTS, seed=len(name))):
            (folder / name).write_bytes(mutant)
            began = time.process_time()
            message = said(folder, name)
            assert "\n" not in message[:2000], f"mutant {number}: {message}"
            assert len(message) < 2000, f"mutant {number}: {message}"
            assert time.process_time() - began < SECONDS, f"mutant {number}"
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()
        (folder / name).write_bytes(before)


LISTS = "".join(f"{y}: &{y} [{', '.join(['*' + x] * 10)}]\n" for x, y in itertools.pairwise("abcdef"))
BOMB = f"a: &a [x, x]\n{LISTS}narration: [*f, *f]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "stands for more than 100000 values"),
        ("narration: [x]\nnarration: [y]\n", "'narration' is given twice"),
        ("narration: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("narration: " + "[" * 5000, "nested too deeply|no readable YAML"),
        ("narration: [x]\n" + "#" * 100_000, "shorten it"),
        ("narration: ['\\ud800', \"\\ud800\"]", "surrogate"),
        ("narration: [!!python/object/apply:os.system [ls]]", "no readable YAML"),
    ],
)
def test_what_yaml_can_do_to_a_reader(tmp_path, text, message):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(DuetError, match=message):
        read_templates(tmp_path / "t.yaml")


def test_a_rate_may_be_written_without_a_point(folder):
    assert read_config(folder / "config.yaml").recipe.learning_rate == 2e-5


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("grounding", "timestamps", [[True, 3]]), ("grounding", "timestamps", [["1", "3"]]),
        ("grounding", "timestamps", [[0, 1e9]]), ("grounding", "timestamps", [[0, float("nan")]]),
        ("grounding", "query", None), ("grounding", "query", "\ud800"), ("grounding", "video_uid", "a\0.mp4"),
        ("grounding", "video_uid", "x" * 300), ("magqa", "conversation", []), ("magqa", "video_start_time", -1),
    ],
)  # fmt: skip
def test_no_silent_value(tmp_path, kind, field, value):
    item = {"grounding": GROUNDING, "magqa": MAGQA}[kind][0] | {field: value}
    path = tmp_path / f"{kind}.json"
    path.write_text(json.dumps([item]))
    with pytest.raises(DuetError, match=rf"{kind}\.json: {kind} entry 0.*{field}"):
        KINDS[kind].read(path)


@pytest.mark.parametrize("name", ["../../videos", "a/../../../x"])
@pytest.mark.parametrize("field", ["video_root", "anno_file", "metadata_path"])
def test_no_relative_path_leads_out_of_the_set(folder, name, field):
    path = folder / "other.json"
    path.write_text(json.dumps([MIXTURE[0] | {field: name}]))
    with pytest.raises(DuetError, match=rf"entry 0, {field} '{name}' leads out of"):
        MixtureDataset(path)
