"""Make the pictures of an index and of a report from the suite `policies`, with headless Chromium.

    python -m docs.report_pictures

It first runs notebook 03 four times with `mini`, unless that is done: some minutes.
"""

from pathlib import Path

from mmduet.reports import run_suite
from tests.chromium import open_browser, until

FOLDER = Path(__file__).parent
SUITE = FOLDER.parent / "reports" / "suites" / "policies.yaml"
DRAWN = "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))"


def main() -> None:
    """Run the suite and take pictures of its index and of its first report."""
    result = run_suite(SUITE)
    if result.failed:
        raise SystemExit(f"{', '.join(result.failed)} failed: see {result.index}")
    pictures = {"index.png": (result.index, 740), "report.png": (result.outcomes[0].page, 1580)}
    with open_browser() as browser:
        for name, (page, height) in pictures.items():
            shown = browser.new_page(viewport={"width": 1000, "height": height})
            shown.goto(page.resolve().as_uri())
            until(shown, DRAWN)
            shown.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    main()
