"""DuetTrainer: transformers' Trainer with both losses, learning rates by part, exact checkpoints and AUC."""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
import transformers.trainer
from accelerate.utils import gather_object
from peft import PeftModel
from torch import nn
from torch.utils.data import DataLoader, Subset
from transformers import PrinterCallback, Trainer

from mmduet.checkpoints import save_adapter
from mmduet.data.collator import model_inputs
from mmduet.data.mixture import MixtureDataset, TrainingSample
from mmduet.data.sampler import GroupedSampler
from mmduet.errors import DuetError
from mmduet.files import make_folder, publish_folder, remove, write_json, writing
from mmduet.model.losses import IGNORE
from mmduet.training.checkpointing import TEMPORARY, keep_newest
from mmduet.training.loading import loading, make_loader
from mmduet.training.recipe import Recipe, rank
from mmduet.training.resuming import WINDOW, read_window, reading
from mmduet.training.teacher_forcing import TeacherForced, teacher_force

# Trainer takes a folder datasets/ in the working directory, which often holds the videos, for the package
_datasets = find_spec("datasets")
if _datasets is not None and _datasets.origin is None:
    transformers.trainer.is_datasets_available = lambda: False

PARTS = ("lm_loss", "video_loss")
OF_THIS_PROCESS = ("train_loss", "train_samples_per_second", "train_steps_per_second")


class DuetTrainer(Trainer):
    """Trainer with separate learning rates for LoRA, projector and heads, which logs both losses separately.

    A step's losses are means over the whole step, however it is divided into batches and processes
    (`Recipe.loss_mean`).
    """

    # each batch's loss is its share of the step's, so Trainer must not divide it by the batches of a step
    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, recipe: Recipe, adapter: Path, base: str, **kwargs: Any):
        """Prepare training.

        Args:
            *args: As in Trainer.
            recipe: How to train.
            adapter: The folder of the adapter.
            base: The name of the base model, saved in the adapter.
            **kwargs: As in Trainer.
        """
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.recipe, self.adapter, self.base = recipe, adapter, base
        self.window = torch.zeros(2, 2, dtype=torch.float64)  # [part, (sum, steps)] since figures were last logged
        self.step_samples: list[TrainingSample] = []
        self.sampler: GroupedSampler | None = None
        self._run_dir: str | None = None

    # data

    def _get_train_sampler(self, train_dataset: Any = None) -> GroupedSampler:
        dataset = cast(MixtureDataset, train_dataset or self.train_dataset)
        at_once = self.args.per_device_train_batch_size * self.args.world_size if self.recipe.group_by_length else 1
        lengths = dataset.lengths() if at_once > 1 else [1] * len(dataset)
        self.sampler = GroupedSampler(lengths, at_once, seed=self.args.seed)
        return self.sampler

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader of the training set, whose workers end with this process."""
        loader = make_loader(
            self.train_dataset, workers=self.recipe.workers, batch_size=self.args.per_device_train_batch_size,
            sampler=self._get_train_sampler(), collate_fn=self.data_collator,
        )  # fmt: skip
        return cast(DataLoader[Any], self.accelerator.prepare(loader))

    def _run_epoch(self, model: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
        cast(GroupedSampler, self.sampler).set_epoch(epoch)  # accelerate does not do it in a resumed run
        return super()._run_epoch(model, epoch, *args, **kwargs)  # type: ignore[no-untyped-call]

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], None]:
        """A step's batches, each with the loss normalizers of its rows."""
        with loading():
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.step_samples = [sample for batch in batches for sample in batch["samples"]]
        counts = [_label_counts(batch).to(device) for batch in batches]  # each [B, 2]
        totals = torch.stack([torch.cat(counts).sum(0), _conversations(counts)])
        totals = self.accelerator.reduce(totals, "sum")
        if not totals[0].any():
            raise DuetError(f"a step has no label: {_named(self.step_samples)} hold no text and no label.")
        for batch, count in zip(batches, counts, strict=True):
            normalizer = totals[0].expand_as(count) if self.recipe.loss_mean == "step" else count * totals[1]
            batch["lm_normalizer"], batch["video_normalizer"] = normalizer[:, 0], normalizer[:, 1]
        self.window[:, 1] += (totals[0] > 0).cpu()
        return batches, None

    # losses

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This batch's share of the step's loss."""
        self._seed_dropout(inputs["samples"])
        output = model(**model_inputs(inputs))
        loss = output.lm_loss + self.recipe.video_loss_weight * output.video_loss
        if not torch.isfinite(loss):
            self._stop_at(f"the loss is {loss.item()}", inputs["samples"])
        # gradients are averaged over processes, and each has its share of the step's loss
        shares = self.accelerator.num_processes
        self.window[:, 0] += torch.stack([output[name].detach() for name in PARTS]).cpu() * shares
        return (loss * shares, output) if return_outputs else loss * shares

    def _seed_dropout(self, samples: Sequence[TrainingSample]) -> None:
        """Dropout depends on the seed and the batch's samples alone, and not on processes or a resume."""
        drawn = [sample.drawn for sample in samples]
        torch.manual_seed(Random(f"{self.args.seed}/{drawn}").getrandbits(63))

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if norm is not None and not math.isfinite(float(norm)):
            self._stop_at("the gradient is NaN or infinite", self.step_samples)
        return norm

    def _stop_at(self, what: str, samples: Sequence[TrainingSample]) -> None:
        raise DuetError(
            f"{what} at step {self.state.global_step + 1}, with {_named(samples)}: check these samples, or lower the "
            "learning rates."
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a group for each learning rate."""
        rates = {"projector.": self.recipe.projector_learning_rate, "_head.": self.recipe.head_learning_rate}
        # LoRA's group is first: Trainer logs its rate
        groups: dict[float, list[nn.Parameter]] = {self.args.learning_rate: []}
        for name, parameter in cast(nn.Module, model or self.model).named_parameters():
            if parameter.requires_grad:
                rate = next((rate for part, rate in rates.items() if part in name), self.args.learning_rate)
                groups.setdefault(rate, []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for rate, parameters in groups.items()],
            weight_decay=self.args.weight_decay,
            fused=True,  # the default on a CPU goes through hundreds of small tensors one operation after the other
        )
        return self.optimizer

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log figures; a row with a loss gets the means of both losses since the previous one.

        Each is the mean over the steps that define it: a step without words has no lm_loss. Without the figures that
        Trainer divides by the steps or the time of this process, which are wrong in a resumed run.
        """
        for name in OF_THIS_PROCESS:
            logs.pop(name, None)
        if "loss" in logs:
            for name, (total, steps) in zip(PARTS, self._shared_window().tolist(), strict=True):
                if steps:
                    logs[name] = total / steps
            self.window.zero_()
        super().log(logs, *args, **kwargs)

    def _shared_window(self) -> torch.Tensor:
        """The window, its sums averaged over processes."""
        shared: torch.Tensor = self.accelerator.reduce(self.window.float().to(self.args.device), "mean")
        return shared.cpu()

    # evaluation

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Metrics of teacher forcing on the validation set; keeps the best adapter where the recipe says so."""
        dataset = cast(MixtureDataset, eval_dataset or self.eval_dataset)
        measured = self._teacher_force(dataset)
        quality = measured.quality()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in quality.items()}
        self.log(metrics)
        if self.recipe.best_by is not None:
            self._keep_best(quality)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _teacher_force(self, dataset: MixtureDataset) -> TeacherForced:
        """Processes share the conversations. Each does as many passes, because a sharded model needs all."""
        processes, index = self.accelerator.num_processes, self.accelerator.process_index
        share = [i % len(dataset) for i in range(index, -(-len(dataset) // processes) * processes, processes)]
        loader = DataLoader(Subset(dataset, share), collate_fn=self.data_collator)
        own = teacher_force(self.model, loader).samples
        if processes == 1:
            return TeacherForced(own)
        shares = gather_object([own])
        together = [sample for turn in zip(*shares, strict=True) for sample in turn]
        return TeacherForced(together[: len(dataset)])

    def _keep_best(self, quality: dict[str, float]) -> None:
        name = cast(str, self.recipe.best_by)
        value, best = quality[name], self.state.best_metric
        if not math.isnan(value) and (best is None or rank(name, value) > rank(name, best)):
            self.state.best_metric = value
            self.save_adapter()

    # files

    def save_adapter(self) -> None:
        """Write LoRA, projector and heads to the adapter's folder."""
        state = self.accelerator.get_state_dict(self.model_wrapped)
        if self.args.should_save:
            wrapped = cast(PeftModel, self.accelerator.unwrap_model(self.model))
            # as trained: rounded weights would not give the figures that were logged
            save_adapter(wrapped, self.adapter, base=self.base, dtype=torch.float32, state_dict=state)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            wrapped = cast(PeftModel, self.accelerator.unwrap_model(self.model))
            # otherwise PEFT asks a hub about the embeddings
            wrapped.save_pretrained(cast(str, output_dir), state_dict=state_dict, save_embedding_layers=False)

    def _save_rng_state(self, output_dir: str) -> None:
        """There is no state: see `_seed_dropout`."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """There is no state."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with reading(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with reading(checkpoint or ""):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _get_output_dir(self, trial: Any) -> str:
        return self._run_dir or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write Trainer's checkpoint and the window, completely or not at all."""
        output = Path(cast(str, self.args.output_dir))
        temporary, name = output / TEMPORARY, f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            remove(temporary)
            make_folder(temporary)
        self.accelerator.wait_for_everyone()
        self._run_dir = str(temporary)
        try:
            with writing(output / name, [temporary]):
                super()._save_checkpoint(model, trial)
        finally:
            self._run_dir = None
        window = {
            "parts": self._shared_window().tolist(),
            "loss": self.accelerator.reduce(self._tr_loss.clone(), "mean").item(),
            "logged": self._globalstep_last_logged,
        }
        if self.args.should_save:
            write_json(temporary / name / WINDOW, window)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            publish_folder(temporary / name, output / name)
            remove(temporary)
            keep_newest(output, self.recipe.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def restore_window(self, checkpoint: Path) -> None:
        """Restore the sums of the checkpoint's run since figures were last logged."""
        window = read_window(checkpoint)
        self.window = torch.tensor(window.parts, dtype=torch.float64)
        self._tr_loss = torch.tensor(window.loss, device=self.args.device)
        self._globalstep_last_logged = window.logged


def _label_counts(batch: dict[str, Any]) -> torch.Tensor:
    """int64 [B, 2]: labelled tokens, and labelled frames of both heads, of each conversation."""
    words = (batch["labels"][:, 1:] != IGNORE).sum(1)
    frames = sum((batch[f"{head}_labels"] != IGNORE).sum(1) for head in ("informative", "relevance"))
    return torch.stack([words, cast(torch.Tensor, frames)], 1)


def _conversations(counts: list[torch.Tensor]) -> torch.Tensor:
    """int64 [2]: the number of conversations, twice."""
    return counts[0].new_full((2,), sum(len(count) for count in counts))


def _named(samples: Sequence[TrainingSample]) -> str:
    """Where samples come from, for a message."""
    names = [sample.entry for sample in samples[:8]]
    return ", ".join(names) + (f" and {len(samples) - 8} more" if len(samples) > 8 else "")
