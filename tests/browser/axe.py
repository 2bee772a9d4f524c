"""What a page withholds from some of its readers: axe-core's findings, and what is wider than a small screen.

axe-core's file comes with a package of the dev extra, so nothing is fetched. It runs in each frame by itself, since
frames of reports are sandboxed and take no messages.
"""

import importlib.resources
from functools import cache
from typing import Any

import pytest

pytest.importorskip("axe_playwright_python")

from tests.chromium import Frame, Page

SEVERE = ("critical", "serious")  # the impacts that no page of ours may have
SIZES = {"wide": (1300, 900), "phone": (390, 844)}  # CSS pixels
SCHEMES = ("light", "dark")

FIND = """
async ([within, impacts]) => {
  const { violations } = await axe.run(within, { iframes: false, resultTypes: ["violations"] });
  const messages = ({ any, all, none }) => [...any, ...all, ...none].map(({ message }) => message).join("; ");
  return violations
    .filter(({ impact }) => impacts.includes(impact))
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id} at ${node.target.flat().join(" ")}: ${messages(node)}`));
}
"""

# A part that scrolls by itself may hold wider things; so may a drawing, which clips what is in it.
WIDER = """
(within) => {
  const scrolls = (element) => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
  const free = (element) => {
    for (let around = element.parentElement; around; around = around.parentElement) {
      if (around instanceof SVGElement || (around !== document.documentElement && scrolls(around))) return false;
    }
    return true;
  };
  const name = (element) => [element.localName, ...element.classList].join(".");
  return [...document.querySelector(within).querySelectorAll("*")]
    .map((element) => [element, element.getBoundingClientRect()])
    .filter(([element, { width, right }]) => width && right > innerWidth + 1 && free(element))
    .map(([element, { right }]) => `${name(element)} ends at ${Math.round(right)} px of ${innerWidth}`);
}
"""


def set_size(page: Page, size: str) -> None:
    """Gives a page one of `SIZES`."""
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})


def withheld(page: Page, *, within: str = "html") -> list[str]:
    """The `findings` in a page and its frames, and what is `wider_than_page`."""
    return findings(page, within=within) + wider_than_page(page, within=within)


def findings(page: Page, *, within: str = "html", impacts: tuple[str, ...] = SEVERE) -> list[str]:
    """What axe-core finds in a page and its frames: "RULE at SELECTOR: what is wrong".

    Args:
        page: The page, as it stands.
        within: A CSS selector of what is checked, in each frame that has it.
        impacts: Of axe-core's minor, moderate, serious and critical.
    """
    return [found for frame in _frames(page, within) for found in _findings(frame, within, impacts)]


def wider_than_page(page: Page, *, within: str = "html") -> list[str]:
    """What ends at the right of a page or of one of its frames, outside of parts that scroll by themselves."""
    return [found for frame in _frames(page, within) for found in frame.evaluate(WIDER, within)]


def _findings(frame: Frame, within: str, impacts: tuple[str, ...]) -> Any:
    frame.evaluate(_axe())
    return frame.evaluate(FIND, [within, list(impacts)])


def _frames(page: Page, within: str) -> list[Frame]:
    return [frame for frame in page.frames if frame.query_selector(within)]


@cache
def _axe() -> str:
    return importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
