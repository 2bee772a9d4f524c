"""Thumbnails: what is drawn, what is refused, and that they carry no markup of others."""

import math

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pydantic import ValidationError

from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS
from mmduet.reports.thumbnails import MIMETYPE, POINTS, Curve, Thumbnail, make_thumbnail, recorded_thumbnail
from tests.reports.samples import HOSTILE

NOISE = torch.randint(0, 256, (40, 3, 72, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_frames_become_one_small_picture() -> None:
    thumbnail = make_thumbnail(NOISE, {}, (), None)
    assert thumbnail.strip.startswith("data:image/webp;base64,")
    assert len(thumbnail.strip) < 30_000, "noise is the worst there is"
    flat = make_thumbnail(np.full((1, 3, 50, 20), 90, dtype=np.uint8), {}, (), None)
    assert len(flat.strip) < 1_000


@given(st.lists(st.floats(width=32), min_size=1, max_size=3 * POINTS).filter(lambda v: any(map(math.isfinite, v))))
def test_a_curve_keeps_its_extent_whatever_its_values(values: list[float]) -> None:
    [curve] = make_thumbnail(None, {"a": values}, (), None).curves
    heights = curve.heights
    assert len(heights) == min(len(values), POINTS)
    finite = [value for value in values if math.isfinite(value)]
    drawn = [height for height in heights if height is not None]
    low, high = min(0.0, *finite), max(1.0, *finite)
    assert max(drawn) == pytest.approx((max(finite) - low) / (high - low), abs=1e-3), "the highest peak stays"


def test_each_score_has_its_colour() -> None:
    for head, color in HEAD_COLORS.items():
        assert color in make_thumbnail(None, {head: [0.1, 0.9]}, (), None).svg(), head


def test_a_gap_stays_a_gap() -> None:
    thumbnail = make_thumbnail(None, {"informative": [0.5, math.nan, 1.0], "none": []}, [2.0, math.nan], 0.0)
    assert thumbnail == Thumbnail(curves=[Curve(name="informative", heights=[0.5, None, 1.0])], marks=[1.0], level=0.0)
    path = BeautifulSoup(thumbnail.svg(), "html.parser").select("path")[2]["d"]
    assert str(path).count("M") == 2


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_the_line_is_where_its_level_is_among_the_values(value: float, level: float) -> None:
    thumbnail = make_thumbnail(None, {"a": [value, 0.0, 1.0]}, (), level)
    low, high = min(0.0, value, level), max(1.0, value, level)
    assert thumbnail.level == pytest.approx((level - low) / (high - low), abs=1e-3)
    assert thumbnail.curves[0].heights[0] == pytest.approx((value - low) / (high - low), abs=1e-3)


@pytest.mark.parametrize("level", [math.inf, -math.inf, math.nan])
def test_a_threshold_that_is_never_met_has_no_line(level: float) -> None:
    thumbnail = make_thumbnail(None, {"a": [0.5]}, (), level)
    assert thumbnail.level is None
    assert thumbnail.curves[0].heights == [0.5]


def test_what_cannot_be_drawn_is_reported() -> None:
    with pytest.raises(DuetError, match="neither frames nor a curve with finite numbers"):
        make_thumbnail(NOISE[:0], {"a": [math.nan], "b": []}, (), None)
    with pytest.raises(DuetError, match=r"float64 \[2, 3, 4, 4\]; a thumbnail takes uint8"):
        make_thumbnail(np.zeros((2, 3, 4, 4)), {}, (), None)


def test_names_are_text_and_a_strip_is_nothing_but_a_picture() -> None:
    drawing = BeautifulSoup(Thumbnail(curves=[Curve(name=HOSTILE, heights=[0.5])]).svg(), "html.parser")
    assert {tag.name for tag in drawing.find_all()} == {"svg", "path"}
    assert drawing.svg is not None
    assert drawing.svg["aria-label"] == HOSTILE
    for strip in ('data:image/webp;base64,AA" onload="boom()', "https://a.b/c.webp", "data:image/svg+xml;base64,AA"):
        with pytest.raises(ValidationError):
            Thumbnail(strip=strip)


def test_of_several_the_last_that_is_one_counts() -> None:
    bundles = [{"level": 0.1}, {"level": 0.2}, {"strip": "javascript:boom()"}, {"level": 2}]
    outputs = [new_output("display_data", data={MIMETYPE: bundle}) for bundle in bundles]
    found = recorded_thumbnail(new_notebook(cells=[new_code_cell("x", outputs=outputs)]))
    assert found == Thumbnail(level=0.2)
    assert recorded_thumbnail(new_notebook()) is None
