"""Our figures beside the paper's."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mmduet.evaluation.metrics.bootstrap import Estimate

PAPER = "arXiv 2411.17991v2"


def beside_published(
    estimates: Mapping[str, Estimate],
    published: Mapping[str, Mapping[str, float]],
    *,
    metrics: Sequence[str],
    name: str,
    digits: int = 1,
    units: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """A row of `name` with 95 % intervals, then the paper's rows; a column a metric. For the eye: text, rounded.

    metrics: which of the estimates to show, in this order. units: metric -> its unit, which is put into the column's
    name. What the paper does not give is a dash.
    """
    ours = {
        metric: f"{e.value:.{digits}f} [{e.low:.{digits}f}, {e.high:.{digits}f}]" for metric, e in estimates.items()
    }
    rows = {name: ours | {"source": "here"}}
    for system, row in published.items():
        rows[system] = {metric: f"{value:.{digits}f}" for metric, value in row.items()} | {"source": PAPER}
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=[*metrics, "source"]).fillna("–")
    return table.rename(columns={metric: f"{metric} ({unit})" for metric, unit in (units or {}).items()})


def best_and_worst(scores: pd.Series, count: int) -> list[str]:
    """The questions with the `count` highest scores, then those with the `count` lowest, each once."""
    ranked = scores.dropna().sort_values(ascending=False, kind="stable").index
    return list(dict.fromkeys([*ranked[:count], *ranked[max(0, len(ranked) - count) :]]))
