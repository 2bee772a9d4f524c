"""A suite's pages with all that a report can show: figures of each kind, a player, tables, prints, an error."""

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from mmduet_widgets.figure_view import framed
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmduet import plots
from mmduet.policy import ScoreThreshold
from mmduet.reports import check_suite, export_html
from mmduet.reports.export import TEMPLATES
from mmduet.reports.index import write_index
from mmduet.reports.metrics import MIMETYPE, Metric, _table
from mmduet.reports.thumbnails import make_thumbnail
from mmduet.trace import Query, Response
from tests.plots.figures import examples_and_table, make_trace, pictures
from tests.reports.samples import PARAMETERS, leave_report, write_notebook, write_suite
from tests.widgets.players import make_player

LONG = "a name that goes on and on with_no_place_to_break_it_" + "x" * 80
TABLE = "| a | b |\n|---|---|\n| 1 | 2 |"
RUNS = "  - {name: a, notebook: notebooks/n.ipynb, matrix: {threshold: [0.25, 0.75], where: [here, LONG]}}\n"
METRICS = [Metric("mean IoU (%)", 41.2, 30.1, 52.8), Metric("responses", 12), Metric("a rate", 0.583, 0.17, 0.92)]


def figures() -> dict[str, go.Figure]:
    """A figure of each kind, by name."""
    queries = [Query(0.0, "What is there?")]
    trace = make_trace(24, [Response(2.0, "A cat sits on a mat."), Response(7.0, "It leaves.")], queries)
    spans, policy = [plots.Span(1.0, 6.0, "a cat")], ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    history = [
        {"step": s, "loss": 1.0, "lm_loss": 2 / s, "video_loss": 1 / s, "learning_rate": 1e-4} for s in (1, 2, 3)
    ]
    labels, scores = np.arange(40) % 2, np.linspace(0, 1, 40)
    cells = pd.MultiIndex.from_product([[0, 6], [0.3, 0.5]], names=["window", "threshold"])
    streams = [plots.Stream("a stream", 0.0, 9.0, [2.0, 5.0], [2.5, 8.0], ["yes", "no"], [0, None])]
    return {
        "scores": plots.score_figure(trace, policy, frames=pictures(24), spans=spans, title="Scores"),
        "labels": plots.label_figure(trace.times, informative=labels[:24], turns=[*queries, *trace.responses]),
        "training": plots.training_figure(history, title="Training"),
        "auc": plots.auc_figure(labels, scores, "informative"),
        "thresholds": plots.threshold_figure(table, examples, policy, title="Thresholds"),
        "sweep": plots.sweep_figure(pd.DataFrame({"R@0.5": [1.0, 2, 3, 4], "mIoU": [4.0, 3, 2, 1]}, index=cells)),
        "curves": plots.curves_figure({"one": ([1, 2], [3, 4]), "two": ([1, 2], [4, 3])}, x="x", y="y", chosen=1.5),
        "stages": plots.stages_figure({"a run": {"vision": 1.0, "rest": 2.0}}, title="Stages"),
        "latency": plots.latency_figure(np.linspace(1, 9, 50), title="Latency"),
        "distribution": plots.distribution_figure([1.0, 2.0, 2.0, 5.0], "Durations", "s"),
        "replies": plots.replies_figure(streams, tolerance=1.0),
        "differences": plots.differences_figure({"q": 1.0, "r": -4.0}, bounds=[1, 2], limit=10, silent=["s"]),
        "staircase": plots.staircase_figure([plots.ScoredSpan(0.0, 9.0, "a cat", 0.5, [(0.0, 9.0, 1.0)])]),
        "another's": go.Figure(go.Scatter(y=[1, 3, 2], name="of a notebook"), {"title": "With plotly's own template"}),
    }


def notebook() -> nbformat.NotebookNode:
    """An executed notebook with all kinds of output."""
    drawn = figures()
    wide = pd.DataFrame(np.arange(24.0).reshape(2, 12), columns=[f"a long column {n}" for n in range(12)])
    recorded = {MIMETYPE: {"metrics": [row._asdict() for row in METRICS], "caption": "6 questions"}}
    shown: list[dict[str, Any]] = [
        *({"application/vnd.plotly.v1+json": json.loads(figure.to_json())} for figure in drawn.values()),
        {"text/html": make_player(title="my_clip.mp4").to_html()},
        {"text/html": framed([drawn["scores"]], title="Scores", height=drawn["scores"].layout.height + 30)},
        {"text/html": wide.to_html()},
        {"text/html": wide.iloc[:0].to_html()},
        {**recorded, "text/html": _table(METRICS, "6 questions")},
        {"text/plain": f"{LONG}\n" * 3},
    ]
    code = new_code_cell(f"show({LONG!r})", outputs=[new_output("display_data", data=data) for data in shown])
    code.outputs += [
        new_output("stream", name="stdout", text=f"{LONG}\n"),
        new_output("stream", name="stderr", text="100%|###| 2/2\n"),
        new_output("error", ename="ValueError", evalue=LONG, traceback=[LONG]),
    ]
    prose = "\n\n".join(
        [
            "# A report",
            "## Part",
            f"Words with `code`, [a link](https://example.org), {LONG}.",
            TABLE,
            f"```\n{LONG}\n```",
        ]
    )
    given = {"parameters": {"threshold": 0.75, "where": LONG}}
    declared = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    return new_notebook(cells=[new_markdown_cell(prose), declared, code], metadata={"papermill": given})


def write_pages(folder: Path) -> dict[str, Path]:
    """Writes the pages; their paths by name: index, report, history."""
    write_notebook(folder / "notebooks" / "n.ipynb")
    path = write_suite(folder, RUNS.replace("LONG", LONG), title="A suite", description="What it *asks*.")
    suite, reports, runs = check_suite(path)
    page = export_html(notebook())
    picture = make_thumbnail(pictures(5), {"informative": [0, 1, 0.5], "relevance": [1, 0, 0.5]}, [0.5], 0.5)
    for run in runs[:-1]:
        told = {"parameters": dict(run.parameters), "metrics": METRICS, "thumbnail": picture}
        leave_report(reports, run.name, page=page, **told)
        leave_report(reports / "history", f"{run.name}.1", page=page, run=run.name, **told)
    leave_report(reports, f"{runs[-1].name}.failed", page=page, status="failed", error=f"ValueError: {LONG}")
    index = write_index(suite, reports, TEMPLATES, f"mmduet report {LONG}.yaml")
    return {
        "index": index,
        "history": index.parent / "history" / "index.html",
        "report": reports / f"{runs[0].name}.html",
    }
