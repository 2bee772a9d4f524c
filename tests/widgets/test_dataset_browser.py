"""DatasetBrowser on a small `scenes`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from mmduet_widgets import DatasetBrowser, dataset_browser

from mmduet.data.kinds.grounding import GroundingItem
from mmduet.data.mixture import MixtureDataset
from mmduet.data.scenes import make_scenes
from mmduet.data.statistics import timeline
from mmduet.errors import DuetError
from mmduet.plots.style import plain

ATTACK = '<img src=x onerror="window.ran=1"></script>'


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_scenes(tmp_path_factory.mktemp("data"), train=2, val=0, test=0)
    return folder / "annotations" / "train_mixture.json"


@pytest.fixture
def dataset(mixture: Path) -> MixtureDataset:
    return MixtureDataset(mixture)


def said(browser: DatasetBrowser) -> str:
    """The text beside the clip."""
    return BeautifulSoup(browser.children[1].value, "html.parser").get_text(" ")


def place(browser: DatasetBrowser) -> str:
    return browser.children[0].children[-1].value


def title(browser: DatasetBrowser) -> str:
    return json.loads(browser.children[2].figure)["layout"]["title"]["text"]


@pytest.mark.parametrize("kind", ["narration", "magqa", "grounding"])
def test_every_kind_is_shown_with_clip_turns_and_labels(dataset, kind):
    index = next(i for i, sample in enumerate(dataset.samples) if sample.kind == kind)
    browser = DatasetBrowser(dataset, index=index)
    assert BeautifulSoup(browser.children[1].value, "html.parser").video["src"].startswith("data:video/mp4;base64,")
    _, informative, relevance, turns = timeline(dataset[index])
    assert all(turn.text in said(browser) for turn in turns)
    figure = json.loads(browser.children[2].figure)
    assert figure["layout"]["images"]
    (labels,) = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    shown = labels["z"][1] if kind == "grounding" else labels["z"][0]
    expected = relevance if kind == "grounding" else informative
    assert [cell > 1 for cell in shown] == (expected == 1).tolist()
    assert title(browser).startswith(f"{kind}: ")


def test_only_the_clip_in_view_is_read(dataset, monkeypatch):
    read = []
    frames = dataset_browser.read_frames
    monkeypatch.setattr(dataset_browser, "read_frames", lambda video, **how: read.append(video) or frames(video, **how))
    browser = DatasetBrowser(dataset)
    browser.index = last = len(dataset) - 1
    assert read == [dataset.samples[0].video, dataset.samples[last].video]


def test_filters_go_to_the_first_that_matches_and_buttons_through_all(dataset):
    browser = DatasetBrowser(dataset)
    kind, text, number, back, forth, _ = browser.children[0].children
    kind.value = "grounding"
    matches = [i for i, sample in enumerate(dataset.samples) if sample.kind == "grounding"]
    assert browser.matches == matches
    assert browser.index == number.value == matches[0]
    forth.click()
    forth.click()
    assert browser.index == matches[2]
    back.click()
    assert browser.index == matches[1]
    assert place(browser) == f"2 of {len(matches)} matches"
    word = dataset.samples[matches[-1]].annotation.query.upper()
    text.value = word
    assert matches[-1] in browser.matches
    assert all(word.lower() in dataset.samples[i].annotation.query.lower() for i in browser.matches)


def test_buttons_stop_at_the_ends(dataset):
    browser = DatasetBrowser(dataset)
    *_, back, forth, _ = browser.children[0].children
    back.click()
    assert browser.index == 0
    browser.index = len(dataset) - 1
    forth.click()
    assert browser.index == len(dataset) - 1


def test_what_matches_nothing_leaves_the_example_and_says_so(dataset):
    browser = DatasetBrowser(dataset, index=1)
    browser.text = "no clip says this"
    assert (browser.index, place(browser)) == (1, "no matches")
    browser.text = ""
    assert place(browser) == f"2 of {len(dataset)} matches"


def test_a_jump_may_leave_the_matches(dataset):
    browser = DatasetBrowser(dataset)
    browser.kind = "magqa"
    browser.index = 0
    assert place(browser) == f"not among {len(browser.matches)} matches"


def test_a_clips_name_is_found(dataset):
    browser = DatasetBrowser(dataset)
    browser.text = "train_00001"
    assert {dataset.samples[i].video.name for i in browser.matches} == {"train_00001.mp4"}


@pytest.mark.parametrize("contents", [None, b"no video"])
def test_a_clip_that_cannot_be_read_is_named_and_the_labels_stay(dataset, tmp_path, contents):
    broken = tmp_path / "<b>broken.mp4"
    if contents is not None:
        broken.write_bytes(contents)
    dataset.samples[0] = replace(dataset.samples[0], video=broken)
    browser = DatasetBrowser(dataset)
    assert "<b>broken.mp4" in said(browser)
    figure = json.loads(browser.children[2].figure)
    assert not figure["layout"].get("images")
    assert any(trace["type"] == "heatmap" for trace in figure["data"])


def test_labels_past_the_clips_end_are_told(dataset):
    sample = dataset.samples[0]
    dataset.samples[0] = replace(sample, fps=sample.fps * 20, max_frames=10_000, duration=sample.duration + 5)
    item = GroundingItem(video_uid=sample.video.name, query="x", timestamps=[(0.0, sample.duration)])
    dataset.samples[0] = replace(dataset.samples[0], kind="grounding", annotation=item)
    assert "its labels need" in said(DatasetBrowser(dataset))


def test_text_is_text(dataset):
    dataset.samples[0] = replace(dataset.samples[0], entry=ATTACK)
    for narration in dataset.samples[0].annotation:
        narration.text = f"{ATTACK} {narration.time}"
    browser = DatasetBrowser(dataset)
    assert ATTACK in said(browser)
    assert "<img" not in browser.children[1].value
    assert plain(ATTACK) in title(browser)
    beside, figure = browser.report()
    assert "<img" not in beside.data
    for texts in (json.loads(browser.children[2].figure), json.loads(figure.to_json())):
        assert "onerror" in str(texts)
        assert "<img" not in str(texts)


def test_a_report_has_all_examples_of_the_clip_in_view(dataset):
    browser = DatasetBrowser(dataset, index=1)
    _, figure = browser.report()
    own = [i for i, sample in enumerate(dataset.samples) if sample.video == dataset.samples[1].video]
    menu = figure.layout.updatemenus[0]
    assert len(menu.buttons) == len(own) > 2
    assert menu.active == own.index(1)
    assert figure.layout.title.text == title(browser)
    assert browser.to_html().count("data:video/mp4") == 1


def test_what_is_not_there_is_refused(dataset):
    with pytest.raises(DuetError, match=f"index={len(dataset)}"):
        DatasetBrowser(dataset, index=len(dataset))
    browser = DatasetBrowser(dataset)
    with pytest.raises(DuetError, match="kind='captions'"):
        browser.kind = "captions"
    assert browser.kind == ""
    dataset.samples = []
    with pytest.raises(DuetError, match="has no samples"):
        DatasetBrowser(dataset)
