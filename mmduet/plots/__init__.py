"""Plotly figures of traces, labels, training runs, metrics and latencies.

Every function takes plain data and returns a figure. Nothing here knows a model, a file or a widget.
"""

from mmduet.plots.benchmarks import curves_figure, sweep_figure
from mmduet.plots.calibration import operating_figure, reliability_figure
from mmduet.plots.comparison import ComparedTrace, all_queries, comparison_figure
from mmduet.plots.distribution import distribution_figure
from mmduet.plots.labels import label_figure
from mmduet.plots.learning import auc_figure, training_figure
from mmduet.plots.pages import paged_figure
from mmduet.plots.performance import latency_figure, stages_figure
from mmduet.plots.replies import Stream, differences_figure, replies_figure
from mmduet.plots.runs import runs_figure
from mmduet.plots.scores import replayed_responses, responses_table, score_changes, score_figure
from mmduet.plots.staircase import ScoredSpan, staircase_figure
from mmduet.plots.strip import film_strip
from mmduet.plots.thresholds import ReplayedExample, threshold_changes, threshold_figure
from mmduet.plots.timeline import Span

__all__ = [
    "ComparedTrace",
    "ReplayedExample",
    "ScoredSpan",
    "Span",
    "Stream",
    "all_queries",
    "auc_figure",
    "comparison_figure",
    "curves_figure",
    "differences_figure",
    "distribution_figure",
    "film_strip",
    "label_figure",
    "latency_figure",
    "operating_figure",
    "paged_figure",
    "reliability_figure",
    "replayed_responses",
    "replies_figure",
    "responses_table",
    "runs_figure",
    "score_changes",
    "score_figure",
    "stages_figure",
    "staircase_figure",
    "sweep_figure",
    "threshold_changes",
    "threshold_figure",
    "training_figure",
]
