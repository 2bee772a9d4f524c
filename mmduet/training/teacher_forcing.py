"""Teacher forcing: a model's scores and losses on annotated conversations, given the reference words before each."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_curve, roc_auc_score

from mmduet.data.collator import model_inputs
from mmduet.data.mixture import MixtureDataset, TrainingSample
from mmduet.model.losses import IGNORE
from mmduet.model.processing import DuetProcessor
from mmduet.policy import HEADS

LOSSES = ("lm_loss", "video_loss")


@dataclass(slots=True)
class ForcedSample:
    """One conversation.

    Attributes:
        kind: The name of its annotation kind.
        losses: The losses that its labels define.
        correct: [tokens]: whether each labelled token is the most probable one.
        heads: Head -> (labels [n], scores [n]) of its labelled frames.
    """

    kind: str
    losses: dict[str, float]
    correct: NDArray[np.bool_]
    heads: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]


@dataclass(slots=True)
class TeacherForced:
    """A model's outputs for each conversation, in order."""

    samples: list[ForcedSample] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """Names of the annotation kinds, sorted."""
        return sorted({sample.kind for sample in self.samples})

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the model has; none of a model that decides in words."""
        return tuple(head for head in HEADS if all(head in sample.heads for sample in self.samples))

    def of_kind(self, kind: str) -> "TeacherForced":
        """The conversations of one kind."""
        return TeacherForced([sample for sample in self.samples if sample.kind == kind])

    def frames(self, head: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(labels, scores) of all labelled frames."""
        labels, scores = zip(*(sample.heads[head] for sample in self.samples), strict=True)
        return np.concatenate(labels), np.concatenate(scores)

    def best_threshold(self, head: str) -> float:
        """The threshold of a head's score that gives the highest F1 on the labelled frames."""
        precision, recall, thresholds = precision_recall_curve(*self.frames(head))
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        return float(thresholds[f1[:-1].argmax()])  # the curve's last point has no threshold

    def quality(self) -> dict[str, float]:
        """Compute metrics over all conversations, and by kind as KIND_NAME where they are defined.

        Returns:
            informative_auc and relevance_auc (0 to 1, NaN if a class is missing; none of a model that decides in
            words), lm_loss and video_loss (means over conversations), loss (their sum), and token_accuracy (0 to 1).
        """
        overall = {f"{head}_auc": auc(*self.frames(head)) for head in self.heads} | self._words()
        for kind in self.kinds:
            overall |= {f"{kind}_{name}": value for name, value in self.of_kind(kind)._of_one_kind().items()}
        return overall

    def _words(self) -> dict[str, float]:
        losses = {name: [sample.losses[name] for sample in self.samples if name in sample.losses] for name in LOSSES}
        figures = {name: float(np.mean(values)) for name, values in losses.items() if values}
        if figures:
            figures["loss"] = sum(figures.values())
        correct = np.concatenate([sample.correct for sample in self.samples])
        return figures | ({"token_accuracy": float(correct.mean())} if len(correct) else {})

    def _of_one_kind(self) -> dict[str, float]:
        heads = {f"{head}_auc": self.frames(head) for head in self.heads}
        return {name: auc(*frames) for name, frames in heads.items() if len(frames[0])} | self._words()


@torch.no_grad()
def teacher_force(model: Any, batches: Iterable[Mapping[str, Any]]) -> TeacherForced:
    """Run collated conversations, one per batch, through the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    return TeacherForced([_force(model, batch, device) for batch in batches])


def _force(model: Any, batch: Mapping[str, Any], device: torch.device) -> ForcedSample:
    (sample,) = batch["samples"]
    inputs = {name: value.to(device) for name, value in model_inputs(batch).items()}
    output = model(**inputs)
    targets = inputs["labels"][:, 1:]
    correct = output.logits.argmax(-1) == targets[targets != IGNORE]
    ends, heads = output.frame_ends, {}
    for head in HEADS:
        if output.get(f"{head}_logits") is None:
            continue  # a model that decides in words
        labels = inputs[f"{head}_labels"][ends]
        scores = output[f"{head}_logits"].float().softmax(-1)[:, 1]
        labelled = labels != IGNORE
        heads[head] = (labels[labelled].cpu().numpy(), scores[labelled].cpu().numpy())
    losses = {name: output[name].item() for name in LOSSES if output.get(name) is not None}
    return ForcedSample(sample.kind, losses, correct.cpu().numpy(), heads)


def defined_metrics(dataset: MixtureDataset, processor: DuetProcessor, heads: Sequence[str]) -> list[str]:
    """The metrics of `TeacherForced.quality` that a data set's labels define, found without a model.

    Args:
        dataset: The validation set.
        processor: Encodes its conversations.
        heads: The heads that the model has.
    """
    samples = [_labels_only(dataset[index], processor, heads) for index in range(len(dataset))]
    quality = TeacherForced(samples).quality() if samples else {}
    return [name for name, value in quality.items() if not math.isnan(value)]


def _labels_only(sample: TrainingSample, processor: DuetProcessor, heads: Sequence[str]) -> ForcedSample:
    """A conversation with its labels in the place of scores."""
    encoded = processor.encode(sample.conversation.turns, frame_tokens=[1] * sample.conversation.frames)
    words = encoded.labels[1:] != IGNORE
    columns = {head: getattr(encoded, f"{head}_labels") for head in heads}
    labels = {head: column[column != IGNORE].numpy() for head, column in columns.items()}
    present = (bool(words.any()), any(len(column) for column in labels.values()))
    losses = {name: 0.0 for name, defined in zip(LOSSES, present, strict=True) if defined}
    correct = words[words].numpy()
    return ForcedSample(sample.kind, losses, correct, {head: (column, column) for head, column in labels.items()})


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, 0 to 1; NaN if a class is missing."""
    return float(roc_auc_score(labels, scores)) if len(set(np.asarray(labels).tolist())) == 2 else math.nan
