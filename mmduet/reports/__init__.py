"""Reports: suites of notebook runs, executed by papermill, exported as offline HTML pages with an index.

`check_injected`, `record_metrics` and `record_thumbnail` are for notebooks; `run_suite` is what `mmduet report` calls.
What is heavy, papermill and nbconvert, is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmduet.reports.metrics import record_metrics
from mmduet.reports.parameters import check_injected, check_parameters
from mmduet.reports.thumbnails import record_thumbnail

if TYPE_CHECKING:
    from mmduet.reports.batch import Outcome, SuiteResult, check_suite, run_suite
    from mmduet.reports.execution import Execution, execute
    from mmduet.reports.export import export_html
    from mmduet.reports.suite import load_suite

_PLACES = {
    "Execution": "execution",
    "Outcome": "batch",
    "SuiteResult": "batch",
    "check_suite": "batch",
    "execute": "execution",
    "export_html": "export",
    "load_suite": "suite",
    "run_suite": "batch",
}

__all__ = [
    "Execution",
    "Outcome",
    "SuiteResult",
    "check_injected",
    "check_parameters",
    "check_suite",
    "execute",
    "export_html",
    "load_suite",
    "record_metrics",
    "record_thumbnail",
    "run_suite",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
