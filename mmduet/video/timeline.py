"""Timeline: times of shown frames, also where a recording restarts in the middle."""

from fractions import Fraction

RESTART = 0.5  # s: times that go back by more restart; by less, a frame is out of order
MAX_GAP = 3600.0  # s from one frame to the next; more is a damaged time, or another clock
MAX_STAMP = 1e11  # s; a wrapped counter gives more, which is no time


def seconds(stamp: int | None, base: Fraction) -> float | None:
    """Convert a frame's time stamp to seconds; None where it is missing or not a time.

    Args:
        stamp: In units of `base`.
        base: s.
    """
    time = None if stamp is None else float(stamp * base)
    return None if time is None or abs(time) > MAX_STAMP else time


class Timeline:
    """Turns the time stamps of shown frames into times from the first frame.

    A camera that reboots, a sender that restarts, and a joined file make stamps go back (or jump by hours). The frame
    then follows the one before.

    Args:
        rate: Frames per second, if known.

    Attributes:
        restarts: How often stamps went back or jumped.
    """

    def __init__(self, rate: float | None):
        self.restarts = 0
        self._gap = 1 / (rate or 25)
        self._far = max(RESTART, 16 * self._gap)
        self._offset = self._last = 0.0
        self._begun = False

    def place(self, stamp: float) -> float:
        """Return the time, s, of the frame with this stamp, s. A frame a little out of order keeps its earlier time."""
        if not self._begun:
            self._begun, self._offset = True, -stamp
        step = stamp + self._offset - self._last
        if step < -self._far or step > MAX_GAP:
            self.restarts += 1
            self._offset += self._gap - step
        elif 0 < step <= RESTART:
            self._gap = step
        self._last = max(self._last, stamp + self._offset)
        return stamp + self._offset
