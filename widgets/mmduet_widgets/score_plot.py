"""ScorePlot: both score curves of a trace over a threshold that can be moved."""

from collections.abc import Iterable
from typing import Any

import ipywidgets as w
import traitlets as t

from mmduet.plots import Span, score_changes, score_figure
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.replay import threshold_grid, with_threshold
from mmduet.trace import DuetTrace
from mmduet_widgets.figure_view import FigureView, framed
from mmduet_widgets.threshold_slider import ThresholdSlider


class ScorePlot(w.VBox):
    """What a session saw and said, as `score_figure` draws it, with a slider that replays the policy.

    trace: the one shown; `update` shows another, or the same one grown. policy: the one the session used. frames:
    uint8 [N, 3, H, W], the trace's, for a filmstrip. spans: reference (start, end, label), s.

    Trait `threshold` moves with the slider, and moves it. Raises DuetError as `score_figure` does, and for a
    threshold of nan.
    """

    threshold = t.Float()

    def __init__(
        self,
        trace: DuetTrace,
        *,
        policy: ScoreThreshold | ScoreSum,
        frames: Any = None,
        spans: Iterable[tuple[float, float, str]] = (),
        title: str = "",
    ):
        self.policy = policy
        self._slider, self._curves = ThresholdSlider(policy.threshold), FigureView()
        super().__init__([self._slider, self._curves])
        t.link((self._slider, "threshold"), (self, "threshold"))
        self.update(trace, frames=frames, spans=spans, title=title)
        self.observe(self._moved, "threshold")

    def update(
        self,
        trace: DuetTrace,
        *,
        frames: Any = None,
        spans: Iterable[tuple[float, float, str]] = (),
        title: str = "",
    ) -> None:
        """Show this trace with its frames, spans and title instead, at the threshold as it stands."""
        self.trace = trace
        self._beside = {"frames": frames, "spans": [Span(*span) for span in spans], "title": title}
        self._curves.draw(score_figure(trace, self._chosen, slider=False, **self._beside))
        self._slider.scale(threshold_grid([trace], self.policy))

    def report(self) -> list[Any]:
        """The figure, with a slider of its own that stands at the policy's threshold."""
        return [score_figure(self.trace, self.policy, **self._beside)]

    def to_html(self) -> str:
        """The same in an `<iframe>` that asks nothing of any network."""
        parts = self.report()
        return framed(parts, title=self._beside["title"] or "Scores", height=parts[0].layout.height + 30)

    @property
    def _chosen(self) -> ScoreThreshold | ScoreSum:
        """The policy at the threshold as it stands."""
        return with_threshold(self.policy, self.threshold)

    def _moved(self, change: Any) -> None:
        self._curves.move(score_changes(self._curves.shown, self.trace, self._chosen))
