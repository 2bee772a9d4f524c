"""Thumbnails: the small picture that a notebook records and a suite's index shows."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS

MIMETYPE = "application/vnd.mmduet.thumbnail+json"
FRAMES = 5  # at most, in a row
STRIP = (480, 72)  # of all frames together, pixels: twice the shown size, for fine screens
POINTS = 80  # of a curve, at most
FIRST, GREY = "var(--said, #00805F)", "var(--faint, #787d85)"  # of other curves: the first, and the rest
WIDTH, HEIGHT, GAP = 240, 48, 4  # of the drawing, of its curves, and the gap between curves and strip

Share = Annotated[float, Field(ge=0, le=1)]


class Curve(BaseModel):
    """Evenly spaced heights, 0 at the bottom. None is a gap."""

    name: str
    heights: Annotated[list[Share | None], Field(min_length=1)]


class Thumbnail(BaseModel):
    """A row of frames above curves with a common time axis.

    `strip` holds the frames as one WebP data URI of STRIP pixels, or is empty. `marks` are places on the time axis,
    `level` is the height of a line.
    """

    strip: Annotated[str, Field(pattern=r"^(data:image/webp;base64,[A-Za-z0-9+/]+=*)?$")] = ""
    curves: list[Curve] = []
    marks: list[Share] = []
    level: Share | None = None

    def svg(self, *, frames: bool = True) -> Markup:
        """Draw in the page's colours; without `frames` only the curves. The label names the curves."""
        shown = frames and bool(self.strip)
        top = STRIP[1] * WIDTH // STRIP[0] + GAP if shown else 0
        parts = [Markup('<image href="{}" width="{}" height="{}"/>').format(self.strip, WIDTH, top - GAP)] * shown
        parts += [_line(f"M0 {_y(0, top)}H{WIDTH}", "var(--rule, #8884)")] * bool(self.curves)
        if self.level is not None:
            parts.append(_line(f"M0 {_y(self.level, top)}H{WIDTH}", GREY, dashes="3 3"))
        for number, curve in enumerate(self.curves):
            color = HEAD_COLORS.get(curve.name, GREY if number else FIRST)
            parts.append(_line(_path(curve.heights, top), color, width=1.5))
        parts += [_line(f"M{place * WIDTH:.1f} {top + HEIGHT + 1}v5", "currentColor", width=2) for place in self.marks]
        height = top + (HEIGHT + 8 if self.curves or self.marks else 0)
        label = ", ".join(["frames"] * shown + [curve.name for curve in self.curves])
        return Markup('<svg class="thumbnail" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, height, label, Markup().join(parts)
        )


def record_thumbnail(
    *,
    frames: Any = None,
    curves: Mapping[str, Sequence[float]] | None = None,
    marks: Iterable[float] = (),
    level: float | None = None,
) -> None:
    """Display a small picture of this run, and store it for the index of `mmduet report`.

    The last recorded picture counts.

    Args:
        frames: uint8 [N, 3, H, W], array or tensor. A few, evenly chosen, are shown in a row.
        curves: Name -> values, evenly spaced over the same time. A curve named after a head has the head's colour. The
            axis spans 0 to 1, all finite values and the level. NaN and infinities are left out.
        marks: Places from 0 to 1 on the time axis, such as responses.
        level: The height of a line, in the curves' unit.

    Raises:
        DuetError: The frames are of another kind, or the picture would be empty.
    """
    from IPython.display import display  # only a notebook needs it

    thumbnail = make_thumbnail(frames, curves or {}, marks, level)
    bundle = {
        MIMETYPE: thumbnail.model_dump(),
        "text/html": f'<div style="width: {WIDTH}px">{thumbnail.svg()}</div>',
        "text/plain": "the run's thumbnail",
    }
    display(bundle, raw=True)


def make_thumbnail(
    frames: Any, curves: Mapping[str, Sequence[float]], marks: Iterable[float], level: float | None
) -> Thumbnail:
    """Make the thumbnail that `record_thumbnail` records for the same arguments."""
    drawn = {str(name): _thinned(values) for name, values in curves.items() if len(values)}
    numbers = np.concatenate([np.empty(0), *drawn.values()])
    line = level if level is not None and math.isfinite(level) else 0.0
    strip = "" if frames is None or not len(frames) else _strip(frames)
    if not np.isfinite(numbers).any() and not strip:
        raise DuetError("a thumbnail has neither frames nor a curve with finite numbers: give one of them")
    low, high = np.nanmin([0.0, line, *numbers]), np.nanmax([1.0, line, *numbers])
    return Thumbnail(
        strip=strip,
        curves=[
            Curve(name=name, heights=[_share(value, low, high) for value in values]) for name, values in drawn.items()
        ],
        marks=[share for place in marks if (share := _share(place, 0, 1)) is not None],
        level=None if level is None else _share(level, low, high),
    )


def recorded_thumbnail(notebook: Any) -> Thumbnail | None:
    """Return the last thumbnail in an executed notebook's outputs. Outputs of another origin are ignored."""
    found = None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if MIMETYPE in output.get("data", {}):
                try:
                    found = Thumbnail.model_validate(output["data"][MIMETYPE])
                except ValidationError:
                    continue
    return found


def _thinned(values: Sequence[float]) -> NDArray[np.float64]:
    """At most POINTS values, each the highest of its part, so that peaks stay; NaN where no value is finite."""
    numbers = np.asarray(values, dtype=float)
    runs = np.array_split(numbers, min(POINTS, len(numbers)))
    return np.array([max(run[np.isfinite(run)], default=np.nan) for run in runs])


def _share(value: float, low: float, high: float) -> float | None:
    """Where a value lies from low (0) to high (1), clipped; None if it is not finite."""
    share = (float(value) - low) / (high - low)
    return round(min(max(share, 0.0), 1.0), 3) if math.isfinite(share) else None


def _strip(frames: Any) -> str:
    """Frames, each cropped at its centre to the shape of its slot, as one WebP data URI."""
    from PIL import Image, ImageOps

    array = np.asarray(frames.cpu() if hasattr(frames, "cpu") else frames)
    if array.ndim != 4 or array.shape[1] != 3 or array.dtype != np.uint8:
        raise DuetError(f"frames: {array.dtype} {list(array.shape)}; a thumbnail takes uint8 [N, 3, H, W].")
    count = min(FRAMES, len(array))
    chosen = array[[math.floor((slot + 0.5) * len(array) / count) for slot in range(count)]]
    strip = Image.new("RGB", STRIP)
    for slot, frame in enumerate(chosen):
        left, right = (STRIP[0] * edge // count for edge in (slot, slot + 1))
        picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
        strip.paste(ImageOps.fit(picture, (right - left, STRIP[1])), (left, 0))
    stream = io.BytesIO()
    strip.save(stream, "WEBP", quality=60, method=6)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _y(height: float, top: float) -> str:
    return f"{top + HEIGHT - height * (HEIGHT - 2):.1f}"


def _path(heights: Sequence[float | None], top: float) -> str:
    """A line through the middles of one slot for each height, with its gaps."""
    step, path, pen = WIDTH / len(heights), "", "M"
    for slot, height in enumerate(heights):
        if height is None:
            pen = "M"
        else:
            lone = "h0" if pen == "M" else ""  # shows a lone point as well
            path += f"{pen}{(slot + 0.5) * step:.1f} {_y(height, top)}{lone}"
            pen = "L"
    return path


def _line(path: str, color: str, *, width: float = 1, dashes: str = "none") -> Markup:
    style = f"fill: none; stroke: {color}; stroke-width: {width}; stroke-dasharray: {dashes}; stroke-linecap: round"
    return Markup('<path d="{}" style="{}; stroke-linejoin: round"/>').format(path, style)
