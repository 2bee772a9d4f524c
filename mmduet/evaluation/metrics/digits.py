"""Digits: how precisely an estimate is written."""

import math

SHARE = 3  # the last digit stands for at most one of so many parts of an interval's half-width


def decimals(low: float, high: float, *, most: int) -> int:
    """Return the decimals that an interval justifies: its last digit stands for at most a third of its half-width.

    The more questions, the narrower the interval, and the more digits: of a share from 0 to 1, six questions give one
    decimal, sixty give two. An interval without width justifies the digits of its value, without zeros at the end.

    Args:
        low: The lower end of the interval.
        high: The upper end; NaN, like `low`, where it is not known, which gives `most`.
        most: The highest number of decimals.
    """
    half = (high - low) / 2
    if not math.isfinite(half):
        return most
    if half <= 0:
        return len(f"{low:.{most}f}".partition(".")[2].rstrip("0"))
    return min(most, max(0, math.ceil(-math.log10(half / SHARE) - 1e-9)))
