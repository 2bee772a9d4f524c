"""Trace page: one watched video as an HTML page that works offline, in the form of a report."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

from mmduet.errors import VideoError
from mmduet.policy import Policy
from mmduet.reports.clip import from_zero
from mmduet.trace import DuetTrace

SHOWN_AS = {".mp4": "video/mp4", ".webm": "video/webm"}  # that browsers play
MAX_VIDEO_BYTES = 8_000_000
STRIP_SIZE = 96  # pixels of the side of a frame in the film strip


def trace_page(
    trace: DuetTrace, policy: Policy, *, title: str, command: str, clip: Path | None = None, frame_fps: float = 2.0
) -> str:
    """Make the page of a trace: the clip with its responses as subtitles, the scores, and all that was said.

    Args:
        trace: What was seen and said.
        policy: The policy that the session followed; a slider moves its threshold.
        title: The heading.
        command: The command that made the trace.
        clip: The clip, unless it was a camera or a stream. An MP4 or WebM file of at most 8 MB is put into the page.
        frame_fps: Frames per second of the trace.
    """
    from nbformat import v4

    from mmduet.reports.export import PLOT, export_html

    frames = None if clip is None else _frames(clip, trace, frame_fps)
    video = "" if clip is None else _video(clip, trace)
    cells = [v4.new_markdown_cell(f"# {' '.join(title.split())}\n\n{_code(command)}")]
    if video:
        cells += _section("The clip", {"text/html": video})
    cells += _section("When did it speak?", {PLOT: _figure(trace, policy, frames)})
    cells += _section("What was said?", {"text/html": _transcript(trace, linked=video.startswith("<video"))})
    return export_html(v4.new_notebook(cells=cells))


def _code(text: str) -> str:
    """Text as inline code of Markdown, between more backticks than it has in a row."""
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks} {' '.join(text.split())} {ticks}"


def _section(heading: str, data: dict[str, Any]) -> list[Any]:
    from nbformat import v4

    output = v4.new_output("display_data", data=data)
    return [v4.new_markdown_cell(f"## {heading}"), v4.new_code_cell(outputs=[output])]


def _video(clip: Path, trace: DuetTrace) -> str:
    kind, size, most = SHOWN_AS.get(clip.suffix.lower()), clip.stat().st_size / 1e6, MAX_VIDEO_BYTES / 1e6
    if kind is None:
        return f"<p>The clip is not in this page: browsers play {' and '.join(SHOWN_AS)}.</p>"
    if size > most:
        return f"<p>The clip is not in this page: its {size:.0f} MB are more than {most:.0f} MB.</p>"
    try:
        shown = from_zero(clip.read_bytes())
    except VideoError as error:
        return f"<p>The clip is not in this page: {html.escape(str(error))}</p>"
    video, captions = (base64.b64encode(data).decode() for data in (shown, trace.to_vtt().encode()))
    return (
        f'<video controls style="max-width: 100%" src="data:{kind};base64,{video}">'
        f'<track kind="captions" label="responses" srclang="en" default src="data:text/vtt;base64,{captions}"></video>'
    )


def _frames(clip: Path, trace: DuetTrace, frame_fps: float) -> Any:
    """The frames of the film strip; None of a model that decides in words, whose pieces may have several frames."""
    from mmduet.video import read_frames

    if trace.reply is not None or not len(trace):
        return None
    return read_frames(clip, fps=frame_fps, size=STRIP_SIZE, max_frames=len(trace), rounding="ceil").frames


def _figure(trace: DuetTrace, policy: Policy, frames: Any) -> Any:
    from mmduet.plots import score_figure

    return json.loads(score_figure(trace, policy, frames=frames).to_json())


def _transcript(trace: DuetTrace, *, linked: bool) -> str:
    """A table of all that was said; linked: whether the page has a clip, to which a row's time leads."""
    turns = [(query.time, 0, "user", query.text) for query in trace.queries]
    turns += [(response.time, 1, "model", response.text) for response in trace.responses]
    time = '<a href="#t={0:.3f}">{0:.1f}</a>' if linked else "{0:.1f}"
    row = f'<tr><td class="number">{time}</td><td>{{1}}</td><td style="white-space: pre-line">{{2}}</td></tr>'
    rows = "".join(row.format(time, who, html.escape(text)) for time, _, who, text in sorted(turns))
    return f'<table><thead><tr><th class="number">time, s</th><th>who</th><th>text</th></tr></thead>{rows}</table>'
