"""Calibrate: choose a policy on one half of the videos, and measure it on the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.calibration.candidates import Candidate, candidates_for
from mmduet.evaluation.calibration.target import Target
from mmduet.evaluation.items import spans_of
from mmduet.evaluation.metrics.bootstrap import Estimate, percentile_interval, resample_weights
from mmduet.evaluation.metrics.reliability import (
    Temperature,
    at_temperature,
    calibration_error,
    fit_temperature,
    reliability,
)
from mmduet.evaluation.metrics.split import halves
from mmduet.evaluation.metrics.timing import RATE, UNITS, Spans, asked_at, sweep, sweeps, within_spans
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import BoolArray, FloatArray, Policy, PolicyFile, ThresholdPolicy, fine_thresholds, has_threshold

Predictions = Mapping[str, Prediction]
THRESHOLDS = 200
MOST_THRESHOLDS = 10_000  # all are replayed at once
HERE, THERE, BEFORE, GAIN = "chosen, on its half", "chosen, other half", "before, other half", "difference"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A policy that was chosen, and what it gives.

    Attributes:
        target: What it was chosen for.
        candidate: The mode, heads and options that were chosen.
        threshold: The threshold that was chosen.
        tried: Candidate, as text -> its figures on the first half, a row a threshold.
        chosen_on: The questions of the first half.
        measured_on: The questions of the other half.
        figures: Column -> figure -> estimate, with an interval over questions: of the choice on its half, where it is
            too good, and on the other half; there also of the policy before, and by how much the choice exceeds it.
        temperatures: Head -> its temperature, fitted on the first half and measured on the other.
        labelled: Head -> scores and labels of the frames of the other half: whether they are in a span.
    """

    target: Target
    candidate: Candidate
    threshold: float
    tried: dict[str, pd.DataFrame]
    chosen_on: tuple[str, ...]
    measured_on: tuple[str, ...]
    figures: dict[str, dict[str, Estimate]]
    temperatures: dict[str, Temperature]
    labelled: dict[str, tuple[FloatArray, BoolArray]]

    @property
    def policy(self) -> ThresholdPolicy:
        """The policy that was chosen."""
        return self.candidate.policy(self.threshold)

    def file(self, **more: Any) -> PolicyFile:
        """What a policy file states of the choice.

        Args:
            **more: What else it states, such as the prediction file's name.
        """
        figures = {
            row: {name: _rounded(estimate) for name, estimate in columns.items()}
            for row, columns in self.figures.items()
        }
        stated = {
            "target": str(self.target),
            "most": None if np.isinf(self.target.most) else self.target.most,
            "chosen_on": len(self.chosen_on),
            "measured_on": len(self.measured_on),
            "figures": figures,
            "temperatures": {
                head: found.value for head, found in self.temperatures.items() if np.isfinite(found.value)
            },
        }
        return PolicyFile(
            mode=self.candidate.mode,
            threshold=self.threshold,
            heads=list(self.candidate.heads),
            options=self.candidate.options,
            calibration={**more, **stated},
        )

    def reliability(self, head: str) -> list[pd.DataFrame]:
        """The `reliability` of a head's scores on the other half, as they are and at its temperature."""
        scores, labels = self.labelled[head]
        temperature, found = self.temperatures[head].value, [reliability(scores, labels)]
        if not np.isnan(temperature):
            found.append(reliability(at_temperature(scores, temperature), labels))
        return found

    def table(self) -> pd.DataFrame:
        """The figures as text: a row a figure with its unit, a column each of `figures`."""
        columns = {
            column: {f"{name} ({UNITS[name]})": str(estimate) for name, estimate in figures.items()}
            for column, figures in self.figures.items()
        }
        return pd.DataFrame(columns)


def calibrate(
    predictions: Predictions,
    references: Mapping[str, Any],
    target: Target,
    *,
    candidates: Sequence[Candidate] | None = None,
    before: Policy | None = None,
    thresholds: int = THRESHOLDS,
    seed: int = 0,
) -> Calibration:
    """Choose a policy's mode, heads, options and threshold on one half of the videos, and measure it on the other.

    Scores are replayed, and no model runs; `DuetTrace.replay` says when that is exact.

    Args:
        predictions: Question id -> prediction. Those without frame scores or reference do not count.
        references: Question id -> item with ``video``, and with ``spans`` unless the target is a rate.
        target: What is wanted.
        candidates: The policies that are tried, simple ones first; None: `candidates_for` the model. Of those that are
            equally good (`Target.best`), the one with the fewest responses is chosen.
        before: The policy to compare with, such as the hand-set one; None: none.
        thresholds: Thresholds of each candidate, 2 to `MOST_THRESHOLDS`.
        seed: Seed of the halves.

    Raises:
        DuetError: There are fewer than two videos with scores and references, the target cannot be met, or the number
            of thresholds is out of range.
    """
    if not 2 <= thresholds <= MOST_THRESHOLDS:
        raise DuetError(f"thresholds={thresholds}: give 2 to {MOST_THRESHOLDS:,}.")
    here, there = _halves(predictions, references, seed)
    spans = {name: spans_of(references[name]) for name in (*here, *there)}
    known = next(iter(here.values())).trace.heads
    chosen_from = candidates or candidates_for(known)
    found = sweeps(here, spans, [_with_grid(each.policy(0.0), here, thresholds) for each in chosen_from])
    tried = [(candidate, each.figures()) for candidate, each in zip(chosen_from, found, strict=True)]
    candidate, threshold = _choose(tried, target)
    labels = [_labels(half, spans, known) for half in (here, there)]
    return Calibration(
        target=target,
        candidate=candidate,
        threshold=threshold,
        tried={str(each): figures for each, figures in tried},
        chosen_on=tuple(here),
        measured_on=tuple(there),
        figures=_measure(here, there, spans, candidate.policy(threshold), before),
        temperatures={head: _temperature(labels[0][head], labels[1][head]) for head in known},
        labelled=labels[1],
    )


def _halves(predictions: Predictions, references: Mapping[str, Any], seed: int) -> tuple[Predictions, Predictions]:
    """The scored predictions with references, by halves of the videos."""
    scored = {name: each for name, each in predictions.items() if name in references and len(each.trace)}
    names, videos = list(scored), [str(references[name].video) for name in scored]
    if len(set(videos)) < 2:
        raise DuetError(
            f"{len(scored)} of {len(predictions)} predictions have frame scores and a reference: calibration needs "
            "those of at least two videos, one to choose on and one to measure on."
        )
    first, second = halves(videos, seed=seed)
    return {names[i]: scored[names[i]] for i in first}, {names[i]: scored[names[i]] for i in second}


def _with_grid(policy: ThresholdPolicy, predictions: Predictions, count: int) -> tuple[ThresholdPolicy, list[float]]:
    return policy, fine_thresholds(policy, [each.trace for each in predictions.values()], count).tolist()


def _choose(tried: Sequence[tuple[Candidate, pd.DataFrame]], target: Target) -> tuple[Candidate, float]:
    """Of each candidate the middle one of its best thresholds, at which decisions are stable; of these the cheapest."""
    tables = [figures for _, figures in tried]
    joined = pd.concat(tables)
    best = target.best({str(name): column.to_numpy() for name, column in joined.items()})
    owners = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    middles = [
        places[(len(places) - 1) // 2]
        for owner in np.unique(owners[best])
        for places in [np.flatnonzero(best & (owners == owner))]
    ]
    place = middles[int(np.argmin(target.cost(joined[RATE].to_numpy()[middles])))]
    return tried[owners[place]][0], float(joined.index[place])


def _measure(
    here: Predictions, there: Predictions, spans: Mapping[str, Spans], chosen: ThresholdPolicy, before: Policy | None
) -> dict[str, dict[str, Estimate]]:
    rows = {HERE: _drawn(here, spans, chosen), THERE: _drawn(there, spans, chosen)}
    if before is not None and has_threshold(before):
        rows[BEFORE] = _drawn(there, spans, before)
        rows[GAIN] = {name: rows[THERE][name] - rows[BEFORE][name] for name in rows[THERE]}  # paired: the same draws
    return {
        row: {
            name: Estimate(float(values[0]), *percentile_interval(values[1:, None])[:, 0].tolist())
            for name, values in columns.items()
        }
        for row, columns in rows.items()
    }


def _drawn(predictions: Predictions, spans: Mapping[str, Spans], policy: ThresholdPolicy) -> dict[str, FloatArray]:
    """Each figure of all questions, then of each resample; float64 [1 + draws]."""
    found = sweep(predictions, spans, policy, [policy.threshold])
    count = len(found.questions)
    values = found.values(np.concatenate([np.ones((1, count)), resample_weights(count)]))
    return {name: column[:, 0] for name, column in values.items()}


def _labels(
    predictions: Predictions, spans: Mapping[str, Spans], heads: Sequence[str]
) -> dict[str, tuple[FloatArray, BoolArray]]:
    """Head -> scores of all frames from the question on, and whether each is in a span of its question."""
    asked = {name: np.flatnonzero(each.trace.times >= asked_at(each.trace)) for name, each in predictions.items()}
    label = np.concatenate(
        [np.any(within_spans(each.trace.times, spans[name]), axis=0)[asked[name]] for name, each in predictions.items()]
    )
    return {
        head: (np.concatenate([each.trace.curve(head)[asked[name]] for name, each in predictions.items()]), label)
        for head in heads
    }


def _temperature(here: tuple[FloatArray, BoolArray], there: tuple[FloatArray, BoolArray]) -> Temperature:
    value = fit_temperature(*here)
    scores, labels = there
    scaled = float("nan") if np.isnan(value) else calibration_error(at_temperature(scores, value), labels)
    return Temperature(value, calibration_error(scores, labels), scaled)


def _rounded(estimate: Estimate) -> list[float | None]:
    """Value, low, high; None for one that is not known."""
    return [None if np.isnan(value) else round(value, 4) for value in (estimate.value, estimate.low, estimate.high)]
