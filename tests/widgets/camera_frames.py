"""What a page's camera sends, for tests of the kernel's side."""

import io

import numpy as np
from PIL import Image

from tests.clips import coded


def jpeg(number: int = 0) -> bytes:
    """A frame of `coded` as a page sends it."""
    return encoded(Image.fromarray(coded(number)))


def plain(width: int, height: int, *, format: str = "JPEG", mode: str = "RGB") -> bytes:
    """A black picture."""
    return encoded(Image.new(mode, (width, height)), format=format)


def noise(side: int) -> bytes:
    """A picture that JPEG cannot make small."""
    rng = np.random.default_rng(0)
    return encoded(Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)), quality=100)


def encoded(picture: Image.Image, *, format: str = "JPEG", **options: int) -> bytes:
    """A picture as a file."""
    written = io.BytesIO()
    picture.save(written, format, **options)
    return written.getvalue()
