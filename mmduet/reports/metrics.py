"""Metrics: the key numbers that a notebook records and a suite's index compares."""

import html
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, Field, ValidationError

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.digits import decimals

MIMETYPE = "application/vnd.mmduet.metrics+json"
LARGEST = 2**63  # of integers; JavaScript and SVG cannot draw larger ones
Number = (
    Annotated[int, Field(ge=-LARGEST, le=LARGEST, strict=True)]
    | Annotated[float, Field(allow_inf_nan=False, strict=True)]
)


class Metric(NamedTuple):
    """A named number, with the bounds of its interval if it has one. None stands for "not a number"."""

    name: str
    value: Number | None
    low: Number | None = None
    high: Number | None = None

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """Check a notebook's value: a number, or the three numbers (value, low, high)."""
        numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if not isinstance(name, str) or not name.strip():
            raise DuetError(f"a metric's name is {name!r}: give a text that is not empty")
        if len(numbers) not in (1, 3) or not all(_is_number(number) for number in numbers):
            raise DuetError(f"metric {name!r} is {value!r}: give a number or (value, low, high)")
        return cls(name, *(_finite(number) for number in numbers))

    @property
    def decimals(self) -> int:
        """The decimals of value and interval: those that the interval justifies, at most `usual_decimals`."""
        usual = 0 if self.value is None else usual_decimals(self.value)
        return usual if self.low is None or self.high is None else decimals(self.low, self.high, most=usual)

    @property
    def text(self) -> str:
        """The rounded value: `0.99`."""
        return format_number(self.value, self.decimals)

    @property
    def interval(self) -> str:
        """The rounded interval: `0.98 – 1.00`, or nothing where the metric has none. With a minus sign: `-12 to 0`."""
        if self.low is None or self.high is None:
            return ""
        ends = [format_number(end, self.decimals) for end in (self.low, self.high)]
        return (" to " if any(end.startswith("-") for end in ends) else " – ").join(ends)


class Recorded(BaseModel):
    """The data that `record_metrics` stores in a cell's outputs."""

    metrics: list[Metric]
    caption: str = ""


def record_metrics(metrics: Mapping[str, Any], *, caption: str = "") -> None:
    """Display a notebook's key numbers, and store them for the index of `mmduet report`.

    Args:
        metrics: Name -> a number, or (value, low, high) with an interval. A name that is recorded again replaces the
            earlier number in the index.
        caption: The text under the table, such as "95 % bootstrap intervals".

    Raises:
        DuetError: A value is of another kind.
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
    """List the metrics in an executed notebook's outputs. Of several with one name the last counts.

    Outputs that `record_metrics` did not make are ignored.
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


def format_number(value: float | None, decimals: int) -> str:
    """Round a number for reading. One that would be all zeros with three decimals is written with its exponent."""
    if value is None:
        return "–"
    if 0 < abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:z,.{decimals}f}"  # z: no minus before a rounded 0


def usual_decimals(value: float) -> int:
    """Return the decimals of a number: 0 for an integer, else 3 up to 1, 2 below 100, 1 above."""
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
