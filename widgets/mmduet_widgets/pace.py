"""Pace: how a run keeps up with its clip."""

import math


class Pace:
    """When the next frame is due, how far the run is behind the clip, and how long the rest of it takes.

    Frames keep at least the distance that they have in the clip, so a run that is late stays late. All times are of
    one clock, s.
    """

    def __init__(self) -> None:
        self.due = -math.inf
        self._late = 0.0
        self._began: float | None = None
        self._paused = 0.0
        self._seen, self._worked = 0.0, 0.0  # of the clip, and on it, when the last frame began

    def arrive(self, now: float) -> None:
        """The run is ready for the next frame."""
        if math.isfinite(self.due):
            self._late += max(0.0, now - self.due)

    def pause(self, seconds: float) -> None:
        """The run rested for so long; this counts neither as late nor as work."""
        self._paused += seconds

    def begin(self, time: float, interval: float, now: float) -> None:
        """A frame begins.

        Args:
            time: Of the frame, from the clip's start, s.
            interval: To the next frame, s.
            now: The clock.
        """
        if self._began is None:
            self._began = now
        self._seen, self._worked = time, now - self._began - self._paused
        self.due = now + interval

    def behind(self, now: float | None) -> float:
        """How far the run is behind the clip, s. now: None while it need not be in time."""
        growing = 0.0 if now is None or not math.isfinite(self.due) else max(0.0, now - self.due)
        return self._late + growing

    def left(self, duration: float) -> float | None:
        """Time to the end of a clip of `duration`, s, at the mean speed so far; None before there is one."""
        if not self._seen:
            return None
        return max(0.0, duration - self._seen) * self._worked / self._seen
