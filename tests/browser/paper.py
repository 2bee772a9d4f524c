"""Printed pages as pictures: Chromium prints a page, and PDFium draws the PDF."""

import numpy as np
import pypdfium2
from numpy.typing import NDArray

from tests.chromium import Page

WIDTH = 816  # of a Letter page, CSS pixels


def print_page(page: Page) -> NDArray[np.uint8]:
    """All printed pages of a page as it stands, one below the other: uint8 [H, WIDTH, 3]."""
    with pypdfium2.PdfDocument(page.pdf(prefer_css_page_size=True)) as document:
        scale = WIDTH / document[0].get_width()
        return np.concatenate([sheet.render(scale=scale, rev_byteorder=True).to_numpy() for sheet in document])


def ink_of(picture: NDArray[np.uint8], color: str, *, most: int = 12) -> NDArray[np.intp]:
    """Where a picture has a colour "#RRGGBB", [n, 2]: row and column. most: the largest difference of a channel."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return np.argwhere((np.abs(picture.astype(int) - wanted) <= most).all(axis=2))
