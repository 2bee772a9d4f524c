"""An annotation kind from outside the package is trained on, counted and shown."""

import json
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mmduet_widgets import DatasetBrowser
from pydantic import TypeAdapter
from typer.testing import CliRunner

from examples.own_kind import STEPS
from mmduet.cli import app
from mmduet.data.conversations import Clock
from mmduet.data.kinds import KINDS, known_kinds
from mmduet.data.mixture import MixtureDataset
from mmduet.data.statistics import mixture_frame
from mmduet.errors import AnnotationError, DuetError
from mmduet.model.prompt import TextTurn
from tests.clips import write_clip

HOW_TO = {"video": "tea.mp4", "steps": [{"name": "Boil.", "span": [0.5, 1.5]}, {"name": "Pour.", "span": [2.0, 3.0]}]}


@pytest.fixture
def config(tmp_path):
    """A training config for two steps on one clip; its mixture is mixture.json."""
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos/tea.mp4", frames=36, rate=12)
    (tmp_path / "steps.json").write_text(json.dumps([HOW_TO]))
    entry = {
        "dataset_cls": "StepsDataset",
        "video_root": "videos",
        "anno_file": "steps.json",
        "metadata_path": "m.json",
    }
    (tmp_path / "mixture.json").write_text(json.dumps([entry]))
    run = {
        "output": str(tmp_path / "run"),
        "model": {"base": "tiny"},
        "data": dict.fromkeys(("train", "validation"), str(tmp_path / "mixture.json")),
        "recipe": {"steps": 2, "epochs": None, "batch_size": 1, "align_iterations": 2, "best_by": "steps_lm_loss"},
    }
    (tmp_path / "steps.yaml").write_text(yaml.safe_dump(run))
    return tmp_path / "steps.yaml"


def test_two_steps_are_trained(config):
    done = CliRunner().invoke(app, ["train", str(config), "--kind", "examples.own_kind:STEPS"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "2 of 2 steps" in done.output
    assert "its best, steps_lm_loss" in done.output
    assert (config.parent / "run/adapter/adapter_model.safetensors").is_file()


def test_statistics_and_browser_show_it(config):
    dataset = MixtureDataset(config.parent / "mixture.json", kinds=KINDS | {"steps": STEPS})
    (row,) = mixture_frame(dataset).to_dict("records")
    assert (row["kind"], row["frames"], row["responses"], row["informative"]) == ("steps", 6, 2, 2)
    browser = DatasetBrowser(dataset)
    assert "Boil." in browser.children[1].value
    browser.text = "pour"
    assert browser.matches == [0]
    assert browser.kinds == ["steps"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("captions", r"--kind='captions' is not known: give module:OBJECT"),
        ("examples.own_kind:HowTo", r"has type .*: give an object of type AnnotationKind"),
        ("examples.own_kind:NONE", "cannot be imported"),
    ],
)
def test_an_unknown_kind_is_named(config, name, message):
    with pytest.raises(DuetError, match=message):
        CliRunner().invoke(app, ["train", str(config), "--kind", name], catch_exceptions=False)


def test_without_the_option_the_kind_is_unknown(config):
    with pytest.raises(DuetError, match=r"best_by.*also after narration, magqa, grounding.*--kind module:OBJECT"):
        CliRunner().invoke(app, ["train", str(config)], catch_exceptions=False)
    config.write_text(config.read_text().replace("  best_by: steps_lm_loss\n", ""))
    with pytest.raises(
        DuetError, match=r"'StepsDataset'; known are AlertStreamDataset, DenseVideoCaptioningStreamDataset, Grounding"
    ):
        CliRunner().invoke(app, ["train", str(config)], catch_exceptions=False)


def test_it_is_known_by_name():
    """As notebook 01 takes it."""
    assert known_kinds(["examples.own_kind:STEPS"]) == KINDS | {STEPS.name: STEPS}
    with pytest.raises(DuetError, match=r"kinds='examples\.own_kind:NONE' cannot be imported"):
        known_kinds(["examples.own_kind:NONE"])


SPANS = st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12)).map(sorted), min_size=1, max_size=6)


@given(SPANS, st.sampled_from([0.5, 2.0, 3.0]))
def test_steps_may_overlap(spans, fps):
    """Nested, crossing or equal: the frames go up to the last end, and the last of the steps at one frame is named."""
    clock, steps = Clock(fps, 10.0), [{"name": f"step {i}", "span": span} for i, span in enumerate(spans)]
    (entry,) = STEPS.entries(TypeAdapter(STEPS.schema).validate_python([{"video": "v.mp4", "steps": steps}]))
    found = STEPS.conversation(entry.annotation, clock, rng=Random(0), templates=STEPS.templates, max_frames=10**6)
    ends = [clock.ceil(end) for _, end in spans]
    assert found.frames == clock.frames(max(ends))
    assert sum(isinstance(turn, TextTurn) and turn.role == "assistant" for turn in found.turns) == len(set(ends))


def test_a_step_that_ends_far_past_the_video_is_named(config):
    late = {"video": "tea.mp4", "steps": [{"name": "Boil.", "span": [0.5, 60]}]}
    (config.parent / "steps.json").write_text(json.dumps([late]))
    with pytest.raises(AnnotationError, match=r"entry 0, step 0 end 60\.0 s lies past the video's end at 3\.00 s"):
        MixtureDataset(config.parent / "mixture.json", kinds=KINDS | {"steps": STEPS})
