"""Labels of frames, as training conversations have them."""

import reprlib
from numbers import Integral
from typing import Any

from mmduet.errors import DuetError
from mmduet.model.losses import IGNORE


def check_labels(frames: Any, **labels: Any) -> None:
    """Check the number of frames of a stream turn, and their labels.

    Args:
        frames: A whole number from 0.
        **labels: By name, 0, 1, or `IGNORE` for each frame. None: no frame is labelled.

    Raises:
        DuetError: They are anything else.
    """
    if not isinstance(frames, Integral) or frames < 0:
        raise DuetError(f"a stream turn of {frames} frames: give a whole number from 0, and turns in order of time.")
    for name, given in labels.items():
        if given is not None:
            _check_each(name, given, int(frames))


def _check_each(name: str, labels: Any, frames: int) -> None:
    if not isinstance(labels, tuple | list):
        raise DuetError(f"a stream turn has {name}={reprlib.repr(labels)}: give a tuple with one label a frame.")
    if len(labels) != frames:
        raise DuetError(f"a stream turn of {frames} frames has {len(labels)} {name} labels: give one a frame.")
    for label in labels:
        if not isinstance(label, Integral) or label not in (0, 1, IGNORE):
            raise DuetError(
                f"a stream turn has the {name} label {label!r}: give 0 or 1, or {IGNORE} for a frame without one."
            )
