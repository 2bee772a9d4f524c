"""The player's page without a kernel, in a real browser."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmduet_widgets import DuetPlayer

from mmduet.policy import Greedy, Policy, ScoreSum, ScoreThreshold
from mmduet.reports.outputs import inert_html
from tests.chromium import Page, record, until
from tests.clips import write_clip
from tests.policies import EveryThird
from tests.widgets.players import ATTACK, WEBM, inner, make_player, make_trace, make_words

ROOT = "document.querySelector('.mmduet-player')"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of grey."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=72)


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Callable[[DuetPlayer], None]:
    """Opens the document that stands within a player's frame."""

    def opened(player: DuetPlayer) -> None:
        path = tmp_path / "inner.html"
        path.write_text(inner(player.to_html()), encoding="utf-8")
        page.goto(path.as_uri())
        until(page, f"{ROOT} && ({ROOT}.querySelector('video')?.readyState ?? 4) >= 2")

    return opened


def text(page: Page, name: str) -> str | None:
    return page.locator(f".mmduet-player-{name}").text_content()


def until_text(page: Page, name: str, wanted: str) -> None:
    until(page, f"{ROOT}.querySelector('.mmduet-player-{name}')?.textContent === {json.dumps(wanted)}")


def hollow(page: Page) -> int:
    """Marks where it would speak."""
    return (page.locator(".mmduet-player-would").get_attribute("d") or "").count("M")


def center(page: Page, name: str) -> tuple[float, float]:
    box = page.locator(f".mmduet-player-{name}").first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_it_shows_what_was_said_and_runs_none_of_it(page: Page, clip: Path, show: Callable) -> None:
    seen = record(page)
    show(make_player(clip, title=ATTACK, spans=[(0.0, 3.0, ATTACK), (1.0, 4.0, "b")]))
    counts = {"said": 2, "asked": 1, "span": 2, "curve": 2, "line": 3}
    assert {name: page.locator(f".mmduet-player-{name}").count() for name in counts} == counts
    assert hollow(page) == 3
    assert text(page, "title") == ATTACK
    assert page.locator(".mmduet-player-text").all_text_contents() == ["What is there?", ATTACK, "A cat."]
    assert text(page, "speaks") == "speaks 3× at 0.65"
    assert page.locator("img").count() == 0
    assert page.evaluate("window.ran") is None
    assert {address.partition(":")[0] for address in seen.requests} <= {"file", "blob", "data"}


@pytest.mark.parametrize("policy", [ScoreThreshold(0.65), ScoreSum(1.0, heads=("informative", "relevance"))])
def test_a_report_shows_it_whole_without_a_scroll_bar(page: Page, clip: Path, tmp_path: Path, policy: Policy) -> None:
    frame = make_player(clip, policy=policy, title="Cats", spans=[(0.0, 3.0, "a"), (1.0, 4.0, "b")]).to_html()
    path = tmp_path / "report.html"
    content = "default-src 'none'; script-src 'nonce-abc' 'strict-dynamic'; style-src 'unsafe-inline'; media-src blob:"
    path.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{content}">'
        f'<body style="margin: 0">{inert_html(frame, "abc")}'
    )
    page.goto(path.as_uri())
    page.frame_locator("iframe").locator(".mmduet-player").wait_for()
    inside = page.frames[1]
    until(inside, f"{ROOT}.querySelector('video')?.readyState >= 2")
    until(inside, f"{ROOT}.querySelector('.mmduet-player-speaks').textContent.startsWith('speaks')")
    root = "document.documentElement"
    assert inside.evaluate(f"[{root}.scrollHeight <= innerHeight, {root}.scrollWidth <= innerWidth]") == [True, True]
    assert inside.evaluate(f"{ROOT}.querySelector('.mmduet-player-stage').clientHeight") >= 200


def test_dragging_the_line_moves_the_threshold(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip))
    x, y = center(page, "grab")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 20)
    page.mouse.move(x, 780)
    until_text(page, "speaks", "speaks 10× at 0.00")
    page.mouse.up()
    page.mouse.move(x, y)
    assert text(page, "speaks") == "speaks 10× at 0.00", "a released line stays"
    assert hollow(page) == 10
    assert page.locator(".mmduet-player-said").count() == 2
    assert page.get_by_label("Threshold", exact=True).input_value() == "0"
    page.get_by_text("back to 0.65").click()
    until_text(page, "speaks", "speaks 3× at 0.65")


def test_dragging_shows_the_replay_and_the_curve_of_each_threshold(page: Page, clip: Path, show: Callable) -> None:
    trace = make_trace(40)
    player = make_player(clip, trace, policy=ScoreSum(1.0))
    show(player)
    curves = set()
    for place in (25, 50, 75, 100):
        threshold = round(place * player.policy["dial"]["step"], 6)
        page.get_by_label("Threshold", exact=True).fill(str(threshold))
        expected = len(trace.replay(ScoreSum(threshold)))
        until_text(page, "speaks", f"speaks {expected}× at {threshold:.2f}")
        assert hollow(page) == expected
        curves.add(page.locator(".mmduet-player-compared").get_attribute("d"))
    assert len(curves) == 4, "the running sum follows"


def test_a_policy_without_a_threshold_has_marks_and_no_slider(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip, policy=EveryThird()))
    assert text(page, "speaks") == "speaks 4×"
    assert hollow(page) == 4
    assert page.locator(".mmduet-player-threshold").count() == 0
    assert not page.get_by_label("Threshold", exact=True).is_visible()
    assert "dashed" not in (text(page, "hint") or "")


def test_the_slider_moves_the_threshold_by_keys(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip))
    page.get_by_label("Threshold", exact=True).press("End")
    until_text(page, "speaks", "speaks 0× at 1.00")
    page.keyboard.press("ArrowLeft")
    until_text(page, "speaks", "speaks 0× at 0.99")
    assert (text(page, "time") or "").startswith("0:00.0"), "the slider's keys do not seek"


def test_keys_play_pause_and_step(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip))
    page.locator(".mmduet-player").focus()
    for key, shown in (("ArrowRight", "0:00.5"), ("ArrowRight", "0:01.0"), ("ArrowLeft", "0:00.5"), ("End", "0:06.0")):
        page.keyboard.press(key)
        until_text(page, "time", f"{shown} / 0:06.0")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    until(page, f"(video => !video.paused && video.currentTime > 0.2)({ROOT}.querySelector('video'))")
    until(page, f"{ROOT}.querySelector('.mmduet-player-time').textContent >= '0:00.2'")
    page.keyboard.press("Space")
    until(page, f"{ROOT}.querySelector('video').paused")


PRESS = """keys => {
  const player = document.querySelector(".mmduet-player");
  for (const key of keys) player.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}"""


def test_keys_pressed_at_once_are_all_heeded(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip))
    page.evaluate(PRESS, ["End", "Home", " "])
    until(page, f"(video => !video.paused && video.currentTime > 0.2)({ROOT}.querySelector('video'))")
    page.evaluate(PRESS, [" ", "End", "Home", " ", " "])
    until(page, f"(video => video.paused && !video.seeking && video.currentTime < 0.1)({ROOT}.querySelector('video'))")


@pytest.mark.parametrize("name", ["late.mp4", "late.webm"])
def test_a_clip_whose_times_start_late_is_in_step_with_its_trace(
    page: Page, tmp_path: Path, show: Callable, name: str
) -> None:
    late = write_clip(tmp_path / name, frames=72, times=7500 + np.round(1000 * np.arange(72) / 12))
    show(make_player(late))
    until_text(page, "time", "0:00.0 / 0:06.0")
    for key, shown in (("ArrowRight", 0.5), ("End", 6.0)):
        page.locator(".mmduet-player").press(key)
        until(
            page,
            f"(video => !video.seeking && Math.abs(video.currentTime - {shown}) < 0.1)({ROOT}.querySelector('video'))",
        )
        until_text(page, "time", f"0:0{shown} / 0:06.0")


def test_pointing_seeks(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip, spans=[(1.0, 2.0, "a")]))
    seeked = f"Math.abs({ROOT}.querySelector('video').currentTime - %s) < 0.05"
    current = f"{ROOT}.querySelector('[aria-current]').textContent.includes('%s')"
    page.get_by_role("button", name="A cat.").click()
    until(page, seeked % 4)
    until(page, current % "A cat.")
    assert page.locator(".mmduet-player-current").get_attribute("data-turn") == "said 1"
    page.mouse.click(*center(page, "span"))
    until(page, seeked % 1)
    until(page, current % "What is there?")
    x, y = center(page, "would")
    page.mouse.click(x + 1, y)  # the middle one of three marks
    until(page, seeked % 4)
    page.mouse.click(x, y + 30)  # on the curves
    until(page, seeked % 4)
    page.mouse.click(x + 150, y + 30)
    until(page, f"{ROOT}.querySelector('video').currentTime > 5")


def test_it_works_without_a_clip(page: Page, show: Callable) -> None:
    show(make_player(b"RIFF AVI "))
    assert "MP4 and WebM" in (text(page, "note") or "")
    page.locator(".mmduet-player").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    until_text(page, "time", "0:00.5 / 0:06.0")
    assert page.get_by_role("button", name="Play").is_disabled()
    show(make_player(WEBM))
    until(page, f"{ROOT}.querySelector('.mmduet-player-note')?.textContent.includes('cannot play')")


def test_a_trace_without_frames_is_shown(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip, make_trace(0, responses=[], queries=[])))
    assert text(page, "speaks") == "speaks 0× at 0.65"
    assert text(page, "nothing") == "Nothing was asked, nothing said."


MOUNT = """
async () => {
  const { esm } = JSON.parse(document.getElementById("data").textContent);
  const { default: widget } = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
  const old = document.querySelector("video").src;
  const [state, on, sent] = [{ ...JSON.parse(document.getElementById("data").textContent).state }, new Map(), []];
  state.video = new DataView(await (await fetch(old)).arrayBuffer());
  const model = {
    get: (name) => state[name],
    set: (name, value) => {
      state[name] = value;
      sent.push(name);
      for (const [listener, event] of on) if (event === `change:${name}`) listener();
    },
    save_changes: () => {},
    send: () => {},
    on: (event, listener) => on.set(listener, event),
    off: (event, listener) => on.delete(listener),
  };
  const el = document.body.appendChild(document.createElement("div"));
  const end = widget.render({ model, el });
  const video = el.querySelector("video");
  const seeked = () => new Promise((done) => video.addEventListener("seeked", done, { once: true }));
  await seeked();
  sent.length = 0;
  model.set("time", 2.5);
  model.set("threshold", 0.85);
  await seeked();
  const followed = [video.currentTime, el.querySelector(".mmduet-player-speaks").textContent, sent.join()];
  end();
  const gone = await fetch(video.currentSrc).then(() => false, () => true);
  return [...followed, on.size, el.childNodes.length, gone];
}
"""


def test_it_follows_python_and_leaves_nothing_behind(browser, clip: Path, tmp_path: Path) -> None:
    page = browser.new_page()  # that its blob is gone is an error to the page
    path = tmp_path / "inner.html"
    path.write_text(inner(make_player(clip).to_html()).replace("media-src blob:", "media-src blob:; connect-src blob:"))
    page.goto(path.as_uri())
    until(page, f"{ROOT}?.querySelector('video')?.readyState >= 2")
    time, speaks, sent, listeners, nodes, gone = page.evaluate(MOUNT)
    assert time == pytest.approx(2.5, abs=0.01)
    assert speaks == "speaks 1× at 0.85"
    assert sent == "time,threshold", "what Python sets is not sent back"
    assert (listeners, nodes, gone) == (0, 0, True)


def test_a_dark_theme_is_followed(page: Page, clip: Path, show: Callable) -> None:
    show(make_player(clip))
    paper = f"getComputedStyle({ROOT}).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    assert page.evaluate(paper) == light != dark, "JupyterLab's theme is stronger than the system's"
    page.emulate_media(color_scheme="light")
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    assert page.evaluate(paper) == dark


def test_a_model_that_decides_in_words_has_one_curve_and_a_threshold_to_drag(
    page: Page, clip: Path, show: Callable
) -> None:
    show(make_player(clip, make_words(), policy=Greedy()))
    assert page.locator(".mmduet-player-curve").count() == 1
    assert text(page, "legend").startswith("reply")
    assert (text(page, "speaks"), hollow(page)) == ("speaks 4×", 4)
    assert page.locator(".mmduet-player-threshold").count() == 0
    show(make_player(clip, make_words(), policy=ScoreThreshold(0.75)))
    x, y = center(page, "grab")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, 780)
    page.mouse.up()
    until_text(page, "speaks", "speaks 10× at 0.00")


@pytest.mark.parametrize("policy", [Greedy(), ScoreThreshold(0.5), ScoreSum(2.0)])
def test_responses_alone_are_marks_and_a_transcript(page: Page, clip: Path, show: Callable, policy: Policy) -> None:
    show(make_player(clip, make_words(0), policy=policy))
    assert page.locator(".mmduet-player-curve, .mmduet-player-threshold, .mmduet-player-would").count() == 0
    assert (page.locator(".mmduet-player-said").count(), page.locator(".mmduet-player-line").count()) == (2, 3)
    assert text(page, "moment") == "no scores"
    assert not page.locator(".mmduet-player-speaks").is_visible()
    assert (text(page, "counts") or "").startswith("The model spoke 2×")
    page.locator(".mmduet-player-line").nth(1).click()
    until_text(page, "time", "0:07.0 / 0:09.0")
