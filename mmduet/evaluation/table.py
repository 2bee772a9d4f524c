"""Tables: this run's figures beside the published ones."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mmduet.evaluation.metrics.bootstrap import Estimate

PAPER = "arXiv 2411.17991v2"


def beside_published(
    estimates: Mapping[str, Estimate],
    published: Mapping[str, Mapping[str, float]],
    *,
    metrics: Sequence[str],
    name: str,
    digits: int | Mapping[str, int] = 1,
    units: Mapping[str, str] | None = None,
    source: str = PAPER,
) -> pd.DataFrame:
    """A row of `name` with 95 % intervals, then the published rows; rounded texts, for reading.

    Args:
        estimates: Metric -> figure of this run. NaN is a dash.
        published: System -> metric -> published figure. A figure that is not published is a dash.
        metrics: The columns, in this order.
        name: The name of this run's row.
        digits: Most digits after the point, of all metrics or by metric; this run has those that its intervals justify.
        units: Metric -> unit, which is put after the metric's name.
        source: Where the published figures come from.
    """

    def most(metric: str) -> int:
        return digits if isinstance(digits, int) else digits[metric]

    rows: dict[str, dict[str, str]] = {name: {"source": "here"}}
    for metric in metrics:
        if (e := estimates.get(metric)) and not math.isnan(e.value):
            rows[name][metric] = e.text(most(metric))
    for system, row in published.items():
        rows[system] = {m: f"{row[m]:.{most(m)}f}" for m in metrics if m in row} | {"source": source}
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=[*metrics, "source"]).fillna("–")
    return table.rename(columns={metric: f"{metric} ({unit})" for metric, unit in (units or {}).items()})


def best_and_worst(scores: "pd.Series[Any]", count: int) -> list[str]:
    """The questions with the `count` highest scores, then those with the `count` lowest, each once."""
    ranked = scores.dropna().sort_values(ascending=False, kind="stable").index
    return list(dict.fromkeys([*ranked[:count], *ranked[max(0, len(ranked) - count) :]]))
