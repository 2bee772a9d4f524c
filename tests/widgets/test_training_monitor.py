"""TrainingMonitor: what a Trainer tells is shown, and nothing it does reaches the training."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from bs4 import BeautifulSoup
from mmduet_widgets import TrainingMonitor, training_monitor


class Run:
    """A Trainer's events, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, monitor: TrainingMonitor, *, steps: int = 100):
        self.now = 1000.0
        monkeypatch.setattr(training_monitor.time, "monotonic", lambda: self.now)
        self.monitor, self.callback = monitor, monitor.callback
        self.args = SimpleNamespace(train_batch_size=2, gradient_accumulation_steps=3, world_size=1)
        self.state = SimpleNamespace(global_step=0, max_steps=steps, log_history=[], is_world_process_zero=True)

    def tell(self, event: str, **more: Any) -> None:
        getattr(self.callback, event)(self.args, self.state, None, **more)

    def step(self, count: int = 1, *, seconds: float = 1.0) -> None:
        for _ in range(count):
            self.now += seconds
            self.state.global_step += 1
            self.tell("on_step_end")


def tiles(monitor: TrainingMonitor) -> dict[str, str]:
    """Name -> value, as shown."""
    found = BeautifulSoup(monitor.children[0].value, "html.parser").select("div > div")
    return {tile.small.get_text(): tile.b.get_text() for tile in found}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run(monkeypatch, TrainingMonitor())
    run.tell("on_train_begin")
    return run


def test_losses_aucs_rate_speed_and_time_left_are_shown(run):
    run.step(9)
    run.tell("on_log", logs={"loss": 3.0, "lm_loss": 2.0, "video_loss": 1.0, "learning_rate": 4e-4})
    run.tell("on_log", logs={"eval_informative_auc": 0.75, "eval_relevance_auc": math.nan})
    run.step(1)
    assert tiles(run.monitor) == {
        "step": "10 of 100", "time": "0:00:10", "time left": "0:01:30", "conversations/s": "6.00",
        "learning rate": "0.0004", "language loss": "2.000", "video loss": "1.000",
        "informative AUC": "0.750", "relevance AUC": "nan",
    }  # fmt: skip
    assert run.monitor.children[1].value == pytest.approx(0.1)
    assert "AUC" in run.monitor.children[2].figure


def test_speed_leaves_evaluation_out(run):
    run.step(5)
    run.now += 60
    run.tell("on_log", logs={"eval_lm_loss": 2.0})
    run.step(5)
    run.tell("on_log", logs={"loss": 1.0})
    assert run.monitor.history[-1] == {"loss": 1.0, "step": 10, "samples_per_second": 6.0}
    run.step(10, seconds=2.0)
    run.tell("on_log", logs={"loss": 1.0})
    assert run.monitor.history[-1]["samples_per_second"] == 3.0


def test_a_resumed_run_keeps_its_history_and_counts_its_own_steps(monkeypatch):
    run = Run(monkeypatch, TrainingMonitor())
    run.state.global_step, run.state.log_history = 50, [{"step": 50, "loss": 1.0}]
    run.tell("on_train_begin")
    run.step(10, seconds=3.0)
    assert run.monitor.left == pytest.approx(40 * 3.0)
    assert run.monitor.history == [{"step": 50, "loss": 1.0}]


def test_drawing_is_rare_and_rarer_where_it_is_slow(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(run.monitor, "draw", lambda: drawn.append(run.state.global_step))
    run.step(100, seconds=0.1)
    assert len(drawn) == pytest.approx(10 / training_monitor.PAUSE, abs=1)

    def slow() -> None:
        drawn.append(run.state.global_step)
        run.now += 1.0

    monkeypatch.setattr(run.monitor, "draw", slow)
    drawn.clear()
    begun = run.now
    run.step(1000, seconds=0.1)
    assert len(drawn) / (run.now - begun) < 1.2 * training_monitor.SHARE
    run.tell("on_train_end")
    assert drawn[-1] == run.state.global_step, "the end is always drawn"


def test_an_error_in_drawing_is_shown_and_ends_the_drawing_alone(run, monkeypatch):
    calls = []

    def broken() -> None:
        calls.append(1)
        raise ValueError("<img src=x onerror=alert(1)>")

    monkeypatch.setattr(run.monitor, "draw", broken)
    with pytest.warns(UserWarning, match="the training continues: ValueError"):
        run.step(50)
    run.tell("on_log", logs={"loss": 1.0})
    run.tell("on_train_end")
    assert len(calls) == 1
    assert run.monitor.history[-1]["loss"] == 1.0
    text = run.monitor.report()[0].data
    assert "ValueError: &lt;img" in text
    assert "<img" not in text


def test_other_processes_draw_nothing(run, monkeypatch):
    monkeypatch.setattr(run.monitor, "draw", lambda: pytest.fail("drawn"))
    run.state.is_world_process_zero = False
    run.step(50)


def test_before_and_after_there_is_a_page(run):
    assert TrainingMonitor(title="later").to_html().startswith("<iframe")
    run.step(100)
    run.tell("on_train_end")
    assert "time left" not in tiles(run.monitor)
    assert tiles(run.monitor)["step"] == "100 of 100"
