"""Makes the README's pictures of a report and of an index: the suite `policies`, through headless Chromium.

python -m docs.report_picture    # runs notebook 03 four times with `mini` where that is not done yet: minutes
"""

from pathlib import Path

from docs.pictures import photograph
from mmduet.reports import run_suite

FOLDER = Path(__file__).parent
SUITE = FOLDER.parent / "reports" / "suites" / "policies.yaml"


def main() -> None:
    """Run the suite and photograph the tops of its index and of its first report."""
    result = run_suite(SUITE)
    if result.failed:
        raise SystemExit(f"{', '.join(result.failed)} failed: see {result.index}")
    photograph(result.index.read_text(encoding="utf-8"), FOLDER / "index.png", 760)
    photograph(result.outcomes[0].page.read_text(encoding="utf-8"), FOLDER / "report.png", 1560)


if __name__ == "__main__":
    main()
