"""prediction_view: a line of a prediction file to watch again."""

from collections.abc import Iterable
from pathlib import Path

from mmduet.errors import VideoError
from mmduet.evaluation.frames import frames_of
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet_widgets.duet_player import DuetPlayer, read_clip
from mmduet_widgets.score_plot import ScorePlot


def prediction_view(
    prediction: Prediction,
    video: str | Path,
    *,
    policy: ScoreThreshold | ScoreSum,
    spans: Iterable[tuple[float, float, str]] = (),
    title: str = "",
) -> DuetPlayer | ScorePlot:
    """A DuetPlayer; where the clip is missing or too large to be shown, or there are no scores, a ScorePlot.

    video: the prediction's. policy: the one it was made with. spans: reference (start, end, label), s.
    """
    frames = None
    try:
        clip, _ = read_clip(video)
        if clip and len(prediction.trace):
            return DuetPlayer(clip, prediction.trace, policy=policy, spans=spans, title=title)
        frames = frames_of(prediction, video)
    except VideoError:
        pass  # the curves say enough
    return ScorePlot(prediction.trace, policy=policy, frames=frames, spans=spans, title=title)
