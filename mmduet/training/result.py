"""TrainingResult: the outcome of a training run, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = {  # a row of the log with the first, and its other figures
    "loss": ("lm_loss", "video_loss"), "eval_loss": ("eval_informative_auc", "eval_relevance_auc"),
}  # fmt: skip


@dataclass(slots=True)
class TrainingResult:
    """The outcome of a training run.

    Attributes:
        adapter: The adapter's folder.
        history: Trainer's log rows.
        alignment: The loss of each alignment iteration.
        seconds: Duration of this process's part of the run.
        steps: Optimiser steps done.
        total: Optimiser steps of the complete run.
        stopped: Whether a signal stopped the run; it can be resumed.
        best: The metric that chose the adapter, and its value. None if the adapter is the last one.
        peak_gb: Peak memory of this process.
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
        """The outcome in a few lines."""
        rows: list[dict[str, Any]] = [
            next((row for row in reversed(self.history) if name in row), {}) for name in SHOWN
        ]
        figures = "; ".join(_figures(row) for row in rows if row)
        chosen = f"its best, {self.best[0]} {self.best[1]:.4g}" if self.best else "as it is after the last step"
        return (
            f"{self.steps} of {self.total} steps, {self.seconds / 60:.1f} minutes, {self.peak_gb:.1f} GB at most\n"
            f"last figures: {figures or 'none yet'}\nadapter: {self.adapter} ({chosen})"
        )


def _figures(row: Mapping[str, Any]) -> str:
    """The step and the figures of one row: those of other rows are of other steps."""
    names = [name for first, others in SHOWN.items() for name in (first, *others) if name in row]
    return f"step {row['step']:.0f}: " + ", ".join(f"{name} {row[name]:.4g}" for name in names)
