from .benchmarks import curves_figure as curves_figure, sweep_figure as sweep_figure
from .calibration import operating_figure as operating_figure, reliability_figure as reliability_figure
from .comparison import (
    ComparedTrace as ComparedTrace,
    all_queries as all_queries,
    comparison_figure as comparison_figure,
)
from .decision import compared_curves as compared_curves
from .distribution import distribution_figure as distribution_figure
from .labels import label_figure as label_figure
from .learning import auc_figure as auc_figure, training_figure as training_figure
from .pages import paged_figure as paged_figure
from .performance import latency_figure as latency_figure, stages_figure as stages_figure
from .replies import Stream as Stream, differences_figure as differences_figure, replies_figure as replies_figure
from .runs import runs_figure as runs_figure
from .scores import (
    replayed_responses as replayed_responses,
    responses_table as responses_table,
    score_changes as score_changes,
    score_figure as score_figure,
)
from .staircase import ScoredSpan as ScoredSpan, staircase_figure as staircase_figure
from .strip import film_strip as film_strip
from .thresholds import (
    ReplayedExample as ReplayedExample,
    threshold_changes as threshold_changes,
    threshold_figure as threshold_figure,
)
from .timeline import Span as Span
