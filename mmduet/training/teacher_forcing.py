"""What a model makes of annotated conversations when the words before each point are given."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from mmduet.data.collator import model_inputs
from mmduet.model.losses import IGNORE
from mmduet.policy import HEADS

LOSSES = ("lm_loss", "video_loss")


@dataclass(slots=True)
class ForcedExample:
    """One conversation. kind: of its annotation. losses: those it has. right: bool [tokens], whether each labelled
    token is the likeliest. heads: head -> (labels int [n], scores float [n]) of its labelled frames.
    """

    kind: str
    losses: dict[str, float]
    right: np.ndarray
    heads: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(slots=True)
class TeacherForced:
    """What a model made of each conversation, in order."""

    examples: list[ForcedExample] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """Kinds of annotation that there are."""
        return sorted({example.kind for example in self.examples})

    def of_kind(self, kind: str) -> "TeacherForced":
        """The conversations of one kind."""
        return TeacherForced([example for example in self.examples if example.kind == kind])

    def frames(self, head: str) -> tuple[np.ndarray, np.ndarray]:
        """(labels, scores) of all labelled frames."""
        labels, scores = zip(*(example.heads[head] for example in self.examples), strict=True)
        return np.concatenate(labels), np.concatenate(scores)

    def quality(self) -> dict[str, float]:
        """Both heads' AUC (nan where a class is missing), both losses, a conversation's mean, their sum, and token
        accuracy; then what there is of these by kind, as KIND_NAME.
        """
        overall = {f"{head}_auc": auc(*self.frames(head)) for head in HEADS} | self._words()
        for kind in self.kinds:
            overall |= {f"{kind}_{name}": value for name, value in self.of_kind(kind)._of_one_kind().items()}
        return overall

    def _words(self) -> dict[str, float]:
        losses = {name: [e.losses[name] for e in self.examples if name in e.losses] for name in LOSSES}
        figures = {name: float(np.mean(values)) for name, values in losses.items() if values}
        if figures:
            figures["loss"] = sum(figures.values())
        right = np.concatenate([example.right for example in self.examples])
        return figures | ({"token_accuracy": float(right.mean())} if len(right) else {})

    def _of_one_kind(self) -> dict[str, float]:
        heads = {f"{head}_auc": self.frames(head) for head in HEADS}
        return {name: auc(*frames) for name, frames in heads.items() if len(frames[0])} | self._words()


@torch.no_grad()
def teacher_force(model: Any, batches: Iterable[Mapping[str, Any]]) -> TeacherForced:
    """Run collated conversations, one a batch, through the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    return TeacherForced([_force(model, batch, device) for batch in batches])


def _force(model: Any, batch: Mapping[str, Any], device: torch.device) -> ForcedExample:
    (example,) = batch["examples"]
    inputs = {name: value.to(device) for name, value in model_inputs(batch).items()}
    output = model(**inputs)
    targets = inputs["labels"][:, 1:]
    right = output.logits.argmax(-1) == targets[targets != IGNORE]
    ends, heads = output.frame_ends, {}
    for head in HEADS:
        labels = inputs[f"{head}_labels"][ends]
        scores = output[f"{head}_logits"].float().softmax(-1)[:, 1]
        labelled = labels != IGNORE
        heads[head] = (labels[labelled].cpu().numpy(), scores[labelled].cpu().numpy())
    losses = {name: output[name].item() for name in LOSSES if output.get(name) is not None}
    return ForcedExample(example.kind, losses, right.cpu().numpy(), heads)


def auc(labels: np.ndarray | Sequence[int], scores: np.ndarray | Sequence[float]) -> float:
    """Area under the ROC curve, in [0, 1]; nan where only one class is there."""
    return float(roc_auc_score(labels, scores)) if len(set(np.asarray(labels).tolist())) == 2 else math.nan
