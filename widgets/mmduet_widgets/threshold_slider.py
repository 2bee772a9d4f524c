"""ThresholdSlider: a slider for a threshold, which may be infinite."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as w
import traitlets as t

from mmduet.errors import DuetError

PLACES = 200


class ThresholdSlider(w.VBox):
    """Moves trait `threshold`, and follows it; beyond the slider's ends it stands at the nearer one.

    Raises DuetError for a threshold of nan.
    """

    threshold = t.Float()

    def __init__(self, threshold: float):
        self._slider = w.FloatSlider(description="threshold", readout_format=".3g", layout={"width": "99%"})
        self._slider.observe(self._slid, "value")
        super().__init__([self._slider], threshold=threshold)

    def scale(self, thresholds: Sequence[float]) -> None:
        """From the least to the greatest of these; infinities are left out."""
        finite = [threshold for threshold in thresholds if math.isfinite(threshold)]
        low, high = min(finite), max(finite)
        with self._led():
            self._slider.max = max(self._slider.max, high)  # so that its ends never cross
            self._slider.min, self._slider.max, self._slider.step = low, high, (high - low) / PLACES

    @t.validate("threshold")
    def _check(self, proposal: Any) -> float:
        if math.isnan(proposal["value"]):
            raise DuetError("threshold=nan: a threshold is a number; use math.inf to never speak.")
        return proposal["value"]

    @t.observe("threshold")
    def _follow(self, change: Any) -> None:
        with self._led():
            pass

    def _slid(self, change: Any) -> None:
        self.threshold = change["new"]

    @contextmanager
    def _led(self) -> Iterator[None]:
        """The slider is changed from here, not by hand; then it goes where the threshold is."""
        self._slider.unobserve(self._slid, "value")
        yield
        self._slider.value = self.threshold
        self._slider.observe(self._slid, "value")
