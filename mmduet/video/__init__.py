"""Video files: metadata, and frames sampled by the times at which a player shows them.

table     which frames a player shows, and when: from the file's packets (PyAV)
decoders  decord, for files that it is known to read right; PyAV, for all others
reader    read_metadata, iter_frames, read_frames
fitting   frames fitted to a square
"""

from mmduet.video.fitting import fit_frames
from mmduet.video.reader import FrameBatch, VideoMetadata, iter_frames, read_frames, read_metadata
from mmduet.video.sampling import TOLERANCE, check_positive, sample_indices

__all__ = [
    "TOLERANCE",
    "FrameBatch",
    "VideoMetadata",
    "check_positive",
    "fit_frames",
    "iter_frames",
    "read_frames",
    "read_metadata",
    "sample_indices",
]
