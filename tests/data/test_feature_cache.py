"""The cache of vision features: what is in it, and every way in which it can be wrong."""

import multiprocessing
import os
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmduet.checkpoints import build_tiny
from mmduet.data.feature_cache import FeatureCache, fingerprint, tower_features
from mmduet.data.mixture import Sample
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import DuetError, VideoError
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.video import read_frames
from tests.clips import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """3 s."""
    return write_clip(tmp_path_factory.mktemp("clips") / "a.mp4", frames=36, rate=12)


@pytest.fixture
def cache(tiny, tmp_path):
    return FeatureCache(tmp_path, *tiny)


def sample(video, duration=3.0, fps=2.0):
    return Sample("narration", video, duration, fps, 128, [], "n.json:0")


def videos_in(cache):
    """The files of videos' features. One further file is of the fixed frame that tells code from code."""
    return [path for path in cache.folder.glob("*.safetensors") if not path.name.startswith("tower-")]


def test_features_are_those_of_the_video(cache, tiny, clip):
    model, processor = tiny
    frames = read_frames(clip, fps=2, size=processor.frame.fit).frames[1:5]
    with torch.no_grad():
        fresh = model.vision_features(processor.pixel_values(frames))
    stored = cache.read(clip, 2.0, 1, 4)
    torch.testing.assert_close(stored, fresh, atol=1e-6, rtol=0)
    assert stored.dtype == fresh.dtype
    assert torch.equal(tower_features(model, processor, clip, 2.0, 1, 4), stored)
    assert len(cache.read(clip, 2.0, 3, 0)) == 0


def test_a_video_with_the_longest_name_has_features(cache, clip, tmp_path):
    """255 bytes, as a downloaded clip that is named after its title may have."""
    video = tmp_path / "videos" / f"{'映' * 83}aa.mp4"
    video.parent.mkdir()
    shutil.copy(clip, video)
    cache.prepare([sample(video)])
    assert torch.equal(cache.read(video, 2.0, 1, 4), cache.read(clip, 2.0, 1, 4))


def test_the_estimate_is_what_the_files_take(cache, clip):
    cache.prepare([sample(clip), sample(clip, fps=1.0), sample(clip)])
    files = videos_in(cache)
    assert len(files) == 2, "one for each rate"
    tensors = sum(load_file(file)["features"].nbytes for file in files)
    assert cache.estimate([sample(clip), sample(clip, fps=1.0)]) == tensors


def test_what_would_not_fit_is_refused_before_it_starts(tiny, tmp_path, clip):
    cache = FeatureCache(tmp_path, *tiny, limit_gb=1e-6)
    with pytest.raises(
        DuetError, match=r"would take \d\.\d MB more .*, limit_gb=1e-06 leaves 0\.0 MB: raise the limit"
    ):
        cache.prepare([sample(clip)])
    assert not videos_in(cache)


def test_a_changed_video_has_other_features(cache, clip, tmp_path):
    video = shutil.copy(clip, tmp_path / "copy.mp4")
    before = cache.path(video, 2.0)
    os.utime(video, (1, 1))
    assert cache.path(video, 2.0) != before
    assert cache.path(video, 1.0) != cache.path(video, 2.0)


CODE = {
    "scaled": lambda model, pixels: vision_features(model, pixels) * 1.5,
    "channels the other way round": lambda model, pixels: vision_features(model, pixels.flip(1)),
    "upside down": lambda model, pixels: vision_features(model, pixels.flip(2)),
    "cells in another order": lambda model, pixels: vision_features(model, pixels).flip(1),
    "fewer cells": lambda model, pixels: vision_features(model, pixels)[:, 1:],
    "another layer": lambda model, pixels: vision_features(model, pixels).tanh(),
}


def vision_features(model, pixels):
    return DuetForConditionalGeneration.vision_features(model, pixels)


def with_code(code):
    """`tiny` as a class of one's own, with other code for the same weights."""
    model, processor = build_tiny()
    model.vision_features = partial(code, model)
    return model, processor


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_other_code_with_the_same_weights_has_other_features(cache, clip, code):
    model, processor = with_code(code)
    other = FeatureCache(cache.folder, model, processor)
    assert other.tower == cache.tower, "the same weights"
    for each in (cache, other):
        each.prepare([sample(clip)])
        fresh = tower_features(each.model, processor, clip, 2.0, 0, 2)
        assert torch.equal(each.read(clip, 2.0, 0, 2), fresh)
    again = FeatureCache(cache.folder, *with_code(code))
    assert again.path(clip, 2.0) == other.path(clip, 2.0), "neither is computed again"
    assert FeatureCache(cache.folder, *build_tiny()).path(clip, 2.0) == cache.path(clip, 2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rounding_of_another_device_changes_no_key(tmp_path, clip, dtype):
    def rounded(model, pixels):
        features = vision_features(model, pixels)
        noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
        return (features + features.abs().mean() * 2 * torch.finfo(dtype).eps * noise).to(dtype)

    paths = []
    for code in (vision_features, rounded):
        model, processor = with_code(code)
        paths.append(FeatureCache(tmp_path, model.to(dtype), processor).path(clip, 2.0))
    assert paths[0] == paths[1]


def _permuted(weight):
    return weight.flip(0)


def _swapped(weight):
    values = weight.flatten().clone()
    values[[0, -1]] = values[[-1, 0]]
    return values.view_as(weight)


@pytest.mark.parametrize("change", [_permuted, _swapped, torch.neg, lambda weight: weight.nextafter(weight + 1)])
@pytest.mark.parametrize("place", [0, -1])
def test_any_change_of_any_weight_changes_the_fingerprint(tiny, change, place):
    """Also one that keeps the sum."""
    model, processor = build_tiny()
    assert fingerprint(model, processor) == fingerprint(*tiny)
    weight = [value for value in model.vision_tower.parameters() if value.dim() > 1][place]
    weight.data = change(weight.data)
    assert fingerprint(model, processor) != fingerprint(*tiny)


def test_nan_in_the_cache_is_named(cache, clip):
    cache.prepare([sample(clip)])
    path = cache.path(clip, 2.0)
    features = load_file(path)["features"]
    features[4, 0, 0] = torch.nan
    save_file({"features": features}, path, {"tower": cache.tower})
    cache.read(clip, 2.0, 0, 4)
    with pytest.raises(DuetError, match=rf"{path.name}, frame 4 of .*a\.mp4, holds NaN or inf: delete it"):
        cache.read(clip, 2.0, 2, 4)


def test_a_cache_of_another_tower_is_named(cache, clip, tmp_path):
    model, processor = build_tiny(seed=1)
    other = FeatureCache(tmp_path / "other", model, processor)
    other.prepare([sample(clip)])
    assert other.path(clip, 2.0).name != cache.path(clip, 2.0).name, "towers share a folder"
    shutil.copy(other.path(clip, 2.0), cache.path(clip, 2.0))
    with pytest.raises(DuetError, match=r"holds features of another vision tower .*: delete it"):
        cache.read(clip, 2.0, 0, 1)


def test_a_tower_that_gives_nan_is_named(clip, tmp_path):
    model, processor = build_tiny()
    next(model.vision_tower.parameters()).data.fill_(torch.nan)
    cache = FeatureCache(tmp_path, model, processor)
    with pytest.raises(DuetError, match=r"a\.mp4: the vision tower gives NaN"):
        cache.prepare([sample(clip)])
    assert not videos_in(cache)


def test_a_damaged_file_is_named(cache, clip):
    cache.prepare([sample(clip)])
    path = cache.path(clip, 2.0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DuetError, match=rf"{path.name} cannot be read .*: delete it"):
        cache.read(clip, 2.0, 0, 1)


def test_more_frames_than_the_video_has_is_an_error(cache, clip):
    with pytest.raises(DuetError, match=r"gives 6 frames at 2\.0 per second, .* need 9: correct the metadata"):
        cache.read(clip, 2.0, 4, 5)


def test_a_missing_video_is_named(cache, tmp_path):
    with pytest.raises(VideoError, match=r"gone\.mp4 does not exist"):
        cache.read(tmp_path / "gone.mp4", 2.0, 0, 1)


def test_broken_videos_stop_or_are_left_out(cache, clip, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        cache.prepare([sample(bad), sample(clip)])
    broken = UnreadableVideos("skip", limit=1)
    cache.prepare([sample(bad), sample(clip)], broken)
    assert list(broken.found) == [bad]
    assert cache.path(clip, 2.0).is_file()


def compute(folder, clip, barrier):
    cache = FeatureCache(folder, *build_tiny())
    barrier.wait()
    for _ in range(5):
        cache._compute(clip, 2.0)


def test_two_processes_computing_the_same_do_no_harm(cache, clip):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=compute, args=(cache.folder, clip, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert videos_in(cache) == [cache.path(clip, 2.0)]
    assert len(list(cache.folder.iterdir())) == 2, "nothing is left aside"
    assert len(cache.read(clip, 2.0, 0, 6)) == 6
