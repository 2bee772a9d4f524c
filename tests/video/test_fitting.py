"""The shapes of fitted frames."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmduet.video import CenterCrop, Within, fit_frames
from mmduet.video.fitting import Fitter

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


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=4), st.sampled_from([int, CenterCrop, Within]), sides)
def test_all_frames_of_a_video_get_the_shape_of_the_first(shapes, kind, side):
    """A camera may change its resolution."""
    fitter, size = Fitter(kind(side)), kind(side)
    recorded = [torch.full((1, 3, height, width), 200, dtype=torch.uint8) for height, width in shapes]
    fitted = [fitter.fit(frames, pixel_aspect=1.0) for frames in recorded]
    assert torch.equal(fitted[0], fit_frames(recorded[0], size))
    assert {frames.shape for frames in fitted} == {fitted[0].shape}
    assert all(bool((frames == 200).any()) for frames in fitted), "the picture is in each"


def test_a_frame_of_another_shape_is_centred():
    fitter = Fitter(Within(100))
    fitter.fit(torch.zeros(1, 3, 30, 40, dtype=torch.uint8), pixel_aspect=1.0)
    wide = fitter.fit(torch.full((1, 3, 40, 160), 200, dtype=torch.uint8), pixel_aspect=1.0)
    assert (wide[0, 0, :, 20] == 200).nonzero().flatten().tolist() == list(range(10, 20))
