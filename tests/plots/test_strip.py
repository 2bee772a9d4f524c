"""Thumbnails and filmstrips."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots.strip import thumbnail
from mmduet.policy import ScoreThreshold
from tests.plots.figures import make_trace, pictures


def decoded(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_a_thumbnail_is_a_small_jpeg_of_the_frame():
    frame = np.zeros((3, 384, 512), np.uint8)
    frame[0] = 200
    for given in (frame, torch.from_numpy(frame)):
        picture = decoded(thumbnail(given))
        assert picture.shape == (96, 128, 3)
        np.testing.assert_allclose(picture.mean((0, 1)), [200, 0, 0], atol=6)
    assert decoded(thumbnail(frame[:, :40, :30])).shape == (40, 30, 3), "never enlarged"


def test_a_filmstrip_shows_each_slots_middle():
    strip = plots.film_strip(pictures(100), np.arange(100) / 2, count=10)
    assert len(strip) == 10
    assert strip[0].start == 0.0
    assert strip[-1].end == 50.0
    for picture in strip:
        middle = (picture.start + picture.end) / 2
        assert middle - 0.5 < picture.time <= middle
        grey = pictures(100)[int(picture.time * 2), 0, 0, 0]
        assert abs(decoded(picture.uri).mean() - grey) < 4


def test_the_filmstrip_lies_on_the_time_axis():
    fig = plots.score_figure(make_trace(60), ScoreThreshold(0.5), frames=torch.from_numpy(pictures(60).copy()))
    images = fig.layout.images
    assert 12 <= len(images) <= 16
    assert {image.xref for image in images} == {"x"}
    gaps = np.diff([image.x for image in images])
    np.testing.assert_allclose(gaps, 30.0 / len(images))
    assert all(image.sizex <= gaps[0] for image in images)


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(DuetError, match="11 of them but 12 times"):
        plots.score_figure(make_trace(12), ScoreThreshold(0.5), frames=pictures(11))
    with pytest.raises(DuetError, match=r"float64 \[3, 4, 4\]"):
        thumbnail(np.zeros((3, 4, 4)))
    with pytest.raises(DuetError, match=r"uint8 \[4, 4, 3\]"):
        thumbnail(np.zeros((4, 4, 3), np.uint8))
