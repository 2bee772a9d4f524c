"""Training: projector alignment, then LoRA + projector + heads through transformers' Trainer.

The losses live in `mmduet.model`; the conversations in `mmduet.data`.
"""

import ctypes
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
import transformers.trainer
from peft import LoraConfig, PeftModel, get_peft_model
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from mmduet.checkpoints import save_adapter
from mmduet.data.collator import Collator
from mmduet.data.conversations import Clock
from mmduet.data.features import FeatureStore
from mmduet.data.mixture import MixtureDataset, Source
from mmduet.data.sampler import GroupedSampler
from mmduet.errors import AnnotationError, DuetError
from mmduet.model import HEAD_NAMES, IGNORE, DuetForConditionalGeneration
from mmduet.policy import HEADS
from mmduet.processing import DuetProcessor

# a folder datasets/ in the working directory, where videos are often kept, looks to Trainer like the package
_datasets = find_spec("datasets")
if _datasets is not None and _datasets.origin is None:
    transformers.trainer.is_datasets_available = lambda: False

LORA_TARGETS = r".*language_model\..*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
PAIRS_A_SPAN = 8  # frames of a span that the alignment sees, at most
TRAINED_IN_FULL = ["projector", *HEAD_NAMES]


def add_lora(model: DuetForConditionalGeneration, *, r: int = 16, alpha: int = 32, dropout: float = 0.05) -> PeftModel:
    """LoRA on every linear layer of the LLM; projector and heads trained in full, saved with the adapter."""
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=TRAINED_IN_FULL,
    )
    return get_peft_model(model, config)


# stage one: the projector learns to land among the words


@dataclass(slots=True)
class AlignmentPairs:
    """features: float16 [M, cells, D], one a frame. text: int64 [M], into texts."""

    features: torch.Tensor
    text: torch.Tensor
    texts: list[str]


def alignment_pairs(dataset: MixtureDataset, features: FeatureStore) -> AlignmentPairs:
    """Each narration with frames of its timespan, each query with frames of the spans that it is about."""
    found: list[torch.Tensor] = []
    index: list[int] = []
    texts: dict[str, int] = {}
    for source in dataset.sources:
        clock = Clock(source.fps, source.duration)
        for text, start, end in _described(source):
            first = clock.frames(clock.ceil(start))
            count = min(clock.frames(clock.clip(end) - first / source.fps), PAIRS_A_SPAN)
            if count > 0:
                found.append(features.read(source.video, source.fps, first, count))
                index += [texts.setdefault(text, len(texts))] * count
    if len(texts) < 2:
        raise AnnotationError(
            f"{dataset.path} has {len(texts)} distinct narrations and queries with frames; aligning the projector "
            "contrasts texts and needs at least 2: add some, or set align_iterations=0."
        )
    return AlignmentPairs(torch.cat(found), torch.tensor(index), list(texts))


def _described(source: Source) -> list[tuple[str, float, float]]:
    """(text, start, end) of what an annotation says is in view; a magqa answer need not describe it."""
    if source.kind == "narration":
        return [(narration.text, *narration.timespan) for narration in source.annotation]
    if source.kind == "grounding":
        return [(source.annotation.query, start, end) for start, end in source.annotation.timestamps]
    return []


def align_projector(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    pairs: AlignmentPairs,
    *,
    iterations: int = 400,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    temperature: float = 0.07,
    seed: int = 0,
) -> list[float]:
    """Train the projector alone so that a frame's tokens become words for what it shows.

    Symmetric InfoNCE (van den Oord et al., arXiv 1807.03748; CLIP, arXiv 2103.00020). How well a frame goes with
    a text is the mean over the frame's tokens of their best cosine with one of the text's input embeddings
    (the late interaction of ColBERT, arXiv 2004.12832), both taken from the vocabulary's mean. Words that tell
    texts apart win, so frames land beside their nouns. No language model runs. Afterwards the projector's last
    layer is scaled and shifted so that its tokens have the embeddings' mean and standard deviation.
    Returns the loss of each iteration.
    """
    words, spoken = _text_embeddings(model, processor, pairs.texts)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.projector.parameters(), lr=learning_rate)
    by_text = [(pairs.text == index).nonzero().flatten() for index in range(len(pairs.texts))]
    losses = []
    for _ in tqdm(range(iterations), desc="align projector", unit="it", mininterval=1):
        chosen = torch.randperm(len(by_text), generator=generator)[:batch_size]
        rows = [by_text[i][torch.randint(len(by_text[i]), (1,), generator=generator)] for i in chosen]
        tokens = model.project_features(pairs.features[torch.cat(rows)].to(model.dtype))
        cosines = torch.einsum("bth,nlh->bntl", F.normalize(tokens.float(), dim=-1), words[chosen])
        logits = cosines.masked_fill(~spoken[chosen][None, :, None], -1.0).amax(-1).mean(-1) / temperature
        match = torch.arange(len(chosen))
        loss = (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    _match_embeddings(model, pairs)
    return losses


@torch.no_grad()
def _text_embeddings(model, processor: DuetProcessor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [n, L, H]: each text's word embeddings, from the vocabulary's mean, length 1; bool [n, L]: which are."""
    table = model.get_input_embeddings().weight.float()
    rows = [F.normalize(table[processor.ids(text)] - table.mean(0), dim=-1) for text in texts]
    words = pad_sequence(rows, batch_first=True)
    return words, words.any(-1)


@torch.no_grad()
def _match_embeddings(model: Any, pairs: AlignmentPairs) -> None:
    """Give the projector's tokens the word embeddings' mean and standard deviation."""
    last = [layer for layer in model.projector if isinstance(layer, nn.Linear)][-1]
    table = model.get_input_embeddings().weight.float()
    tokens = model.project_features(pairs.features[:: max(1, len(pairs.features) // 256)].to(model.dtype))
    scale = (table - table.mean(0)).std() / tokens.float().std()
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(table.mean(0))


# stage two: the language model learns to speak, the heads when to


class DuetTrainer(Trainer):
    """Trainer that logs both losses apart, learns projector and heads at rates of their own, and
    evaluates the heads by AUC.
    """

    def __init__(self, *args, projector_learning_rate: float, head_learning_rate: float, **kwargs):
        super().__init__(*args, **kwargs)
        self.projector_learning_rate, self.head_learning_rate = projector_learning_rate, head_learning_rate
        self.parts: dict[str, list[float]] = {"lm_loss": [], "video_loss": []}

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(**inputs)
        if output.loss is None:
            raise DuetError("a batch has no label at all: its annotations hold no text and no labelled frame.")
        if not torch.isfinite(output.loss):
            raise DuetError(f"the loss is {output.loss.item()} at step {self.state.global_step}: lower the rates.")
        for name, values in self.parts.items():
            if output.get(name) is not None:
                values.append(output[name].item())
        return (output.loss, output) if return_outputs else output.loss

    def _get_train_sampler(self, train_dataset=None) -> GroupedSampler:
        dataset = cast(MixtureDataset, train_dataset or self.train_dataset)
        return GroupedSampler(dataset.lengths(), self.args.per_device_train_batch_size, seed=self.args.seed)

    def create_optimizer(self, *args, **kwargs):
        # LoRA's group stands first: its rate is the one that Trainer logs
        groups: dict[float, list[nn.Parameter]] = {self.args.learning_rate: []}
        for name, parameter in cast(nn.Module, self.model).named_parameters():
            if parameter.requires_grad:
                rate = self.head_learning_rate if "_head." in name else self.args.learning_rate
                groups.setdefault(self.projector_learning_rate if "projector." in name else rate, []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": params, "lr": lr} for lr, params in groups.items() if params],
            weight_decay=self.args.weight_decay,
        )
        return self.optimizer

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        for name, values in self.parts.items():
            if values and "loss" in logs:
                logs[name] = sum(values) / len(values)
                values.clear()
        super().log(logs, *args, **kwargs)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval") -> dict[str, float]:
        loader: DataLoader = DataLoader(
            eval_dataset or self.eval_dataset,  # type: ignore[arg-type]
            collate_fn=self.data_collator,
        )
        metrics = {
            f"{metric_key_prefix}_{name}": value for name, value in teacher_force(self.model, loader).quality().items()
        }
        self.log(metrics)
        return metrics


class _DrawAnew(TrainerCallback):
    """Each epoch draws other wordings."""

    def __init__(self, dataset: MixtureDataset):
        self.dataset = dataset

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.dataset.epoch = int(state.epoch or 0)


class _ReturnMemory(TrainerCallback):
    """Every batch has shapes of its own, whose buffers leave holes in glibc's heap: memory that is free, and still the
    process's. Give it back after each step (in 24 steps of notebook 02: 1.6 GB instead of 2.5, and still rising).
    """

    def __init__(self):
        self.trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def on_step_end(self, args, state, control, **kwargs):
        if self.trim is not None:
            self.trim(0)


class _Progress(TrainerCallback):
    """One plain bar with the newest figures: also readable in a log, where a widget is not."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar, self.newest = tqdm(total=state.max_steps, desc="train", unit="step"), {}

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        shown = ("lm_loss", "video_loss", "eval_informative_auc", "eval_relevance_auc")
        self.newest |= {name: value for name, value in logs.items() if name in shown}
        self.bar.set_postfix(self.newest)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


@dataclass(slots=True)
class TeacherForced:
    """What a model makes of annotated conversations, the words before each point given.

    heads: head -> (labels int [n], scores float [n]) of the labelled frames, a pair for each batch.
    losses: of each batch that has one. right: for each labelled token, whether it is the likeliest.
    """

    heads: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    losses: dict[str, list[float]]
    right: list[bool]

    def frames(self, head: str) -> tuple[np.ndarray, np.ndarray]:
        """(labels, scores) over all batches."""
        labels, scores = zip(*self.heads[head], strict=True)
        return np.concatenate(labels), np.concatenate(scores)

    def quality(self) -> dict[str, float]:
        """Both heads' AUC (nan where a class is missing), both mean losses, and token accuracy."""
        quality = {f"{head}_auc": auc(*self.frames(head)) for head in self.heads}
        quality |= {name: sum(values) / len(values) for name, values in self.losses.items() if values}
        return quality | ({"token_accuracy": sum(self.right) / len(self.right)} if self.right else {})


@torch.no_grad()
def teacher_force(model: Any, batches: Iterable[Mapping[str, torch.Tensor]]) -> TeacherForced:
    """Run collated batches through the model in evaluation mode."""
    model.eval()
    result = TeacherForced({head: [] for head in HEADS}, {"lm_loss": [], "video_loss": []}, [])
    device = next(model.parameters()).device
    for batch in batches:
        batch = {name: value.to(device) for name, value in batch.items()}
        output = model(**batch)
        for name, values in result.losses.items():
            if output.get(name) is not None:
                values.append(output[name].item())
        targets = batch["labels"][:, 1:]
        result.right += (output.logits.argmax(-1) == targets[targets != IGNORE]).tolist()
        ends = model.frame_positions(batch["input_ids"])
        for head, pairs in result.heads.items():
            labels = batch[f"{head}_labels"][ends]
            scores = output[f"{head}_logits"].float().softmax(-1)[:, 1]
            labelled = labels != IGNORE
            pairs.append((labels[labelled].cpu().numpy(), scores[labelled].cpu().numpy()))
    return result


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, in [0, 1]; nan where only one class is there."""
    return float(roc_auc_score(labels, scores)) if len(set(labels.tolist())) == 2 else math.nan


@dataclass(slots=True)
class TrainingResult:
    """adapter: its folder. history: Trainer's log rows. alignment: loss of each iteration. seconds: of it all."""

    adapter: Path
    history: list[dict[str, Any]]
    alignment: list[float]
    seconds: float


def train(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    train_set: MixtureDataset,
    val_set: MixtureDataset,
    features: FeatureStore,
    *,
    output: str | Path,
    base: str,
    steps: int,
    align_iterations: int = 400,
    lora: Mapping[str, Any] | None = None,
    learning_rate: float = 4e-4,
    projector_learning_rate: float = 1e-4,
    head_learning_rate: float = 1e-3,
    batch_size: int = 4,
    accumulation: int = 1,
    warmup: float = 0.05,
    eval_every: int = 100,
    bf16: bool = False,
    seed: int = 0,
    callbacks: Iterable[TrainerCallback] = (),
) -> TrainingResult:
    """Train an adapter and write it to `output`/adapter.

    base: the name that `load_duet` finds the base model by, kept in the adapter. steps: optimiser steps.
    lora: r, alpha, dropout. learning_rate: of LoRA; the projector's is lower, so that its alignment lasts, the
    heads', which start at random, higher. warmup: share of the steps; then a cosine to 0. eval_every: steps
    between looks at the validation set.
    bf16: compute in bfloat16 where that is safe (the trained weights stay float32). callbacks: more for the Trainer.

    Raises DuetError when the loss is no number any more, or a batch has no label.
    """
    started = time.monotonic()
    set_seed(seed)
    for dataset in (train_set, val_set):
        features.prepare((source.video, source.fps) for source in dataset.sources)
    losses = []
    if align_iterations:
        # the pairs are let go again before the language model needs the memory
        losses = align_projector(
            model, processor, alignment_pairs(train_set, features), iterations=align_iterations, seed=seed
        )
    wrapped = add_lora(model, **(lora or {}))
    arguments = TrainingArguments(
        output_dir=str(output), max_steps=steps, learning_rate=learning_rate, lr_scheduler_type="cosine",
        warmup_steps=round(warmup * steps), per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation, max_grad_norm=1.0, bf16=bf16, seed=seed,
        use_cpu=model.device.type == "cpu", eval_strategy="steps", eval_steps=eval_every,
        logging_steps=max(1, min(10, steps // 10)), save_strategy="no", report_to="none",
        remove_unused_columns=False, disable_tqdm=True, label_names=["labels"], dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = DuetTrainer(
        model=wrapped, args=arguments, train_dataset=train_set, eval_dataset=val_set,
        data_collator=Collator(processor, features),
        callbacks=[_DrawAnew(train_set), _Progress(), _ReturnMemory(), *callbacks],
        projector_learning_rate=projector_learning_rate, head_learning_rate=head_learning_rate,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    adapter = Path(output) / "adapter"
    save_adapter(wrapped, adapter, base=base)
    return TrainingResult(adapter, trainer.state.log_history, losses, time.monotonic() - started)
