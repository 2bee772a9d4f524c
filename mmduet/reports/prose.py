"""Prose: Markdown cells as HTML. HTML in them is shown as text, and headings are collected."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mistune
from markupsafe import Markup, escape
from mistune.renderers.html import HTMLRenderer
from mistune.util import striptags
from nbformat import NotebookNode

PLUGINS = ["strikethrough", "table", "task_lists", "def_list"]
TITLE = re.compile(r"\A\s*#[ \t]+(.+?)[ \t]*(?:\n|\Z)")


@dataclass(frozen=True)
class Heading:
    """A line of the table of contents. `html` is its text with markup."""

    level: int
    anchor: str
    html: Markup


@dataclass
class Prose:
    """Renders one notebook's Markdown cells in order, and collects their `headings`."""

    headings: list[Heading] = field(default_factory=list)

    def render(self, source: str, attachments: Mapping[str, Any] | None = None) -> Markup:
        """Render one cell. Pictures come from its attachments; other pictures become links."""
        renderer = _Renderer(self, attachments or {})
        return Markup(mistune.create_markdown(renderer=renderer, plugins=PLUGINS)(source))

    def anchor(self, text: str) -> str:
        """Make an anchor for a heading that differs from the earlier ones."""
        slug = re.sub(r"\W+", "-", text.lower()).strip("-") or "section"
        taken = {heading.anchor for heading in self.headings}
        numbered = (f"{slug}-{number}" for number in itertools.count(2))
        return next(anchor for anchor in itertools.chain([slug], numbered) if anchor not in taken)


def take_title(notebook: NotebookNode) -> str:
    """Remove and return the leading `# Heading` of the first Markdown cell; empty if it has none."""
    first = next((cell for cell in notebook.cells if cell.cell_type == "markdown"), None)
    if first is None or not (match := TITLE.match(first.source)):
        return ""
    first.source = first.source[match.end() :]
    return match.group(1).rstrip("# ")


class _Renderer(HTMLRenderer):
    def __init__(self, prose: Prose, attachments: Mapping[str, Any]) -> None:
        super().__init__(escape=True)
        self._prose, self._attachments = prose, attachments

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        anchor = self._prose.anchor(striptags(text))
        self._prose.headings.append(Heading(level, anchor, Markup(text)))
        return f'<h{level} id="{escape(anchor)}">{text}</h{level}>\n'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        name = url.removeprefix("attachment:")
        if url.startswith("attachment:") and name in self._attachments:
            kind, data = next(iter(self._attachments[name].items()))
            return f'<img src="data:{escape(kind)};base64,{escape(data)}" alt="{escape(striptags(text))}">'
        if url.startswith("data:"):
            return super().image(text, url, title)
        return self.link(f"picture: {text or escape(url)}", url, title)
