"""The place of batches of frames in a video, whose frames have a rate."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import VideoError
from mmduet.video import FrameBatch
from mmduet.video.batch import placed

RATES = st.sampled_from([0.5, 1.0, 2.0, 29.97, 30.0])


def pictures(count: int) -> torch.Tensor:
    return torch.zeros(count, 3, 2, 2, dtype=torch.uint8)


@given(RATES, st.lists(st.tuples(st.integers(0, 5), st.lists(st.floats(-0.24, 0.24), min_size=1, max_size=6))))
def test_lost_frames_and_times_that_jitter_are_taken(fps: float, runs: list[tuple[int, list[float]]]) -> None:
    """As of a live source: frames between two batches are lost, and each comes up to a quarter early or late."""
    batches, wanted, at = [], [], 0
    for lost, jitter in runs:
        at += lost
        batches.append(FrameBatch((at + np.arange(len(jitter)) + jitter) / fps, pictures(len(jitter))))
        wanted.append(at)
        at += len(jitter)
    assert [first for first, _ in placed(batches, fps)] == wanted


@pytest.mark.parametrize(
    ("times", "fps", "message"),
    [
        (np.arange(8.0), 2, "the frames are 1 s apart, and the session has frame_fps=2: read them at fps=2, or set "
         "frame_fps=1."),
        (np.arange(8) / 2, 1, "the frames are 0.5 s apart, and the session has frame_fps=1: read them at fps=1, or set "
         "frame_fps=2."),
        (np.zeros(8), 1, "the frames are 0 s apart, and the session has frame_fps=1: read them at fps=1."),
        (np.full(8, np.nan), 1, "the frames are nan s apart, and the session has frame_fps=1: read them at fps=1."),
        (np.arange(7.0), 1, "frames: a batch has 7 times and 8 frames: give a time for each frame."),
    ],
)  # fmt: skip
def test_times_of_another_rate_are_one_sentence(times: np.ndarray, fps: float, message: str) -> None:
    with pytest.raises(VideoError) as refused:
        list(placed(FrameBatch(times, pictures(8)), fps))
    assert str(refused.value) == message


def test_batches_that_go_back_are_one_sentence() -> None:
    with pytest.raises(VideoError, match=r"begins at 0 s, and the one before ends at 4 s with frame_fps=2"):
        list(placed([FrameBatch(np.arange(8) / 2, pictures(8))] * 2, 2))


def test_batches_without_times_or_frames_follow() -> None:
    found = placed([pictures(2), pictures(0), FrameBatch(np.zeros(0), pictures(0)), pictures(3)], 2)
    assert [(first, len(frames)) for first, frames in found] == [(0, 2), (0, 3)]


@pytest.mark.parametrize(
    ("frames", "seen"),
    [
        (pictures(4).numpy(), r"ndarray \(uint8 \[3, 2, 2\]"), (pictures(4)[0], r"torch.uint8 \[3, 2, 2\]"),
        (pictures(4).float(), r"torch.float32 \[4, 3, 2, 2\]"), ("clip.mp4", "frames: str"), (None, "frames: NoneType"),
        (3, "frames: int"), ([[1]], "frames: list"), (pictures(4)[:, :2], r"\[4, 2, 2, 2\]"),
    ],
)  # fmt: skip
def test_what_are_no_frames_is_one_sentence(frames: object, seen: str) -> None:
    with pytest.raises(VideoError, match=rf"{seen}.*: give a tensor, uint8 \[n, 3, H, W\]"):
        list(placed(frames, 2))  # type: ignore[arg-type]
