"""Export: an executed notebook as one HTML page that works offline.

`jupyter nbconvert --to mmduet.reports.export.ReportExporter NOTEBOOK.ipynb` exports any notebook.
"""

import copy
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import plotly
from markupsafe import Markup
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from pydantic import ValidationError
from traitlets import default

from mmduet.errors import SuiteError
from mmduet.plots.script import OURS, plots_script
from mmduet.reports import outputs, thumbnails
from mmduet.reports.credentials import without_credentials
from mmduet.reports.metrics import recorded_metrics
from mmduet.reports.notebooks import check_notebook
from mmduet.reports.parameters import declared_parameters
from mmduet.reports.prose import Prose, take_title
from mmduet.reports.records import RunRecord, files_hash

TEMPLATES = Path(__file__).resolve().parent / "templates"
PLOT = "application/vnd.plotly.v1+json"
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
ORDER = (PLOT, "text/html", "text/markdown", *PICTURES, "text/latex", "text/plain")
# tags of cells whose content stands in the page's head
LISTED_ABOVE = {"parameters", "injected-parameters", "papermill-error-cell-tag"}


def export_html(notebook: NotebookNode) -> str:
    """Make the page of an executed notebook. Its `mmduet` metadata, if any, tell what made it.

    Raises:
        SuiteError: The notebook, its `parameters` cell or its record is damaged.
    """
    page: str = _exporter().from_notebook_node(notebook)[0]
    return page


@cache
def _exporter() -> Any:  # nbconvert has no types
    """One for all pages: it compiles the template once."""
    exporter: Any = ReportExporter
    return exporter()


def page_hash(*words: str) -> str:
    """Hash all that decides a page besides its notebook: the templates, its scripts, and `words`."""
    files = [OURS, *(path for path in TEMPLATES.rglob("*") if path.is_file())]
    return files_hash(files) + "/".join([plotly.__version__, *words])


class ReportExporter(TemplateExporter):
    """The nbconvert exporter of the `duet` template. All text is escaped by default."""

    export_from_notebook = "Duet report"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".html"

    @default("template_name")
    def _template_name_default(self) -> str:
        return "duet"

    @default("extra_template_basedirs")
    def _default_extra_template_basedirs(self) -> list[str]:
        return [str(TEMPLATES)]

    def _create_environment(self) -> Any:
        environment = super()._create_environment()  # type: ignore[no-untyped-call]
        environment.autoescape = True
        filters = ("stream_html", "script_json", "code_html", "inert_html")
        functions = ("best_kind", "is_progress", "picture", "merge_streams")
        environment.filters |= {name: getattr(outputs, name) for name in filters}
        environment.globals |= {name: getattr(outputs, name) for name in functions}
        return environment

    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Make the page of a notebook, and nbconvert's resources."""
        check_notebook(nb, "the notebook")
        defaults = [parameter.default for parameter in declared_parameters(nb, "the notebook").values()]
        nb = without_credentials(nb, [defaults, _given(nb)])
        shown = copy.deepcopy(nb)
        shown.cells = [cell for cell in shown.cells if not LISTED_ABOVE.intersection(cell.metadata.get("tags", []))]
        report = {**_report(nb), "title": take_title(shown) or "Notebook"}
        page, resources = super().from_notebook_node(shown, {**(resources or {}), "report": report}, **kw)
        return page.encode(errors="replace").decode(), resources  # UTF-8 has no lone surrogates


def _report(notebook: NotebookNode) -> dict[str, Any]:
    """What the template needs besides the notebook."""
    given = _given(notebook)
    declared = declared_parameters(notebook, "the notebook")
    return {
        "record": _record(notebook),
        "parameters": list(declared.values()),
        "given": given,
        "seed": given.get("seed", declared["seed"].default if "seed" in declared else "none"),
        "metrics": recorded_metrics(notebook),
        "thumbnail": thumbnails.MIMETYPE,
        "widget": outputs.VIEW,
        "prose": Prose(),
        "nonce": secrets.token_urlsafe(16),
        "order": ORDER,
        "pictures": PICTURES,
        "plotlyjs": lambda: Markup(plots_script()),
        "text": lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8")),
    }


def _given(notebook: NotebookNode) -> dict[str, Any]:
    """The parameters that papermill wrote into the metadata."""
    written = notebook.metadata.get("papermill", {})
    given = written.get("parameters", {}) if isinstance(written, dict) else {}
    return given if isinstance(given, dict) else {}


def _record(notebook: NotebookNode) -> RunRecord | None:
    record = notebook.metadata.get("mmduet")
    try:
        return RunRecord.model_validate(record) if record else None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("mmduet", *first["loc"])))
        raise SuiteError(f"the notebook's metadata {where}: {first['msg'].lower()}: remove `mmduet` from it") from error
