"""Video files: metadata, and frames sampled by the times at which a player shows them.

container  a file opened with PyAV, and how its pictures are displayed
table      which frames a player shows, and when, from the file's packets
timeline   times of shown frames, also where a recording restarts
sampling   which frames a sample at a fixed rate takes
decoders   decord for files that it reads right, PyAV for all others
fitting    frames resized
batch      FrameBatch, and the place of batches in a video
pictures   image files in the place of frames
prefetch   results computed ahead by a thread
reader     read_metadata, iter_frames, read_frames, read_frames_of
stream     StreamSource: frames of a video that is still being recorded
"""

from mmduet.video.batch import FrameBatch
from mmduet.video.fitting import CenterCrop, FrameSize, Within, fit_frames
from mmduet.video.reader import VideoMetadata, iter_frames, read_frames, read_frames_of, read_metadata
from mmduet.video.sampling import TOLERANCE, check_positive, sample_indices

__all__ = [
    "TOLERANCE",
    "CenterCrop",
    "FrameBatch",
    "FrameSize",
    "VideoMetadata",
    "Within",
    "check_positive",
    "fit_frames",
    "iter_frames",
    "read_frames",
    "read_frames_of",
    "read_metadata",
    "sample_indices",
]
