"""Evaluation: benchmarks, predictions and scores.

* ``evaluate.run`` asks a benchmark's questions and scores the answers; notebooks use it.
* ``benchmark`` defines what a `Benchmark` is, and ``benchmarks`` holds the built-in ones.
* ``predict`` asks the questions, and ``prediction_file`` reads and writes the file of answers.
* ``items`` and ``references`` read test files, and ``coverage`` matches them with predictions.
* ``metrics`` and ``judges`` score; ``table`` puts figures beside the published ones.

The public names stand here; each is imported when it is first asked for, so that this package loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmduet.evaluation import evaluate, judges
    from mmduet.evaluation.benchmark import Benchmark, Metric, Question, Settings
    from mmduet.evaluation.benchmarks import (
        BENCHMARKS,
        CHARADES_STA,
        MAGQA,
        QVHIGHLIGHTS,
        YOUCOOK2,
        charades_sta,
        find_benchmark,
        magqa,
        qvhighlights,
        youcook2,
    )
    from mmduet.evaluation.benchmarks.scenes import ConceptJudge, check_concepts
    from mmduet.evaluation.frames import frames_of
    from mmduet.evaluation.items import AskedItem, Item
    from mmduet.evaluation.metrics.bootstrap import Estimate, bootstrap, estimate_means
    from mmduet.evaluation.prediction_file import Prediction, read_predictions
    from mmduet.evaluation.references import read_questions, read_references
    from mmduet.evaluation.table import beside_published, best_and_worst

_MODULES = {
    "AskedItem": "items",
    "BENCHMARKS": "benchmarks",
    "Benchmark": "benchmark",
    "CHARADES_STA": "benchmarks",
    "ConceptJudge": "benchmarks.scenes",
    "Estimate": "metrics.bootstrap",
    "Item": "items",
    "MAGQA": "benchmarks",
    "Metric": "benchmark",
    "Prediction": "prediction_file",
    "QVHIGHLIGHTS": "benchmarks",
    "Question": "benchmark",
    "Settings": "benchmark",
    "YOUCOOK2": "benchmarks",
    "beside_published": "table",
    "best_and_worst": "table",
    "bootstrap": "metrics.bootstrap",
    "charades_sta": "benchmarks",
    "check_concepts": "benchmarks.scenes",
    "estimate_means": "metrics.bootstrap",
    "find_benchmark": "benchmarks",
    "frames_of": "frames",
    "magqa": "benchmarks",
    "qvhighlights": "benchmarks",
    "read_predictions": "prediction_file",
    "read_questions": "references",
    "read_references": "references",
    "youcook2": "benchmarks",
}

__all__ = [
    "BENCHMARKS",
    "CHARADES_STA",
    "MAGQA",
    "QVHIGHLIGHTS",
    "YOUCOOK2",
    "AskedItem",
    "Benchmark",
    "ConceptJudge",
    "Estimate",
    "Item",
    "Metric",
    "Prediction",
    "Question",
    "Settings",
    "beside_published",
    "best_and_worst",
    "bootstrap",
    "charades_sta",
    "check_concepts",
    "estimate_means",
    "evaluate",
    "find_benchmark",
    "frames_of",
    "judges",
    "magqa",
    "qvhighlights",
    "read_predictions",
    "read_questions",
    "read_references",
    "youcook2",
]


def __getattr__(name: str) -> Any:
    if name in ("evaluate", "judges"):
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
