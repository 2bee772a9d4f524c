"""ThresholdExplorer: metrics of predictions over thresholds, and each example's replay at the selected one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
import traitlets as t

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.timing import Metric, sweep
from mmduet.evaluation.prediction_file import Prediction
from mmduet.files import inside
from mmduet.plots import (
    ReplayedExample,
    Span,
    replayed_responses,
    responses_table,
    score_changes,
    score_figure,
    threshold_changes,
    threshold_figure,
)
from mmduet.plots.thresholds import EXAMPLES
from mmduet.policy import Policy, ThresholdPolicy, threshold_grid, threshold_policy
from mmduet.trace import DuetTrace
from mmduet.video import read_frames_of
from mmduet_widgets.figure_view import FigureView, framed
from mmduet_widgets.table import table_html
from mmduet_widgets.threshold_slider import ThresholdSlider

ROWS = 20  # examples that the figure shows at once


class ThresholdExplorer(w.VBox):
    """Shows timing metrics at every threshold, the replay of each example, and one example in full.

    Select a threshold with the slider or with a click on a curve, and an example by its name or with a click on its
    row. Two traits work in both directions: `threshold`, and `question`, the example in view. Attribute `table` has a
    row per threshold and a column per metric.

    Args:
        predictions: question -> prediction, as of `read_predictions`. One without scores is left out.
        references: question -> item, as of `read_references`, with the reference spans.
        policy: The policy of the predictions; it has a threshold.
        videos: The folder of the references' videos, for a filmstrip.
        metrics: More metrics, as of `mmduet.evaluation.metrics.timing.sweep`, which defines the others.

    Raises:
        DuetError: No prediction has scores, the policy has no threshold, the question has no prediction with scores,
            or the threshold is nan.
    """

    threshold = t.Float()
    question = t.Unicode()

    def __init__(
        self,
        predictions: Mapping[str, Prediction],
        references: Mapping[str, Any] | None = None,
        *,
        policy: Policy,
        videos: str | Path | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ):
        self.references, self.videos = references or {}, videos
        self.policy = threshold_policy(policy, "a ThresholdExplorer")
        spans = {name: self._spans(name) for name in predictions}
        thresholds = threshold_grid(self.policy, [prediction.trace for prediction in predictions.values()])
        swept = sweep(predictions, spans, policy, thresholds, metrics=metrics)
        self.predictions = {name: predictions[name] for name in swept.questions}
        self.table, self._intervals = swept.table(), swept.intervals()
        self._figure, self._scores, self._words = FigureView(), FigureView(), w.HTML()
        names = list(self.predictions)
        slider = ThresholdSlider(self.policy.threshold)
        slider.scale(swept.thresholds)
        choice = w.Dropdown(options=names, description="example", layout={"width": "60%"})
        super().__init__([self._figure, slider, choice, self._words, self._scores], question=names[0])
        t.link((slider, "threshold"), (self, "threshold"))
        t.link((self, "question"), (choice, "value"))
        self._turn()
        self.observe(self._moved, "threshold")
        self.observe(self._turn, "question")
        self._figure.observe(self._clicked, "clicked")

    def report(self) -> list[Any]:
        """The figure with the examples in view, and a slider of its own at the policy's threshold."""
        return [threshold_figure(self.table, self._rows, self.policy, intervals=self._intervals)]

    def to_html(self) -> str:
        """Make an `<iframe>` of the same that needs neither network nor kernel."""
        parts = self.report()
        return framed(parts, title="Thresholds", height=parts[0].layout.height + 30)

    @t.validate("question")
    def _check_question(self, proposal: Any) -> str:
        if proposal["value"] not in self.predictions:
            raise DuetError(f"question={proposal['value']!r}: no prediction with scores has this name.")
        return proposal["value"]

    @property
    def _chosen(self) -> ThresholdPolicy:
        """The policy at the threshold as it stands."""
        return self.policy.with_threshold(self.threshold)

    @property
    def _rows(self) -> list[ReplayedExample]:
        """The examples in view: a page of ROWS with the selected one."""
        names = list(self.predictions)
        first = names.index(self.question) // ROWS * ROWS
        return [
            ReplayedExample(name, self.predictions[name].trace, self._spans(name))
            for name in names[first : first + ROWS]
        ]

    def _spans(self, question: str) -> list[Span]:
        return [Span(*span) for span in getattr(self.references.get(question), "spans", ())]

    @property
    def _trace(self) -> DuetTrace:
        """The trace of the example in view."""
        return self.predictions[self.question].trace

    def _turn(self, change: Any = None) -> None:
        """Show the example in view, in full and among its neighbours."""
        rows, spans = self._rows, self._spans(self.question)
        self._figure.draw(threshold_figure(self.table, rows, self._chosen, intervals=self._intervals, slider=False))
        self._scores.draw(
            score_figure(
                self._trace, self._chosen, frames=self._frames(), spans=spans, title=self.question, slider=False
            )
        )
        self._words.value = self._words_html()

    def _moved(self, change: Any) -> None:
        self._figure.move(threshold_changes(self._figure.shown, self.table, self._rows, self._chosen))
        self._scores.move(score_changes(self._scores.shown, self._trace, self._chosen))
        self._words.value = self._words_html()

    def _clicked(self, change: Any) -> None:
        """A click on a curve selects its threshold, on a mark or a span its example."""
        point = change["new"]
        if point["axis"] == EXAMPLES:
            self.question = self._rows[int(point["y"])].name
        else:
            self.threshold = float(point["x"])

    def _frames(self) -> torch.Tensor | None:
        """The frames of the example in view; None where its video is not known, not in the folder, or unreadable."""
        item = self.references.get(self.question)
        video = None if self.videos is None or item is None else inside(Path(self.videos), item.video)
        return None if video is None else read_frames_of(video, self.predictions[self.question].trace.times)

    def _words_html(self) -> str:
        """A table of the replayed responses: time, span, and text where the model spoke at the same frame."""
        replayed = replace(self._trace, responses=replayed_responses(self._trace, self._chosen))
        table = responses_table(replayed, self._spans(self.question))
        return f'<div tabindex="0" style="max-height: 220px; overflow: auto">{table_html(table)}</div>'
