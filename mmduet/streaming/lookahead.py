"""LookAhead: how many frames to score in one forward.

What is scored past a response that stays in the context has to be scored again, so the number follows how often
responses come. It changes the time taken, never the result.
"""

import math
from collections import deque

REMEMBERED = 4  # responses


class LookAhead:
    """frames: that many always, >= 1; None: as many as pay. tokens: of one frame.

    at_once, call_cost: tokens, as in `mmduet.kernels.Kernels`.
    """

    def __init__(self, frames: int | None, *, tokens: int, at_once: int, call_cost: int):
        self.fixed = frames
        self.limit = max(1, at_once // tokens) if frames is None else frames
        self.call_cost = call_cost / tokens  # frames
        self.reset()

    def reset(self) -> None:
        """A new video."""
        self.gaps: deque[int] = deque(maxlen=REMEMBERED)
        self.silent = 0

    def saw(self, *, response: bool) -> None:
        """One more frame, and whether a response that stays followed it."""
        self.silent += 1
        if response:
            self.gaps.append(self.silent)
            self.silent = 0

    def frames(self) -> int:
        """How many to score next.

        With a response after one frame in g and a forward of n frames that costs c + n, n = sqrt(2 c g) is the
        cheapest a frame, to first order: (c + n) / n for the frames, n / 2 g of them scored in vain.
        """
        if self.fixed is not None or not self.gaps:
            return self.limit
        gap = max(sum(self.gaps) / len(self.gaps), self.silent)
        return min(self.limit, max(1, round(math.sqrt(2 * self.call_cost * gap))))
