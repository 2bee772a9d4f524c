"""Names from pictures: imprinted rows, added concepts, and adapters that carry them."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from mmduet.checkpoints import add_concept, load_adapter, save_adapter, save_concepts
from mmduet.checkpoints.concepts import SMALLEST, SURE, embed_name, imagenet_names, imprint
from mmduet.cli import app
from mmduet.errors import CheckpointError, DuetError, FileError
from mmduet.system.photographs import PHOTOGRAPHS
from mmduet.video import fit_frames
from tests.checkpoints.test_loading import trained_tiny
from tests.concept_models import build_concepts

vectors = st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3).map(torch.tensor)


@given(vectors, vectors, vectors)
def test_an_imprinted_row_is_sure_of_its_feature_and_says_nothing_of_a_typical_one(feature, typical, other):
    if float((feature - typical).square().sum()) < 1e-2:
        return
    weight, bias = (part.double() for part in imprint(feature.double(), typical.double()))
    assert float(weight @ feature.double() + bias) == pytest.approx(SURE, abs=1e-4)
    assert float(weight @ typical.double() + bias) == pytest.approx(0, abs=1e-4)
    between = (feature + typical).double() / 2
    assert float(weight @ between + bias) == pytest.approx(SURE / 2, abs=1e-4)


def test_imagenet_has_a_thousand_classes_with_997_names():
    names = imagenet_names()
    assert (len(names), len(set(names))) == (1000, 997)
    assert names[0] == "tench"
    assert names[281] == "tabby"
    assert all(name == name.lower() and "," not in name for name in names)


def test_a_names_embeddings_are_its_tokens_and_full_stops(tiny):
    model, processor = tiny
    table = model.get_input_embeddings().weight
    first, second, rest, whole = embed_name("ab", processor, table)
    tokens = table[processor.ids(" ab")]
    assert torch.allclose(first, tokens[0])
    assert torch.allclose(second, tokens[1])
    assert torch.allclose(rest, tokens[2:].mean(0))
    assert torch.allclose(whole, tokens.mean(0))
    assert torch.allclose(embed_name("", processor, table)[1], table[processor.ids(".")[0]])


def chances(model, processor, path):
    with Image.open(path) as picture:
        frame = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None]
    cells = model.vision_tower.network(processor.pixel_values(fit_frames(frame, processor.frame.fit)))
    return model.vision_tower.probabilities(model.vision_tower.logits(cells.mean(1)))[0]


@torch.no_grad()
def test_the_tower_knows_the_photographs_and_what_imagenet_names():
    model, processor = build_concepts()
    names = model.config.vision_config.names
    for key in ("motorcycle", "coffee", "temple", "moon"):
        best = int(chances(model, processor, PHOTOGRAPHS[key].path).argmax())
        assert PHOTOGRAPHS[key].noun.endswith(names[best]), key
    known = chances(model, processor, PHOTOGRAPHS["coffee"].path)[:1000]
    assert names[int(known.argmax())] == "espresso", "of ImageNet's own classes"


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of a striped thing, and one of a dotted thing."""
    rng, paths = np.random.default_rng(0), []
    for name, period in (("one", 16), ("two", 16)):
        stripes = ((np.arange(240) // period) % 2 * 200)[:, None].repeat(320, 1)[..., None] * [1.0, 0.3, 0.2]
        path = tmp_path / f"{name}.png"
        Image.fromarray((stripes + rng.integers(0, 30, stripes.shape)).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


@torch.no_grad()
def test_a_concept_of_ones_own_is_named_after_it_was_added(pictures):
    model, processor = build_concepts()
    add_concept(model, processor, "  striped   flag ", pictures)
    names = model.config.vision_config.names
    found = chances(model, processor, pictures[0])
    assert names[int(found.argmax())] == names[-1] == "striped flag"
    assert float(chances(model, processor, PHOTOGRAPHS["moon"].path)[-1]) < 0.01


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "has 0 characters"),
        ("x" * 61, "has 61 characters"),
        ("tabby", "knows 'tabby' already"),
        ("Tabby", "knows 'tabby' already"),
        (" ESPRESSO ", "knows 'espresso' already"),
        ("a\0b", "printable"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(pictures, name, message):
    model, processor = build_concepts()
    with pytest.raises(DuetError, match=message):
        add_concept(model, processor, name, pictures)
    assert not model.config.vision_config.added


@pytest.mark.parametrize("relative", [True, False])
def test_a_name_that_is_a_file_is_refused(pictures, monkeypatch, relative):
    """The name was forgotten, and the first picture stands in its place."""
    monkeypatch.chdir(pictures[0].parent)
    monkeypatch.setattr("mmduet.checkpoints.concepts.LONGEST_NAME", 4096)
    model, processor = build_concepts()
    with pytest.raises(DuetError, match="is a file: give the name first"):
        add_concept(model, processor, pictures[0].name if relative else str(pictures[0]), pictures[1:])
    assert not model.config.vision_config.added


@given(
    st.integers(1, SMALLEST - 1).flatmap(lambda short: st.tuples(st.just(short), st.integers(short, 3000))),
    st.booleans(),
)
@settings(max_examples=10, deadline=None)
def test_a_picture_that_is_too_small_is_refused(concepts, tmp_path_factory, size, upright):
    path = tmp_path_factory.mktemp("small") / "small.png"
    width, height = size if upright else size[::-1]
    Image.new("RGB", (width, height)).save(path)
    with pytest.raises(DuetError, match=rf"small\.png has {width} x {height} pixels: .* at least 32"):
        add_concept(*concepts, "flag", [path])
    assert not concepts[0].config.vision_config.added


def test_what_is_no_picture_is_refused(tmp_path, pictures):
    model, processor = build_concepts()
    (tmp_path / "text.png").write_text("no picture")
    for wrong, message in (
        ([tmp_path / "text.png"], "is no picture"),
        ([tmp_path / "no.png"], "does not exist"),
        ([], "no picture shows"),
    ):
        with pytest.raises(DuetError, match=message):
            add_concept(model, processor, "flag", wrong)


def test_a_model_without_names_takes_none(tiny, pictures):
    with pytest.raises(CheckpointError, match="knows no names"):
        add_concept(*tiny, "flag", pictures)


@pytest.fixture(scope="module")
def concepts():
    """A model that no test changes."""
    return build_concepts()


@pytest.fixture
def adapter(tmp_path):
    """An adapter of the model with names."""
    model, _ = build_concepts()
    full = list(model.trained_in_full)
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=model.lora_targets, modules_to_save=full))
    save_adapter(wrapped, tmp_path / "adapter", base="concepts", dtype=torch.float32)
    return tmp_path / "adapter"


@torch.no_grad()
def test_added_concepts_are_saved_with_an_adapter_and_loaded_with_it(adapter, pictures, tmp_path):
    model, processor = build_concepts()
    model = load_adapter(model, adapter)
    add_concept(model, processor, "striped flag", pictures)
    save_concepts(model, adapter, tmp_path / "mine")
    again = load_adapter(build_concepts()[0], tmp_path / "mine")
    assert again.config.vision_config.names == model.config.vision_config.names
    pixels = processor.pixel_values(torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8))
    for one, other in zip(model.encode_frames(pixels), again.encode_frames(pixels), strict=True):
        assert torch.allclose(one, other, atol=0.02), "saved in bfloat16"
    add_concept(again, processor, "dotted flag", pictures[:1])
    save_concepts(again, tmp_path / "mine", tmp_path / "both")
    both = load_adapter(build_concepts()[0], tmp_path / "both")
    assert both.config.vision_config.added == ["striped flag", "dotted flag"]
    assert set(load_file(tmp_path / "both" / "adapter_model.safetensors")) == set(
        load_file(tmp_path / "mine" / "adapter_model.safetensors")
    )


def test_an_adapter_and_its_list_of_names_must_agree(adapter, pictures, tmp_path):
    model, processor = build_concepts()
    add_concept(model, processor, "flag", pictures)
    save_concepts(model, adapter, tmp_path / "mine")
    shutil.copytree(tmp_path / "mine", tmp_path / "less")
    (tmp_path / "less" / "concepts.json").unlink()
    (tmp_path / "mine" / "concepts.json").write_text(json.dumps({"added": ["flag", "banner"]}))
    for folder in ("mine", "less"):
        with pytest.raises(CheckpointError, match="does not fit this base"):
            load_adapter(build_concepts()[0], tmp_path / folder)
    (tmp_path / "mine" / "concepts.json").write_text('{"added": "flag"}')
    with pytest.raises(CheckpointError, match=r"concepts\.json"):
        load_adapter(build_concepts()[0], tmp_path / "mine")


def test_an_adapter_with_concepts_needs_a_tower_with_names(tmp_path):
    save_adapter(trained_tiny()[0], tmp_path / "adapter", base="tiny", dtype=torch.float32)
    (tmp_path / "adapter" / "concepts.json").write_text('{"added": ["flag"]}')
    from mmduet.checkpoints import build_tiny

    with pytest.raises(CheckpointError, match="adds flag, and this base's tower has no names"):
        load_adapter(build_tiny()[0], tmp_path / "adapter")


def test_concepts_are_not_written_over_anything_else(adapter, pictures, tmp_path):
    model, processor = build_concepts()
    add_concept(model, processor, "flag", pictures)
    with pytest.raises(DuetError, match="is the adapter itself"):
        save_concepts(model, adapter, adapter)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(FileError):
        save_concepts(model, adapter, tmp_path / "full")
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


def test_a_folder_does_not_lose_its_names(adapter, pictures, tmp_path):
    """The second name, added to the first adapter again, would take the place of the first name."""
    for name in ("flag", "flag"):  # the same again is no loss
        model, processor = build_concepts()
        add_concept(model, processor, name, pictures)
        save_concepts(model, adapter, tmp_path / "mine")
    model, processor = build_concepts()
    add_concept(model, processor, "banner", pictures)
    with pytest.raises(DuetError, match=r"has the name 'flag', which it would lose: give another folder, and .*mine"):
        save_concepts(model, adapter, tmp_path / "mine")
    assert json.loads((tmp_path / "mine" / "concepts.json").read_text()) == {"added": ["flag"]}


def test_the_command_prints_the_names_that_were_added(adapter, pictures, tmp_path, monkeypatch):
    def loaded(*_, adapter, **__):
        model, processor = build_concepts()
        return load_adapter(model, adapter), processor

    monkeypatch.setattr("mmduet.checkpoints.load_duet", loaded)
    for name, source, said in (("flag", adapter, "1 of them added: flag"), ("banner", "1", "2 .* flag, banner")):
        count = said[0]
        command = ["concept", name, str(pictures[0]), "--output", str(tmp_path / count), "--adapter"]
        result = CliRunner().invoke(app, [*command, str(tmp_path / source)])
        assert re.search(said, result.output), result.output


def test_the_command_refuses_a_model_whose_tower_knows_no_names(pictures, tmp_path):
    result = CliRunner().invoke(
        app, ["concept", "flag", str(pictures[0]), "--output", str(tmp_path / "a"), "--model", "tiny"]
    )
    assert isinstance(result.exception, DuetError)
    assert "knows no names" in str(result.exception)
