"""DuetPlayer: what Python refuses, the browser's replay against DuetTrace's, and the player in a real browser."""

import html
import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from bs4 import BeautifulSoup, Tag
from mmduet_widgets import DuetPlayer, duet_player

from mmduet.errors import DuetError, VideoError
from mmduet.policy import ScoreSum, ScoreThreshold, make_policy
from mmduet.reports.outputs import inert_html
from mmduet.trace import DuetTrace, Query, Response
from tests.clips import write_clip
from tests.widgets.chromium import Page, open_chromium

ATTACK = '<img src=x onerror="window.ran=1"></script><script>window.ran=1</script><!-- \u2028 @DATA@'
WEBM = b"\x1a\x45\xdf\xa3" + bytes(8)
ESM = Path(duet_player.__file__).with_suffix(".js")
ROOT = "document.querySelector('.mmduet-player')"


def make_trace(frames: int = 12, **changes: Any) -> DuetTrace:
    """Two frames a second; informative goes 0, 0.1 … 0.9, 0, 0.1."""
    trace = DuetTrace(
        times=np.arange(frames) / 2,
        informative=np.arange(frames) % 10 / 10,
        relevance=np.full(frames, 0.25),
        responses=[Response(4.0, "A cat."), Response(2.0, ATTACK)],
        queries=[Query(0.0, "What is there?")],
    )
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace


def make_player(video: Any = WEBM, trace: DuetTrace | None = None, **options: Any) -> DuetPlayer:
    options = {"policy": ScoreThreshold(0.65), **options}
    return DuetPlayer(video, make_trace() if trace is None else trace, **options)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of grey."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=72)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


def show(page: Page, player: DuetPlayer, folder: Path, **size: int) -> None:
    """Opens the document that stands within the player's frame."""
    path = folder / "inner.html"
    path.write_text(inner(player.to_html()), encoding="utf-8")
    page.open(path, **size)
    page.until(f"{ROOT} && ({ROOT}.querySelector('video')?.readyState ?? 4) >= 2")


def inner(frame: str) -> str:
    """The document within an `<iframe srcdoc>`."""
    [element] = BeautifulSoup(frame, "html.parser").contents  # one element, whatever texts are in it
    assert isinstance(element, Tag)
    return str(element["srcdoc"])


# --- in Python ----------------------------------------------------------------------------------------


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


def test_a_clip_that_cannot_be_shown_is_told(clip: Path) -> None:
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
    sources = [ESM.read_text(), ESM.with_suffix(".css").read_text()]
    assert not re.search(r"fetch\(|XMLHttp|@import|url\((?!#)|innerHTML|insertAdjacentHTML", "".join(sources))


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
        input=json.dumps({"esm": ESM.read_text(), "cases": cases}, allow_nan=False),
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
        for mode in ("threshold", "sum"):
            for heads in (("informative",), ("relevance",), ("informative", "relevance"), ("relevance", "informative")):
                for threshold in (0.0, 0.3, 0.5, 1.0, 1.1, 2.5, -1.0, math.inf, float(rng.random() * 2)):
                    policy = make_policy(mode, threshold, heads=heads)
                    state = make_player(trace=trace, policy=policy).get_state(["trace", "policy", "threshold"])
                    cases.append(state)
                    expected.append(trace.replay(policy).tolist())
    assert replay_in_node(cases) == expected


# --- in a browser -------------------------------------------------------------------------------------


def count_of(page: Page, name: str) -> int:
    return page.value(f"{ROOT}.querySelectorAll('.mmduet-player-{name}').length")


def text_of(page: Page, name: str) -> str:
    return page.value(f"{ROOT}.querySelector('.mmduet-player-{name}').textContent")


def test_it_shows_what_was_said_and_runs_none_of_it(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip, title=ATTACK, spans=[(0.0, 3.0, ATTACK), (1.0, 4.0, "b")]), tmp_path)
    names = ("said", "asked", "would", "span", "curve", "line")
    assert {name: count_of(page, name) for name in names} == {
        "said": 2, "asked": 1, "would": 3, "span": 2, "curve": 2, "line": 3,
    }  # fmt: skip
    assert text_of(page, "title") == ATTACK
    texts = page.value(f"[...{ROOT}.querySelectorAll('.mmduet-player-text')].map((line) => line.textContent)")
    assert texts == ["What is there?", ATTACK, "A cat."]
    assert text_of(page, "speaks") == "speaks 3× at 0.65"
    assert page.value("document.querySelectorAll('img').length") == 0
    assert page.value("window.ran") is None
    assert not page.errors
    assert {address.partition(":")[0] for address in page.requests} <= {"file", "blob", "data"}


@pytest.mark.parametrize("policy", [ScoreThreshold(0.65), ScoreSum(1.0, heads=("informative", "relevance"))])
def test_a_report_shows_it_whole_without_a_scroll_bar(
    page: Page, clip: Path, tmp_path: Path, policy: ScoreThreshold | ScoreSum
) -> None:
    frame = make_player(clip, policy=policy, title="Cats", spans=[(0.0, 3.0, "a"), (1.0, 4.0, "b")]).to_html()
    path = tmp_path / "report.html"
    content = "default-src 'none'; script-src 'nonce-abc' 'strict-dynamic'; style-src 'unsafe-inline'; media-src blob:"
    path.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{content}">'
        f'<body style="margin: 0">{inert_html(frame, "abc")}'
    )
    page.open(path, width=760, height=900)
    world = {"contextId": page.frame_world()}
    page.until(f"{ROOT}?.querySelector('video')?.readyState >= 2", **world)
    page.until(f"{ROOT}.querySelector('.mmduet-player-speaks').textContent.startsWith('speaks')", **world)
    root = "document.documentElement"
    assert page.value(f"[{root}.scrollHeight <= innerHeight, {root}.scrollWidth <= innerWidth]", **world) == [
        True,
        True,
    ]
    assert page.value(f"{ROOT}.querySelector('.mmduet-player-stage').clientHeight", **world) >= 200
    assert not page.errors


def test_dragging_the_line_moves_the_threshold(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip), tmp_path)
    x, y = page.center(".mmduet-player-grab")
    page.pointer("mousePressed", x, y)
    page.pointer("mouseMoved", x, y + 20)
    page.pointer("mouseMoved", x, 780)
    page.until(f"{ROOT}.querySelector('.mmduet-player-speaks').textContent === 'speaks 10× at 0.00'")
    page.pointer("mouseReleased", x, 780)
    page.pointer("mouseMoved", x, y)
    assert text_of(page, "speaks") == "speaks 10× at 0.00", "a released line stays"
    assert (count_of(page, "would"), count_of(page, "said")) == (10, 2)
    assert page.value(f"{ROOT}.querySelector('input').value") == "0"
    page.click(*page.center(".mmduet-player-reset"))
    page.until(f"{ROOT}.querySelector('.mmduet-player-speaks').textContent === 'speaks 3× at 0.65'")


def test_the_slider_moves_the_threshold_by_keys(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip), tmp_path)
    page.value(f"{ROOT}.querySelector('input').focus()")
    page.key("End")
    page.until(f"{ROOT}.querySelector('.mmduet-player-speaks').textContent === 'speaks 0× at 1.00'")
    page.key("ArrowLeft")
    page.until(f"{ROOT}.querySelector('.mmduet-player-speaks').textContent === 'speaks 0× at 0.99'")
    assert text_of(page, "time").startswith("0:00.0"), "the slider's keys do not seek"


def test_keys_play_pause_and_step(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip), tmp_path)
    time = f"{ROOT}.querySelector('.mmduet-player-time').textContent"
    page.value(f"{ROOT}.focus()")
    for key, shown in (("ArrowRight", "0:00.5"), ("ArrowRight", "0:01.0"), ("ArrowLeft", "0:00.5"), ("End", "0:06.0")):
        page.key(key)
        page.until(f"{time} === '{shown} / 0:06.0'")
    page.key("Home")
    page.key(" ")
    page.until(f"!{ROOT}.querySelector('video').paused && {ROOT}.querySelector('video').currentTime > 0.2")
    page.until(f"{time} >= '0:00.2'")
    page.key(" ")
    page.until(f"{ROOT}.querySelector('video').paused")


def test_pointing_seeks(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip, spans=[(1.0, 2.0, "a")]), tmp_path)
    current = f"{ROOT}.querySelector('[aria-current]').textContent"
    seeked = f"Math.abs({ROOT}.querySelector('video').currentTime - %s) < 0.05"
    page.click(*page.center(".mmduet-player-lines li:last-child button"))
    page.until(seeked % 4)
    page.until(f"{current}.includes('A cat.')")
    assert page.value(f"{ROOT}.querySelector('.mmduet-player-current').dataset.turn") == "said 1"
    page.click(*page.center(".mmduet-player-span"))
    page.until(seeked % 1)
    page.until(f"{current}.includes('What is there?')")
    x, y = page.center(".mmduet-player-would")
    page.click(x, y + 30)  # on the curves, under the first mark
    page.until(seeked % 3.5)


def test_it_works_without_a_clip(page: Page, tmp_path: Path) -> None:
    show(page, make_player(b"RIFF AVI "), tmp_path)
    assert "MP4 and WebM" in text_of(page, "note")
    page.value(f"{ROOT}.focus()")
    page.key("ArrowRight")
    page.key(" ")
    page.until(f"{ROOT}.querySelector('.mmduet-player-time').textContent === '0:00.5 / 0:06.0'")
    assert page.value(f"{ROOT}.querySelector('.mmduet-player-main').disabled")
    show(page, make_player(WEBM), tmp_path / ".")
    page.until(f"{ROOT}.querySelector('.mmduet-player-note')?.textContent.includes('cannot play')")
    assert not page.errors


def test_a_trace_without_frames_is_shown(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip, make_trace(0, responses=[], queries=[])), tmp_path)
    assert text_of(page, "speaks") == "speaks 0× at 0.65"
    assert text_of(page, "nothing") == "Nothing was asked, nothing said."
    assert not page.errors


MOUNT = """
(async () => {
  const { esm } = JSON.parse(document.getElementById("data").textContent);
  const { default: widget } = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
  const old = document.querySelector("video").src;
  const [state, on, sent] = [{ ...JSON.parse(document.getElementById("data").textContent).state }, {}, []];
  state.video = new DataView(await (await fetch(old)).arrayBuffer());
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; sent.push(name); on[`change:${name}`]?.(); },
    save_changes: () => {},
    on: (event, listener) => { on[event] = listener; },
    off: (event, listener) => { if (on[event] === listener) delete on[event]; },
  };
  const el = document.body.appendChild(document.createElement("div"));
  const end = widget.render({ model, el });
  const video = el.querySelector("video");
  await new Promise((done) => video.addEventListener("loadeddata", done));
  sent.length = 0;
  model.set("time", 2.5);
  model.set("threshold", 0.85);
  const followed = [video.currentTime, el.querySelector(".mmduet-player-speaks").textContent, sent.join()];
  end();
  const gone = await fetch(video.currentSrc).then(() => false, () => true);
  return [...followed, Object.keys(on).length, el.childNodes.length, gone];
})()
"""


def test_it_follows_python_and_leaves_nothing_behind(page: Page, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "inner.html"
    path.write_text(inner(make_player(clip).to_html()).replace("media-src blob:", "media-src blob:; connect-src blob:"))
    page.open(path)
    page.until(f"{ROOT}?.querySelector('video')?.readyState >= 2")
    time, speaks, sent, listeners, nodes, gone = page.value(MOUNT)
    assert time == pytest.approx(2.5, abs=0.01)
    assert speaks == "speaks 1× at 0.85"
    assert sent == "time,threshold", "what Python sets is not sent back"
    assert (listeners, nodes, gone) == (0, 0, True)


def test_a_dark_theme_is_followed(page: Page, clip: Path, tmp_path: Path) -> None:
    show(page, make_player(clip), tmp_path)
    paper = f"getComputedStyle({ROOT}).backgroundColor"
    light = page.value(paper)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = page.value(paper)
    page.value("document.body.dataset.jpThemeLight = 'true'")
    assert page.value(paper) == light != dark, "JupyterLab's theme is stronger than the system's"
    page.call("Emulation.setEmulatedMedia", features=[])
    page.value("document.body.dataset.jpThemeLight = 'false'")
    assert page.value(paper) == dark
