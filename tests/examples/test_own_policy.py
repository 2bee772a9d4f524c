"""examples/own_policy.py, used as its text says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmduet_widgets import DuetPlayer, LiveDuet, ScorePlot, ThresholdExplorer

from examples.own_policy import Patient
from mmduet import DuetSession, DuetTrace, FrameScores
from mmduet.evaluation.benchmark import Settings, policy_of
from mmduet.evaluation.metrics.timing import sweep
from mmduet.evaluation.prediction_file import Prediction
from mmduet.plots import score_figure
from mmduet.policy import make_policy, replay_thresholds, threshold_grid
from tests.clips import write_clip
from tests.widgets.players import inner

NAME = "examples.own_policy:Patient"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trace() -> DuetTrace:
    """20 frames, two a second, whose scores swing."""
    informative = 0.5 + 0.4 * np.sin(np.arange(20))
    return DuetTrace.from_events([FrameScores(index / 2, value, 0.3) for index, value in enumerate(informative)])


def test_it_is_short() -> None:
    assert len((ROOT / "examples/own_policy.py").read_text().splitlines()) <= 60


def test_a_session_speaks_by_it(tiny) -> None:
    frames = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.manual_seed(0))
    session = DuetSession(*tiny, policy=Patient(-1.0, seconds=2.0), frame_fps=2, max_new_tokens=2)
    trace = session.run(frames)
    assert [response.time for response in trace.responses] == [0.0, 2.0, 4.0]
    assert trace.replay(session.policy).tolist() == [0, 4, 8]


def test_a_trace_is_replayed_at_every_threshold(trace: DuetTrace) -> None:
    policy = Patient(0.5)
    grid = threshold_grid(policy, [trace])
    counts = replay_thresholds(policy, [trace], grid)[0].sum(1).tolist()
    assert counts[0] == len(trace.replay(Patient(-1.0))) == 4
    assert counts[-1] == 0
    prediction = Prediction("q", 10.0, trace)
    assert sweep({"q": prediction}, {}, policy, grid).responses.tolist() == [counts]


def test_figures_show_its_decision_curve_and_its_marks(trace: DuetTrace) -> None:
    fig = score_figure(trace, Patient(0.6, heads=("informative", "relevance")))
    curves = {drawn.name: drawn for drawn in fig.data}
    np.testing.assert_allclose(curves["informative + relevance"].y, trace.informative + trace.relevance)
    marks = curves[f"would speak {len(trace.replay(Patient(0.6, heads=('informative', 'relevance'))))}×"]
    assert sum(y is not None for y in marks.y) > 1
    assert len(fig.layout.sliders[0].steps) > 10
    assert ScorePlot(trace, policy=Patient(0.6)).report()


def test_the_player_and_its_page_move_its_threshold(trace: DuetTrace, tmp_path: Path) -> None:
    player = DuetPlayer(write_clip(tmp_path / "clip.mp4"), trace, policy=Patient(0.6))
    player.threshold = 0.123
    assert player.replays[0]["frames"] == trace.replay(Patient(0.123)).tolist()
    data = re.search(r'id="data">(.*?)</script>', inner(player.to_html()), re.DOTALL)
    assert data
    grid = json.loads(data[1])["state"]["replay_grid"]
    assert (grid["count"], grid["step"]) == (101, 0.01)


def test_the_explorer_sweeps_its_threshold(trace: DuetTrace) -> None:
    explorer = ThresholdExplorer({"q": Prediction("q", 10.0, trace)}, policy=Patient(0.6))
    assert explorer.table["responses a minute"].iloc[-1] == 0
    explorer.threshold = 0.0
    assert "<iframe" in explorer.to_html()


def test_a_name_makes_it_and_a_live_player_offers_it(tiny, tmp_path: Path) -> None:
    policy = make_policy(NAME, 0.25)
    assert (type(policy), policy.threshold) == (Patient, 0.25)
    policy = policy_of(Settings(2.0, mode=NAME, threshold=0.0))
    session = DuetSession(*tiny, policy=policy, frame_fps=2.0, max_new_tokens=2)
    player = LiveDuet(session, [write_clip(tmp_path / "clip.mp4", frames=48)])
    player.real_time = False
    player.start()
    player.wait(30)
    assert (player.state, player.mode, player.threshold) == ("ended", NAME, 0.0)
    assert [response.time for response in player.trace.responses] == [0.0, 3.0]
    player.close()
