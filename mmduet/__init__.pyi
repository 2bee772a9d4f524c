from .checkpoints.loading import load_duet as load_duet, load_processor as load_processor
from .errors import DuetError as DuetError
from .model.duet import DuetConfig as DuetConfig, DuetForConditionalGeneration as DuetForConditionalGeneration
from .model.processing import DuetProcessor as DuetProcessor
from .policy import FrameScores as FrameScores, ScoreSum as ScoreSum, ScoreThreshold as ScoreThreshold
from .streaming.session import DuetSession as DuetSession
from .trace import DuetTrace as DuetTrace, Query as Query, Response as Response
from .video import iter_frames as iter_frames, read_frames as read_frames, read_metadata as read_metadata
from .video.stream import StreamSource as StreamSource

__version__: str
