"""train: projector alignment, then LoRA, projector and heads, from a base model to an adapter."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from peft import PeftModel
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed
from transformers.integrations import TensorBoardCallback

from mmduet.checkpoints.presets import check_base
from mmduet.data.collator import Collator
from mmduet.data.feature_cache import FeatureCache, tower_features
from mmduet.data.mixture import MixtureDataset
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import DuetError
from mmduet.files import locked
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.policy import HEADS
from mmduet.system.devices import enough_memory
from mmduet.system.memory import peak_memory
from mmduet.training.alignment import align_projector, alignment_pairs
from mmduet.training.base_model import base_digest, base_settings
from mmduet.training.callbacks import EvaluateAtEnd, Progress, ReturnMemory, StopOnSignal
from mmduet.training.checkpointing import ADAPTER, Run, find_start, finite_rows, read_run, state_run, step_of
from mmduet.training.lora import add_lora
from mmduet.training.precision import cheap_bfloat16, has_fast_bfloat16
from mmduet.training.recipe import Recipe, make_recipe, rank
from mmduet.training.result import TrainingResult
from mmduet.training.resuming import PROGRESS
from mmduet.training.teacher_forcing import defined_metrics
from mmduet.training.trainer import DuetTrainer

LESS_MEMORY = (
    "lower batch_size (accumulation makes up for it) or the mixture's max_num_frames, or set gradient_checkpointing, "
    "bf16 and the model's dtype to bfloat16"
)
CHECKPOINTING = {"use_reentrant": False}  # how activations are computed again
PATIENCE = 5.0  # s: processes need it to end after their launcher was killed


@enough_memory(LESS_MEMORY)
def train(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    train_set: MixtureDataset,
    val_set: MixtureDataset | None,
    features: FeatureCache | None,
    *,
    output: str | Path,
    base: str,
    resume: bool = False,
    broken: UnreadableVideos | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **recipe: Any,
) -> TrainingResult:
    """Train an adapter and write it to `output`/adapter.

    Under torchrun or `accelerate launch` the processes share each step. SIGTERM ends the run after the step, with a
    checkpoint. Ctrl-C does the same and then raises KeyboardInterrupt.

    Args:
        model: The base model; it is changed.
        processor: Its processor.
        train_set: Samples to train on.
        val_set: Samples to evaluate on while training; None evaluates nothing.
        features: The feature cache; None decodes the videos and runs the vision tower in every step.
        output: The run's folder.
        base: The name by which `load_duet` finds the base model; it is saved in the adapter. No preset with an adapter
            of its own, which the new one would replace.
        resume: Resume from the newest sound checkpoint in `output`. The losses equal those of an uninterrupted run. Of
            a run that has ended nothing is done again: the model gets the weights of its adapter.
        broken: The policy for unreadable videos; None stops at the first one.
        callbacks: Additional callbacks of transformers' Trainer.
        **recipe: Fields of `Recipe`.

    Raises:
        DuetError: The recipe or the data are not valid, the loss is NaN or infinite (the message names the samples of
            its batch), memory is exhausted, or `output` holds a checkpoint or an adapter of another run, or of any run
            without `resume`.
        FileError: Another run is writing to `output`.
    """
    check_base(base)
    settings = make_recipe(train_set.kinds, **recipe)
    run = _Run(model, processor, train_set, val_set, features, Path(output), base, settings)
    run.check(broken or UnreadableVideos())
    return run.train(resume, callbacks)


@dataclass
class _Run:
    model: DuetForConditionalGeneration
    processor: DuetProcessor
    train_set: MixtureDataset
    val_set: MixtureDataset | None
    features: FeatureCache | None
    output: Path
    base: str
    recipe: Recipe
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.state = PartialState(cpu=self.model.device.type == "cpu")
        self.bf16 = self.recipe.bf16 and (self.model.dtype != torch.float32 or has_fast_bfloat16(self.model.device))

    def check(self, broken: UnreadableVideos) -> None:
        """Leave out, or stop at, what cannot be used; compute missing features."""
        if self.model.dtype != torch.float32 and not self.recipe.bf16:
            raise DuetError(
                f"the model is {self.model.dtype}, trained weights are float32: load it as float32, or set bf16."
            )
        self.check_choice()
        projector: Iterable[Any] = getattr(self.model, "projector", ())
        if self.recipe.align_iterations and not any(isinstance(layer, nn.Linear) for layer in projector):
            raise DuetError(
                f"align_iterations={self.recipe.align_iterations}: {type(self.model).__name__} of this base has no "
                "projector to align: set it to 0."
            )
        if self.recipe.bf16 and not self.bf16:
            self.report("bf16: this CPU computes bfloat16 slowly, so the run computes in float32")
        for dataset in [self.train_set] if self.val_set is None else [self.train_set, self.val_set]:
            dataset.check_videos(broken)
            dataset.leave_out(broken.found)
            if self.features is not None:
                self.features.prepare(dataset.samples, broken)
                dataset.leave_out(broken.found)
            if not len(dataset):
                raise DuetError(f"{dataset.path} holds no conversation that can be used: give one that does.")
        if broken.found:
            self.check_choice()
            self.report(f"{len(broken.found)} videos left out; listed in {broken.report}")

    def check_choice(self) -> None:
        """Raises DuetError when the validation set does not define the metric that chooses the adapter."""
        name = self.recipe.best_by
        if name is None:
            return
        if self.val_set is None:
            raise DuetError(f"best_by={name!r} needs a validation set: give one, or leave best_by out.")
        heads = HEADS if self.model.decides == "heads" else ()
        defined = defined_metrics(self.val_set, self.processor, heads)
        if len(self.val_set) and name not in defined:
            raise DuetError(
                f"best_by={name!r}: the validation set does not define it; it defines {', '.join(defined)} (an AUC "
                "needs frames labelled 0 and frames labelled 1): choose one of these, or add such conversations."
            )

    def report(self, text: str) -> None:
        """Print a line to stderr, in one process."""
        if self.state.is_main_process:
            print(text, file=sys.stderr)

    def train(self, resume: bool, callbacks: Sequence[TrainerCallback]) -> TrainingResult:
        """Both stages."""
        total = self.total  # before any work: it refuses too few conversations
        with locked(self.output, patience=PATIENCE) if self.state.is_main_process else nullcontext():
            with self.state.main_process_first():
                start = find_start(self.output, self.identity, resume=resume, processes=self.state.num_processes)
            alignment = self.first_stage(start)
            stop = StopOnSignal()
            trainer = self.make_trainer([stop, *callbacks])
            with cheap_bfloat16(cast(PeftModel, trainer.model)) if self.bf16 else nullcontext():
                self.second_stage(trainer, start, stop)
            chosen_by = self.recipe.best_by
            best = None if chosen_by is None else trainer.state.best_metric
            if best is None and start != trainer.adapter:
                trainer.save_adapter()
            if self.state.is_main_process and start != trainer.adapter:  # last: it states that the adapter is complete
                self.write_run(alignment, trainer.state.log_history)
        return TrainingResult(
            trainer.adapter, trainer.state.log_history, alignment, time.monotonic() - self.started,
            trainer.state.global_step, total, stop.requested,
            None if chosen_by is None or best is None else (chosen_by, best), peak_memory(self.model.device) / 1000,
        )  # fmt: skip

    @cached_property
    def total(self) -> int:
        """Optimiser steps of the complete run."""
        return self.recipe.total_steps(len(self.train_set), self.state.num_processes)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings and data that a run must keep to be resumed."""
        at_once = self.recipe.batch_size * self.state.num_processes
        base = {
            "base": self.base, "model": base_settings(self.model, self.processor),
            "weights": base_digest(self.model, self.processor),
        }  # fmt: skip
        data = {
            "conversations": len(self.train_set), "data_seed": self.train_set.seed,
            "training_data": self.train_set.digest(),
            "validation_data": self.val_set.digest() if self.val_set and self.recipe.best_by else None,
        }  # fmt: skip
        return self.recipe.identity() | {"batch_size": at_once} | base | data

    def first_stage(self, start: Path | None) -> list[float]:
        """Align the projector and state the run; a resumed run reads the losses of this stage."""
        if start is not None:
            begun, now = read_run(self.output), self.identity["batch_size"]
            if (was := begun.identity["batch_size"]) != now:
                self.report(f"{now} conversations are seen at once, not {was}: the number of processes has changed")
            if self.state.is_main_process and start.name != ADAPTER:  # best_by may be another
                self.write_run(begun.alignment, begun.history)
            return begun.alignment
        set_seed(self.recipe.seed)
        losses = self.align()
        if self.state.is_main_process:
            self.write_run(losses)
        return losses

    def write_run(self, alignment: list[float], history: Iterable[Mapping[str, Any]] = ()) -> None:
        """Write the run's file."""
        state_run(
            self.output,
            Run(
                identity=self.identity, processes=self.state.num_processes, alignment=alignment,
                history=finite_rows(history), steps=self.total,
            ),
        )  # fmt: skip

    def align(self) -> list[float]:
        """Align the projector. Its pairs are freed before the language model needs the memory."""
        if not self.recipe.align_iterations:
            return []
        read = partial(tower_features, self.model, self.processor) if self.features is None else self.features.read
        pairs = alignment_pairs(self.train_set, read)
        return align_projector(
            self.model, self.processor, pairs, iterations=self.recipe.align_iterations, seed=self.recipe.seed
        )

    def make_trainer(self, callbacks: Sequence[TrainerCallback]) -> DuetTrainer:
        """The trainer of the second stage."""
        set_seed(self.recipe.seed)
        trainer = DuetTrainer(
            model=add_lora(self.model, **self.recipe.lora.model_dump()),
            args=self.arguments(),
            train_dataset=self.train_set, eval_dataset=self.val_set,
            data_collator=Collator(self.processor, self.features),
            callbacks=[EvaluateAtEnd(), Progress(), ReturnMemory(), *callbacks],
            recipe=self.recipe, adapter=self.output / ADAPTER, base=self.base,
        )  # fmt: skip
        if self.recipe.tensorboard and self.state.is_main_process:
            trainer.add_callback(_tensorboard(self.output))
        return trainer

    def arguments(self) -> TrainingArguments:
        """The recipe as transformers' arguments."""
        recipe, total, saves = self.recipe, self.total, self.recipe.save_every is not None
        return TrainingArguments(
            output_dir=str(self.output), max_steps=total, learning_rate=recipe.learning_rate,
            lr_scheduler_type=recipe.schedule, warmup_steps=round(recipe.warmup * total),
            per_device_train_batch_size=recipe.batch_size, gradient_accumulation_steps=recipe.accumulation,
            max_grad_norm=recipe.max_grad_norm, weight_decay=recipe.weight_decay, bf16=self.bf16,
            tf32=recipe.tf32 or None, seed=recipe.seed, use_cpu=self.model.device.type == "cpu",
            activation_checkpointing=recipe.gradient_checkpointing,
            activation_checkpointing_kwargs=CHECKPOINTING if recipe.gradient_checkpointing else None,
            eval_strategy="no" if self.val_set is None else "steps", eval_steps=recipe.eval_every,
            logging_steps=min(recipe.log_every, max(1, total // 10)),
            save_strategy="steps" if saves else "no", save_steps=recipe.save_every or 500,
            report_to="none", remove_unused_columns=False, disable_tqdm=True,
            label_names=["labels"], dataloader_drop_last=True,
            ddp_find_unused_parameters=False,
        )  # fmt: skip

    def second_stage(self, trainer: DuetTrainer, start: Path | None, stop: StopOnSignal) -> None:
        """All steps after `start`, or from the beginning."""
        if start is not None and (start == trainer.adapter or step_of(start) >= self.total):
            trainer._load_from_checkpoint(str(start))
            trainer.state = self.last_state(start)
            ended = datetime.fromtimestamp(max(path.stat().st_mtime for path in start.iterdir()))
            self.report(
                f"{self.output}: finished already on {ended:%Y-%m-%d %H:%M}; nothing to do: give another output to "
                "train again"
            )
            return
        processes = self.state.num_processes
        self.report(
            f"training on {len(self.train_set)} conversations, {self.identity['batch_size']} at once, in {processes} "
            f"{'process' if processes == 1 else 'processes'}"
        )
        if start is not None:
            self.report(f"resuming from {start}")
            trainer.add_callback(_Resume(trainer, start))
        with stop.listening():
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
        if stop.interrupted:
            raise KeyboardInterrupt

    def last_state(self, start: Path) -> TrainerState:
        """Trainer's state at the end of a run that has ended."""
        if start.name != ADAPTER:
            return TrainerState.load_from_json(str(start / PROGRESS))
        history = read_run(self.output).history
        name = self.recipe.best_by
        looks = [row[f"eval_{name}"] for row in history if f"eval_{name}" in row]
        best = None if name is None or not looks else max(looks, key=partial(rank, name))
        return TrainerState(
            global_step=int(history[-1]["step"]), max_steps=self.total, log_history=history, best_metric=best
        )


def _tensorboard(output: Path) -> TrainerCallback:
    """A callback that writes every logged figure to event files in `output`/tensorboard."""
    if find_spec("tensorboard") is None:
        raise DuetError("tensorboard=true needs the package tensorboard: install it, or set tensorboard=false.")
    from torch.utils.tensorboard import SummaryWriter

    return TensorBoardCallback(SummaryWriter(str(output / "tensorboard")))


class _Resume(TrainerCallback):
    """A resumed run continues the sums of its figures, and logs, evaluates and saves as its recipe says."""

    def __init__(self, trainer: DuetTrainer, start: Path):
        self.trainer, self.start = trainer, start

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.trainer.restore_window(self.start)
        state.compute_steps(args, state.max_steps)  # the recipe's, which may have changed
