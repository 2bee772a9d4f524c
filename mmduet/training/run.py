"""train: projector alignment, then LoRA + projector + heads, from a base model to an adapter."""

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import TrainerCallback, TrainerState, TrainingArguments, set_seed
from transformers.integrations import TensorBoardCallback

from mmduet.data.collator import Collator
from mmduet.data.feature_cache import FeatureStore, tower_features
from mmduet.data.mixture import MixtureDataset
from mmduet.data.unreadable import BrokenVideos
from mmduet.errors import DuetError
from mmduet.files import locked
from mmduet.model.duet import HEAD_NAMES, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.system.devices import enough_memory
from mmduet.system.memory import peak_memory
from mmduet.training.alignment import align_projector, alignment_pairs
from mmduet.training.callbacks import LastLook, Progress, ReturnMemory, StopWhenAsked
from mmduet.training.checkpointing import find_start, read_run, state_run, step_of
from mmduet.training.precision import cheap_bfloat16
from mmduet.training.recipe import Recipe, make_recipe
from mmduet.training.trainer import DuetTrainer

LORA_TARGETS = r".*language_model\..*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
LESS = (  # memory
    "lower batch_size (accumulation makes up for it) or the mixture's max_num_frames, or set gradient_checkpointing, "
    "bf16 and the model's dtype to bfloat16"
)
CHECKPOINTING = {"use_reentrant": False}  # how activations are computed again
PATIENCE = 5.0  # s: processes whose launcher was killed take so long to end
TRAINED_IN_FULL = ["projector", *HEAD_NAMES]


def add_lora(
    model: DuetForConditionalGeneration, *, r: int = 16, alpha: float = 32, dropout: float = 0.05
) -> PeftModel:
    """LoRA on every linear layer of the LLM; projector and heads trained in full, saved with the adapter.

    What is trained is float32, whatever precision the frozen weights have.
    """
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,  # type: ignore[arg-type]
        lora_dropout=dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=TRAINED_IN_FULL,
    )
    wrapped = get_peft_model(model, config)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return cast(PeftModel, wrapped)


@dataclass(slots=True)
class TrainingResult:
    """adapter: its folder. history: Trainer's log rows. alignment: loss of each iteration.

    steps, total: optimiser steps done, of how many. stopped: by SIGTERM, to go on later. seconds, peak_gb: of this
    process. best: the figure that chose the adapter, None where it is the last.
    """

    adapter: Path
    history: list[dict[str, Any]]
    alignment: list[float]
    seconds: float
    steps: int
    total: int
    stopped: bool
    best: tuple[str, float] | None
    peak_gb: float

    def summary(self) -> str:
        """What came of it, in a few lines."""
        newest: dict[str, Any] = {}
        for row in self.history:
            newest |= row
        shown = ("loss", "lm_loss", "video_loss", "eval_loss", "eval_informative_auc", "eval_relevance_auc")
        figures = ", ".join(f"{name} {newest[name]:.4g}" for name in shown if name in newest)
        chosen = f"its best, {self.best[0]} {self.best[1]:.4g}" if self.best else "as it is after the last step"
        return (
            f"{self.steps} of {self.total} steps, {self.seconds / 60:.1f} minutes, {self.peak_gb:.1f} GB at most\n"
            f"last figures: {figures or 'none yet'}\nadapter: {self.adapter} ({chosen})"
        )


@enough_memory(LESS)
def train(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    train_set: MixtureDataset,
    val_set: MixtureDataset | None,
    features: FeatureStore | None,
    *,
    output: str | Path,
    base: str,
    resume: bool = False,
    broken: BrokenVideos | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **recipe: Any,
) -> TrainingResult:
    """Train an adapter and write it to `output`/adapter.

    val_set: what is measured while training; None: nothing is. features: where vision features are kept; None: every
    step decodes its videos and runs the vision tower. base: the name that `load_duet` finds the base model by, kept in
    the adapter. resume: go on from the newest sound checkpoint in `output`, if there is one; then the losses are those
    of a run that was never interrupted. broken: what is done about videos that cannot be used (None: stop). recipe:
    fields of `Recipe`.

    Under `accelerate launch` the processes share each step. SIGTERM ends the run after the step, with a checkpoint;
    so does an interrupt (Ctrl-C), which then raises KeyboardInterrupt.

    Raises DuetError for a recipe or data that will not do, a loss that is no number any more, with the conversations
    of its batch, memory that runs out, and when `output` holds another run's checkpoints; FileError when another run is
    writing there.
    """
    started, output = time.monotonic(), Path(output)
    settings, state = make_recipe(**recipe), PartialState(cpu=model.device.type == "cpu")
    sets = [train_set] if val_set is None else [train_set, val_set]
    _check_data(sets, features, broken or BrokenVideos())
    if model.dtype != torch.float32 and not settings.bf16:
        raise DuetError(f"the model is {model.dtype}, what is trained is float32: load it as float32, or set bf16.")
    if settings.best_by is not None and val_set is None:
        raise DuetError(f"best_by={settings.best_by!r} needs a validation set: give one, or leave best_by out.")
    total = settings.total_steps(len(train_set), state.num_processes)
    identity = _identity(settings, base, train_set, state.num_processes)
    with locked(output, patience=PATIENCE) if state.is_main_process else nullcontext():
        with state.main_process_first():
            start = find_start(output, identity, resume=resume)
        alignment = _first_stage(model, processor, train_set, features, settings, output, identity, start)
        stop = StopWhenAsked()
        set_seed(settings.seed)
        trainer = DuetTrainer(
            model=add_lora(model, **settings.lora.model_dump()),
            args=_arguments(settings, output, total, val_set is not None, model.device.type),
            train_dataset=train_set, eval_dataset=val_set, data_collator=Collator(processor, features),
            callbacks=[LastLook(), stop, Progress(), ReturnMemory(), *callbacks],
            recipe=settings, adapter=output / "adapter", base=base,
        )  # fmt: skip
        if settings.tensorboard and state.is_main_process:
            trainer.add_callback(_tensorboard(output))
        with cheap_bfloat16(cast(PeftModel, trainer.model)) if settings.bf16 else nullcontext():
            history = _run(trainer, start, total, stop)
        best = trainer.state.best_metric
        if settings.best_by is None or val_set is None or best is None:
            trainer.save_adapter()
    return TrainingResult(
        trainer.adapter, history, alignment, time.monotonic() - started, trainer.state.global_step, total, stop.asked,
        (settings.best_by, best) if settings.best_by and best is not None else None, peak_memory(model.device) / 1000,
    )  # fmt: skip


def _check_data(sets: Sequence[MixtureDataset], features: FeatureStore | None, broken: BrokenVideos) -> None:
    """Leave out, or stop at, what cannot be used; compute the features that are missing."""
    for dataset in sets:
        dataset.check_videos(broken)
        dataset.leave_out(broken.found)
        if features is not None:
            features.prepare(dataset.sources, broken)
            dataset.leave_out(broken.found)
        if not len(dataset):
            raise DuetError(f"{dataset.path} holds no conversation that can be used: give one that does.")
    if broken.found and PartialState().is_main_process:
        print(f"{len(broken.found)} videos left out; listed in {broken.report}", file=sys.stderr)


def _identity(settings: Recipe, base: str, train_set: MixtureDataset, processes: int) -> dict[str, Any]:
    """What a run must agree with to go on."""
    at_once = settings.batch_size * processes
    recipe = settings.identity() | {"batch_size": at_once}
    return recipe | {"base": base, "conversations": len(train_set), "data_seed": train_set.seed}


def _first_stage(model, processor, train_set, features, settings, output, identity, start) -> list[float]:
    """Align the projector and state the run, or, where it was begun, read what that gave."""
    if start is not None:
        return read_run(output).alignment
    set_seed(settings.seed)
    alignment = _align(model, processor, train_set, features, settings)
    if PartialState().is_main_process:
        state_run(output, identity, alignment)
    return alignment


def _align(model, processor, train_set, features: FeatureStore | None, settings: Recipe) -> list[float]:
    """Stage one; the pairs are let go again before the language model needs the memory."""
    if not settings.align_iterations:
        return []
    read = features.read if features is not None else partial(tower_features, model, processor)
    pairs = alignment_pairs(train_set, read)
    return align_projector(model, processor, pairs, iterations=settings.align_iterations, seed=settings.seed)


def _arguments(settings: Recipe, output: Path, total: int, evaluates: bool, device: str) -> TrainingArguments:
    saves = settings.save_every is not None
    return TrainingArguments(
        output_dir=str(output), max_steps=total, learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule, warmup_steps=round(settings.warmup * total),
        per_device_train_batch_size=settings.batch_size, gradient_accumulation_steps=settings.accumulation,
        max_grad_norm=settings.max_grad_norm, weight_decay=settings.weight_decay, bf16=settings.bf16,
        tf32=settings.tf32 or None, seed=settings.seed, use_cpu=device == "cpu",
        activation_checkpointing=settings.gradient_checkpointing,
        activation_checkpointing_kwargs=CHECKPOINTING if settings.gradient_checkpointing else None,
        eval_strategy="steps" if evaluates else "no", eval_steps=settings.eval_every,
        logging_steps=min(settings.log_every, max(1, total // 10)),
        save_strategy="steps" if saves else "no", save_steps=settings.save_every or 500,
        report_to="none", remove_unused_columns=False, disable_tqdm=True,
        label_names=["labels"], dataloader_drop_last=True,
        ddp_find_unused_parameters=False,
    )  # fmt: skip


def _tensorboard(output: Path) -> TrainerCallback:
    """Writes every logged figure to event files in `output`/tensorboard."""
    if find_spec("tensorboard") is None:
        raise DuetError("tensorboard=true needs the package tensorboard: install it, or set tensorboard=false.")
    from torch.utils.tensorboard import SummaryWriter

    return TensorBoardCallback(SummaryWriter(str(output / "tensorboard")))


class _GoOn(TrainerCallback):
    """A run that goes on sums up figures from where it stood, and logs, evaluates and saves as its recipe says."""

    def __init__(self, trainer: DuetTrainer, start: Path):
        self.trainer, self.start = trainer, start

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.restore_window(self.start)
        state.compute_steps(args, state.max_steps)  # the recipe's, which may have changed


def _run(trainer: DuetTrainer, start: Path | None, total: int, stop: StopWhenAsked) -> list[dict[str, Any]]:
    """All steps from a checkpoint, or from the beginning, on; Trainer's log rows."""
    if start is not None and step_of(start) >= total:
        trainer._load_from_checkpoint(str(start))
        trainer.state = TrainerState.load_from_json(str(start / "trainer_state.json"))
    else:
        if start is not None:
            print(f"going on from {start}", file=sys.stderr)
            trainer.add_callback(_GoOn(trainer, start))
        with stop.listening():
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
        if stop.interrupted:
            raise KeyboardInterrupt
    return trainer.state.log_history
