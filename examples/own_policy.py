"""A policy of one's own: speak above a threshold, but wait some seconds after each response.

By name, wherever a `mode` is asked for (notebooks 03 and 04, `mmduet.policy.make_policy`)::

    papermill notebooks/03_duet_inference.ipynb out.ipynb -p mode examples.own_policy:Patient -p threshold 0.6

In a notebook or script::

    session = DuetSession(model, processor, policy=Patient(0.6, seconds=4.0))
    trace = session.run(frames)
    score_figure(trace, session.policy)  # of mmduet.plots: decision curve, threshold, marks
    DuetPlayer("clip.mp4", trace, policy=session.policy)  # of mmduet_widgets
"""

import math

import numpy as np

from mmduet import FrameScores


class Patient:
    """Speaks after a frame whose score exceeds the threshold, at the earliest `seconds` after the last response."""

    def __init__(self, threshold, *, heads=("informative",), seconds=3.0):
        self.threshold, self.heads, self.seconds = threshold, tuple(heads), seconds
        self.last = -math.inf  # time of the last response, s

    def score(self, scores: FrameScores) -> float:
        return sum(getattr(scores, head) for head in self.heads)

    # every policy

    def need(self, scores: FrameScores) -> bool:
        if self.score(scores) <= self.threshold or scores.time < self.last + self.seconds:
            return False
        self.last = scores.time
        return True

    def reset(self) -> None:
        self.last = -math.inf

    # a policy whose threshold figures and widgets can move

    def with_threshold(self, threshold: float) -> "Patient":
        return type(self)(threshold, heads=self.heads, seconds=self.seconds)

    def decision_curve(self, trace) -> np.ndarray:
        return np.array([self.score(scores) for scores in trace.scores()], dtype=float)
