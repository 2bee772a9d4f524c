"""The page of `make app`: behind a token, on loopback, with a player at once and a kernel that ends with its page."""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from mmduet.data.scenes import make_scenes
from tests.browser.servers import serve
from tests.chromium import Browser, Page, open_browser, record, until

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "widgets/voila/app.ipynb"
ROOT = "document.querySelector('.mmduet-player')"
SMALL = 'page = AppPage(model=\\"tiny\\", threshold=0.0, max_new_tokens=3, clips='
PATIENCE = 60  # s
READY = 1  # kernels that are kept ready


def make_folder(folder: Path) -> list[str]:
    """A folder as `make app` expects it, with the real notebook on the `tiny` model; the arguments of Voilà."""
    make_scenes(folder / "datasets", train=0, val=0, test=1)
    (folder / NAME).parent.mkdir(parents=True)
    notebook = (REPOSITORY / NAME).read_text()
    assert "page = AppPage(" in notebook
    (folder / NAME).write_text(notebook.replace("page = AppPage(", SMALL))
    (folder / NAME).with_name("picture.png").write_bytes(b"a picture")
    made = subprocess.run(["make", "-n", "app"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    served = re.search(rf"JUPYTER_PATH=widgets \S+/voila {NAME} (.+)", made)
    assert served
    return served[1].split()


def serve_app(folder: Path, *options: str):
    """The page of `make app` over a folder, as `serve`."""
    return serve(folder, "voila", NAME, *options, JUPYTER_PATH=str(REPOSITORY / "widgets"))


def show(page: Page, address: str, token: str) -> None:
    """Open the page of `make app`, and wait until its model is loaded."""
    page.goto(f"{address}/?{token}", timeout=90_000)
    page.get_by_text("tiny is loaded").wait_for(timeout=90_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The whole one: a page that is closed says so to its kernel."""
    with open_browser(shell=False) as browser:
        yield browser


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address and "token=…"."""
    folder = tmp_path_factory.mktemp("app")
    with serve_app(folder, *make_folder(folder)) as address:
        yield address


def kernels(folder: Path) -> int:
    """How many kernels run in a folder."""
    found = 0
    for process in psutil.process_iter():
        try:
            found += process.cwd() == str(folder) and "ipykernel_launcher" in process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_for(kept: int, folder: Path) -> None:
    ending = time.monotonic() + PATIENCE
    while (found := kernels(folder)) != kept:
        assert time.monotonic() < ending, f"{found} kernels run, not {kept}"
        time.sleep(0.2)


def test_it_wants_its_token(app: tuple[str, str]) -> None:
    address, _ = app
    with urlopen(address) as answer:
        assert "/login" in answer.url
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{address}/api/kernels/00000000-0000-0000-0000-000000000000")


def test_its_scripts_come_before_its_cells_run(app: tuple[str, str]) -> None:
    """The browser reads them while the kernel starts."""
    address, token = app
    with urlopen(f"{address}/?{token}") as answer:
        page = answer.read().decode()
    assert page.count("/voila.js") == 1
    assert page.index("/voila.js") < page.index("voila_process(1")
    configs = re.findall(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert len({json.loads(config)["kernelId"] for config in configs}) == 1


@pytest.mark.parametrize("name", ["picture.png", "widgets/voila/picture.png", "app.ipynb"])
def test_files_beside_the_notebook_are_not_served(app: tuple[str, str], name: str) -> None:
    address, token = app
    for query in ("", f"?{token}"):
        with pytest.raises(HTTPError, match="403"):
            urlopen(f"{address}/voila/files/{name}{query}")


MALFORMED = [
    (2**62).to_bytes(8, "little"),  # so many parts
    (2**31 - 1).to_bytes(4, "big"),  # the same, in the older protocol
    b"",
    "no message",
    "{}",
    '{"channel": "shell", "header": {"msg_type": "execute_request"}}',
]


async def send(address: str, token: str, kernel: str, protocols: list[str]) -> None:
    """Sends MALFORMED to a kernel, as a visitor could."""
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    url = f"{address.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels?session_id=a&{token}"
    for message in MALFORMED:
        connection = await websocket_connect(HTTPRequest(url), subprotocols=protocols)
        await connection.write_message(message, binary=isinstance(message, bytes))
        connection.close()


@pytest.mark.parametrize("protocols", [[], ["v1.kernel.websocket.jupyter.org"]])
def test_a_malformed_message_does_not_stop_the_server(app: tuple[str, str], protocols: list[str]) -> None:
    address, token = app
    with urlopen(f"{address}/?{token}", timeout=90) as answer:
        config = re.search(r'id="jupyter-config-data"[^>]*>(.+?)</script>', answer.read().decode(), re.DOTALL)
    assert config
    kernel = json.loads(config[1])["kernelId"]
    asyncio.run(send(address, token, kernel, protocols))
    with urlopen(f"{address}/api/kernels/{kernel}?{token}", timeout=10) as answer:
        assert json.load(answer)["id"] == kernel, "server and kernel are there"


def test_its_player_watches_live(browser: Browser, app: tuple[str, str]) -> None:
    address, token = app
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    seen = record(page)
    show(page, address, token)
    player = page.locator(".mmduet-player")
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


def test_it_is_dark_while_the_system_is(browser: Browser, app: tuple[str, str]) -> None:
    """Page, controls and player alike, also when the system changes."""
    page = browser.new_page(color_scheme="dark")
    show(page, *app)
    parts = ["body", ".jupyter-widgets select", ".mmduet-player"]
    colors = f"{json.dumps(parts)}.map((part) => getComputedStyle(document.querySelector(part)).backgroundColor)"
    dark = page.evaluate(colors)
    page.emulate_media(color_scheme="light")
    until(page, "document.body.dataset.jpThemeLight === 'true'")
    light = page.evaluate(colors)
    sums = [[sum(map(int, re.findall(r"\d+", color)[:3])) for color in shown] for shown in (dark, light)]
    assert all(value < 200 for value in sums[0]), dark
    assert all(value > 600 for value in sums[1]), light
    page.close()


def test_the_kernel_of_a_page_ends_with_it(browser: Browser, tmp_path: Path) -> None:
    with serve_app(tmp_path, *make_folder(tmp_path)) as address:
        page = browser.new_page()
        page.goto("{}/?{}".format(*address), timeout=90_000)
        for _ in range(2):
            page.locator(".mmduet-player").wait_for(timeout=90_000)
            page.reload(timeout=90_000)
        page.locator(".mmduet-player").wait_for(timeout=90_000)
        wait_for(1 + READY, tmp_path)
        page.close(run_before_unload=True)
        wait_for(READY, tmp_path)


def test_a_kernel_without_a_page_is_culled_and_that_of_an_open_page_stays(browser: Browser, tmp_path: Path) -> None:
    """One that is kept ready stays as well, and is not taken for idle when its page comes."""
    options = make_folder(tmp_path)
    for name, value in (("idle_timeout", 10), ("interval", 1)):
        options = [re.sub(rf"(\.cull_{name})=.*", rf"\1={value}", option) for option in options]
    with serve_app(tmp_path, *options) as (address, token):
        page = browser.new_page()
        show(page, address, token)
        with urlopen(f"{address}/?{token}", timeout=90) as answer:
            answer.read()  # another visitor, who is gone before the page is shown
        wait_for(2 + READY, tmp_path)
        wait_for(1 + READY, tmp_path)
        late = browser.new_page()
        show(late, address, token)
        page.get_by_label("Model", exact=True).select_option("mini")
        page.get_by_text("mini is loaded").wait_for()
        late.close()
        page.close()
