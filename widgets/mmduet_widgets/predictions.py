"""prediction_view: a widget of one prediction."""

from collections.abc import Iterable
from pathlib import Path

from mmduet.errors import VideoError
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import Policy
from mmduet.video import read_frames_of
from mmduet_widgets.clip_file import read_clip
from mmduet_widgets.duet_player import DuetPlayer
from mmduet_widgets.score_plot import ScorePlot


def prediction_view(
    prediction: Prediction,
    video: str | Path,
    *,
    policy: Policy,
    spans: Iterable[tuple[float, float, str]] = (),
    title: str = "",
) -> DuetPlayer | ScorePlot:
    """Show a prediction in a DuetPlayer, or in a ScorePlot where the clip cannot be shown.

    A whole-video baseline is shown in a ScorePlot, too: its text need not have times.

    Args:
        prediction: The prediction.
        video: Its video.
        policy: The policy that it was made with.
        spans: Reference (start, end, label), s.
        title: Shown above.
    """
    frames = None
    try:
        clip, _ = read_clip(video)
        if clip and prediction.segments is None:
            return DuetPlayer(clip, prediction.trace, policy=policy, spans=spans, title=title)
        frames = read_frames_of(video, prediction.trace.times)
    except VideoError:
        pass  # the curves need no video
    return ScorePlot(prediction.trace, policy=policy, frames=frames, spans=spans, title=title)
