from . import calibration as calibration, evaluate as evaluate, judges as judges
from .answering import answer as answer
from .benchmark import Benchmark as Benchmark, Metric as Metric, Question as Question, Settings as Settings
from .benchmarks import (
    BENCHMARKS as BENCHMARKS,
    CHARADES_STA as CHARADES_STA,
    MAGQA as MAGQA,
    OVOBENCH as OVOBENCH,
    OVOBENCH_ONLINE as OVOBENCH_ONLINE,
    PROACTIVEVIDEOQA as PROACTIVEVIDEOQA,
    QVHIGHLIGHTS as QVHIGHLIGHTS,
    STREAMINGBENCH as STREAMINGBENCH,
    YOUCOOK2 as YOUCOOK2,
    charades_sta as charades_sta,
    find_benchmark as find_benchmark,
    magqa as magqa,
    ovobench as ovobench,
    ovobench_online as ovobench_online,
    proactivevideoqa as proactivevideoqa,
    qvhighlights as qvhighlights,
    streamingbench as streamingbench,
    youcook2 as youcook2,
)
from .benchmarks.proactive.figure import pauc_figure as pauc_figure
from .benchmarks.proactive.judging import GivenAnswers as GivenAnswers
from .benchmarks.scenes import ConceptJudge as ConceptJudge, check_concepts as check_concepts
from .items import AskedItem as AskedItem, Item as Item
from .metrics.agreement import Agreement as Agreement, agreement as agreement
from .metrics.bootstrap import (
    Estimate as Estimate,
    bootstrap as bootstrap,
    estimate_differences as estimate_differences,
    estimate_means as estimate_means,
)
from .prediction_file import Prediction as Prediction, read_predictions as read_predictions
from .references import read_questions as read_questions, read_references as read_references
from .response_timing import timing_scores as timing_scores, timing_table as timing_table
from .table import beside_published as beside_published, best_and_worst as best_and_worst
