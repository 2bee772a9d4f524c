import random
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from mmduet.errors import VideoError
from mmduet.video.pictures import FORMATS, read_picture

GREYS = np.linspace(0, 255, 16, dtype=np.uint8)[None].repeat(8, 0)  # a ramp from left to right


def read(path):
    return np.asarray(read_picture(path))


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read(tmp_path, name):
    Image.fromarray(GREYS).convert("RGB").save(tmp_path / "a", name)
    assert np.abs(read(tmp_path / "a")[..., 0].astype(int) - GREYS).max() <= 24


def test_it_is_upright(tmp_path):
    """As phones write it: the sensor's picture, and how it was held."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(GREYS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png")[..., 0], np.rot90(GREYS, -1))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_become_8(tmp_path, suffix):
    Image.fromarray(GREYS.astype(np.uint16) * 257).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read(tmp_path / f"a.{suffix}")[..., 0], GREYS)


def test_white_is_behind_what_is_transparent(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[..., 0].tolist() == [[0, 255], [255, 255]]


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "float.tiff")
    Image.new("1", (12_000, 9_000)).save(tmp_path / "large.png")
    (tmp_path / "folder.png").mkdir()
    for name, message in {
        "text.png": "is no picture that can be read",
        "a.eps": "is no picture that can be read",
        "float.tiff": "its mode is F, which does not say what is white",
        "large.png": "it has 12000 x 9000 pixels.*at most 100 million pixels",
        "folder.png": "is no picture that can be read",
        "missing.png": "does not exist: correct the path of the picture",
    }.items():
        with pytest.raises(VideoError, match=message):
            read_picture(tmp_path / name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_picture_is_read_or_refused(tmp_path, name):
    Image.fromarray(GREYS).convert("RGB").save(tmp_path / "a", name)
    content, draw = (tmp_path / "a").read_bytes(), random.Random(0)
    for _ in range(40):
        at, size = draw.randrange(len(content)), draw.choice([1, 4, 30])
        rest = content[at + size :] if draw.random() < 0.8 else b""
        (tmp_path / "b").write_bytes(content[:at] + draw.randbytes(size) + rest)
        with suppress(VideoError):
            read_picture(tmp_path / "b")
