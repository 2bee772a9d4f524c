import math

import numpy as np
import pytest

from mmduet.checkpoints import build_tiny
from mmduet.data.scenes import make_scenes
from mmduet.evaluation.benchmarks.scenes import WatchedClip, quality, responses_per_scene, right_responses, scenes_named
from mmduet.evaluation.metrics.bootstrap import bootstrap
from mmduet.trace import Response

TRUTH = {
    "scenes": [
        {"concept": "cat", "start": 0.0, "end": 4.0},
        {"concept": "moon", "start": 6.0, "end": 9.0},
    ],
    "pauses": [[4.0, 6.0]],
}


def clip(*said):
    return WatchedClip(TRUTH, [Response(time, text) for time, text in said])


def test_a_perfect_clip():
    perfect = [clip((1.0, "A tabby cat looks up."), (7.0, "The moon."))]
    assert (right_responses(perfect), scenes_named(perfect), responses_per_scene(perfect)) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("said", "right", "named", "per_scene"),
    [
        ([(1.0, "The moon.")], 0.0, 0.0, 0.5),
        ([(1.0, "A cat and the moon.")], 0.0, 0.0, 0.5),
        ([(5.0, "A cat.")], 0.0, 0.0, 0.5),
        ([(4.0, "A cat.")], 0.0, 0.0, 0.5),
        ([(1.0, "A cat."), (1.5, "A cat.")], 1.0, 0.5, 1.0),
    ],
)
def test_what_counts(said, right, named, per_scene):
    clips = [clip(*said)]
    assert (right_responses(clips), scenes_named(clips), responses_per_scene(clips)) == (right, named, per_scene)


def test_silence_has_no_share_of_right_responses():
    assert math.isnan(right_responses([clip()]))


def test_bootstrap_covers_the_mean():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400).tolist()
    estimate = bootstrap(values, lambda drawn: float(np.mean(drawn)))
    assert estimate.value == pytest.approx(np.mean(values))
    width = 1.96 * np.std(values) / 20
    assert estimate.low == pytest.approx(estimate.value - width, abs=0.02)
    assert estimate.high == pytest.approx(estimate.value + width, abs=0.02)


def test_quality_of_an_untrained_model_is_poor(tmp_path):
    model, processor = build_tiny()
    folder = make_scenes(tmp_path, train=0, val=0, test=2)
    figures = quality(model, processor, folder, feature_folder=tmp_path / "features")
    assert set(figures) == {
        "informative_auc", "relevance_auc", "right_responses", "scenes_named", "responses_per_scene",
    }  # fmt: skip
    assert figures["scenes_named"].value == 0.0
    assert figures["relevance_auc"].low <= figures["relevance_auc"].value <= figures["relevance_auc"].high
