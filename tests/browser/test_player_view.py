"""The player's page: zoom, scores at the pointer, links to a moment, files; and small screens."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mmduet_widgets import DuetPlayer

from mmduet.policy import ScoreSum
from mmduet.trace import DuetTrace
from tests.browser import axe
from tests.chromium import Page, until
from tests.clips import write_clip
from tests.widgets.players import inner, make_player, make_trace

ROOT = "document.querySelector('.mmduet-player')"
TIME = f"{ROOT}.querySelector('.mmduet-player-time').textContent"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of grey."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=72)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a page; gives its path."""

    def saved(html: str) -> Path:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        return path

    return saved


def open_player(page: Page, path: Path, fragment: str = "") -> None:
    page.goto(path.as_uri() + fragment)
    until(page, f"{ROOT} && ({ROOT}.querySelector('video')?.readyState ?? 4) >= 2")


def ticks(page: Page) -> list[str]:
    """The times under the timeline."""
    texts = page.locator(".mmduet-player-timeline > text.mmduet-player-middle").all_text_contents()
    return [text for text in texts if ":" in text]


# --- links


@pytest.mark.parametrize(
    ("fragment", "shown"), [("#t=4", "0:04.0"), ("#t=0:03.5", "0:03.5"), ("#other", "0:00.0"), ("#t=99", "0:06.0")]
)
def test_a_link_opens_the_player_at_its_moment(
    page: Page, clip: Path, save: Callable, fragment: str, shown: str
) -> None:
    open_player(page, save(inner(make_player(clip).to_html())), fragment)
    until(page, f"{TIME} === '{shown} / 0:06.0'")
    until(page, f"Math.abs({ROOT}.querySelector('video').currentTime - {float(shown[2:])}) < 0.1")
    page.evaluate("location.hash = '#t=2'")
    until(page, f"{TIME} === '0:02.0 / 0:06.0'")


def test_a_link_reaches_a_player_in_a_page_around_it(page: Page, clip: Path, save: Callable) -> None:
    page.goto(save(f"<!DOCTYPE html><title>A report</title>{make_player(clip).to_html()}").as_uri() + "#t=4")
    page.frame_locator("iframe").locator(".mmduet-player").wait_for()
    until(page.frames[1], f"{TIME} === '0:04.0 / 0:06.0'")


# --- the part that is shown


def test_zoom_shows_a_part_and_everything_at_its_place(page: Page, save: Callable) -> None:
    trace = make_trace(240)  # two minutes
    open_player(page, save(inner(make_player(trace=trace, policy=ScoreSum(1.0)).to_html())), "#t=60")
    assert (ticks(page)[0], ticks(page)[-1]) == ("0:00", "2:00")
    part = page.get_by_label("Part of the clip")
    assert not part.is_visible()
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    assert page.locator(".mmduet-player-shown").text_content() == "0:52.5 to 1:07.5"
    part.fill("0")
    assert ticks(page)[0] == "0:00"
    box = page.locator(".mmduet-player-timeline").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] - 51, box["y"] + box["height"] - 60)  # the right end of the part
    until(page, f"{TIME}.startsWith('0:15.0')")
    page.locator(".mmduet-player").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, f"{TIME}.startsWith('0:16.0')")
    until(page, f"{ROOT}.querySelector('.mmduet-player-shown').textContent === '0:14.0 to 0:29.0'")
    page.keyboard.press("0")
    assert (ticks(page)[0], ticks(page)[-1]) == ("0:00", "2:00")
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -900)
    page.keyboard.up("Control")
    until(page, f"{ROOT}.querySelector('.mmduet-player-shown').textContent.startsWith('0:0')")
    assert part.is_visible()


def test_a_playhead_is_followed_and_nothing_leaves_the_part(page: Page, save: Callable) -> None:
    open_player(page, save(inner(make_player(trace=make_trace(240)).to_html())))
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    page.locator(".mmduet-player").focus()
    page.keyboard.press("End")
    shown = f"{ROOT}.querySelector('.mmduet-player-shown').textContent"
    until(page, f"{shown} === '1:45.0 to 2:00.0'")
    page.get_by_label("Part of the clip").fill("30")
    assert page.evaluate(shown) == "0:30.0 to 0:45.0", "who looks elsewhere is left there"
    page.locator(".mmduet-player-line").first.click()
    until(page, f"{shown} === '0:00.0 to 0:15.0'")


def test_the_pointer_shows_all_scores_of_its_frame(page: Page, save: Callable) -> None:
    open_player(page, save(inner(make_player(policy=ScoreSum(1.0)).to_html())))
    box = page.locator(".mmduet-player-timeline").bounding_box()
    assert box
    x = box["x"] + 84 + (box["width"] - 134) * 2.6 / 6.0  # within frame 5, of 0:02.5
    page.mouse.move(x, box["y"] + box["height"] - 60)
    shown = page.locator(".mmduet-player-tip text").all_text_contents()
    assert shown[0] == "0:02.5"
    assert shown[2:6] == ["informative", "0.50", "relevance", "0.25"]
    assert len(shown) == 8, "the decision curve, too"
    page.mouse.move(5, 5)
    assert page.locator(".mmduet-player-tip text").count() == 0


# --- files


def saved_file(page: Page, name: str) -> Path:
    """What the menu saves."""
    page.locator(".mmduet-player-menu > summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    path = Path(download.value.path())
    return path.rename(path.with_name(download.value.suggested_filename))


def test_the_menu_saves_what_python_writes(page: Page, clip: Path, save: Callable) -> None:
    player = make_player(clip, title="Two cats.mp4")
    open_player(page, save(inner(player.to_html())))
    for kind, name in (("srt", "SRT"), ("vtt", "WebVTT"), ("csv", "CSV"), ("json", "JSON")):
        path = saved_file(page, name)
        assert path.name == f"Two_cats.{kind}"
        with path.open(encoding="utf-8", newline="") as file:
            assert file.read() == player._export(kind)
    assert DuetTrace.from_json(path.read_text()).to_json() == player.trace.to_json()
    assert page.evaluate("document.activeElement.className") == "mmduet-player"


def test_the_menu_saves_pictures_that_need_no_style_sheet(page: Page, save: Callable) -> None:
    from PIL import Image

    page.emulate_media(color_scheme="dark")
    open_player(page, save(inner(make_player(policy=ScoreSum(1.0)).to_html())))
    drawing = saved_file(page, "SVG").read_text(encoding="utf-8")
    assert "var(" not in drawing
    page.goto("about:blank")
    page.set_content(f"<body style='margin: 0'>{drawing}")
    assert page.locator("text=informative").count() >= 1
    open_player(page, save(inner(make_player(policy=ScoreSum(1.0)).to_html())))
    picture = Image.open(saved_file(page, "PNG"))
    assert picture.width > 1500
    pixels = picture.convert("L")
    assert pixels.getpixel((3, 3)) == 255, "on white, also where the page is dark"
    assert min(pixels.getdata()) < 80


def test_a_frame_in_another_page_may_save(page: Page, save: Callable) -> None:
    page.goto(save(f"<!DOCTYPE html>{make_player().to_html()}").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator(".mmduet-player-menu > summary").click()
    with page.expect_download() as download:
        frame.get_by_role("button", name="JSON").click()
    assert json.loads(Path(download.value.path()).read_text())["times"][:2] == [0.0, 0.5]


def test_a_player_of_python_has_the_same_menu() -> None:
    player: DuetPlayer = make_player()
    sent = []
    player.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    player._handle_custom_msg({"export": "csv"}, [])
    player._handle_custom_msg({"export": "exe"}, [])
    assert sent == [{"export": "csv", "text": player.trace.to_csv()}]


# --- every reader


@pytest.mark.parametrize("scheme", axe.SCHEMES)
@pytest.mark.parametrize("size", axe.SIZES)
def test_no_reader_is_kept_out(page: Page, clip: Path, save: Callable, scheme: str, size: str) -> None:
    page.emulate_media(color_scheme=scheme)
    axe.set_size(page, size)
    spans = [(0.0, 3.0, "a cat"), (1.0, 4.0, "another cat")]
    open_player(page, save(inner(make_player(clip, title="A long name of a clip " * 4, spans=spans).to_html())))
    page.get_by_role("button", name="Zoom in").click()
    page.locator(".mmduet-player-menu > summary").click()
    assert axe.withheld(page) == []


def test_on_a_phone_the_transcript_comes_before_the_curves(page: Page, clip: Path, save: Callable) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_player(page, save(inner(make_player(clip).to_html())))
    parts = ("title", "stage", "controls", "transcript", "curves")
    tops = [page.locator(f".mmduet-player-{name}").bounding_box()["y"] for name in parts]
    assert tops == sorted(tops)
    for control in page.locator("button:visible, input:visible, summary:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
