"""The middle square of a frame."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmduet.video import CenterCrop, fit_frames

sides = st.integers(1, 60)


@given(sides, sides, st.integers(1, 40), st.floats(0.4, 2.5))
def test_a_crop_is_a_square_without_bars(height, width, side, pixel_aspect):
    frames = torch.full((2, 3, height, width), 200, dtype=torch.uint8)
    fitted = fit_frames(frames, CenterCrop(side), pixel_aspect=pixel_aspect)
    assert fitted.shape == (2, 3, side, side)
    assert bool((fitted == 200).all()), "black bars"


@pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20), (20, 21)])
def test_a_crop_is_the_middle(height, width):
    frames = torch.arange(height * width, dtype=torch.int64).remainder(251).to(torch.uint8).view(1, 1, height, width)
    frames = frames.expand(1, 3, -1, -1)
    top, left = (height - 20) // 2, (width - 20) // 2
    assert torch.equal(fit_frames(frames, CenterCrop(20)), frames[..., top : top + 20, left : left + 20])


def test_wide_pixels_count_as_displayed():
    """20 columns of pixels twice as wide as high are as wide as 40 rows are high."""
    frames = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    frames[..., 10:30] = 255
    assert bool((fit_frames(frames, CenterCrop(16), pixel_aspect=2.0) == 255).all())
