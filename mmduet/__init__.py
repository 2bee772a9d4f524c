"""Duet video language models: watch frame by frame, decide when to speak.

The public names stand here; each is imported when it is first asked for, so that this package loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmduet.checkpoints.loading import load_duet, load_processor
    from mmduet.errors import DuetError
    from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
    from mmduet.model.processing import DuetProcessor
    from mmduet.policy import FrameScores, ScoreSum, ScoreThreshold
    from mmduet.streaming.session import DuetSession
    from mmduet.trace import DuetTrace, Query, Response
    from mmduet.video import iter_frames, read_frames, read_metadata
    from mmduet.video.stream import StreamSource

__version__ = "0.1.0"

_MODULES = {
    "DuetConfig": "model.duet",
    "DuetError": "errors",
    "DuetForConditionalGeneration": "model.duet",
    "DuetProcessor": "model.processing",
    "DuetSession": "streaming.session",
    "DuetTrace": "trace",
    "FrameScores": "policy",
    "Query": "trace",
    "Response": "trace",
    "ScoreSum": "policy",
    "ScoreThreshold": "policy",
    "StreamSource": "video.stream",
    "iter_frames": "video",
    "load_duet": "checkpoints.loading",
    "load_processor": "checkpoints.loading",
    "read_frames": "video",
    "read_metadata": "video",
}

__all__ = [
    "DuetConfig",
    "DuetError",
    "DuetForConditionalGeneration",
    "DuetProcessor",
    "DuetSession",
    "DuetTrace",
    "FrameScores",
    "Query",
    "Response",
    "ScoreSum",
    "ScoreThreshold",
    "StreamSource",
    "iter_frames",
    "load_duet",
    "load_processor",
    "read_frames",
    "read_metadata",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
