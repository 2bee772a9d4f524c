"""Printed pages as pictures: Chromium prints a page, and its own viewer shows the PDF."""

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.chromium import PATIENCE, Page

WIDTH, HEIGHT = 816, 1056  # of a Letter page, CSS pixels
VIEW = "#toolbar=0&navpanes=0&view=FitH"
DESK = 60  # the viewer's background is darker than any page


def print_page(page: Page, folder: Path) -> NDArray[np.uint8]:
    """All printed pages of a page, one below the other: uint8 [H, W, 3].

    Args:
        page: The page, as it stands.
        folder: Gets the PDF.
    """
    path = folder / "printed.pdf"
    path.write_bytes(page.pdf(prefer_css_page_size=True))
    count = len(re.findall(rb"/Type /Page\b(?!s)", path.read_bytes()))
    viewer = page.context.browser.new_page(viewport={"width": WIDTH, "height": (HEIGHT + 20) * count})
    viewer.goto(path.as_uri() + VIEW)
    before, shown = b"", b""
    for _ in range(PATIENCE * 4):
        before, shown = shown, viewer.screenshot()
        if shown == before and _pixels(shown)[:, WIDTH // 2].min(axis=1).max() > DESK:
            break
        viewer.wait_for_timeout(250)
    viewer.close()
    return _pixels(shown)


def ink_of(picture: NDArray[np.uint8], color: str, *, most: int = 12) -> NDArray[np.intp]:
    """Where a picture has a colour "#RRGGBB", [n, 2]: row and column. most: the largest difference of a channel."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return np.argwhere((np.abs(picture.astype(int) - wanted) <= most).all(axis=2))


def _pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
