"""Agreement: whether two or more models speak at the same times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmduet.errors import DuetError
from mmduet.trace import DuetTrace

TOLERANCE = 1.0  # s


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many of two models' responses are matched.

    Attributes:
        matched: Number of pairs.
        first: Number of the first model's responses.
        second: Number of the second model's responses.
    """

    matched: int
    first: int
    second: int

    @property
    def value(self) -> float:
        """The share of all responses that have a partner: 2 * matched / (first + second), in [0, 1].

        This is the Dice coefficient, and the F1 score of either model with the other as reference. It is NaN where
        neither speaks.
        """
        spoken = self.first + self.second
        return 2 * self.matched / spoken if spoken else float("nan")


def agreement(first: DuetTrace, second: DuetTrace, *, tolerance: float = TOLERANCE) -> Agreement:
    """Match the responses of two traces of one video.

    Two responses may be a pair if their times differ by at most the tolerance. Each response is in one pair at most,
    and the number of pairs is the largest possible. What was said is not compared.

    Args:
        first: A trace.
        second: Another trace of the same video.
        tolerance: s, >= 0.

    Raises:
        DuetError: The tolerance is negative or no number, or a response's time is not known.
    """
    return agreement_of_times(*(response_times(trace) for trace in (first, second)), tolerance=tolerance)


def agreement_of_times(first: Sequence[float], second: Sequence[float], *, tolerance: float = TOLERANCE) -> Agreement:
    """As `agreement`, of the times of responses, s, ascending; such as those of a replay."""
    rows = align([first, second], tolerance=tolerance)
    return Agreement(sum(None not in row for row in rows), len(first), len(second))


def response_times(trace: DuetTrace) -> list[float]:
    """The times of a trace's responses, s, ascending."""
    return sorted(response.time for response in trace.responses)


def align(times: Sequence[Sequence[float]], *, tolerance: float = TOLERANCE) -> list[tuple[int | None, ...]]:
    """Put the responses of M models into rows: at most one of each model, none further than `tolerance` from another.

    From the start on, a row takes the earliest response that is left, and of each other model its next response if it
    is within the tolerance of that one. For two models the rows with both are as many as possible.

    Args:
        times: For each model the times of its responses, s, ascending.
        tolerance: s, >= 0.

    Returns:
        For each row and model the index of its response, or None; in order of time.

    Raises:
        DuetError: The tolerance is negative or no number, or times are negative, no numbers or do not ascend.
    """
    if not tolerance >= 0:
        raise DuetError(f"tolerance={tolerance}: give seconds, 0 or more.")
    for each in times:
        known = np.asarray(each, dtype=float)
        if not (np.isfinite(known).all() and (known >= 0).all() and (np.diff(known) >= 0).all()):
            raise DuetError(f"times={[float(time) for time in each]}: give seconds from the start on, ascending.")
    left, rows = [0] * len(times), list[tuple[int | None, ...]]()
    while any(at < len(each) for at, each in zip(left, times, strict=True)):
        earliest = min(each[at] for at, each in zip(left, times, strict=True) if at < len(each))
        row = [
            at if at < len(each) and each[at] - earliest <= tolerance else None
            for at, each in zip(left, times, strict=True)
        ]
        rows.append(tuple(row))
        left = [at + (index is not None) for at, index in zip(left, row, strict=True)]
    return rows
