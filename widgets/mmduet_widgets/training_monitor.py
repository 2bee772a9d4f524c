"""TrainingMonitor: a running training: losses, the heads' AUC, learning rate, speed, time left."""

import html
import math
import time
import warnings
from datetime import timedelta
from typing import Any

import ipywidgets as w
import plotly.graph_objects as go
from IPython.display import HTML
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmduet.plots import training_figure
from mmduet_widgets.figure_view import FigureView, framed

PAUSE = 2.0  # minimum seconds between two drawings
SHARE = 0.02  # maximum share of the run's time that drawing takes
TILES = {  # logged figure: name and format
    "samples_per_second": ("conversations/s", ".2f"),
    "learning_rate": ("learning rate", ".2g"),
    "lm_loss": ("language loss", ".3f"),
    "video_loss": ("video loss", ".3f"),
    "eval_informative_auc": ("informative AUC", ".3f"),
    "eval_relevance_auc": ("relevance AUC", ".3f"),
}


class TrainingMonitor(w.VBox):
    """Shows a run of `mmduet.training.train(..., callbacks=[monitor.callback])`, or of any Trainer.

    An error in drawing is shown and stops the drawing, but not the training.

    Attributes:
        history: The Trainer's log rows so far. A row with a loss also has samples_per_second: the conversations since
            the previous row over their time, without evaluation.
        step: Steps done.
        steps: Steps of the complete run.
        elapsed: Seconds since the start.
        left: Estimated seconds to the end; NaN before the first step.
        fault: Why drawing stopped, or "".
    """

    def __init__(self, *, title: str = ""):
        """Show an empty run.

        Args:
            title: Shown over the curves.
        """
        self.title = title
        self.history: list[dict[str, Any]] = []
        self.step, self.steps, self.elapsed, self.left, self.fault = 0, 0, 0.0, math.nan, ""
        self._tiles, self._bar = w.HTML(), w.FloatProgress(max=1.0, layout={"width": "99%"})
        self._curves = FigureView()
        super().__init__([self._tiles, self._bar, self._curves])
        self.draw()

    @property
    def callback(self) -> TrainerCallback:
        """The callback that reports a Trainer's run to this monitor."""
        return _Reporter(self)

    def draw(self) -> None:
        """Show the newest state."""
        self._tiles.value = self._tiles_html()
        self._bar.value = self.step / max(self.steps, 1)
        self._curves.draw(self._figure())

    def report(self) -> list[Any]:
        """The newest values, and the curves."""
        return [HTML(self._tiles_html()), self._figure()]

    def to_html(self) -> str:
        """The report in an `<iframe>` that needs no network."""
        parts = self.report()
        return framed(parts, title=self.title or "Training", height=parts[1].layout.height + 130)

    def _figure(self) -> go.Figure:
        return training_figure(self.history, title=self.title)

    def _tiles_html(self) -> str:
        values = {"step": f"{self.step} of {self.steps}", "time": _clock(self.elapsed)}
        if self.step < self.steps:
            values["time left"] = _clock(self.left)
        for key, (name, form) in TILES.items():
            found = [row[key] for row in self.history if row.get(key) is not None]
            values |= {name: f"{found[-1]:{form}}"} if found else {}
        tiles = "".join(f"<div><small>{name}</small><br><b>{value}</b></div>" for name, value in values.items())
        fault = f"<p><b>Drawing stopped, training did not:</b> {html.escape(self.fault)}</p>" if self.fault else ""
        return f'<div style="display: flex; flex-wrap: wrap; gap: 4px 28px; line-height: 1.4">{tiles}</div>{fault}'


class _Reporter(TrainerCallback):
    """Updates a monitor's figures, and draws it when that is due."""

    def __init__(self, monitor: TrainingMonitor):
        self.monitor = monitor

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self.started = self.resumed = time.monotonic()
        self.first = self.logged = state.global_step
        self.busy, self.due = 0.0, 0.0
        self.monitor.history, self.monitor.steps = [dict(row) for row in state.log_history], state.max_steps
        self._update(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        self.busy, self.resumed = self.busy + now - self.resumed, now
        self._update(state)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **logged: Any) -> None:
        row = {**logged["logs"], "step": state.global_step}
        if "loss" in row and self.busy > 0:
            row["samples_per_second"] = (state.global_step - self.logged) * self.batch / self.busy
            self.logged, self.busy = state.global_step, 0.0
        self.monitor.history.append(row)
        self.resumed = time.monotonic()  # a logged evaluation has ended, and is not training

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.due = 0.0
        self._update(state)

    def _update(self, state: TrainerState) -> None:
        monitor, now = self.monitor, time.monotonic()
        monitor.step, monitor.elapsed = state.global_step, now - self.started
        if monitor.step > self.first:
            monitor.left = monitor.elapsed / (monitor.step - self.first) * (monitor.steps - monitor.step)
        if now >= self.due and not monitor.fault and state.is_world_process_zero:
            self._draw()
            ended = time.monotonic()
            self.due = ended + max(PAUSE, (ended - now) / SHARE)

    def _draw(self) -> None:
        """Draw; an error must not reach the Trainer."""
        try:
            self.monitor.draw()
        except Exception as error:
            self.monitor.fault = f"{type(error).__name__}: {error}"
            warnings.warn(f"the training monitor stopped, the training continues: {self.monitor.fault}", stacklevel=2)


def _clock(seconds: float) -> str:
    return "–" if math.isnan(seconds) else str(timedelta(seconds=round(seconds)))
