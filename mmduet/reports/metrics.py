"""Key numbers: what a notebook records and a suite's index shows side by side."""

import html
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, Field, ValidationError

from mmduet.errors import DuetError

MIMETYPE = "application/vnd.mmduet.metrics+json"
LARGEST = 2**63  # of integers; larger ones cannot be drawn
Number = (
    Annotated[int, Field(ge=-LARGEST, le=LARGEST, strict=True)]
    | Annotated[float, Field(allow_inf_nan=False, strict=True)]
)


class Metric(NamedTuple):
    """A named number, with the bounds of its interval where it has one; None stands for "not a number"."""

    name: str
    value: Number | None
    low: Number | None = None
    high: Number | None = None

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """Check what a notebook gave: a number, or the three numbers (value, low, high)."""
        numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if not isinstance(name, str) or not name.strip():
            raise DuetError(f"a metric's name is a text that is not empty, not {name!r}: name it")
        if len(numbers) not in (1, 3) or not all(_is_number(number) for number in numbers):
            raise DuetError(f"metric {name!r} is {value!r}, but a metric is a number or (value, low, high): give one")
        return cls(name, *(_finite(number) for number in numbers))

    @property
    def text(self) -> str:
        """The value for a table, rounded: `0.990`."""
        return format_number(self.value)

    @property
    def interval(self) -> str:
        """The interval for a table: `0.980 – 1.000`, or nothing where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"{format_number(self.low)} – {format_number(self.high)}"


class Recorded(BaseModel):
    """What `record_metrics` leaves in a cell's outputs."""

    metrics: list[Metric]
    caption: str = ""


def record_metrics(metrics: Mapping[str, Any], *, caption: str = "") -> None:
    """Display a notebook's key numbers, and leave them where `mmduet report` finds them for its index.

    `metrics` maps a name to a number or to (value, low, high), an interval; `caption` says under the table
    what they are, such as "95 % bootstrap intervals". A name recorded again replaces the earlier number in
    the index. Raises DuetError for a value of another kind.
    """
    from IPython.display import display  # only a notebook needs it

    rows = [Metric.of(name, value) for name, value in metrics.items()]
    bundle = {
        MIMETYPE: {"metrics": [row._asdict() for row in rows], "caption": caption},  # a Recorded
        "text/html": _table(rows, caption),
        "text/plain": "\n".join(f"{row.name}: {row.text} {row.interval}".rstrip() for row in rows),
    }
    display(bundle, raw=True)


def recorded_metrics(notebook: Any) -> list[Metric]:
    """The metrics in an executed notebook's outputs, in order; of one name the last counts.

    An output that `record_metrics` did not make is left out.
    """
    found: dict[str, Metric] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if MIMETYPE in output.get("data", {}):
                try:
                    recorded = Recorded.model_validate(output["data"][MIMETYPE])
                except ValidationError:
                    continue
                found |= {row.name: row for row in recorded.metrics}
    return list(found.values())


def format_number(value: float | None, decimals: int | None = None) -> str:
    """Rounded for reading, to as many decimals as `usual_decimals` says where none are given."""
    if value is None:
        return "–"
    if 0 < abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:,.{usual_decimals(value) if decimals is None else decimals}f}"


def usual_decimals(value: float) -> int:
    """None for an integer, else three up to 1, two below 100, one from there."""
    if isinstance(value, int):
        return 0
    return 3 if abs(value) <= 1 else 2 if abs(value) < 100 else 1


def _is_number(value: Any) -> bool:
    large = isinstance(value, Integral) and abs(int(value)) > LARGEST
    return isinstance(value, Real) and not isinstance(value, bool) and not large


def _finite(value: float) -> float | None:
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def _table(rows: list[Metric], caption: str) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(row.name)}</th><td>{row.text}</td><td>{row.interval}</td></tr>" for row in rows
    )
    below = f'<caption style="caption-side: bottom">{html.escape(caption)}</caption>' if caption else ""
    return f'<table class="metrics">{below}<tbody>{cells}</tbody></table>'
