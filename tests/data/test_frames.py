"""Frames for training: as many as a video's duration states, whatever its own frame rate."""

import json

import pytest
import torch

from mmduet.checkpoints import build_tiny
from mmduet.data import Collator, FeatureCache, MixtureDataset
from mmduet.data.frames import training_frames
from mmduet.video import read_frames, read_metadata
from tests.clips import write_clip


@pytest.mark.parametrize(("rate", "frames"), [(1, 10), (1, 3), (3, 7), (12, 24), (25, 60)])
@pytest.mark.parametrize("fps", [0.5, 1.0, 2.0, 7.0])
def test_whole_intervals_of_the_video_have_frames(tmp_path, rate, frames, fps):
    clip = write_clip(tmp_path / "clip.mp4", rate=rate, frames=frames)
    duration = read_metadata(clip).duration
    there = read_frames(clip, fps=fps, size=16, rounding="ceil").frames
    found = torch.cat(list(training_frames(clip, fps=fps, size=16, batch_size=4)))
    assert len(found) >= int(duration * fps + 1e-6)
    assert torch.equal(found[: len(there)], there)
    assert all(torch.equal(frame, there[-1]) for frame in found[len(there) :]), "the last one is held"
    if rate >= fps:
        assert len(found) == len(there), "of ordinary clips the sample is the published one"
    cut = torch.cat(list(training_frames(clip, fps=fps, size=16, max_frames=2)))
    assert torch.equal(cut, found[:2])


@pytest.mark.parametrize("cached", [False, True])
def test_a_slow_video_is_trained_on(tmp_path, cached):
    """The tool's own scan states its duration, and a conversation lasts to its end."""
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "slow.mp4", rate=1, frames=10)
    asked = [{"video_uid": "slow.mp4", "query": "a square", "timestamps": [[2, 10]]}]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    mixture = [{
        "dataset_cls": "GroundingStreamDataset", "video_root": "videos", "anno_file": "asked.json",
        "metadata_path": "metadata.json",
    }]  # fmt: skip
    (tmp_path / "mixture.json").write_text(json.dumps(mixture))
    model, processor = build_tiny()
    dataset = MixtureDataset(tmp_path / "mixture.json")
    features = FeatureCache(tmp_path / "features", model, processor) if cached else None
    batch = Collator(processor, features)([dataset[0]])
    frames = batch["vision_features" if cached else "pixel_values"]
    assert len(frames) == dataset[0].conversation.frames == 20
