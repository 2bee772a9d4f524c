"""Collator: the frames of a conversation, as many as its video's duration states."""

import json

import pytest

from mmduet.checkpoints import build_tiny
from mmduet.data import Collator, FeatureCache, MixtureDataset
from tests.clips import write_clip


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
