"""The whole of training, on a small `scenes` and the `tiny` model."""

import json
import math
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from mmduet.checkpoints import build_tiny, load_adapter
from mmduet.data.collator import Collator, model_inputs
from mmduet.data.feature_cache import FeatureCache
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import AnnotationError, DuetError, VideoError
from mmduet.policy import HEADS
from mmduet.training import TrainingResult, add_lora, teacher_force, train
from mmduet.training.teacher_forcing import defined_metrics
from tests.training.conftest import SHORT, Terminate, losses


def test_one_step_changes_lora_projector_and_heads_and_nothing_else(setting):
    model, processor, train_set, _, features = setting
    wrapped = add_lora(model, r=4, alpha=8)
    before = {name: value.clone() for name, value in wrapped.state_dict().items()}
    kinds = {sample.kind: index for index, sample in enumerate(train_set.samples)}
    batch = model_inputs(Collator(processor, features)([train_set[index] for index in kinds.values()]))
    # two steps: at the first one LoRA's A stands still, its B being zero
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        wrapped(**batch).loss.backward()
        optimizer.step()
    changed = {name for name, value in wrapped.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "lora_" in name or "modules_to_save" in name}
    for part in ("projector", "informative_head", "relevance_head", "lora_A", "lora_B"):
        assert any(part in name for name in changed), part


def test_what_is_trained_is_float32_whatever_is_frozen():
    wrapped = add_lora(build_tiny()[0].bfloat16())
    kinds = {parameter.requires_grad: set() for parameter in wrapped.parameters()}
    for parameter in wrapped.parameters():
        kinds[parameter.requires_grad].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}


def test_training_learns_writes_and_repeats(short, setting):
    longer = {"steps": 16, "align_iterations": 20, "eval_every": 8, "batch_size": 4, "lora": {"r": 4, "alpha": 8}}
    longer |= {f"{part}learning_rate": 5e-3 for part in ("", "projector_", "head_")}
    first, second = short("a", **longer), short("b", **longer)
    assert np.mean(losses(first)[-4:]) < np.mean(losses(first)[:4])
    assert losses(first) == losses(second), "same seed, same run"
    assert [row["step"] for row in first.history if "eval_informative_auc" in row] == [8, 16]
    assert {"lm_loss", "video_loss", "eval_grounding_relevance_auc", "eval_narration_lm_loss"} <= set().union(
        *first.history
    )
    assert (first.steps, first.total, first.stopped) == (16, 16, False)
    assert "16 of 16 steps" in first.summary()
    _, processor, _, val_set, features = setting
    batches = [Collator(processor, features)([val_set[0]])]
    before = teacher_force(build_tiny()[0], batches).quality()["lm_loss"]
    trained = load_adapter(build_tiny()[0], first.adapter)
    assert teacher_force(trained, batches).quality()["lm_loss"] < before


@pytest.mark.parametrize("loss_mean", ["step", "example"])
def test_a_step_is_the_same_however_it_is_cut(short, loss_mean):
    """The conversations of a step at once, or one after the other."""
    same = {"loss_mean": loss_mean, "group_by_length": False, "val_set": None, "steps": 3, "lora": {"dropout": 0}}
    whole = short("whole", batch_size=4, **same)
    cut = short("cut", batch_size=1, accumulation=4, **same)
    assert losses(cut) == pytest.approx(losses(whole), abs=1e-5)
    for name in ("lm_loss", "video_loss", "grad_norm"):
        columns = [[row[name] for row in result.history if name in row] for result in (cut, whole)]
        assert columns[0] == pytest.approx(columns[1], abs=1e-3 if name == "grad_norm" else 1e-5)


def test_example_mean_is_the_mean_of_single_losses(short, setting):
    """As published: a step's loss is the mean of what its conversations' losses are alone."""
    model, processor, train_set, _, features = setting
    result = short(steps=1, loss_mean="example", batch_size=len(train_set), align_iterations=0, val_set=None,
                   lora={"dropout": 0})  # fmt: skip
    alone = teacher_force(model, [Collator(processor, features)([train_set[i]]) for i in range(len(train_set))])
    expected = np.mean([sum(example.losses.values()) for example in alone.samples])
    assert losses(result)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("bf16", [False, True])
def test_training_from_video_is_training_from_the_cache(short, bf16):
    few = {"bf16": bf16, "steps": 3}
    stored, decoded = short("stored", **few), short("decoded", features=None, **few)
    assert losses(decoded) == pytest.approx(losses(stored), abs=1e-6), "in bfloat16, too: the same bits go in"
    assert decoded.alignment == pytest.approx(stored.alignment, abs=1e-6)


def test_a_frozen_part_in_bfloat16_needs_bf16(setting, tmp_path):
    model, processor, train_set, val_set, _ = setting
    model, features = model.bfloat16(), FeatureCache(tmp_path / "features", model.bfloat16(), processor)
    fit = partial(train, model, processor, train_set, val_set, features, output=tmp_path / "out", base="tiny", **SHORT)
    with pytest.raises(DuetError, match=r"the model is torch\.bfloat16, .* set bf16"):
        fit()
    assert all(math.isfinite(loss) for loss in losses(fit(bf16=True)))


def test_gradient_checkpointing_and_workers_change_nothing(short):
    plain = short("plain", val_set=None)
    saving = short("saving", val_set=None, gradient_checkpointing=True, workers=2)
    assert losses(saving) == pytest.approx(losses(plain), abs=1e-5)


def test_without_the_heads_loss_the_heads_stand_still(short, setting):
    """As the published release trains."""
    result = short(video_loss_weight=0.0)
    trained = load_adapter(build_tiny()[0], result.adapter)
    for head in ("informative_head", "relevance_head"):
        before = getattr(setting[0], head).weight.bfloat16()
        assert torch.equal(getattr(trained, head).weight.bfloat16(), before)
    learnt = load_adapter(build_tiny()[0], short("ours").adapter)
    assert not torch.equal(learnt.informative_head.weight.bfloat16(), setting[0].informative_head.weight.bfloat16())


def test_the_best_adapter_stays(short, setting):
    """With rates at which it gets worse and worse, the first look is the best one."""
    worse = {f"{part}learning_rate": 0.3 for part in ("", "projector_", "head_")}
    result = short(best_by="loss", eval_every=1, steps=4, schedule="constant_with_warmup", **worse)
    looks = [row["eval_loss"] for row in result.history if "eval_loss" in row]
    assert result.best == ("loss", min(looks))
    assert looks.index(min(looks)) < 3, "else this shows nothing"
    _, processor, _, val_set, features = setting
    batches = [Collator(processor, features)([val_set[i]]) for i in range(len(val_set))]
    kept = teacher_force(load_adapter(build_tiny()[0], result.adapter), batches).quality()["loss"]
    assert kept == pytest.approx(min(looks), rel=1e-5), "the adapter is not rounded"


def test_a_figure_to_choose_by_that_is_not_measured_is_refused(short):
    with pytest.raises(DuetError, match=r"best_by: no figure has this name; known are .* informative_auc"):
        short(best_by="bleu")
    with pytest.raises(DuetError, match=r"best_by='loss' needs a validation set"):
        short(best_by="loss", val_set=None)


@pytest.mark.parametrize(
    ("kinds", "best_by"),
    [
        ({"narration"}, "relevance_auc"), ({"grounding"}, "narration_lm_loss"), ({"grounding"}, "informative_auc"),
        ({"grounding"}, "lm_loss"), ({"grounding"}, "token_accuracy"),
        ({"narration", "grounding"}, "grounding_lm_loss"),
    ],
)  # fmt: skip
def test_a_figure_that_the_validation_set_does_not_define_is_refused_at_the_start(short, mixtures, kinds, best_by):
    val_set = mixtures[1]
    val_set.samples = [sample for sample in val_set.samples if sample.kind in kinds]
    assert len(val_set)
    ran = Steps()
    with pytest.raises(DuetError, match=rf"best_by='{best_by}': the validation set does not define it; it defines "):
        short(best_by=best_by, val_set=val_set, callbacks=[ran])
    assert ran.steps == 0


def test_labels_of_one_value_define_no_auc(short, mixtures):
    """Cut so short that no frame is relevant."""
    val_set = mixtures[1]
    val_set.samples = [replace(sample, max_frames=1) for sample in val_set.samples if sample.kind == "grounding"]
    with pytest.raises(DuetError, match="best_by='relevance_auc': the validation set does not define it"):
        short(best_by="relevance_auc", val_set=val_set)


def test_the_metrics_that_labels_define_are_those_that_a_model_gives(setting):
    model, processor, _, val_set, features = setting
    batches = [Collator(processor, features)([val_set[i]]) for i in range(len(val_set))]
    measured = teacher_force(model, batches).quality()
    assert defined_metrics(val_set, processor, HEADS) == [n for n, value in measured.items() if not math.isnan(value)]


class Steps(TrainerCallback):
    """Counts steps."""

    steps = 0

    def on_step_begin(self, args, state, control, **kwargs):
        self.steps += 1


def test_the_last_figures_are_each_of_one_step():
    history = [
        {"loss": 7.0, "lm_loss": 6.0, "video_loss": 1.0, "step": 11}, {"eval_loss": 5.0, "step": 11},
        {"loss": 0.42, "video_loss": 0.42, "step": 12.0}, {"train_runtime": 3.0, "step": 12},
    ]  # fmt: skip
    result = TrainingResult(Path("a"), history, [], 60.0, 12, 12, False, None, 0.5)
    assert "\nlast figures: step 12: loss 0.42, video_loss 0.42; step 11: eval_loss 5\n" in result.summary()
    assert "last figures: none yet" in replace(result, history=[]).summary()


def test_tensorboard_gets_the_figures(short, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short(tensorboard=True)
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    assert {"train/lm_loss", "train/video_loss", "eval/informative_auc"} <= set(events.Tags()["scalars"])


@pytest.mark.parametrize(
    ("head", "what"), [("relevance_head", "the loss is nan"), ("informative_head", "the gradient")]
)
def test_what_is_no_number_stops_with_its_conversations(setting, tmp_path, head, what):
    """Conversations of grounding have no informative label, but its head a gradient."""
    model, processor, train_set, val_set, features = setting
    train_set.samples = [sample for sample in train_set.samples if sample.kind == "grounding"]
    getattr(model, head).weight.data.fill_(math.nan)
    with pytest.raises(DuetError, match=rf"{what}.* at step 1, with train_grounding\w*\.json:\d+ \(train_\d+\.mp4\), "):
        train(model, processor, train_set, val_set, features, output=tmp_path, base="tiny",
              **SHORT | {"align_iterations": 0})  # fmt: skip


def test_out_of_memory_says_what_to_lower(short):
    class Full(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(
        DuetError, match=r"the GPU is out of memory \(2\.00 GiB .*\): lower batch_size .*max_num_frames"
    ):
        short(callbacks=[Full()])


def test_sigterm_ends_the_step_and_the_same_run_resumes(short):
    before = signal.getsignal(signal.SIGTERM)
    whole = short("whole", log_every=2)
    stopped = short("stopped", log_every=2, callbacks=[Terminate()])
    assert (stopped.stopped, stopped.steps) == (True, 4)
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = short("stopped", log_every=2, resume=True)
    assert (resumed.stopped, resumed.steps) == (False, 6)
    assert losses(resumed) == losses(whole)


def test_a_missing_video_is_named(short, mixtures, tmp_path):
    train_set = mixtures[0]
    train_set.samples[1] = replace(train_set.samples[1], video=tmp_path / "gone.mp4")
    entry = train_set.samples[1].entry
    with pytest.raises(AnnotationError, match=rf"entry {entry} is about .*gone\.mp4, which does not exist"):
        short(train_set=train_set)


def test_broken_videos_are_left_out_and_listed(short, mixtures, tmp_path):
    train_set, report = mixtures[0], tmp_path / "broken.json"
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"no video")
    first = train_set.samples[0].video
    train_set.samples = [replace(s, video=damaged) if s.video == first else s for s in train_set.samples]
    with pytest.raises(VideoError, match=r"damaged\.mp4"):
        short("stopped", train_set=train_set)
    result = short(train_set=train_set, broken=UnreadableVideos("skip", limit=1, report=report))
    assert result.steps == 6
    assert list(json.loads(report.read_text())) == [str(damaged)]
    assert damaged not in {sample.video for sample in train_set.samples}
    assert first not in {sample.video for sample in train_set.samples}, "nothing takes its place"


def test_a_base_with_an_adapter_of_its_own_is_refused(short, tmp_path):
    with pytest.raises(DuetError, match="base: mini has an adapter of its own"):
        short(base="mini")
    assert not (tmp_path / "out").exists()


def test_too_few_conversations_are_refused(short):
    with pytest.raises(DuetError, match=r"fill no batch of 64 in each of 1 processes"):
        short(batch_size=64)


def test_callbacks_are_told_how_it_goes_and_the_rate_is_loras(short):
    rows = []

    class Listener(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            rows.append({**logs, "step": state.global_step})

    result = short(
        learning_rate=3e-3, projector_learning_rate=1e-3, head_learning_rate=2e-3, schedule="constant_with_warmup",
        warmup=0, callbacks=[Listener()],
    )  # fmt: skip
    assert [row["step"] for row in rows] == [row["step"] for row in result.history]
    assert rows[0]["learning_rate"] == 3e-3
