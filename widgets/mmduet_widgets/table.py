"""table_html: a table of texts for widgets and their pages."""

import pandas as pd

CELL = "text-align: left; vertical-align: top; padding: 2px 16px 2px 0"  # a page's own style may differ for headings


def table_html(table: pd.DataFrame) -> str:
    """Make a table as wide as the page, headings above their columns; every text is escaped."""
    written = table.to_html(index=False, border=0).replace("<table", '<table style="width: 100%"', 1)
    for cell in ("th", "td"):
        written = written.replace(f"<{cell}>", f'<{cell} style="{CELL}">')
    return written
