"""TrainingMonitor: a training run as it goes: losses, the heads' AUC, learning rate, speed, time left."""

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

PAUSE = 2.0  # s between two drawings, at least
SHARE = 0.02  # of the run's time, at most, that drawing takes
TILES = {  # what is logged: its name and format
    "samples_per_second": ("conversations/s", ".2f"),
    "learning_rate": ("learning rate", ".2g"),
    "lm_loss": ("language loss", ".3f"),
    "video_loss": ("video loss", ".3f"),
    "eval_informative_auc": ("informative AUC", ".3f"),
    "eval_relevance_auc": ("relevance AUC", ".3f"),
}


class TrainingMonitor(w.VBox):
    """Shows a run of `mmduet.training.train(..., callbacks=[monitor.callback])`, or of any Trainer.

    An error in drawing is shown, and ends the drawing, not the training.

    history: the Trainer's log rows so far; one with a loss also has samples_per_second, conversations since the row
    before it by the time that they took, evaluation left out. step, steps: done, and to be done in all. elapsed, left:
    s; left is nan before the first step. fault: why there is no drawing any more, or "".
    """

    def __init__(self, *, title: str = ""):
        self.title = title
        self.history: list[dict[str, Any]] = []
        self.step, self.steps, self.elapsed, self.left, self.fault = 0, 0, 0.0, math.nan, ""
        self._tiles, self._bar = w.HTML(), w.FloatProgress(max=1.0, layout={"width": "99%"})
        self._curves = FigureView()
        super().__init__([self._tiles, self._bar, self._curves])
        self.draw()

    @property
    def callback(self) -> TrainerCallback:
        """What tells the monitor of a Trainer's run."""
        return _Reporter(self)

    def draw(self) -> None:
        """Show what is known by now."""
        self._tiles.value = self._tiles_html()
        self._bar.value = self.step / max(self.steps, 1)
        self._curves.draw(self._figure())

    def report(self) -> list[Any]:
        """The newest values, and the curves."""
        return [HTML(self._tiles_html()), self._figure()]

    def to_html(self) -> str:
        """The same in an `<iframe>` that asks nothing of any network."""
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
    """Keeps a monitor's figures, and has it drawn when that is due."""

    def __init__(self, monitor: TrainingMonitor):
        self.monitor = monitor

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self.started = self.resumed = time.monotonic()
        self.first = self.logged = state.global_step
        self.busy, self.due = 0.0, 0.0
        self.monitor.history, self.monitor.steps = [dict(row) for row in state.log_history], state.max_steps
        self._tell(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        self.busy, self.resumed = self.busy + now - self.resumed, now
        self._tell(state)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        row = {**told["logs"], "step": state.global_step}
        if "loss" in row and self.busy > 0:
            row["samples_per_second"] = (state.global_step - self.logged) * self.batch / self.busy
            self.logged, self.busy = state.global_step, 0.0
        self.monitor.history.append(row)
        self.resumed = time.monotonic()  # an evaluation that was logged is over, and is no training

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.due = 0.0
        self._tell(state)

    def _tell(self, state: TrainerState) -> None:
        monitor, now = self.monitor, time.monotonic()
        monitor.step, monitor.elapsed = state.global_step, now - self.started
        if monitor.step > self.first:
            monitor.left = monitor.elapsed / (monitor.step - self.first) * (monitor.steps - monitor.step)
        if now >= self.due and not monitor.fault and state.is_world_process_zero:
            self._draw()
            ended = time.monotonic()
            self.due = ended + max(PAUSE, (ended - now) / SHARE)

    def _draw(self) -> None:
        """An error in it must not reach the Trainer."""
        try:
            self.monitor.draw()
        except Exception as error:
            self.monitor.fault = f"{type(error).__name__}: {error}"
            warnings.warn(f"the training monitor stopped, the training goes on: {self.monitor.fault}", stacklevel=2)


def _clock(seconds: float) -> str:
    return "–" if math.isnan(seconds) else str(timedelta(seconds=round(seconds)))
