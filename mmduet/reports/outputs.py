"""Outputs: what cells printed and displayed, made safe for a page that needs no network."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from bs4 import BeautifulSoup, Tag
from markupsafe import Markup
from nbconvert.filters import ansi2html
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

VIEW = "application/vnd.jupyter.widget-view+json"
FORBIDDEN = ["script", "link", "meta", "base", "object", "embed", "form", "noscript"]
REMOTE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
REMOTE_STYLE = re.compile(r"@import[^;]*;?|url\(\s*['\"]?\s*(?:https?:)?//[^)]*\)", re.IGNORECASE)
NUMBER = re.compile(r"^\s*[-+]?[\d.,]+(e[-+]?\d+)?\s*%?\s*$|^NaN$", re.IGNORECASE)
PROGRESS = re.compile(r"\d+ ?%|\b\d+it\b")
LEFT_OUT = (
    '<p class="left-out">An output is left out here, because scripts draw it and a report runs none. For plotly, '
    "return or show() the figure. For a widget of mmduet_widgets, call show(widget).</p>"
)
VISIBLE = ["img", "svg", "canvas", "video", "audio", "iframe", "table", "hr", "input", "progress", "meter"]
STILL = "iframe + .mmduet-still"  # replaces the page of a widget where no script may run
NO_ROWS = "no rows"
MOVES = re.compile(r"(\r\n|\n|\r|\x1b\[A)")
CODES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def stream_text(text: str) -> str:
    """Show printed text as a terminal does: only the last state of a progress bar remains."""
    lines, row, fresh = [""], 0, False
    for piece in MOVES.split(text):
        if piece in ("\n", "\r\n"):
            row, fresh = row + 1, True
            lines += [""] * (row + 1 - len(lines))
        elif piece == "\r":
            fresh = True
        elif piece == "\x1b[A":
            row = max(0, row - 1)
        elif piece:
            lines[row], fresh = (piece if fresh else lines[row] + piece), False
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def stream_html(text: str) -> Markup:
    """Convert printed text to HTML, with its terminal colours."""
    return Markup(ansi2html(stream_text(text)))


def merge_streams(outputs: list[Any]) -> list[Any]:
    """Join adjacent pieces of one stream, since progress bars write many."""
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return [output for output in merged if output.output_type != "stream" or stream_text(output.text)]


def script_json(value: Any) -> Markup:
    """Write JSON that is safe inside a `<script>` element, whatever its texts contain."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(re.sub("|".join(CODES), lambda match: CODES[match.group()], text))


def code_html(source: str) -> Markup:
    """Highlight Python source."""
    return Markup(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))


def picture(data: str, kind: str, name: str) -> Markup:
    """Write a picture as a data URL, also an SVG: no script runs in a picture."""
    encoded = data if kind != "image/svg+xml" else base64.b64encode(data.encode()).decode()
    return Markup('<img src="data:{};base64,{}" alt="{}">').format(kind, encoded.replace("\n", ""), name)


def inert_html(source: str, nonce: str) -> Markup:
    """Remove scripts, handlers and remote addresses from HTML that a cell displayed.

    Scripts run only inside an `<iframe srcdoc>`, the form in which widgets export themselves. They get the page's
    `nonce`, and the frame is sandboxed.
    """
    soup = BeautifulSoup(source, "html.parser")
    for still in soup.select(STILL):
        still.decompose()
    scripted = bool(soup.find("script"))
    for tag in soup.find_all(FORBIDDEN):
        tag.decompose()
    if scripted and not soup.get_text(strip=True) and not soup.find(VISIBLE):
        return Markup(LEFT_OUT)
    for tag in soup.find_all(True):
        _strip_attributes(tag)
    for style in soup.find_all("style", scoped=True):
        style.decompose()  # from pandas: browsers apply it outside its table
    for table in soup.find_all("table", class_="dataframe"):
        _align_numbers(table)
        _tell_empty(table, soup)
    for style in soup.find_all("style"):
        style.string = REMOTE_STYLE.sub("", style.get_text())
    for frame in soup.find_all("iframe"):
        frame["srcdoc"] = _frame_document(str(frame.get("srcdoc", "")), nonce)
        saves = "allow-downloads" in frame.get_attribute_list("sandbox")
        frame["sandbox"] = "allow-scripts allow-downloads" if saves else "allow-scripts"
    return Markup(soup)


def best_kind(data: Mapping[str, Any], order: tuple[str, ...]) -> str:
    """Return the first kind of `order` in an output's data; text/plain if the data have none."""
    return next((kind for kind in order if kind in data), "text/plain")


def is_progress(data: Mapping[str, Any]) -> bool:
    """Whether an output is the widget of a progress bar."""
    return VIEW in data and bool(PROGRESS.search(str(data.get("text/plain", ""))))


def _strip_attributes(tag: Tag) -> None:
    for name, value in list(tag.attrs.items()):
        text = " ".join(value) if isinstance(value, list) else str(value)
        remote = name in ("src", "srcset", "poster", "background", "data") and REMOTE.match(text)
        active = name.startswith("on") or text.strip().lower().startswith("javascript:")
        if remote or active or name == "border" or (name == "src" and tag.name == "iframe"):
            del tag[name]
        elif name == "style":
            tag[name] = REMOTE_STYLE.sub("", text)


def _align_numbers(table: Tag) -> None:
    """Give class `number` to the numeric cells of a pandas table and to their heads."""
    heads = table.select("thead tr:first-child th")
    for row in table.select("thead tr"):
        row.attrs.pop("style", None)  # pandas aligns all heads to the right
    for row in table.select("tbody tr"):
        for place, cell in enumerate(row.find_all(["th", "td"], recursive=False)):
            if NUMBER.match(cell.get_text()):
                cell["class"] = "number"
                if place < len(heads):
                    heads[place]["class"] = "number"


def _tell_empty(table: Tag, soup: BeautifulSoup) -> None:
    """Say in a pandas table without rows that it has none."""
    if table.tbody is not None and table.tbody.find("tr") is None:
        columns = max((len(row.find_all("th")) for row in table.select("thead tr")), default=1)
        row = soup.new_tag("tr")
        cell = soup.new_tag("td", attrs={"colspan": str(columns)})
        cell.string = NO_ROWS
        row.append(cell)
        table.tbody.append(row)


def _frame_document(source: str, nonce: str) -> str:
    soup = BeautifulSoup(source, "html.parser")
    for script in soup.find_all("script"):
        if script.get("src"):
            script.decompose()
        else:
            script["nonce"] = nonce
    return str(soup)
