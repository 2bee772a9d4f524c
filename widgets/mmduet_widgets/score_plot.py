"""ScorePlot: both score curves of a trace over a threshold that can be moved."""

from collections.abc import Iterable
from typing import Any

import ipywidgets as w
import traitlets as t

from mmduet.plots import Span, score_changes, score_figure
from mmduet.policy import Policy, checked_policy, has_threshold, threshold_grid
from mmduet.trace import DuetTrace
from mmduet_widgets.figure_view import FigureView, framed
from mmduet_widgets.threshold_slider import ThresholdSlider


class ScorePlot(w.VBox):
    """Shows a trace as `score_figure` draws it, with a slider that replays the policy.

    Trait `threshold` moves with the slider, and moves it. Without a threshold in the policy it is None, and there is
    no slider.

    Args:
        trace: The trace to show; `update` shows another one, or the same one grown.
        policy: The policy of the session.
        frames: The trace's frames for a filmstrip, uint8 [N, 3, H, W].
        spans: Reference (start, end, label), s.
        title: The figure's title.

    Raises:
        DuetError: As for `score_figure`, or for a threshold of nan.
    """

    threshold = t.Float(None, allow_none=True)

    def __init__(
        self,
        trace: DuetTrace,
        *,
        policy: Policy,
        frames: Any = None,
        spans: Iterable[tuple[float, float, str]] = (),
        title: str = "",
    ):
        self.policy = checked_policy(policy)
        self._curves = FigureView()
        self._slider = ThresholdSlider(policy.threshold) if has_threshold(policy) else None
        super().__init__([self._slider, self._curves] if self._slider else [self._curves])
        if self._slider:
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
        """Show another trace with its frames, spans and title, at the threshold as it stands."""
        self.trace = trace
        self._options = {"frames": frames, "spans": [Span(*span) for span in spans], "title": title}
        self._curves.draw(score_figure(trace, self._chosen, slider=False, **self._options))
        if self._slider and has_threshold(self.policy):
            self._slider.scale(threshold_grid(self.policy, [trace]))

    def report(self) -> list[Any]:
        """The figure, with a slider of its own at the policy's threshold."""
        return [score_figure(self.trace, self.policy, **self._options)]

    def to_html(self) -> str:
        """Make an `<iframe>` of the same that needs neither network nor kernel."""
        parts = self.report()
        return framed(parts, title=self._options["title"] or "Scores", height=parts[0].layout.height + 30)

    @property
    def _chosen(self) -> Policy:
        """The policy at the threshold as it stands."""
        if not has_threshold(self.policy) or self.threshold is None:
            return self.policy
        return self.policy.with_threshold(self.threshold)

    def _moved(self, change: Any) -> None:
        self._curves.move(score_changes(self._curves.shown, self.trace, self._chosen))
