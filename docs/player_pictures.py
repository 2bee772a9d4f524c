"""Makes the README's pictures of the live player: `mini` in a real JupyterLab, with a question in the middle of a clip.

python -m docs.player_pictures
"""

import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from mmduet.data.scenes import make_scenes
from tests.browser.servers import run_notebook, serve_lab, set_theme
from tests.chromium import Page, open_browser, until

CLIP = 2
FOLDER = Path(__file__).parent
QUESTION = "What can be seen right now?"
CELL = """
from mmduet import DuetSession, ScoreThreshold, load_duet
from mmduet.files import read_json
from mmduet_widgets import LiveDuet

reference = read_json("scenes/annotations/test_scenes.json")[CLIP]
clips = [f"scenes/videos/test/{reference['video']}"]
session = DuetSession(*load_duet("mini"), policy=ScoreThreshold(0.5), max_new_tokens=40)
player = LiveDuet(session, clips, spans=[(s["start"], s["end"], s["concept"]) for s in reference["scenes"]])
player.ask("Please concisely narrate the video in real time.")
player
"""
PLAYER = "document.querySelector('.mmduet-player')"


def main() -> None:
    """Run the notebook and photograph the player, in light and dark."""
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        make_scenes(folder, train=0, val=0, test=CLIP + 1)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        cell = new_code_cell(f"CLIP = {CLIP}\n{CELL}")
        nbformat.write(new_notebook(cells=[cell], metadata=kernel), folder / "live.ipynb")
        with serve_lab(folder) as (address, token):
            page = browser.new_page(viewport={"width": 1100, "height": 1500})
            run_notebook(page, address, token, "live.ipynb")
            watch(page)
            for theme in ("Light", "Dark"):
                set_theme(page, theme)
                page.locator(".mmduet-player").screenshot(path=FOLDER / f"player_{theme.lower()}.png")


def watch(page: Page) -> None:
    """Let the model watch, ask it a question meanwhile, and pause after two more responses."""
    player = page.locator(".mmduet-player")
    player.get_by_role("button", name="Watch", exact=True).click()
    until(page, f"{PLAYER}.querySelector('.mmduet-player-time').textContent >= '0:11.5'")
    player.get_by_label("Question").fill(QUESTION)
    player.get_by_label("Question").press("Enter")
    player.get_by_role("button", name=f"user {QUESTION}").wait_for()
    responses = f"{PLAYER}.querySelectorAll('.mmduet-player-said').length"
    until(page, f"{responses} > {page.evaluate(responses)} + 1")
    player.get_by_role("button", name="Pause", exact=True).first.click()
    until(page, f"{PLAYER}.querySelector('.mmduet-player-status').textContent === 'paused'")


if __name__ == "__main__":
    main()
