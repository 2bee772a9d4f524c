import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import VideoError
from mmduet.video import fit_frames, iter_frames, read_frames, read_frames_of, read_metadata, sample_indices
from tests.clips import RATE, WIDTH, copy_stream, numbers_of, write_clip, write_coded, write_sound


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """2 s at 12 frames a second, 64x48."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


def levels(batch):
    """The grey of each frame's middle."""
    middle = batch.frames.shape[-1] // 2
    return batch.frames[:, 0, middle, middle].tolist()


def test_metadata(clip):
    metadata = read_metadata(clip)
    assert (metadata.frame_count, metadata.width, metadata.height) == (24, 64, 48)
    assert metadata.duration == pytest.approx(2.0, abs=1e-3)
    assert metadata.fps == pytest.approx(12.0, abs=1e-2)


def test_frames_are_the_first_at_or_after_their_time(clip):
    batch = read_frames(clip, fps=2, size=32)
    assert batch.times.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert levels(batch) == pytest.approx([0, 48, 96, 144], abs=3)
    assert batch.frames.shape == (4, 3, 32, 32)
    assert batch.frames.dtype == torch.uint8


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_other_containers(tmp_path, suffix):
    batch = read_frames(write_clip(tmp_path / f"clip{suffix}"), fps=3, size=32)
    assert levels(batch) == pytest.approx([0, 32, 64, 96, 128, 160], abs=4)


def test_variable_frame_rate(tmp_path):
    times = [0, 100, 200, 900, 1000, 1100, 1700, 1800]
    clip = write_clip(tmp_path / "vfr.mkv", frames=8, times=times)
    batch = read_frames(clip, fps=2, size=32, rounding="ceil")
    assert levels(batch) == pytest.approx([0, 8 * 3, 8 * 4, 8 * 6], abs=3)  # first at or after 0, 0.5, 1, 1.5 s


def test_batches_are_one_sample(clip):
    batches = list(iter_frames(clip, fps=12, size=16, batch_size=5))
    assert [len(batch.frames) for batch in batches] == [5, 5, 5, 5, 4]
    whole = read_frames(clip, fps=12, size=16)
    assert torch.equal(torch.cat([batch.frames for batch in batches]), whole.frames)
    np.testing.assert_array_equal(np.concatenate([batch.times for batch in batches]), whole.times)


def test_a_name_that_is_not_utf_8_does_not_matter(clip, tmp_path):
    """decord refuses it."""
    path = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    try:
        shutil.copy(clip, path)
    except OSError:
        pytest.skip("this file system has no such names")
    named, plain = (read_frames(file, fps=2, size=16).frames.int() for file in (path, clip))
    assert named.shape == plain.shape
    assert (named - plain).abs().max() <= 8, "two decoders"


def test_max_frames_keeps_the_start(clip):
    assert levels(read_frames(clip, fps=2, size=16, max_frames=2)) == pytest.approx([0, 48], abs=3)


steps = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=30)


@given(steps, st.floats(0.1, 10), st.sampled_from(["floor", "ceil"]))
def test_sampling_law(gaps, fps, rounding):
    starts = np.concatenate([[0.0], np.cumsum(gaps)])
    duration = starts[-1] + 0.05
    indices = sample_indices(starts, fps, duration=duration, rounding=rounding)
    assert 1 <= len(indices) <= max(1, np.ceil(duration * fps))
    for k, index in enumerate(indices):
        assert starts[index] >= k / fps - 1e-3
        assert index == 0 or starts[index - 1] < k / fps, "an earlier source frame would have done"


def test_floor_and_ceil():
    starts = np.arange(26) / 10
    counts = [len(sample_indices(starts, 2, duration=2.6, rounding=rounding)) for rounding in ("floor", "ceil")]
    assert counts == [5, 6]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fps": 0.0}, "fps=0"),
        ({"fps": 1e12}, r"fps=1e\+12 gives 2\.6e\+12 frames of 2\.6 s, and a sample has at most 20,000,000"),
        ({"fps": 10**20}, "gives"),
        ({"fps": 2.0, "max_frames": 0}, "max_frames=0"),
        ({"fps": 2.0, "rounding": "up"}, "rounding='up' is not known: use floor or ceil"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(VideoError, match=message):
        sample_indices(np.arange(26) / 10, duration=2.6, **wrong)
    assert len(sample_indices(np.arange(26) / 10, 1e12, duration=2.6, max_frames=9)) == 9


def test_a_size_may_be_an_integer_of_numpy(clip):
    assert read_frames(clip, fps=1, size=np.int64(16)).frames.shape[1:] == (3, 16, 16)


@pytest.mark.parametrize(("height", "width"), [(30, 60), (60, 30), (40, 40), (1, 200)])
def test_fitted_frames_keep_their_aspect_on_black(height, width):
    fitted = fit_frames(torch.full((1, 3, height, width), 200, dtype=torch.uint8), 40)
    assert fitted.shape == (1, 3, 40, 40)
    assert fitted[0, 0, 19, 19] == 200
    lit = (fitted[0, 0] == 200).sum().item()
    assert lit == max(1, round(40 * height / max(height, width))) * max(1, round(40 * width / max(height, width)))


def test_bad_files_are_reported_apart(tmp_path, clip):
    whole = clip.read_bytes()
    bad = {
        "missing.mp4": (None, "does not exist"),
        "folder.mp4": ("folder", "is a folder"),
        "empty.mp4": (b"", "0 bytes"),
        "text.mp4": (b"not a video", "not a video that can be opened"),
        "cut.mp4": (whole[: len(whole) // 2], "cut off"),
        "head.mp4": (whole[:40], "cut off"),
    }
    for name, (content, message) in bad.items():
        path = tmp_path / name
        if content == "folder":
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)
        with pytest.raises(VideoError, match=message) as caught:
            read_frames(path, fps=2, size=16)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value), "one sentence"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_a_clip_cut_short_is_refused(tmp_path, suffix, share):
    """Even where the decoder would quietly stop early."""
    clip = write_clip(tmp_path / f"clip{suffix}")
    whole = clip.read_bytes()
    clip.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(VideoError, match="cut off"):
        read_metadata(clip)


def test_a_damaged_middle_is_refused(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=48)
    data = clip.read_bytes()
    middle = len(data) - (len(data) - data.index(b"mdat")) // 2
    clip.write_bytes(data[:middle] + bytes(len(data) - middle))
    with pytest.raises(VideoError, match="damaged"):
        read_frames(clip, fps=12, size=16)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("batch_size", [1, 5, 400])
@pytest.mark.parametrize("fps", [5, RATE, 60])
def test_what_can_be_read_comes_before_the_error(tmp_path, suffix, batch_size, fps):
    """In batches of any size, also where a frame is in the sample several times."""
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    damaged = copy_stream(write_coded(tmp_path / "whole.mp4"), tmp_path / f"clip{suffix}", options=options)
    data, wanted = damaged.read_bytes(), numbers_of(read_frames(damaged, fps=fps, size=WIDTH).frames)
    at = len(data) * 7 // 10
    damaged.write_bytes(data[:at] + bytes(300) + data[at + 300 :])
    batches, read = iter_frames(damaged, fps=fps, size=WIDTH, batch_size=batch_size), []

    def take():
        for batch in batches:
            np.testing.assert_array_equal(batch.times, (len(read) + np.arange(len(batch.frames))) / fps)
            read.extend(numbers_of(batch.frames))

    with pytest.raises(VideoError, match=r"cannot be decoded at \d\.\d s, frame \d+: it is cut off or damaged"):
        take()
    assert len(read) > fps, "more than a second of 4"
    assert read == wanted[: len(read)]


@pytest.mark.parametrize(("rate", "frames"), [(1, 10), (1, 3), (3, 7), (12, 24), (25, 60)])
@pytest.mark.parametrize("fps", [0.5, 1.0, 2.0, 7.0])
def test_the_last_frame_is_held_to_the_end_of_the_video(tmp_path, rate, frames, fps):
    clip = write_clip(tmp_path / "clip.mp4", rate=rate, frames=frames)
    duration = read_metadata(clip).duration
    there = read_frames(clip, fps=fps, size=16, rounding="ceil").frames
    found = torch.cat([batch.frames for batch in iter_frames(clip, fps=fps, size=16, rounding="held", batch_size=4)])
    assert len(found) >= int(duration * fps + 1e-6)
    assert torch.equal(found[: len(there)], there)
    assert all(torch.equal(frame, there[-1]) for frame in found[len(there) :]), "the last one is held"
    if rate >= fps:
        assert len(found) == len(there), "of ordinary clips the sample is the published one"
    cut = read_frames(clip, fps=fps, size=16, rounding="held", max_frames=2).frames
    assert torch.equal(cut, found[:2])


@pytest.mark.parametrize("max_frames", [1, 3, None])
@pytest.mark.parametrize("fps", [0.7, 2, 3, 2.9, 12, 60])
def test_the_frames_of_a_trace_are_those_that_were_watched(clip, fps, max_frames):
    watched = read_frames(clip, fps=fps, size=32, rounding="ceil", max_frames=max_frames)
    found = read_frames_of(clip, watched.times, size=32)
    assert found is not None
    if len(found) > 1:  # one frame has no rate
        torch.testing.assert_close(found, watched.frames, atol=0, rtol=0)


def test_a_trace_of_another_clip_has_no_frames(clip, tmp_path):
    assert read_frames_of(clip, np.arange(50) / 12, size=32) is None
    assert read_frames_of(clip, np.array([]), size=32) is None
    assert read_frames_of(tmp_path / "none.mp4", np.arange(3) / 2, size=32) is None


@pytest.mark.parametrize(("suffix", "encoder"), [(".mp4", "H.264"), (".mkv", "H.264"), (".webm", "VP8")])
@pytest.mark.parametrize("share", [0.8, 0.98])
@pytest.mark.parametrize("fps", [2, RATE])
def test_what_is_before_a_cut_comes_before_the_error(tmp_path, suffix, encoder, share, fps):
    """As of a file that is damaged inside; what needs the whole file is refused."""
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    cut = write_coded(tmp_path / f"clip{suffix}", encoder, options=options)
    data, wanted = cut.read_bytes(), numbers_of(read_frames(cut, fps=fps, size=WIDTH).frames)
    cut.write_bytes(data[: int(len(data) * share)])
    batches, read = iter_frames(cut, fps=fps, size=WIDTH), []

    def take():
        for batch in batches:
            read.extend(numbers_of(batch.frames))

    with pytest.raises(VideoError, match="cut off"):
        take()
    assert len(read) > len(wanted) / 4, "the part that is there"
    assert read == wanted[: len(read)]
    assert numbers_of(read_frames(cut, fps=fps, size=WIDTH, max_frames=len(read)).frames) == read, "all of this sample"
    with pytest.raises(VideoError, match="cut off"):
        read_metadata(cut)


def test_a_recording_of_unstated_length_is_read(tmp_path):
    """A live recorder leaves the segment's size open."""
    clip = write_clip(tmp_path / "clip.mkv")
    data = bytearray(clip.read_bytes())
    at = data.index(b"\x18\x53\x80\x67") + 4
    data[at : at + 8] = b"\x01" + b"\xff" * 7
    clip.write_bytes(data)
    assert read_metadata(clip).frame_count == 24


def test_sparse_frames_are_those_of_a_full_read(tmp_path):
    """Seeking lands on the frame asked for, between key frames too."""
    clip = write_clip(tmp_path / "clip.mp4", frames=31)
    full = read_frames(clip, fps=12, size=16)
    sparse = torch.cat([batch.frames for batch in iter_frames(clip, fps=2, size=16, batch_size=1)])
    assert torch.equal(sparse, full.frames[::6][: len(sparse)])


def test_sound_alone_is_no_video(tmp_path):
    with pytest.raises(VideoError, match=r"sound\.mp4.*no picture track"):
        read_metadata(write_sound(tmp_path / "sound.mp4"))


@pytest.mark.parametrize("setting", [{"fps": 0}, {"fps": float("nan")}, {"size": 0}, {"max_frames": 0}])
def test_numbers_are_checked(clip, setting):
    with pytest.raises(VideoError, match=next(iter(setting))):
        read_frames(clip, **{"fps": 2, "size": 16, **setting})


def test_resizing_in_whole_numbers_is_resizing():
    frames = torch.randint(0, 256, (2, 3, 90, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.interpolate(
        frames.float(), (18, 32), mode="bilinear", align_corners=False, antialias=True
    )
    fitted = fit_frames(frames, 32)
    assert (fitted[:, :, 7:25].float() - wanted).abs().max() <= 1
    assert not fitted[:, :, :7].any()
