"""LookAhead: how many frames a forward pass scores (multi-frame scoring, a kind of chunked prefill).

Frames scored after a kept response must be scored again, so the number adapts to the response rate. It changes the
time taken, never the result. Of a model that decides in words, a "frame" here is a piece of frames.
"""

import math
from collections import deque

REMEMBERED = 4  # responses


class LookAhead:
    """Chooses the number of frames of the next forward pass."""

    def __init__(self, frames: int | None, *, tokens: int, at_once: int, call_cost: int):
        """Set the limits.

        Args:
            frames: A fixed number of frames, >= 1. None: adapted to the response rate.
            tokens: Tokens of a frame.
            at_once: Most tokens of a forward pass, as in `mmduet.kernels.Kernels`.
            call_cost: The fixed cost of a forward pass, in tokens, as in `mmduet.kernels.Kernels`.
        """
        self.fixed = frames
        self.limit = max(1, at_once // tokens) if frames is None else frames
        self.call_cost = call_cost / tokens  # frames
        self.reset()

    def reset(self) -> None:
        """Start a new video."""
        self.gaps: deque[int] = deque(maxlen=REMEMBERED)
        self.silent = 0

    def saw(self, *, response: bool) -> None:
        """Count one more frame, and whether a kept response followed it."""
        self.silent += 1
        if response:
            self.gaps.append(self.silent)
            self.silent = 0

    def frames(self) -> int:
        """Return the number of frames to score next.

        If a response follows one frame in g, and a forward pass of n frames costs c + n, then n = sqrt(2 c g) costs
        least per frame, to first order: (c + n) / n for the frames, and n / 2g of them scored in vain.
        """
        if self.fixed is not None or not self.gaps:
            return self.limit
        gap = max(sum(self.gaps) / len(self.gaps), self.silent)
        return min(self.limit, max(1, round(math.sqrt(2 * self.call_cost * gap))))
