"""Reliability: whether scores are probabilities, and the temperature that makes them so (arXiv 1706.04599)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmduet.policy import BoolArray, FloatArray

BINS = 15
EDGE = 1e-7  # of float32 scores of 0 and 1, whose log-odds are infinite


@dataclass(frozen=True, slots=True)
class Temperature:
    """How a head's scores are scaled, and what that gives on frames on which it was not fitted.

    Attributes:
        value: The temperature T, > 0: the scaled score is sigmoid(log-odds / T). Above 1 the scores were too sure of
            themselves. Infinite: the head says nothing of the labels, or the opposite. NaN: the labels are all alike.
        before: `calibration_error` of the scores as they are.
        after: That of the scaled ones; NaN if the temperature is.
    """

    value: float
    before: float
    after: float


def fit_temperature(scores: FloatArray, labels: BoolArray) -> float:
    """Fit the temperature under which labels are most likely.

    Args:
        scores: Probabilities in [0, 1], float64 [N].
        labels: bool [N].

    Returns:
        The temperature, > 0; NaN where the labels are all alike.
    """
    from sklearn.linear_model import LogisticRegression

    if labels.all() or not labels.any():
        return float("nan")
    slope = LogisticRegression(C=np.inf, fit_intercept=False).fit(_log_odds(scores)[:, None], labels).coef_[0, 0]
    return float(1 / slope) if slope > 0 else float("inf")


def at_temperature(scores: FloatArray, temperature: float) -> FloatArray:
    """Scale scores: sigmoid(log-odds / temperature), float64 [N] in [0, 1]."""
    return np.asarray(1 / (1 + np.exp(-_log_odds(scores) / temperature)))


def reliability(scores: FloatArray, labels: BoolArray, *, bins: int = BINS) -> pd.DataFrame:
    """Compare scores with the frequency of the label.

    Args:
        scores: Probabilities in [0, 1], float64 [N].
        labels: bool [N].
        bins: Number of bins of equal width.

    Returns:
        A row a bin that has frames: ``frames``, their number; ``score``, their mean score; ``frequency``, the share of
        them that have the label.
    """
    place = np.minimum((scores * bins).astype(int), bins - 1)
    frames, score, label = (
        np.bincount(place, weights=weight, minlength=bins) for weight in (np.ones(len(scores)), scores, labels)
    )
    full = frames > 0
    return pd.DataFrame(
        {
            "frames": frames[full].astype(int),
            "score": score[full] / frames[full],
            "frequency": label[full] / frames[full],
        }
    )


def calibration_error(scores: FloatArray, labels: BoolArray, *, bins: int = BINS) -> float:
    """The expected calibration error, in [0, 1]: the mean over frames of their bin's |frequency - mean score|."""
    table = reliability(scores, labels, bins=bins)
    return float(((table["frequency"] - table["score"]).abs() * table["frames"]).sum() / max(len(scores), 1))


def _log_odds(scores: FloatArray) -> FloatArray:
    inside = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))
