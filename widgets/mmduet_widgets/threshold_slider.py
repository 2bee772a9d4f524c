"""ThresholdSlider: a slider for a threshold, which may be infinite."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as w
import traitlets as t

from mmduet.policy import checked_threshold

PLACES = 200


class ThresholdSlider(w.VBox):
    """Moves trait `threshold`, and follows it. A threshold beyond the slider's range shows as the nearer end.

    Args:
        threshold: The first one.

    Raises:
        DuetError: The threshold is nan.
    """

    threshold = t.Float()

    def __init__(self, threshold: float):
        self._slider = w.FloatSlider(description="threshold", layout={"width": "99%"})
        self._slider.observe(self._slid, "value")
        super().__init__([self._slider], threshold=threshold)

    def scale(self, thresholds: Sequence[float]) -> None:
        """Set the range from the least to the greatest of these thresholds; infinities are left out.

        Its places are round numbers, and it shows all of their digits: what it shows is the threshold.
        """
        finite = [threshold for threshold in thresholds if math.isfinite(threshold)]
        low, high = min(finite), max(finite)
        step, digits = _round_step((high - low) / PLACES or 1.0)
        low = round(math.floor(low / step + 1e-9) * step, digits)
        high = round(math.ceil(high / step - 1e-9) * step, digits)
        with self._synchronized():
            self._slider.max = max(self._slider.max, high)  # so that its ends are always in order
            self._slider.min, self._slider.max, self._slider.step = low, high, step
            self._slider.readout_format = f".{digits}f"

    @t.validate("threshold")
    def _check(self, proposal: Any) -> float:
        return checked_threshold(proposal["value"])

    @t.observe("threshold")
    def _follow(self, change: Any) -> None:
        with self._synchronized():
            pass

    def _slid(self, change: Any) -> None:
        self.threshold = change["new"]

    @contextmanager
    def _synchronized(self) -> Iterator[None]:
        """Change the slider without moving the threshold; then set it to the threshold."""
        self._slider.unobserve(self._slid, "value")
        yield
        self._slider.value = self.threshold
        self._slider.observe(self._slid, "value")


def _round_step(least: float) -> tuple[float, int]:
    """The smallest of 1, 2, 5 times a power of ten that reaches `least`, and the decimals of its multiples."""
    power = math.floor(math.log10(least))
    step = next(factor * 10.0**power for factor in (1, 2, 5, 10) if factor * 10.0**power >= least * (1 - 1e-9))
    return step, max(0, -power)
