"""CompareTraces: what several models or policies say of one clip, their scores, and how far they agree."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets as w
import pandas as pd
import traitlets as t
from IPython.display import HTML

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.agreement import TOLERANCE, agreement_of_times, align
from mmduet.evaluation.metrics.timing import RATE, responses_a_minute
from mmduet.plots import ComparedTrace, Span, all_queries, comparison_figure
from mmduet.plots.timeline import end_of
from mmduet.policy import Policy, checked_policy
from mmduet.trace import DuetTrace, Query
from mmduet.video import read_frames, read_metadata
from mmduet_widgets.figure_view import FigureView, framed
from mmduet_widgets.table import table_html

PICTURES = 16  # frames that are read for the filmstrip
PICTURE_SIZE = 96  # pixels
MOST_TOLERANCE = 10.0  # s, of the slider
TRANSCRIPT_HEIGHT = 320  # pixels; a longer one scrolls
ROW_HEIGHT, AROUND = 48, 200  # pixels of a row of figures, which may be two lines, and of what is around both tables


class CompareTraces(w.VBox):
    """Shows several traces of one clip: filmstrip, responses and scores over one time axis; figures; a transcript.

    The transcript has a row for responses that are at most `tolerance` apart, as `align` in
    `mmduet.evaluation.metrics.agreement` makes them; that module also defines the agreement. Trait `tolerance`, s,
    moves with the slider, and moves it. Attributes `figures` and `transcript` are the two tables.

    Args:
        clip: The clip's path.
        traces: Name -> its trace; two or more.
        policies: Name -> policy. The named trace speaks where this policy would have spoken, which for the policy of
            its own run is where it spoke; the policy's threshold is drawn. To compare policies, give one trace
            several names.
        spans: Reference (start, end, label), s.
        title: The figure's title.

    Raises:
        VideoError: The clip cannot be read.
        DuetError: There are fewer than two traces, a policy has no trace or does not fit it, a response's time is not
            known, or the tolerance is not in [0, 10].
    """

    tolerance = t.Float(TOLERANCE)

    def __init__(
        self,
        clip: str | Path,
        traces: Mapping[str, DuetTrace],
        *,
        policies: Mapping[str, Policy] | None = None,
        spans: Iterable[tuple[float, float, str]] = (),
        title: str = "",
    ):
        self.compared = _compared(traces, policies or {})
        self.duration = read_metadata(clip).duration
        batch = read_frames(clip, fps=PICTURES / self.duration, size=PICTURE_SIZE, max_frames=PICTURES)
        self.figure = comparison_figure(
            self.compared,
            frames=batch.frames,
            times=batch.times,
            spans=[Span(*span) for span in spans],
            title=title,
        )
        view, self._tables = FigureView(), w.HTML()
        view.draw(self.figure)
        slider = w.FloatSlider(
            min=0, max=MOST_TOLERANCE, step=0.25, description="tolerance, s", layout={"width": "60%"}
        )
        slider.style.description_width = "initial"
        super().__init__([view, slider, self._tables])
        t.link((self, "tolerance"), (slider, "value"))
        self._align()
        self.observe(self._align, "tolerance")

    def report(self) -> list[Any]:
        """The figure and the tables, at the tolerance as it stands."""
        return [self.figure, HTML(self._tables.value)]

    def to_html(self) -> str:
        """Make an `<iframe>` of the same that needs neither network nor kernel."""
        below = AROUND + ROW_HEIGHT * len(self.compared) + TRANSCRIPT_HEIGHT
        return framed(self.report(), title="Comparison", height=self.figure.layout.height + below)

    @t.validate("tolerance")
    def _check_tolerance(self, proposal: Any) -> float:
        value: float = proposal["value"]
        if not 0 <= value <= MOST_TOLERANCE:
            raise DuetError(f"tolerance={value}: give seconds from 0 to {MOST_TOLERANCE:g}.")
        return value

    def _align(self, change: Any = None) -> None:
        """Make both tables at the tolerance as it stands."""
        self.figures = figures_table(self.compared, self.duration, tolerance=self.tolerance)
        self.transcript = transcript_table(self.compared, tolerance=self.tolerance)
        self._tables.value = _tables_html(self.figures, self.transcript, self.tolerance)


def _compared(traces: Mapping[str, DuetTrace], policies: Mapping[str, Policy]) -> list[ComparedTrace]:
    if len(traces) < 2:
        raise DuetError(f"traces={list(traces)}: give two or more, each with a name.")
    if unknown := sorted(set(policies) - set(traces)):
        raise DuetError(f"policies has {unknown[0]!r}, which no trace is named: the traces are {list(traces)}.")
    checked = {name: checked_policy(policy) for name, policy in policies.items()}
    return [ComparedTrace(name, trace, checked.get(name)) for name, trace in traces.items()]


def figures_table(compared: Iterable[ComparedTrace], duration: float, *, tolerance: float) -> pd.DataFrame:
    """Tabulate how often each of M models speaks, and how far it agrees with each.

    Args:
        compared: The models' traces.
        duration: Of the clip, s. The rate of a trace that ends earlier is of what was watched.
        tolerance: s, as for `align`.

    Returns:
        A row a model; columns: responses, responses a minute, and for each model the agreement with it, in [0, 1].
    """
    compared = list(compared)
    times = [[response.time for response in each.responses] for each in compared]
    rows = [
        [
            len(mine),
            responses_a_minute(len(mine), _watched(each.trace, duration)),
            *(agreement_of_times(mine, other, tolerance=tolerance).value for other in times),
        ]
        for each, mine in zip(compared, times, strict=True)
    ]
    names = [each.name for each in compared]
    columns = ["responses", RATE, *(f"agreement with {name}" for name in names)]
    return pd.DataFrame(rows, index=names, columns=columns)


def _watched(trace: DuetTrace, duration: float) -> float:
    """How much of a clip was watched, s: not all of it where the number of frames was limited."""
    if len(trace) < 2:
        return duration
    end = end_of(trace.times)
    complete = duration - end < end - trace.times[-1]  # no further frame
    return duration if complete else end


def transcript_table(compared: Iterable[ComparedTrace], *, tolerance: float) -> pd.DataFrame:
    """Tabulate what M models say, aligned by time.

    Returns:
        A row for a query, and for responses at most `tolerance` apart; columns: time (s, of the earliest), asked where
        anything was asked, and a model each. A response that is later than its row says by how much. All but the time
        is plain text: escape it where it is rendered.
    """
    compared = list(compared)
    said, queries = [each.responses for each in compared], all_queries(compared)
    rows = [_query_row(query, len(said)) for query in queries]
    for row in align([[response.time for response in each] for each in said], tolerance=tolerance):
        met = [None if at is None else each[at] for at, each in zip(row, said, strict=True)]
        time = min(response.time for response in met if response)
        texts = [_later(response.time - time) + (response.text or "(nothing)") if response else "" for response in met]
        rows.append([time, "", *texts])
    table = pd.DataFrame(
        sorted(rows, key=lambda row: row[0]), columns=["time", "asked", *(each.name for each in compared)]
    )
    return table if queries else table.iloc[:, [0, *range(2, table.shape[1])]]


def _query_row(query: Query, models: int) -> list[Any]:
    return [query.time, query.text, *[""] * models]


def _later(seconds: float) -> str:
    return f"+{seconds:.1f} s: " if seconds >= 0.05 else ""


def _tables_html(figures: pd.DataFrame, transcript: pd.DataFrame, tolerance: float) -> str:
    """Both tables, in words."""
    rows = [[name, *texts] for name, texts in zip(figures.index, _written(figures), strict=True)]
    shown = pd.DataFrame(rows, columns=["", *figures.columns])
    lines = [[f"{time:.1f}\N{NO-BREAK SPACE}s", *texts] for time, *texts in transcript.to_numpy().tolist()]
    words = pd.DataFrame(lines, columns=transcript.columns)  # a model, too, may be named "time"
    note = f"Agreement: the share of both models' responses with one of the other within {tolerance:g} s, 0 to 1."
    return (
        f"{table_html(shown)}<p>{note}</p>"
        f'<div tabindex="0" role="region" aria-label="Transcript" style="max-height: {TRANSCRIPT_HEIGHT}px; '
        f'overflow: auto">{table_html(words)}</div>'
    )


def _written(figures: pd.DataFrame) -> list[list[str]]:
    """The rows as texts: a count, a figure a minute, agreements."""
    digits = [0, 1, *[2] * (figures.shape[1] - 2)]
    return [
        ["–" if math.isnan(value) else f"{value:.{n}f}" for value, n in zip(row, digits, strict=True)]
        for row in figures.to_numpy(dtype=float).tolist()
    ]
