"""Filmstrips: frames as pictures under a time axis."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from mmduet.errors import DuetError
from mmduet.plots.timeline import PLOT_WIDTH, STRIP, end_of


class Thumbnail(NamedTuple):
    """One picture of a filmstrip.

    Attributes:
        start: Start of its slot, s.
        end: End of its slot, s.
        time: Time of its frame, s.
        uri: A JPEG data URI.
    """

    start: float
    end: float
    time: float
    uri: str


def thumbnail(frame: Any, *, height: int = 96) -> str:
    """Encode a frame as a JPEG data URI, at most `height` pixels high.

    Args:
        frame: uint8 [3, H, W], array or tensor.
        height: Pixels.

    Raises:
        DuetError: The frame has another shape or type.
    """
    array = np.asarray(frame.cpu() if hasattr(frame, "cpu") else frame)
    if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8:
        raise DuetError(f"frame: {array.dtype} {list(array.shape)}; a frame is uint8 [3, H, W].")
    picture = Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    if picture.height > height:
        picture = picture.resize((max(1, round(picture.width * height / picture.height)), height))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=70, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def film_strip(
    frames: Any, times: Sequence[float] | np.ndarray, *, count: int | None = None, height: int = 96
) -> list[Thumbnail]:
    """Choose frames evenly over time; each shows the middle of its slot.

    Args:
        frames: uint8 [N, 3, H, W], array or tensor.
        times: [N], s, ascending.
        count: Most pictures; by default 12 of wide frames and 16 of others.
        height: Pixels.

    Raises:
        DuetError: Frames and times disagree in number.
    """
    times = np.asarray(times, dtype=float)
    if len(frames) != len(times):
        raise DuetError(f"frames: {len(frames)} of them but {len(times)} times; give one frame a time.")
    if not len(times):
        return []
    if count is None:
        count = 12 if frames[0].shape[-1] > 1.2 * frames[0].shape[-2] else 16
    edges = np.linspace(times[0], end_of(times), min(count, len(times)) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    shown = np.searchsorted(times, middles, side="right") - 1
    return [
        Thumbnail(float(start), float(end), float(times[index]), thumbnail(frames[index], height=height))
        for start, end, index in zip(edges[:-1], edges[1:], shown, strict=True)
    ]


def strip_panel(pictures: Sequence[Thumbnail]) -> dict[str, int]:
    """The filmstrip's panel and its height; none without pictures."""
    if not pictures:
        return {}
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0].uri.partition(",")[2])))
    return {STRIP: int(min(84, max(36, 1.25 * PLOT_WIDTH / len(pictures) * picture.height / picture.width)))}


def add_strip(fig: go.Figure, pictures: Sequence[Thumbnail]) -> None:
    """Add pictures in their slots of the time axis, with their times on hover."""
    if not pictures:
        return
    middles = [(picture.start + picture.end) / 2 for picture in pictures]
    for middle, picture in zip(middles, pictures, strict=True):
        fig.add_layout_image(
            source=picture.uri,
            x=middle,
            y=0.5,
            xref="x",
            yref=STRIP,
            sizex=(picture.end - picture.start) * 0.97,
            sizey=1,
            xanchor="center",
            yanchor="middle",
        )
    fig.add_scatter(
        x=middles,
        y=[0.5] * len(middles),
        yaxis=STRIP,
        mode="markers",
        marker={"size": 30, "opacity": 0},
        hoverinfo="text",
        hovertext=[f"frame at {picture.time:.1f} s" for picture in pictures],
        name="frames",
        showlegend=False,
    )
    fig.layout["yaxis" + STRIP[1:]].update(range=[0, 1], visible=False)
