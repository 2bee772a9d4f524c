"""DuetPlayer in Python: what it refuses, what it sends, and the replays that its page finds."""

import html
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from mmduet_widgets import DuetPlayer
from mmduet_widgets.player_state import json_number

from mmduet.errors import DuetError, VideoError
from mmduet.plots.colors import DECISION_COLOR, HEAD_COLORS
from mmduet.policy import HEADS, Greedy, Policy, ScoreSum, ScoreThreshold, make_policy
from mmduet.trace import DuetTrace, Query, Response
from tests.clips import write_clip
from tests.policies import EveryThird
from tests.widgets.players import ATTACK, WEBM, inner, make_player, make_trace, make_words


def test_the_state_is_plain_json() -> None:
    trace = make_trace(2, relevance=np.array([np.nan, 1.0]))
    player = make_player(trace=trace, spans=[(0.0, 3, "a cat")], title="Cats")
    state = player.get_state(["trace", "policy", "spans", "threshold", "time", "title", "note"])
    assert json.loads(json.dumps(state, allow_nan=False)) == {
        "trace": {
            "times": [0.0, 0.5],
            "informative": [0.0, 0.1],
            "relevance": [None, 1.0],
            "responses": [{"time": 2.0, "text": ATTACK}, {"time": 4.0, "text": "A cat."}],
            "queries": [{"time": 0.0, "text": "What is there?"}],
        },
        "policy": {
            "mode": "threshold",
            "heads": ["informative"],
            "threshold": 0.65,
            "decision": {"head": "informative", "name": "decision score", "color": DECISION_COLOR, "own_panel": False},
            "tops": {"score": 1.0},
            "dial": {"top": 1.0, "step": 0.01, "digits": 2},
        },
        "spans": [{"start": 0.0, "end": 3.0, "label": "a cat"}],
        "threshold": 0.65,
        "time": 0.0,
        "title": "Cats",
        "note": "",
    }
    assert player.video == WEBM


@pytest.mark.parametrize("threshold", [math.inf, -math.inf, 0.5])
def test_a_threshold_goes_to_the_browser_and_back(threshold: float) -> None:
    player = make_player(policy=ScoreSum(threshold))
    sent = json.loads(json.dumps(player.get_state(["threshold"]), allow_nan=False))
    player.threshold = 7
    player.set_state(sent)
    assert player.threshold == threshold


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": np.array([0.0, 2.0, 1.0])}, "trace.times"),
        ({"times": np.array([0.0, 1.0, np.nan])}, "trace.times"),
        ({"relevance": np.zeros(4)}, r"trace.relevance: shape \[4\], but there are 3 times"),
        ({"informative": np.array([0, 1.5, np.nan])}, r"trace.informative: from 0.0 to 1.5"),
        ({"responses": [Response(-1.0, "")]}, r"trace.responses: a turn at -1.0 s"),
        ({"queries": [Query(math.inf, "")]}, r"trace.queries: a turn at inf s"),
    ],
)
def test_a_wrong_trace_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DuetError, match=message):
        make_player(trace=make_trace(3, **changes))


@pytest.mark.parametrize("span", [(2.0, 1.0, ""), (-1.0, 1.0, ""), (0.0, math.nan, "")])
def test_a_wrong_span_is_refused(span: tuple[float, float, str]) -> None:
    with pytest.raises(DuetError, match="0 <= start <= end"):
        make_player(spans=[span])


def test_a_span_needs_no_label() -> None:
    assert make_player(spans=[(0.0, 1.0)]).spans == [{"start": 0.0, "end": 1.0, "label": ""}]


def test_other_policies_are_refused() -> None:
    with pytest.raises(DuetError, match=r"not a policy: give an object with need\(scores\) and reset\(\)"):
        make_player(policy=object())


def test_wrong_values_of_the_live_traits_are_refused() -> None:
    player = make_player()
    with pytest.raises(DuetError, match="threshold=nan"):
        player.threshold = math.nan
    for time in (-1.0, math.nan, math.inf):
        with pytest.raises(DuetError, match="seconds from the clip's start"):
            player.time = time
    with pytest.raises(traitlets.TraitError, match="read-only"):
        player.trace = {}


def test_a_missing_or_empty_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"none.mp4: no such file"):
        make_player(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    for video in (tmp_path / "empty.mp4", b""):
        with pytest.raises(VideoError, match="has 0 bytes"):
            make_player(video)


def test_a_clip_that_cannot_be_shown_is_reported(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    large = make_player(WEBM + bytes(8_500_000))
    assert (large.video, large.note) == (
        b"",
        "The clip is not shown: its 8.5 MB are more than the 8 MB that a player takes.",
    )
    assert "MP4 and WebM" in make_player(b"RIFF AVI ").note
    assert make_player(str(clip)).video == make_player(clip.read_bytes()).video == clip.read_bytes()


@pytest.mark.parametrize("trace", [make_trace(2, relevance=np.array([np.nan, 1.0])), make_words(), make_words(0)])
def test_a_page_holds_the_files_of_its_menu(trace: DuetTrace) -> None:
    player = make_player(trace=trace, policy=ScoreThreshold(0.5))
    assert page_state(player)["exports"] == {
        "srt": trace.to_srt(),
        "vtt": trace.to_vtt(),
        "csv": trace.to_csv(),
        "json": trace.to_json(),
    }


def test_no_text_ends_a_script_or_the_frame() -> None:
    player = make_player(title=ATTACK, spans=[(0, 1, ATTACK)])
    document = inner(player.to_html())
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', document, re.DOTALL)
    assert data
    state = json.loads(data[1])["state"]
    assert (state["title"], state["spans"][0]["label"], state["trace"]["responses"][0]["text"]) == (ATTACK,) * 3
    assert document.count("</script>") == 2
    assert f"<title>{html.escape(ATTACK)}</title>" in document


def test_the_module_asks_for_nothing() -> None:
    sources = DuetPlayer._esm + DuetPlayer._css
    assert not re.search(r"fetch\(|XMLHttp|@import|url\((?!#)|innerHTML|insertAdjacentHTML", sources)


# --- replays ------------------------------------------------------------------------------------------

LOOK_UP = """
import { readFileSync } from "node:fs";
const { esm, cases } = JSON.parse(readFileSync(0, "utf-8"));
const { Replays } = await import("data:text/javascript;base64," + Buffer.from(esm).toString("base64"));
const found = cases.map(({ exact, grid, thresholds }) => {
  const replays = new Replays(exact, grid);
  return thresholds.map((threshold) => replays.at(threshold === null ? null : Number(threshold)));
});
console.log(JSON.stringify(found));
"""


def look_up(cases: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The replays that the page finds at thresholds."""
    node = shutil.which("node")
    if not node:
        pytest.skip("this machine has no node")
    ended = subprocess.run(
        [node, "--input-type=module", "-e", LOOK_UP],
        input=json.dumps({"esm": f"{DuetPlayer._esm}\nexport {{ Replays }};", "cases": cases}, allow_nan=False),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ended.stdout)


def random_trace(rng: np.random.Generator) -> DuetTrace:
    """Scores with many ties, so that thresholds are met exactly, and some nan."""
    frames = int(rng.integers(0, 60))
    scores = rng.integers(0, 11, (2, frames)) / 10 if rng.random() < 0.5 else rng.random((2, frames))
    scores[rng.random((2, frames)) < rng.choice([0, 0.03])] = np.nan
    return DuetTrace(np.arange(frames) / 2, *scores)


def test_the_page_finds_the_replay_of_every_place_of_the_slider() -> None:
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for mode in ("threshold", "sum"):
        for heads in (("informative",), ("relevance",), ("informative", "relevance")):
            for used in (0.3, 1.1, 2.345, math.inf):
                trace = random_trace(rng)
                player = make_player(trace=trace, policy=make_policy(mode, used, heads=heads))
                grid = player.replay_grid
                assert grid["count"] > 20
                thresholds = [used, *(float(f"{place * grid['step']:.6g}") for place in range(grid["count"]))]
                sent = [json_number(value) for value in thresholds]
                cases.append({"exact": player.replays, "grid": grid, "thresholds": sent})
                expected.append([(trace, make_policy(mode, value, heads=heads)) for value in thresholds])
    for case, found, wanted in zip(cases, look_up(cases), expected, strict=True):
        for replay, (trace, policy) in zip(found, wanted, strict=True):
            assert replay["frames"] == trace.replay(policy).tolist()
            if (curve := replay.get("curve")) is not None:
                shown = np.array(curve, dtype=float)
                np.testing.assert_allclose(shown, policy.decision_curve(trace), atol=2e-3)
            else:
                assert case["grid"]["curve"] is None, "one head's scores"


def test_a_threshold_between_places_is_exact_with_a_kernel_and_else_the_nearest() -> None:
    player = make_player(policy=ScoreSum(1.0))
    player.threshold = 0.123456
    case = {"exact": player.replays, "grid": player.replay_grid, "thresholds": [0.123456, 0.2061, 99]}
    exact, near, most = look_up([case])[0]
    assert exact["frames"] == player.trace.replay(ScoreSum(0.123456)).tolist()
    assert near["frames"] == player.trace.replay(ScoreSum(0.2)).tolist()
    assert most["frames"] == player.trace.replay(ScoreSum(player.policy["dial"]["top"])).tolist()


def test_another_trace_is_replayed() -> None:
    player = make_player()
    player.set_trait("trace", make_trace(40))
    assert player.replays[0]["frames"] == player.trace.replay(ScoreThreshold(0.65)).tolist()
    assert player.replay_grid["length"] == 40


def test_long_traces_have_fewer_places_and_pages_stay_small() -> None:
    trace = DuetTrace(np.arange(3600) / 2, *np.random.default_rng(0).random((2, 3600)))
    for policy in (ScoreThreshold(0.5), ScoreSum(2.0)):
        player = make_player(trace=trace, policy=policy)
        assert player.replay_grid["count"] == 101
        assert len(json.dumps(player.replay_grid)) < 2_000_000
    longest = DuetTrace(np.arange(30_000) / 2, *np.random.default_rng(0).random((2, 30_000)))
    assert make_player(trace=longest).replay_grid["count"] < 50


def test_a_policy_without_a_threshold_shows_its_marks_alone() -> None:
    player = make_player(policy=EveryThird())
    assert (player.threshold, player.policy["decision"], player.replay_grid) == (None, None, None)
    assert player.replays == [{"threshold": None, "frames": [2, 5, 8, 11], "curve": None}]
    assert "<iframe" in player.to_html()
    with pytest.raises(DuetError, match="policy without a threshold"):
        player.threshold = 0.5
    with pytest.raises(DuetError, match="policy without a threshold"):
        make_player().threshold = None


def page_state(player: DuetPlayer) -> dict[str, Any]:
    """What the page without a kernel begins with."""
    return json.loads(inner(player.to_html()).partition('id="data">')[2].partition("</script>")[0])["state"]


def test_the_curves_are_those_of_the_trace() -> None:
    player = make_player(trace=make_words(), policy=ScoreThreshold(0.5))
    assert player.curves == page_state(player)["curves"] == [{"name": "reply", "color": HEAD_COLORS["reply"]}]
    player.set_trait("trace", make_trace())
    assert [curve["name"] for curve in player.curves] == list(HEADS), "another trace has its own"


def test_greedy_shows_its_marks_and_a_threshold_can_be_moved() -> None:
    trace = make_words()
    assert make_player(trace=trace, policy=Greedy()).replays[0]["frames"] == [6, 7, 8, 9]
    for policy in (ScoreThreshold(0.75), ScoreThreshold(0.75, heads=("reply",))):
        player = make_player(trace=trace, policy=policy)
        assert player.policy["decision"]["head"] == "reply", "the score is its own decision curve"
        assert player.replays[0]["frames"] == [8, 9]
        [[found]] = look_up([{"exact": [], "grid": player.replay_grid, "thresholds": [0.5]}])
        assert found["frames"] == [6, 7, 8, 9]


POLICIES = [Greedy(), ScoreThreshold(0.5), ScoreThreshold(0.5, heads=("reply",)), ScoreSum(2.0, heads=("reply",))]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_prediction_line_opens_with_and_without_scores(policy: Policy) -> None:
    line = make_words().to_prediction("q", 12.0)
    assert len(make_player(trace=DuetTrace.from_prediction(line), policy=policy).curves) == 1
    player = make_player(trace=DuetTrace.from_prediction({**line, "debug_data": []}), policy=policy)
    state = page_state(player)
    assert (state["curves"], [turn["text"] for turn in state["trace"]["responses"]]) == ([], ["A cat.", ATTACK])
