"""ThresholdExplorer: a prediction file over the threshold, and where each example would speak at the one picked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
import traitlets as t

from mmduet.errors import DuetError, VideoError
from mmduet.evaluation.frames import frames_of
from mmduet.evaluation.metrics.timing import Metric, sweep
from mmduet.evaluation.prediction_file import Prediction
from mmduet.files import inside
from mmduet.plots import (
    ReplayedExample,
    Span,
    responses_table,
    score_changes,
    score_figure,
    threshold_changes,
    threshold_figure,
)
from mmduet.plots.thresholds import EXAMPLES
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.replay import threshold_grid, with_threshold
from mmduet.trace import DuetTrace, Response
from mmduet_widgets.figure_view import FigureView, framed
from mmduet_widgets.threshold_slider import ThresholdSlider

ROWS = 20  # examples that the figure shows at once


class ThresholdExplorer(w.VBox):
    """How often predictions would have spoken at every threshold, and whether in time; then one of them in full.

    Pick a threshold by the slider or by a click on a curve, an example by its name or by a click on its row.

    predictions: question -> prediction, as of `read_predictions`; one without scores is left out. policy: the one
    they were made with. references: question -> item, as of `read_references`, whose spans say where something is
    due. videos: the folder of the references' videos, for pictures. metrics: more figures, as of
    `mmduet.evaluation.metrics.timing.sweep`, which says what all of them are.

    Traits, in both directions: `threshold`, and `question`, of the example in view. table: a row a threshold, a
    column a figure. Raises DuetError when no prediction has scores, for a question that has none, or a threshold of
    nan.
    """

    threshold = t.Float()
    question = t.Unicode()

    def __init__(
        self,
        predictions: Mapping[str, Prediction],
        references: Mapping[str, Any] | None = None,
        *,
        policy: ScoreThreshold | ScoreSum,
        videos: str | Path | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ):
        self.references, self.policy, self.videos = references or {}, policy, videos
        spans = {name: self._spans(name) for name in predictions}
        thresholds = threshold_grid([prediction.trace for prediction in predictions.values()], policy)
        swept = sweep(predictions, spans, policy, thresholds, metrics=metrics)
        self.predictions = {name: predictions[name] for name in swept.questions}
        self.table, self._intervals = swept.table(), swept.intervals()
        self._figure, self._scores, self._words = FigureView(), FigureView(), w.HTML()
        names = list(self.predictions)
        slider = ThresholdSlider(policy.threshold)
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
        """The figure with the examples in view, and a slider of its own that stands at the policy's threshold."""
        return [threshold_figure(self.table, self._rows, self.policy, intervals=self._intervals)]

    def to_html(self) -> str:
        """The same in an `<iframe>` that asks nothing of any network."""
        parts = self.report()
        return framed(parts, title="Thresholds", height=parts[0].layout.height + 30)

    @t.validate("question")
    def _check_question(self, proposal: Any) -> str:
        if proposal["value"] not in self.predictions:
            raise DuetError(f"question={proposal['value']!r}: no prediction with scores has this name.")
        return proposal["value"]

    @property
    def _chosen(self) -> ScoreThreshold | ScoreSum:
        """The policy at the threshold as it stands."""
        return with_threshold(self.policy, self.threshold)

    @property
    def _rows(self) -> list[ReplayedExample]:
        """The examples in view: so many, the chosen one among them."""
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
        """Of the example in view."""
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
        """A point of a curve picks its threshold, a mark or a span its example."""
        point = change["new"]
        if point["axis"] == EXAMPLES:
            self.question = self._rows[int(point["y"])].name
        else:
            self.threshold = float(point["x"])

    def _frames(self) -> torch.Tensor | None:
        """The pictures of the example in view; None where its video is not known, not in the folder, or unreadable."""
        item = self.references.get(self.question)
        video = None if self.videos is None or item is None else inside(Path(self.videos), item.video)
        if video is None:
            return None
        try:
            return frames_of(self.predictions[self.question], video)
        except VideoError:
            return None

    def _words_html(self) -> str:
        """When the example's responses would be, in which spans, and their words where they were said just then."""
        said = {round(response.time, 3): response.text for response in self._trace.responses}
        times = self._trace.times[self._trace.replay(self._chosen)].tolist()
        replayed = [Response(time, said.get(round(time, 3), "(not said in this run)")) for time in times]
        table = responses_table(replace(self._trace, responses=replayed), self._spans(self.question))
        return (
            f'<div tabindex="0" style="max-height: 220px; overflow: auto">{table.to_html(index=False, border=0)}</div>'
        )
