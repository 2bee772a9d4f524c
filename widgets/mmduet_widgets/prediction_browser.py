"""PredictionBrowser: the predictions of an evaluation as a grid of pictures, sorted and filtered."""

import html
import math
from functools import cached_property
from typing import Any

import ipywidgets as w
import pandas as pd
import traitlets as t
from IPython.display import HTML

from mmduet.errors import DuetError, VideoError
from mmduet.evaluation.evaluate import Result
from mmduet.evaluation.items import spans_of
from mmduet.evaluation.response_timing import METRICS, UNITS, timing_scores
from mmduet.reports.thumbnails import make_thumbnail
from mmduet_widgets.figure_view import framed
from mmduet_widgets.predictions import prediction_view

PAGE = 8  # predictions at once
ROW = 190  # pixels of a row of two to four cards, in a frame
LETTERS = 90  # of a question on a card
GRID = "display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 16px"


class PredictionBrowser(w.VBox):
    """Page through the predictions of an evaluation: sorted by any figure, filtered by words, a picture of each.

    Only the clips on the displayed page are read. A picture has frames, score curves, and marks where the model
    responded. The button below it opens the prediction.

    Traits, in both directions:
        order: The figure to sort by, one of `figures`; "": the order of the test file.
        descending: Whether the highest figure comes first. A prediction without the figure comes last.
        text: Must occur in a question's words, its responses, its reference labels or its clip's name.
        page: The displayed page, from 0.
        opened: The id of the question that is opened, or "".
    """

    order = t.Unicode()
    descending = t.Bool(True)
    text = t.Unicode()
    page = t.Int()
    opened = t.Unicode()

    def __init__(self, result: Result):
        """Show an evaluation.

        Args:
            result: Of `mmduet.evaluation.evaluate.run`.
        """
        self.result = result
        self.names = list(result.coverage.matched)
        self._words = {name: _words(result, name).casefold() for name in self.names}
        self._cards: dict[str, str] = {}
        self._place, self._grid, self._view = w.Label(), w.GridBox(), w.VBox()
        self._grid.layout.grid_template_columns = "repeat(auto-fill, minmax(230px, 1fr))"
        self._grid.layout.grid_gap = "16px"
        super().__init__()
        self.children = (self._controls(), self._grid, self._view)
        self._show()

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a question, a column a figure: the benchmark's metrics and the timing figures that have a number."""
        measured = self.result.benchmark.measured(self.result.scores)
        timing = timing_scores(self.result.predictions, self.result.references)[[*METRICS]]
        timing = timing[[name for name in timing if name not in measured]]
        return measured.join(timing).reindex(self.names).dropna(axis=1, how="all")

    @property
    def figures(self) -> list[str]:
        """The names that `order` takes."""
        return list(map(str, self.table))

    @property
    def matches(self) -> list[str]:
        """The ids of the questions that match the filter, in order."""
        found = [name for name in self.names if self.text.casefold() in self._words[name]]
        if not self.order:
            return found
        column = self.table.loc[found, self.order]
        return list(column.sort_values(ascending=not self.descending, kind="stable", na_position="last").index)

    @property
    def shown(self) -> list[str]:
        """The ids of the questions on the displayed page."""
        return self.matches[self.page * PAGE :][:PAGE]

    def report(self) -> list[Any]:
        """The displayed page, as pictures and words."""
        cards = "".join(f"<div>{self._card(name)}</div>" for name in self.shown)
        return [HTML(f'<p>{html.escape(self._said())}</p><div style="{GRID}">{cards}</div>')]

    def to_html(self) -> str:
        """The report in an `<iframe>` that needs no network."""
        return framed(self.report(), title="Predictions", height=60 + ROW * math.ceil(len(self.shown) / 2))

    @t.validate("order")
    def _check_order(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.figures):
            raise DuetError(
                f"order={proposal['value']!r}: give one of {self.figures}, or '' for the test file's order."
            )
        return str(proposal["value"])

    @t.validate("opened")
    def _check_opened(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.names):
            raise DuetError(f"opened={proposal['value']!r}: no prediction with a reference has this id.")
        return str(proposal["value"])

    @t.validate("page")
    def _check_page(self, proposal: Any) -> int:
        return int(min(max(proposal["value"], 0), max(0, math.ceil(len(self.matches) / PAGE) - 1)))

    def _controls(self) -> w.HBox:
        style = {"description_width": "auto"}
        orders = [("test file", ""), *((name, name) for name in self.figures)]
        order = w.Dropdown(options=orders, description="sort by", style=style, layout={"width": "280px"})
        down = w.Checkbox(description="highest first", indent=False, layout={"width": "130px"})
        text = w.Text(placeholder="words, or a clip's name", description="find", style=style, layout={"width": "260px"})
        back, forth = (
            w.Button(icon=f"arrow-{side}", tooltip=tip, layout={"width": "40px"})
            for side, tip in (("left", "the previous page"), ("right", "the next page"))
        )
        back.on_click(lambda _: self._turn(-1))
        forth.on_click(lambda _: self._turn(1))
        for name, control in (("order", order), ("descending", down), ("text", text)):
            t.link((self, name), (control, "value"))
        return w.HBox([order, down, text, back, forth, self._place], layout={"flex_flow": "row wrap"})

    def _turn(self, pages: int) -> None:
        self.page += pages

    @t.observe("order", "descending", "text")
    def _sorted(self, change: Any) -> None:
        if self.page:
            self.page = 0  # shows it
        else:
            self._show()

    @t.observe("page")
    def _turned(self, change: Any) -> None:
        self._show()

    @t.observe("opened")
    def _opened(self, change: Any) -> None:
        self._view.children = [self._prediction(self.opened)] if self.opened else []

    def _show(self) -> None:
        self._place.value = self._said()
        self._grid.children = [w.VBox([w.HTML(self._card(name)), self._button(name)]) for name in self.shown]

    def _said(self) -> str:
        """Which page is displayed."""
        count = len(self.matches)
        if not count:
            return "no matches"
        first = self.page * PAGE
        return f"{first + 1} to {first + len(self.shown)} of {count}"

    def _button(self, name: str) -> w.Button:
        button = w.Button(description="open", tooltip=f"open {name}", layout={"width": "80px"})
        button.on_click(lambda _: self.set_trait("opened", name))
        return button

    def _card(self, name: str) -> str:
        """A prediction's picture, question and figure, as HTML; all text is escaped."""
        if name not in self._cards:
            self._cards[name] = _picture(self.result, name)
        trace = self.result.predictions[name].trace
        question = trace.queries[0].text if trace.queries else name
        figure = ""
        if self.order:
            units = {**UNITS, **self.result.benchmark.units}
            value = self.table.loc[name, self.order]
            shown = "–" if pd.isna(value) else f"{value:.4g}"
            figure = f"<br>{html.escape(self.order)}: <b>{shown}</b> {html.escape(units[self.order])}"
        said = f"{len(trace.responses)} response{'' if len(trace.responses) == 1 else 's'}"
        text = question if len(question) <= LETTERS else question[: LETTERS - 1] + "…"
        return (
            f'{self._cards[name]}<p style="margin: 4px 0; line-height: 1.4">{html.escape(text)}<br>'
            f"<small>{html.escape(str(self.result.references[name].video))}, {said}</small>{figure}</p>"
        )

    def _prediction(self, name: str) -> w.Widget:
        spans = spans_of(self.result.references[name])
        policy = self.result.policy
        return prediction_view(
            self.result.predictions[name], self.result.video(name), policy=policy, spans=spans, title=name
        )


def _words(result: Result, name: str) -> str:
    """All texts of a question, and its clip's name."""
    trace, item = result.predictions[name].trace, result.references[name]
    labels = [label for span in spans_of(item) for label in span[2:]]
    said = [*(query.text for query in trace.queries), *(response.text for response in trace.responses)]
    return "\n".join([name, str(item.video), *said, *labels])


def _picture(result: Result, name: str) -> str:
    """Frames, curves and marks of the responses; the reason where there is no picture."""
    prediction = result.predictions[name]
    try:
        drawn = result.thumbnail(name) if len(prediction.trace) else {"frames": None, "curves": {}}
        marks = [response.time / prediction.duration for response in prediction.trace.responses]
        return str(make_thumbnail(drawn["frames"], drawn["curves"], marks, None).svg())
    except (VideoError, DuetError) as error:
        return f"<p><small>{html.escape(str(error))}</small></p>"
