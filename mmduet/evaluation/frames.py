"""The frames that a prediction's scores belong to."""

from pathlib import Path
from typing import TYPE_CHECKING

from mmduet.evaluation.prediction_file import Prediction
from mmduet.video import read_frames

if TYPE_CHECKING:
    import torch


def frames_of(prediction: Prediction, video: str | Path, *, size: int = 96) -> "torch.Tensor | None":
    """Read the frames that a prediction was made from.

    Returns:
        uint8 [N, 3, size, size], one frame a score; None if there are no scores, no file, or another number of frames.
    """
    times = prediction.trace.times
    if not len(times) or not Path(video).is_file():
        return None
    fps = 1 / (times[1] - times[0]) if len(times) > 1 else 1.0
    frames = read_frames(video, fps=fps, size=size, max_frames=len(times), rounding="ceil").frames
    return frames if len(frames) == len(times) else None
