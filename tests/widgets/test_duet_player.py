"""DuetPlayer in Python: what it refuses, what it sends, and the browser's replay against DuetTrace's."""

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
from mmduet_widgets.duet_player import json_number, policy_data

from mmduet.errors import DuetError, VideoError
from mmduet.policy import ScoreSum, make_policy
from mmduet.trace import DuetTrace, Query, Response
from tests.clips import write_clip
from tests.widgets.players import ATTACK, WEBM, inner, make_player, make_trace


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
        "policy": {"mode": "threshold", "threshold": 0.65, "heads": ["informative"]},
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


def test_other_policies_are_refused() -> None:
    with pytest.raises(DuetError, match="ScoreThreshold and ScoreSum"):
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


def test_a_clip_that_cannot_be_shown_is_told(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    large = make_player(WEBM + bytes(8_500_000))
    assert (large.video, large.note) == (
        b"",
        "The clip is not shown: its 8.5 MB are more than the 8 MB that a player takes.",
    )
    assert "MP4 and WebM" in make_player(b"RIFF AVI ").note
    assert make_player(str(clip)).video == make_player(clip.read_bytes()).video == clip.read_bytes()


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


# --- the replay ---------------------------------------------------------------------------------------

REPLAY = """
import { readFileSync } from "node:fs";
const { esm, cases } = JSON.parse(readFileSync(0, "utf-8"));
const { replay } = await import("data:text/javascript;base64," + Buffer.from(esm).toString("base64"));
const picked = cases.map(({ trace, policy, threshold }) => replay(trace, policy, Number(threshold)).picked);
console.log(JSON.stringify(picked));
"""


def replay_in_node(cases: list[dict[str, Any]]) -> list[list[int]]:
    node = shutil.which("node")
    if not node:
        pytest.skip("there is no node on this machine")
    ended = subprocess.run(
        [node, "--input-type=module", "-e", REPLAY],
        input=json.dumps({"esm": DuetPlayer._esm, "cases": cases}, allow_nan=False),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ended.stdout)


def random_trace(rng: np.random.Generator) -> DuetTrace:
    """Scores with many ties, such that thresholds are met exactly, and now and then a NaN."""
    frames = int(rng.integers(0, 60))
    scores = rng.integers(0, 11, (2, frames)) / 10 if rng.random() < 0.5 else rng.random((2, frames))
    scores[rng.random((2, frames)) < rng.choice([0, 0.03])] = np.nan
    return DuetTrace(np.arange(frames) / 2, *scores)


def test_the_browser_replays_by_the_same_rules() -> None:
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for _ in range(40):
        trace = random_trace(rng)
        shown = make_player(trace=trace).get_state(["trace"])
        for mode in ("threshold", "sum"):
            for heads in (("informative",), ("relevance",), ("informative", "relevance"), ("relevance", "informative")):
                for threshold in (0.0, 0.3, 0.5, 1.0, 1.1, 2.5, -1.0, math.inf, float(rng.random() * 2)):
                    policy = make_policy(mode, threshold, heads=heads)
                    cases.append({**shown, "policy": policy_data(policy), "threshold": json_number(threshold)})
                    expected.append(trace.replay(policy).tolist())
    assert replay_in_node(cases) == expected
