"""Reports: suites of notebook runs, executed by papermill, exported as offline HTML pages with an index.

`check_injected`, `record_metrics` and `record_thumbnail` are for notebooks. `mmduet report` calls `run_suite`.
papermill and nbconvert, which are slow to import, are imported when they are needed.

suite        a YAML file that lists runs and matrices of runs
batch        a suite run from end to end
execution    one notebook run by papermill in a fresh kernel
parameters   the `parameters` cell of a notebook, and checks of given values
notebooks    notebooks read and checked
records      what ran, when, on which machine, with which result
metrics      the key numbers that a notebook records
thumbnails   the small picture that a notebook records
export       an executed notebook as one HTML page that works offline
outputs      outputs of cells made safe for such a page
prose        Markdown cells as HTML
index        the pages that compare runs
slots        the files of each report, and the reports that newer ones replaced
credentials  passwords and keys, masked
templates/   the pages' HTML, CSS and JavaScript
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
