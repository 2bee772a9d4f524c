"""Notebook 03 as `make app` serves it: behind a token, on loopback, with the live player at work."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from mmduet.data.scenes import make_scenes
from tests.browser.servers import serve
from tests.chromium import Browser, record, until

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = "document.querySelector('.mmduet-player')"
SMALL = {"model": "tiny", "clip": 0, "threshold": 0.0, "max_new_tokens": 3}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address and "token=…". The notebook is the real one on the `tiny` model."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "notebooks").mkdir()
    make_scenes(folder / "datasets", train=0, val=0, test=1)
    name = "notebooks/03_duet_inference.ipynb"
    notebook = parameterize_notebook(
        load_notebook_node(str(REPOSITORY / name)), {**SMALL, "data": str(folder / "datasets")}, report_mode=False
    )
    nbformat.write(notebook, folder / name)
    served = re.search(rf"JUPYTER_PATH=widgets \$\(BIN\)/voila {name} (.+)", (REPOSITORY / "Makefile").read_text())
    assert served
    with serve(folder, "voila", name, *served[1].split(), JUPYTER_PATH=str(REPOSITORY / "widgets")) as address:
        yield address


def test_it_wants_its_token(app: tuple[str, str]) -> None:
    address, _ = app
    with urlopen(address) as answer:
        assert "/login" in answer.url
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{address}/api/kernels/00000000-0000-0000-0000-000000000000")


def test_its_player_watches_live(browser: Browser, app: tuple[str, str]) -> None:
    address, token = app
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    seen = record(page)
    page.goto(f"{address}/?{token}", timeout=90_000)
    player = page.locator(".mmduet-player")
    player.wait_for(timeout=90_000)
    page.locator(".js-plotly-plot svg.main-svg").first.wait_for()
    status, frames = (f"{ROOT}.querySelector('.mmduet-player-{name}').textContent" for name in ("status", "counts"))
    player.get_by_role("button", name="Watch", exact=True).click()
    until(page, f"{status} === 'watching' && /in [1-9]\\d* frames/.test({frames})")
    player.get_by_label("Question").fill("What is it?")
    player.get_by_label("Question").press("Enter")
    page.get_by_role("button", name="user What is it?").wait_for()
    line = f"[...{ROOT}.querySelectorAll('.mmduet-player-line')].map((line) => line.textContent)"
    answered = "lines.findLastIndex((l) => l.includes('model')) > lines.findIndex((l) => l.includes('What is it?'))"
    until(page, f"((lines) => {answered})({line})")
    player.get_by_role("button", name="Pause", exact=True).first.click()
    until(page, f"{status} === 'paused'")
    player.get_by_role("button", name="Stop").click()
    until(page, f"{status} === 'stopped'")
    assert not seen.errors
    assert {
        request.partition("://")[2].partition("/")[0] for request in seen.requests if request.startswith("http")
    } == {address.partition("://")[2]}
    page.close()
