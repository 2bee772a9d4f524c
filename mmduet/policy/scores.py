"""Scores: what a model says of each frame, and the number that policies make of it."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.events import FrameScores as FrameScores

HEADS = ("informative", "relevance")
REPLY = "reply"  # the one score of a model that decides in words

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class ScoredFrames(Protocol):
    """The part of a `DuetTrace` that policies read: N frames with times and scores, float64 [N] each."""

    times: FloatArray
    informative: FloatArray | None
    relevance: FloatArray | None
    reply: FloatArray | None

    def __len__(self) -> int:
        """Number of frames."""

    def scores(self) -> Iterable[FrameScores]:
        """The frames' scores in order."""


def decision_score(scores: FrameScores, heads: Sequence[str]) -> float:
    """The sum of the chosen heads' scores, in [0, len(heads)].

    A model that decides in words has one score, `reply`, which stands for any choice of heads.

    Raises:
        DuetError: ``reply`` is chosen, and the model has heads.
    """
    if scores.reply is not None:
        return scores.reply
    return float(sum(_present(getattr(scores, head)) for head in heads))


def decision_scores(trace: ScoredFrames, heads: Sequence[str]) -> FloatArray:
    """The `decision_score` of each frame, float64 [N]."""
    if trace.reply is not None:
        return trace.reply
    return np.asarray(np.sum([_present(getattr(trace, head)) for head in heads], axis=0, dtype=float))


def _present(score: Any) -> Any:
    if score is None:
        raise DuetError(f"heads=('{REPLY}',): the scores are of a model with heads: name one or both of {HEADS}.")
    return score


def checked_heads(heads: Sequence[str]) -> tuple[str, ...]:
    """Return the heads. Raises DuetError where one is unknown or named twice."""
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    known = set(heads) <= set(HEADS) or heads == (REPLY,)
    if not heads or not known or len(set(heads)) != len(heads):
        raise DuetError(
            f"heads={heads!r}: name one or both of {HEADS}, each once, or '{REPLY}' alone, the score of a model that "
            "decides in words."
        )
    return heads
