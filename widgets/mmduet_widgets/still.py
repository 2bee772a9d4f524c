"""Stills: what a notebook that is not trusted shows of a widget: a picture and words, since it runs no script."""

import base64
import html
from collections.abc import Iterable

from mmduet.reports.thumbnails import make_thumbnail
from mmduet.trace import DuetTrace, Query, Response

NOTE = "A still, because this notebook is not trusted. The command “Trust Notebook” shows the rest."
HIDING = "<style>iframe + .mmduet-still { display: none }</style>"  # an untrusted notebook has no style and no iframe
WIDTH = 480  # pixels of the picture


def page_with_still(page: str, *, trace: DuetTrace | None = None, texts: Iterable[str] = ()) -> str:
    """Put a still behind a widget's page. It shows only where the page's `<iframe>` is removed.

    Args:
        page: An `<iframe>`.
        trace: Its curves and turns are shown.
        texts: HTML without scripts; it is shown below.
    """
    parts = [f"<p><em>{NOTE}</em></p>", *([] if trace is None else [_picture(trace), _words(trace)]), *texts]
    return f'{HIDING}{page}<div class="mmduet-still">{"".join(parts)}</div>'


def _picture(trace: DuetTrace) -> str:
    """The curves and the times of responses, as a picture; nothing for a trace without scores."""
    if not len(trace):
        return ""
    start, end = float(trace.times[0]), float(trace.times[-1])
    marks = [(response.time - start) / ((end - start) or 1) for response in trace.responses]
    curves = {head: trace.curve(head).tolist() for head in trace.heads}
    drawn = str(make_thumbnail(None, curves, marks, None).svg())
    picture = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    label = f"{' and '.join(trace.heads)} from {start:.1f} to {end:.1f} s"
    return (
        f'<img src="data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}" width="{WIDTH}" '
        f'alt="{label}" style="background-color: #ffffff">'
    )


def _words(trace: DuetTrace) -> str:
    """A table of the turns in order of time."""
    turns: list[Query | Response] = [*trace.queries, *trace.responses]
    rows = [
        f"<tr><td>{turn.time:.1f} s</td><td>{'user' if isinstance(turn, Query) else 'model'}</td>"
        f"<td>{html.escape(turn.text)}</td></tr>"
        for turn in sorted(turns, key=lambda turn: turn.time)
    ]
    return f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""
