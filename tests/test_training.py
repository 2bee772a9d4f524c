"""On a small `scenes` and the `tiny` model."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from mmduet.checkpoints import build_tiny, load_adapter
from mmduet.data.collator import Collator
from mmduet.data.features import FeatureStore
from mmduet.data.mixture import MixtureDataset
from mmduet.data.scenes import make_scenes
from mmduet.errors import AnnotationError, DuetError
from mmduet.training import add_lora, align_projector, alignment_pairs, auc, teacher_force, train


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("data"), train=3, val=1, test=0)


@pytest.fixture
def setting(scenes, tmp_path):
    """model, processor, training set, validation set, features."""
    model, processor = build_tiny()
    folder = scenes / "annotations"
    sets = [MixtureDataset(folder / f"{split}_mixture.json") for split in ("train", "val")]
    return model, processor, *sets, FeatureStore(tmp_path / "features", model, processor)


def test_one_step_changes_lora_projector_and_heads_and_nothing_else(setting):
    model, processor, train_set, _, features = setting
    wrapped = add_lora(model, r=4, alpha=8)
    before = {name: value.clone() for name, value in wrapped.state_dict().items()}
    kinds = {source.kind: index for index, source in enumerate(train_set.sources)}
    batch = Collator(processor, features)([train_set[index] for index in kinds.values()])
    # two steps: at the first one LoRA's A stands still, its B being zero
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        wrapped(**batch).loss.backward()
        optimizer.step()
    changed = {name for name, value in wrapped.state_dict().items() if not torch.equal(value, before[name])}
    trained = {
        name for name in before
        if "lora_" in name or "modules_to_save" in name
    }  # fmt: skip
    assert changed == trained
    for part in ("projector", "informative_head", "relevance_head", "lora_A", "lora_B"):
        assert any(part in name for name in changed), part


def test_a_batch_is_the_sum_of_its_examples(setting):
    """Padding and concatenated features leave every example's scores as they are alone."""
    model, processor, train_set, _, features = setting
    collator = Collator(processor, features)
    examples = [train_set[index] for index in (0, 4, 7)]
    together = model(**collator(examples)).informative_logits
    alone = torch.cat([model(**collator([example])).informative_logits for example in examples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_stored_features_are_those_of_the_video(setting):
    from mmduet.video import read_frames

    model, processor, train_set, _, features = setting
    source = train_set.sources[0]
    frames = read_frames(source.video, fps=source.fps, size=processor.frame.size).frames[3:8]
    with torch.no_grad():
        fresh = model.vision_features(processor.pixel_values(frames))
    torch.testing.assert_close(features.read(source.video, source.fps, 3, 5).float(), fresh, atol=2e-3, rtol=2e-3)


def test_more_frames_than_the_video_has_is_an_error(setting):
    *_, train_set, _, features = setting
    source = train_set.sources[0]
    with pytest.raises(DuetError, match="correct the metadata"):
        features.read(source.video, source.fps, 0, 10_000)


def test_a_missing_video_is_named(setting, tmp_path):
    with pytest.raises(DuetError, match=r"gone\.mp4 does not exist"):
        setting[-1].read(tmp_path / "gone.mp4", 2.0, 0, 1)


def test_alignment_brings_frames_to_their_words(setting):
    model, processor, train_set, _, features = setting
    pairs = alignment_pairs(train_set, features)
    losses = align_projector(model, processor, pairs, iterations=60)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    tokens = model.project_features(pairs.features[:50].float())
    assert tokens.std().item() == pytest.approx(model.get_input_embeddings().weight.std().item(), rel=0.3)


def test_alignment_needs_two_captions(setting):
    *_, train_set, _, features = setting
    train_set.sources = [source for source in train_set.sources if source.kind == "magqa"]
    with pytest.raises(AnnotationError, match="at least 2"):
        alignment_pairs(train_set, features)


def test_training_learns_writes_and_repeats(setting, tmp_path):
    _, processor, train_set, val_set, _ = setting

    def run(name):
        model, _ = build_tiny()
        return train(
            model, processor, train_set, val_set, FeatureStore(tmp_path / "features", model, processor),
            output=tmp_path / name, base="tiny", steps=24, align_iterations=20, lora={"r": 4, "alpha": 8},
            learning_rate=5e-3, projector_learning_rate=5e-3, head_learning_rate=5e-3, eval_every=12,
        )  # fmt: skip

    first, second = run("a"), run("b")
    losses = [row["loss"] for row in first.history if "loss" in row]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert losses == [row["loss"] for row in second.history if "loss" in row], "same seed, same run"
    assert {row["step"] for row in first.history if "eval_informative_auc" in row} == {12, 24}
    assert {"lm_loss", "video_loss"} <= set().union(*first.history)
    model, _ = build_tiny()
    batches = [Collator(processor, FeatureStore(tmp_path / "features", model, processor))([val_set[0]])]
    before = teacher_force(model, batches).quality()["lm_loss"]
    trained = load_adapter(build_tiny()[0], first.adapter)
    assert teacher_force(trained, batches).quality()["lm_loss"] < before


def test_callbacks_are_told_how_it_goes_and_the_rate_is_loras(setting, tmp_path):
    rows = []

    class Listener(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            rows.append({**logs, "step": state.global_step})

    model, processor, train_set, val_set, features = setting
    result = train(
        model, processor, train_set, val_set, features, output=tmp_path, base="tiny", steps=2, align_iterations=0,
        learning_rate=3e-3, projector_learning_rate=1e-3, head_learning_rate=2e-3, callbacks=[Listener()],
    )  # fmt: skip
    assert [row["step"] for row in rows] == [row["step"] for row in result.history]
    assert rows[0]["learning_rate"] == 3e-3


def test_a_loss_that_is_no_number_stops(setting, tmp_path):
    model, processor, train_set, val_set, features = setting
    model.informative_head.weight.data.fill_(math.nan)
    fit = partial(train, model, processor, train_set, val_set, features, output=tmp_path, base="tiny", steps=4)
    with pytest.raises(DuetError, match="the loss is nan"):
        fit(align_iterations=0)


def test_auc_by_hand():
    assert auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.75)
    assert math.isnan(auc(np.array([1, 1]), np.array([0.1, 0.2])))
