"""The visitor's camera in Voilà and JupyterLab: Chromium's fake one, which plays a clip; and where there is none."""

import base64
import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import axe
from tests.browser.servers import open_notebook, run_code, set_theme
from tests.browser.test_any_clip import PICTURE
from tests.browser.test_voila import make_folder, serve_app
from tests.chromium import Browser, Page, open_browser, record, until
from tests.clips import HEIGHT, RATE, WIDTH, number_of, write_clip, write_y4m

FPS = 5.0
SIDE = 32  # pixels of a frame of the tiny model
FRAMES = 200  # of the camera's clip, which is played again and again
CELL = """
import io, time
from pathlib import Path
from mmduet import DuetSession, ScoreThreshold
from mmduet.checkpoints import build_tiny
from mmduet_widgets import LiveDuet

session = DuetSession(*build_tiny(), policy=ScoreThreshold(0.5), frame_fps=5, max_new_tokens=3)
live = LiveDuet(session, ["clip.mp4"])
live.observe(lambda change: Path("state").write_text(change["new"]), "state")
seen = []  # the times and numbers of the frames that the model sees
live._picture = lambda _, time, frame: seen.append((time, frame.numpy().copy()))
live
"""
PATIENCE = 60  # s
PLAYER = "document.querySelector('.mmduet-player')"
MESSAGE = f"{PLAYER}.querySelector('.mmduet-player-message').textContent"
TITLE = f"{PLAYER}.querySelector('.mmduet-player-title').textContent"
STATUS = f"{PLAYER}.querySelector('.mmduet-player-status').textContent"
LIGHT = f"{PLAYER}.querySelector('.mmduet-player-light').textContent"
PACE = f"{PLAYER}.querySelector('.mmduet-player-pace').textContent"
SCORED = f"Number({PLAYER}.querySelector('.mmduet-player-counts').textContent.match(/in (\\d+) frames/)[1])"
TRACK = f"{PLAYER}.querySelector('video').srcObject.getVideoTracks()[0]"


@contextmanager
def camera_browser(folder: Path) -> Iterator[Browser]:
    """A browser that has a camera and whose visitor allows it."""
    film = write_y4m(folder / "camera.y4m", frames=FRAMES)
    flags = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    with open_browser(*flags, "--use-fake-ui-for-media-stream") as browser:
        yield browser


@contextmanager
def open_app(browser: Browser, address: str) -> Iterator[Page]:
    """The page of `make app`, with its model."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    seen = record(page)
    page.goto(address, timeout=PATIENCE * 1000)
    page.get_by_text("tiny is loaded").wait_for(timeout=PATIENCE * 1000)
    yield page
    page.close()
    assert not seen.errors


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of `make app`, and "token=…"."""
    folder = tmp_path_factory.mktemp("app")
    with serve_app(folder, *make_folder(folder)) as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip."""
    folder = tmp_path_factory.mktemp("lab")
    write_clip(folder / "clip.mp4")
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[Page]:
    """The notebook in JupyterLab, where the visitor has a camera."""
    with camera_browser(folder) as browser, open_notebook(browser, folder, CELL) as page:
        yield page


def choose_camera(page: Page) -> None:
    page.get_by_label("Clip", exact=True).select_option("this device's camera")
    until(page, f"{TITLE} === 'Camera'")


def press(page: Page, name: str) -> None:
    page.locator(".mmduet-player-live").get_by_role("button", name=name, exact=True).click()


def watch(page: Page) -> None:
    """Start a run of the camera, and wait for some scores. Its track stays known to the page."""
    press(page, "Watch")
    until(page, f"{STATUS} === 'watching' && {SCORED} >= 3")
    page.evaluate(f"window.track = {TRACK}")


def stop(page: Page) -> None:
    press(page, "Stop")
    until(page, f"{STATUS} === 'stopped'")
    assert (page.evaluate("track.readyState"), page.evaluate(LIGHT)) == ("ended", ""), "the camera is off"


@pytest.fixture
def filmed(lab: Page) -> Iterator[Page]:
    """The notebook while the model watches the camera."""
    choose_camera(lab)
    watch(lab)
    yield lab
    if lab.evaluate(STATUS) == "watching":
        stop(lab)
    lab.get_by_label("Clip", exact=True).select_option("clip.mp4")
    until(lab, f"{TITLE} === 'clip.mp4'")


def shown_number(page: Page) -> int:
    """The number in the picture that is shown; it is square or has the camera's shape."""
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(page.evaluate(PICTURE)))))
    return number_of(shown)


def run_and_look_back(page: Page) -> None:
    """A run of the camera, a question meanwhile, and a look at what the model saw."""
    choose_camera(page)
    assert page.evaluate(LIGHT) == ""
    watch(page)
    assert page.evaluate(LIGHT) == "Camera on"
    assert page.evaluate("track.readyState") == "live"
    until(page, f"/^latency \\d+ ms · \\d+ frames? dropped$/.test({PACE})")
    page.get_by_label("Question").fill("What is it?")
    page.get_by_label("Question").press("Enter")
    page.get_by_role("button", name="user What is it?").wait_for()
    stop(page)
    until(page, f"{PLAYER}.querySelector('.mmduet-player-picture')?.naturalWidth > 0")
    last = shown_number(page)
    page.locator(".mmduet-player").focus()
    page.keyboard.press("Home")
    until(page, f"{PLAYER}.querySelector('.mmduet-player-time').textContent.startsWith('0:00.0 ')")
    until(page, f"{PLAYER}.querySelector('.mmduet-player-picture')?.naturalWidth > 0")
    assert shown_number(page) != last, "one can go back to the frames that the model saw"


def watch_a_clip(page: Page, name: str) -> None:
    """Clips work, whatever became of the camera."""
    page.get_by_label("Clip", exact=True).select_option(name)
    until(page, f"{TITLE} === '{name}' && {MESSAGE} === ''")
    page.get_by_label("at the clip's own pace").uncheck()
    press(page, "Watch")
    until(page, f"{STATUS} === 'watched to the end'")


def clip_of(page: Page) -> str:
    return page.evaluate(TITLE)


def test_the_app_watches_the_camera(app: tuple[str, str], tmp_path: Path) -> None:
    with camera_browser(tmp_path) as browser, open_app(browser, "{}/?{}".format(*app)) as page:
        clip = clip_of(page)
        run_and_look_back(page)
        press(page, "Watch")
        until(page, f"{STATUS} === 'watching' && {LIGHT} === 'Camera on'")
        for size in axe.SIZES:
            axe.set_size(page, size)
            assert axe.withheld(page, within=".mmduet-player") == []
        page.evaluate(f"window.track = {TRACK}")
        watch_a_clip(page, clip)
        assert page.evaluate("track.readyState") == "ended", "another clip turns the camera off"


REFUSED: dict[str, tuple[list[str], str]] = {
    "not allowed": (
        ["--use-fake-device-for-media-stream", "--deny-permission-prompts"],
        "The camera is not allowed: allow it for this page in the browser, and press Watch again.",
    ),
    "no camera": (
        ["--use-fake-ui-for-media-stream"],
        "No camera was found: connect one, and press Watch again.",
    ),
}


INSECURE = "The camera needs a secure page: open this page over https, or on the kernel's own machine at 127.0.0.1."


def refusal(page: Page, message: str) -> None:
    clip = clip_of(page)
    choose_camera(page)
    press(page, "Watch")
    until(page, f"{MESSAGE} !== ''")
    assert page.evaluate(MESSAGE) == f"{message} Clips work without it."
    assert (page.evaluate(STATUS), page.evaluate(LIGHT)) == ("ready", "")
    watch_a_clip(page, clip)


@pytest.mark.parametrize("name", REFUSED)
def test_without_permission_or_camera_it_says_so_and_clips_work(app: tuple[str, str], name: str) -> None:
    flags, message = REFUSED[name]
    with open_browser(*flags, shell=False) as browser, open_app(browser, "{}/?{}".format(*app)) as page:
        refusal(page, message)


def test_a_page_that_is_not_secure_has_no_camera(app: tuple[str, str]) -> None:
    address = "{}/?{}".format(*app).replace("127.0.0.1", "workbench.test")
    flag = "--host-resolver-rules=MAP workbench.test 127.0.0.1"
    with open_browser(flag) as browser, open_app(browser, address) as page:
        assert not page.evaluate("isSecureContext")
        refusal(page, INSECURE)


def numbers_and_times(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """Of the frames that the model saw, in Python: their numbers and their times, s."""
    times = json.loads(run_code(page, "print([time for time, _ in seen])"))
    pixels = bytes.fromhex(run_code(page, "print(b''.join(frame.tobytes() for _, frame in seen).hex())"))
    frames = np.frombuffer(pixels, np.uint8).reshape(len(times), 3, SIDE, SIDE)
    border = (SIDE - SIDE * HEIGHT // WIDTH) // 2  # black bars
    return np.array([number_of(frame[:, border:-border].transpose(1, 2, 0)) for frame in frames]), np.array(times)


def test_the_model_sees_the_camera_in_a_notebook(lab: Page) -> None:
    run_and_look_back(lab)
    numbers, times = numbers_and_times(lab)
    steps = np.diff(numbers) % FRAMES - np.diff(times) * RATE
    assert len(steps) >= 2
    assert np.abs(np.median(steps)) <= 3, "frames are as far apart as their times say"
    assert (
        run_code(lab, "print(live.camera['dropped'] + len(live.trace) - live.camera['received'] - 1 in (0, -1))")
        == "True\n"
    )


def test_a_pause_sends_nothing_and_time_stands_still(filmed: Page) -> None:
    press(filmed, "Pause")
    until(filmed, f"{STATUS} === 'paused' && {LIGHT} === 'Camera on, nothing is sent'")
    received = run_code(filmed, "live._watcher.join(0.2); print(live.camera['received'])")
    assert run_code(filmed, "live._watcher.join(1.0); print(live.camera['received'])") == received
    press(filmed, "Resume")
    until(filmed, f"{STATUS} === 'watching' && {LIGHT} === 'Camera on'")
    until(filmed, f"{SCORED} > {received} + 2")
    gaps = run_code(filmed, "import numpy; print(numpy.diff(live.trace.times).max())")
    assert float(gaps) < 1.0, "the camera's clock stood still"


def test_while_the_kernel_is_busy_frames_are_dropped_and_the_lag_does_not_grow(filmed: Page) -> None:
    dropped = f"Number({PACE}.match(/(\\d+) frames? dropped/)[1])"
    latency = f"Number({PACE}.match(/latency (\\d+) ms/)[1])"
    before = filmed.evaluate(dropped)
    run_code(filmed, "with live._lock: live._watcher.join(1.5)")  # nothing is acknowledged meanwhile
    until(filmed, f"{dropped} >= {before} + 4")
    until(filmed, f"{latency} < 1000")
    assert filmed.evaluate(STATUS) == "watching"


def test_a_restart_keeps_the_camera_on(filmed: Page) -> None:
    until(filmed, f"{SCORED} >= 6")
    press(filmed, "Restart")
    until(filmed, f"{STATUS} === 'watching' && {SCORED} >= 1 && {SCORED} < 6")
    assert filmed.evaluate(f"track === {TRACK} && track.readyState") == "live"
    assert run_code(filmed, "print(live.camera['run'], live.trace.times[0] < 1)").endswith(" True\n")


@pytest.mark.parametrize("theme", ["Dark", "Light"])
@pytest.mark.parametrize("size", axe.SIZES)
def test_no_reader_is_kept_out(filmed: Page, theme: str, size: str) -> None:
    set_theme(filmed, theme)
    axe.set_size(filmed, size)
    assert axe.withheld(filmed, within=".mmduet-player") == []
    assert filmed.locator(".mmduet-player-light").get_attribute("role") == "status"


def test_a_camera_that_is_unplugged_ends_the_run(filmed: Page) -> None:
    filmed.evaluate("track.dispatchEvent(new Event('ended'))")
    until(filmed, f"{STATUS} === 'stopped'")
    assert filmed.evaluate(MESSAGE).startswith("The camera sends nothing more")
    assert filmed.evaluate("track.readyState") == "ended"


def test_a_player_that_is_removed_turns_the_camera_off(lab: Page) -> None:
    choose_camera(lab)
    watch(lab)
    lab.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs').then(() => null)")
    until(lab, "track.readyState === 'ended'")
    assert run_code(lab, "live.wait(30); print(live.state)") == "stopped\n"


def test_a_tab_that_is_closed_ends_the_run(lab: Page, folder: Path) -> None:
    lab.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
    lab.locator(".mmduet-player").wait_for()
    choose_camera(lab)
    watch(lab)
    assert (folder / "state").read_text() == "running"
    lab.close()
    ending = time.monotonic() + PATIENCE
    while (state := (folder / "state").read_text()) not in ("ended", "stopped"):
        assert time.monotonic() < ending, f"the run is {state}"
        time.sleep(0.05)
    names = {path.name for path in folder.iterdir()}
    assert names == {"camera.y4m", "clip.mp4", "jupyter", "live.ipynb", "state"} | names & {".ipynb_checkpoints"}
