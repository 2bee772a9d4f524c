"""Real keys on every control of the players in JupyterLab: they change the player, and never the notebook."""

from collections.abc import Iterator
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.browser.servers import open_notebook
from tests.chromium import Browser, Page, until
from tests.clips import write_clip

PLAYERS = """
from mmduet import DuetSession, Query, ScoreThreshold, read_frames
from mmduet.checkpoints import build_tiny
from mmduet_widgets import DuetPlayer, LiveDuet

session = DuetSession(*build_tiny(), policy=ScoreThreshold(0.3), frame_fps=4, max_new_tokens=2)
frames = read_frames("clip.mp4", fps=4, size=session.processor.frame.fit).frames
trace = session.run(frames[:8], [Query(0.0, "What?")])
DuetPlayer("clip.mp4", trace, policy=ScoreThreshold(0.5), spans=[(0, 1, "a cat")], title="Finished")
"""
LIVE = "LiveDuet(session, ['clip.mp4', 'other.mp4'], trace=trace)"
CELLS = [
    new_markdown_cell("# A section"),
    new_code_cell(PLAYERS),
    new_markdown_cell("## Another"),
    new_code_cell(LIVE),
    new_code_cell("'the last'"),
]
# of JupyterLab's command mode: cut, delete, insert, copy, paste, undo, change the type, restart, move, run
KEYS = [
    *("x", "d", "d", "a", "b", "c", "v", "z", "y", "m", "1", "0", "0", "Shift+M", "Control+Shift+ArrowUp"),
    *("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Shift+Enter", "Control+Enter", "Enter", "Space", "Escape"),
]
FEW_KEYS = ["x", "b", "m", "ArrowLeft", "Shift+Enter", "Space"]  # for a control like one that had all

NOTEBOOK = """
() => [
  ...jupyterapp.shell.currentWidget.content.widgets.map((cell) => [
    cell.model.id, cell.model.type, cell.model.executionCount ?? null, cell.model.sharedModel.getSource(),
    cell.inputHidden, cell.outputHidden ?? null, cell.headingCollapsed ?? null, cell.isHidden,
  ].join(" ")),
  `dialogs ${document.querySelectorAll(".jp-Dialog").length}`,
]
"""
# all that can have the focus: what says so, and what takes it when it is offered
FOCUSABLE = """
(player) => [player, ...player.querySelectorAll("*")].filter((node) => {
  if (node.tabIndex >= 0 || node.hasAttribute("tabindex") || node.isContentEditable) return true;
  node.focus?.();
  return document.activeElement === node;
})
"""
UNGUARDED = f"""
(player) => ({FOCUSABLE})(player)
  .filter((node) => !node.hasAttribute("data-lm-suppress-shortcuts")).map((node) => node.outerHTML.slice(0, 200))
"""
# the controls as they are, kept for FOCUS; how many
KEEP = f"(player) => (window.controls = ({FOCUSABLE})(player).filter((node) => node.checkVisibility())).length"
FOCUS = """
(at) => {
  const node = window.controls[at];
  if (node.isConnected && !node.disabled && node !== document.activeElement) node.focus();
  return node.outerHTML.slice(0, 160);
}
"""
# what the browser does with keys depends on it
SORT = "(at) => [controls[at].tagName, controls[at].type, controls[at].getAttribute('role')].join(' ')"

# whether the last click was in a player
HITS = """
() => void addEventListener("pointerdown", ({ target }) => (window.hit = !!target.closest(".mmduet-player")), true)
"""


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook that was run: sections, a finished player and a live one."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("clip.mp4", "other.mp4"):
        write_clip(folder / name, frames=1200)
    with open_notebook(browser, folder, *CELLS, players=2) as page:
        until(page, "jupyterapp.shell.currentWidget.content.widgets.at(-1).model.executionCount")
        yield page


@pytest.mark.parametrize("player", [0, 1])
def test_whatever_can_have_the_focus_keeps_its_keys(lab: Page, player: int) -> None:
    node = lab.locator(".mmduet-player").nth(player)
    assert node.evaluate(f"(player) => ({FOCUSABLE})(player).length") > 8
    assert node.evaluate(UNGUARDED) == []


@pytest.mark.parametrize("player", [0, 1])
def test_keys_on_a_focused_control_leave_the_notebook_alone(lab: Page, player: int) -> None:
    node = lab.locator(".mmduet-player").nth(player)
    before = lab.evaluate(NOTEBOOK)
    sorts = set()
    for at in range(node.evaluate(KEEP)):
        sort = lab.evaluate(SORT, at)
        for key in FEW_KEYS if sort in sorts else KEYS:
            name = lab.evaluate(FOCUS, at)  # again for each: a command hands the focus on
            lab.keyboard.press(key)
        sorts.add(sort)
        assert lab.evaluate(NOTEBOOK) == before, f"after keys on {name}"


def click_in_player(lab: Page, part: Any) -> None:
    """Click a part of a player. While a run begins, parts move: a click that misses the player is made again."""
    lab.evaluate(HITS)
    for _ in range(5):
        part.click(force=True)
        if lab.evaluate("window.hit"):
            return
    raise AssertionError("the part does not stand still")


@pytest.mark.parametrize("player", [0, 1])
def test_keys_after_a_click_leave_the_notebook_alone(lab: Page, player: int) -> None:
    node = lab.locator(".mmduet-player").nth(player)
    before = lab.evaluate(NOTEBOOK)
    parts = node.locator(
        "button:visible, .mmduet-player-title, .mmduet-player-stage, .mmduet-player-said, svg, p:visible"
    )
    for at in range(parts.count()):
        if at >= parts.count():
            break  # a run that began has fewer
        click_in_player(lab, parts.nth(at))
        for key in ("x", "ArrowLeft", "Space", "d", "d", "Shift+Enter", "m"):
            lab.keyboard.press(key)
        assert lab.evaluate(NOTEBOOK) == before, f"after keys following a click on number {at}"


def test_the_focus_returns_to_the_player_after_a_command(lab: Page) -> None:
    live = lab.locator(".mmduet-player").nth(1)
    status = "document.querySelectorAll('.mmduet-player')[1].querySelector('.mmduet-player-status').textContent"
    focused = "document.activeElement.className"
    live.locator(".mmduet-player-start").press("Space")
    until(lab, f"{status} === 'watching'")
    until(lab, "document.querySelectorAll('.mmduet-player')[1].querySelector('.mmduet-player-line') !== null")
    assert lab.evaluate(focused) == "mmduet-player"
    lab.keyboard.press("Space")
    until(lab, f"{status} === 'paused'")
    live.get_by_role("button", name="Stop").click()
    until(lab, f"{status} === 'stopped'")
    assert lab.evaluate(focused) == "mmduet-player", "also where the button is disabled now"
    live.locator(".mmduet-player-line").first.click()
    assert lab.evaluate(focused) == "mmduet-player"
    live.locator(".mmduet-player-line").first.press("Enter")
    assert "mmduet-player-line" in lab.evaluate(focused), "who goes through the lines by keys stays at the line"


def test_an_unguarded_control_would_be_noticed(lab: Page) -> None:
    slider = lab.locator(".mmduet-player").first.get_by_label("Threshold", exact=True)
    before = lab.evaluate(NOTEBOOK)
    slider.evaluate("(node) => node.removeAttribute('data-lm-suppress-shortcuts')")
    slider.focus()
    lab.keyboard.press("b")
    until(lab, f"({NOTEBOOK})().length > {len(before)}")
