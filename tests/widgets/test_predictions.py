"""prediction_view: a player where there is something to play."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmduet_widgets import DuetPlayer, ScorePlot, clip_file, prediction_view

from mmduet.evaluation.prediction_file import UNTIMED, Prediction
from mmduet.policy import Greedy, ScoreThreshold
from mmduet.trace import DuetTrace, Response
from tests.clips import write_clip

SPANS = [(1.0, 2.0, "a span")]


@pytest.fixture
def prediction() -> Prediction:
    """Four frames, two a second."""
    return Prediction(
        "q", 2.0, DuetTrace(np.arange(4) / 2, np.full(4, 0.5), np.full(4, 0.5), [Response(1.0, "A cat.")])
    )


def view(prediction: Prediction, video: Path) -> DuetPlayer | ScorePlot:
    return prediction_view(prediction, video, policy=ScoreThreshold(0.4), spans=SPANS, title="q: 5 %")


def pictures(plot: DuetPlayer | ScorePlot) -> int:
    return len(json.loads(plot.children[1].figure)["layout"].get("images", []))


def test_a_clip_is_played(prediction, tmp_path):
    player = view(prediction, write_clip(tmp_path / "clip.mp4"))
    assert isinstance(player, DuetPlayer)
    assert player.video
    assert (player.title, player.threshold, player.spans[0]["label"]) == ("q: 5 %", 0.4, "a span")


def test_a_clip_too_large_to_be_shown_becomes_pictures(prediction, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_file, "MAX_VIDEO_BYTES", 10)
    plot = view(prediction, write_clip(tmp_path / "clip.mp4"))
    assert isinstance(plot, ScorePlot)
    assert pictures(plot) == 4


@pytest.mark.parametrize("contents", [None, b"", b"no video"])
def test_without_a_clip_the_curves_are_left(prediction, tmp_path, contents):
    video = tmp_path / "clip.mp4"
    if contents is not None:
        video.write_bytes(contents)
    plot = view(prediction, video)
    assert isinstance(plot, ScorePlot)
    assert pictures(plot) == 0


def test_a_baseline_has_nothing_to_play(tmp_path):
    baseline = Prediction("q", 2.0, DuetTrace.from_events([Response(UNTIMED, "A cat.")]), segments=[])
    assert isinstance(view(baseline, write_clip(tmp_path / "clip.mp4")), ScorePlot)


def test_responses_alone_are_played(tmp_path):
    line = {"model_response_list": [{"time": 1.0, "content": "A cat.", "role": "assistant"}], "debug_data": []}
    prediction = Prediction("q", 2.0, DuetTrace.from_prediction(line))
    player = prediction_view(prediction, write_clip(tmp_path / "clip.mp4"), policy=Greedy())
    assert isinstance(player, DuetPlayer)
    assert (player.curves, player.trace.responses) == ([], [Response(1.0, "A cat.")])
