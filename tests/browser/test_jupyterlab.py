"""The players in a real JupyterLab, with a real kernel and a real clip."""

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.browser import axe
from tests.browser.servers import open_notebook, run_code, set_theme
from tests.chromium import Browser, Page, until
from tests.clips import write_clip

ATTACK = '<img src=x onerror="window.ran=1"></script><script>window.ran=1</script>'
CELLS = [
    """
import math, threading
import numpy as np
from mmduet import DuetSession, Query, ScoreThreshold, read_frames
from mmduet.checkpoints import build_tiny
from mmduet.trace import DuetTrace, Response
from mmduet_widgets import DuetPlayer, LiveDuet

session = DuetSession(*build_tiny(), policy=ScoreThreshold(0.0), frame_fps=4, max_new_tokens=4)
frames = read_frames("clip.mp4", fps=4, size=session.processor.frame.fit).frames
trace = session.run(frames[:8], [Query(0.0, ATTACK)])
trace.responses[0] = Response(0.0, ATTACK)
DuetPlayer("clip.mp4", trace, policy=ScoreThreshold(0.5), spans=[(0, 1, ATTACK)], title=ATTACK)
""",
    'live = LiveDuet(session, ["clip.mp4", f"{FOLDER}/{ATTACK_NAME}.mp4"])\nlive',
    """
many = 2000
scores = (np.sin(np.arange(many) / 7) + 1) / 2
long = DuetTrace(np.arange(many) / 20, scores, scores[::-1].copy())
long.responses = [Response(time, "A word.") for time in long.times[scores > 0.9]]
player = DuetPlayer("clip.mp4", long, policy=ScoreThreshold(0.9))
player
""",
]
ATTACK_NAME = "<img src=x onerror=window.ran=1>"


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook that was run: a player, a live one, and one of 2,000 frames."""
    folder = tmp_path_factory.mktemp("lab")
    write_clip(folder / "clip.mp4", frames=240, size=(320, 240))
    write_clip(folder / f"{ATTACK_NAME}.mp4", frames=24)
    names = f"ATTACK, FOLDER, ATTACK_NAME = {ATTACK!r}, {str(folder)!r}, {ATTACK_NAME!r}\n"
    with open_notebook(browser, folder, names + CELLS[0], *CELLS[1:], players=3) as page:
        yield page
        assert page.evaluate("window.ran") is None
        assert page.locator(".mmduet-player img").count() == 0


def root(index: int) -> str:
    return f"document.querySelectorAll('.mmduet-player')[{index}]"


def text(index: int, name: str) -> str:
    return f"{root(index)}.querySelector('.mmduet-player-{name}').textContent"


LINES = """
(player) => {
  const y = (node) => node.getBoundingClientRect().y + node.getBoundingClientRect().height / 2;
  const [bottom, , top] = player.querySelectorAll(".mmduet-player-grid");
  const line = player.querySelector(".mmduet-player-grab");
  return [line.getBoundingClientRect().x, y(line), y(bottom), y(top)];
}
"""


def drag_threshold(page: Page, index: int, height: float) -> None:
    """Takes the threshold's line to a place between the panel's bottom, 0, and its top, 1."""
    player = page.locator(".mmduet-player").nth(index)
    player.locator(".mmduet-player-timeline").scroll_into_view_if_needed()
    x, line, bottom, top = player.evaluate(LINES)  # all at once: a live timeline is drawn anew all the time
    page.mouse.move(x + 300, line)
    page.mouse.down()
    page.mouse.move(x + 300, bottom + height * (top - bottom), steps=4)
    page.mouse.up()


def test_a_trace_plays_seeks_and_replays(lab: Page) -> None:
    player = lab.locator(".mmduet-player").first
    assert player.locator(".mmduet-player-title").text_content() == ATTACK
    assert player.locator(".mmduet-player-text").all_text_contents()[:2] == [ATTACK, ATTACK]
    player.get_by_role("button", name="Play", exact=True).click()
    until(lab, f"{root(0)}.querySelector('video').currentTime > 0.2")
    player.get_by_role("button", name="Pause", exact=True).click()
    player.locator(".mmduet-player-timeline").scroll_into_view_if_needed()
    box = player.locator(".mmduet-player-timeline").bounding_box()
    assert box
    lab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 60)
    until(lab, f"Math.abs({root(0)}.querySelector('video').currentTime - 10) < 2")
    marks = f"{root(0)}.querySelector('.mmduet-player-would').getAttribute('d').split('M').length - 1"
    drag_threshold(lab, 0, 1.0)
    until(lab, f"{marks} === 0")
    drag_threshold(lab, 0, 0.0)
    until(lab, f"{marks} === 8")


def test_a_live_run(lab: Page) -> None:
    live = lab.locator(".mmduet-player").nth(1)
    frames = f"Number({text(1, 'counts')}.match(/in (\\d+) frames/)[1])"
    state = text(1, "status")
    lines = f"[...{root(1)}.querySelectorAll('.mmduet-player-line')].map((line) => line.textContent)"
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{state} === 'watching' && {frames} >= 3")
    until(lab, f"{root(1)}.querySelector('video').currentTime > 0.4")  # the clip is where the model is
    assert live.get_by_role("button", name="Play", exact=True).is_disabled()

    live.get_by_label("Question").fill(ATTACK)
    live.get_by_label("Question").press("Enter")
    question = until(lab, f"{lines}.findIndex((line) => line.includes('user')) + 1") - 1
    until(lab, f"{lines}.slice({question + 1}).some((line) => line.includes('model'))")
    asked = lab.evaluate(f"{lines}[{question}]")
    assert ATTACK in asked
    assert not asked.startswith("0:00.0")

    live.get_by_role("button", name="Pause", exact=True).first.click()
    until(lab, f"{state} === 'paused'")
    paused = run_code(lab, "live._watcher.join(0.1); print(len(live.trace))")  # the kernel answers; nothing moves
    assert run_code(lab, "live._watcher.join(0.6); print(len(live.trace), live.state)") == f"{paused.strip()} paused\n"
    live.get_by_role("button", name="Resume").click()
    until(lab, f"{frames} > {paused}")
    assert run_code(lab, "print(live.state)") == "running\n", "the kernel is there while the model watches"

    drag_threshold(lab, 1, 1.0)
    until(lab, f"{root(1)}.querySelector('.mmduet-player-held')")
    silent = lab.evaluate(frames)
    until(lab, f"{frames} >= {silent + 3}")
    said = int(run_code(lab, "print(len(live.trace.responses))"))
    assert said <= silent + 1
    until(lab, f"{root(1)}.querySelectorAll('.mmduet-player-said').length === {said}")

    live.get_by_role("button", name="Stop").click()
    until(lab, f"{state} === 'stopped'")
    assert run_code(lab, "print([t.name for t in threading.enumerate()].count('mmduet-watcher'))") == "0\n"
    live.get_by_role("button", name="Play", exact=True).click()
    until(lab, f"!{root(1)}.querySelector('video').paused")
    live.get_by_role("button", name="Pause", exact=True).last.click()


def test_live_settings_and_errors(lab: Page) -> None:
    live = lab.locator(".mmduet-player").nth(1)
    until(lab, f"{text(1, 'settings-note')}.startsWith('Used from')")
    live.get_by_label("a frame every").fill("1")
    live.get_by_label("a frame every").press("Enter")
    until(lab, f"{text(1, 'settings-note')} === 'Changed: watch again to use it.'")
    live.get_by_label("Clip", exact=True).select_option("another file …")
    live.get_by_label("Path of a clip").fill("none.mp4")
    live.get_by_label("Path of a clip").press("Enter")
    until(lab, f"{text(1, 'message')}.includes('none.mp4 does not exist')")
    live.get_by_label("Clip", exact=True).select_option(f"{ATTACK_NAME}.mp4")
    until(lab, f"{text(1, 'title')} === {json.dumps(ATTACK_NAME + '.mp4')} && {text(1, 'status')} === 'ready'")
    live.get_by_label("at the clip's own pace").uncheck()
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{text(1, 'status')} === 'watched to the end'")
    assert run_code(lab, "print(len(live.trace), live.trace.times.tolist())") == "2 [0.0, 1.0]\n"
    run_code(lab, "live._session.model.encode_frames = None")
    live.get_by_role("button", name="Watch", exact=True).click()
    until(lab, f"{text(1, 'status')} === 'failed' && {text(1, 'message')}.startsWith('TypeError')")
    run_code(lab, "del live._session.model.encode_frames")


TIMES = """
(player) => {
  const svg = player.querySelector("svg.mmduet-player-timeline");
  const box = svg.getBoundingClientRect();
  const grab = () => player.querySelector(".mmduet-player-grab");
  const send = (target, type, x, y) =>
    target.dispatchEvent(new PointerEvent(type, { bubbles: true, button: 0, pointerId: 1, clientX: x, clientY: y }));
  const timed = (act) => {
    const start = performance.now();
    act();
    svg.getBoundingClientRect(); // with its layout
    return performance.now() - start;
  };
  svg.setPointerCapture = () => {}; // no pointer of that number is down
  const steps = [...Array(40).keys()];
  send(svg, "pointerdown", box.x + 200, box.bottom - 60);
  const seek = steps.map((step) => timed(() => send(svg, "pointermove", box.x + 200 + 9 * step, box.bottom - 60)));
  svg.dispatchEvent(new Event("lostpointercapture"));
  const line = grab().getBoundingClientRect();
  send(grab(), "pointerdown", line.x + 200, line.y + 8);
  const drag = steps.map((step) => timed(() => send(svg, "pointermove", line.x + 200, line.y + 8 + 2 * step)));
  svg.dispatchEvent(new Event("lostpointercapture"));
  return { seek, drag };
}
"""


COUNT_REDRAWS = """
() => {
  window.redraws = [];
  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (draw) =>
    request((time) => {
      const start = performance.now();
      draw(time);
      document.body.getBoundingClientRect();
      redraws.push(performance.now() - start);
    });
}
"""


def test_two_thousand_frames_stay_fluid(lab: Page, capsys: pytest.CaptureFixture[str]) -> None:
    player = lab.locator(".mmduet-player").nth(2)
    player.scroll_into_view_if_needed()
    before = lab.evaluate(text(2, "speaks"))
    times = player.evaluate(TIMES)
    assert lab.evaluate(text(2, "speaks")) != before, "the threshold did move"
    lab.evaluate(COUNT_REDRAWS)
    run_code(lab, "player.set_trait('trace', DuetTrace(long.times[:-1], scores[:-1], scores[1:], long.responses))")
    until(lab, f"{text(2, 'counts')}.endsWith('in 1999 frames')")
    times["redraw of a grown trace"] = lab.evaluate("redraws")
    with capsys.disabled():
        for name, values in times.items():
            print(f"\n2,000 frames, {name}: median {np.median(values):.1f} ms, longest {max(values):.1f} ms", end="")


def test_light_and_dark(lab: Page) -> None:
    live = lab.locator(".mmduet-player").nth(1)
    brightness = {}
    for theme in ("Dark", "Light"):
        set_theme(lab, theme)
        picture = Image.open(io.BytesIO(live.locator(".mmduet-player-curves").screenshot())).convert("L")
        brightness[theme] = np.median(np.asarray(picture))
    assert brightness["Dark"] < 60
    assert brightness["Light"] > 200


@pytest.mark.parametrize("theme", ["Dark", "Light"])
@pytest.mark.parametrize("size", axe.SIZES)
def test_no_reader_is_kept_out(lab: Page, theme: str, size: str) -> None:
    set_theme(lab, theme)
    axe.set_size(lab, size)
    live = lab.locator(".mmduet-player").nth(1)
    live.locator(".mmduet-player-menu > summary").click()
    assert axe.withheld(lab, within=".mmduet-player") == []
    lab.keyboard.press("Escape")
