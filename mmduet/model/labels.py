"""Labels of frames, as training conversations have them."""

import reprlib
from numbers import Integral
from typing import Any

from mmduet.errors import DuetError
from mmduet.model.losses import IGNORE


def check_labels(name: str, labels: Any, frames: int) -> None:
    """Check the labels of a stream turn.

    Args:
        name: What they label, for messages.
        labels: 0, 1, or `IGNORE` for each frame. None: no frame is labelled.
        frames: The number of frames.

    Raises:
        DuetError: They are anything else.
    """
    if labels is None:
        return
    if not isinstance(labels, tuple | list):
        raise DuetError(f"a stream turn has {name}={reprlib.repr(labels)}: give a tuple with one label a frame.")
    if len(labels) != frames:
        raise DuetError(f"a stream turn of {frames} frames has {len(labels)} {name} labels: give one a frame.")
    for label in labels:
        if not isinstance(label, Integral) or label not in (0, 1, IGNORE):
            raise DuetError(
                f"a stream turn has the {name} label {label!r}: give 0 or 1, or {IGNORE} for a frame without one."
            )
