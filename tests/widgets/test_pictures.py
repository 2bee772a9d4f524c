"""Pictures: JPEGs of a bounded size, at a bounded rate."""

import io

import numpy as np
import pytest
import torch
from mmduet_widgets import pictures
from mmduet_widgets.pictures import EVERY, SIDE, Pictures, jpeg
from PIL import Image


def noise(height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width", "shown"), [(48, 64, (64, 48)), (1080, 1920, (SIDE, SIDE * 9 // 16))])
def test_a_frame_becomes_a_jpeg_of_a_bounded_size(height: int, width: int, shown: tuple[int, int]) -> None:
    written = jpeg(noise(height, width))
    picture = Image.open(io.BytesIO(written))
    assert (picture.format, picture.size) == ("JPEG", shown)
    assert len(written) < 200_000, "even noise, which nothing compresses"


def test_colours_are_those_of_the_frame() -> None:
    frame = torch.tensor([200, 60, 20], dtype=torch.uint8)[:, None, None].expand(3, 32, 32)
    shown = np.asarray(Image.open(io.BytesIO(jpeg(frame))))
    assert np.abs(shown.reshape(-1, 3).mean(axis=0) - [200, 60, 20]).max() < 4


def test_frames_that_come_faster_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(pictures.time, "monotonic", lambda: now)
    made, taken = Pictures(), 0
    for now in np.arange(1000.0, 1002.0, 0.01):  # noqa: B007  # read by the clock above
        taken += made.take(noise(8, 8)) is not None
    assert taken == pytest.approx(2.0 / EVERY, abs=1)
