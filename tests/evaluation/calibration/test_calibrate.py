"""Calibration on made-up scores, whose best policy is known."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation import Settings
from mmduet.evaluation.calibration import Target, calibrate, candidates_for, parse_target
from mmduet.evaluation.metrics.timing import OUTSIDE, RATE, TIMED_PAUC, TIMING
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import ScoreThreshold, read_policy
from mmduet.trace import DuetTrace

F1 = TIMING[2]
SPANS = [(10.0, 20.0, "a"), (40.0, 50.0, "b")]
FRAMES = 120  # one each half second: a minute


def make(videos=12, seed=0, *, in_words=False):
    """Predictions and references: the second score knows the spans, and the first is noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(FRAMES) / 2
    inside = np.any([(start <= times) & (times <= end) for start, end, _ in SPANS], axis=0)
    predictions, references = {}, {}
    for number in range(videos):
        known = np.where(inside, rng.uniform(0.6, 1, FRAMES), rng.uniform(0, 0.55, FRAMES))
        noise = rng.uniform(0, 1, FRAMES)
        trace = DuetTrace(times, reply=known) if in_words else DuetTrace(times, noise, known)
        predictions[str(number)] = Prediction(str(number), 60.0, trace)
        references[str(number)] = SimpleNamespace(video=f"{number}.mp4", spans=SPANS)
    return predictions, references


PREDICTIONS, REFERENCES = make()


def at(calibration, row):
    return {name: estimate.value for name, estimate in calibration.figures[row].items()}


def test_the_head_that_knows_the_spans_is_chosen():
    found = calibrate(PREDICTIONS, REFERENCES, Target("f1"))
    assert found.candidate.heads == ("relevance",)
    assert at(found, "chosen, other half")[F1] == 1
    each = [(head,) for head in ("informative", "relevance")]
    simple = calibrate(
        PREDICTIONS, REFERENCES, Target("f1"), candidates=candidates_for(("a", "b"), ["threshold"], each)
    )
    assert simple.candidate.heads == ("relevance",)
    assert at(simple, "chosen, other half")[F1] == 1
    assert found.temperatures["relevance"].after < 0.2 < found.temperatures["informative"].before


@given(st.floats(0.5, 30), st.integers(0, 3))
@settings(max_examples=10)
def test_a_rate_is_met_on_its_half_and_nearly_on_the_other(rate, seed):
    found = calibrate(*make(20, seed), Target("rate", rate), candidates=candidates_for(("a", "b"), ["threshold"]))
    nearest = min((figures[RATE] - rate).abs().min() for figures in found.tried.values())
    assert abs(at(found, "chosen, on its half")[RATE] - rate) <= max(0.05 * rate, nearest) + 1e-9
    deviation = math.sqrt(rate / 10)  # of the responses a minute, in the ten minutes of a half
    assert abs(at(found, "chosen, other half")[RATE] - rate) <= 5 * deviation


@given(st.floats(0, 20), st.integers(0, 3))
@settings(max_examples=10)
def test_false_alarms_stay_within_their_bound(bound, seed):
    found = calibrate(*make(8, seed), Target("false-alarms", bound), thresholds=30)
    assert at(found, "chosen, on its half")[OUTSIDE] <= bound
    assert at(found, "chosen, on its half")["timing recall"] == 1, "the relevance head makes no false alarm"


def test_pauc_is_best_when_speaking_always_and_then_within_a_bound():
    free = calibrate(PREDICTIONS, REFERENCES, Target("pauc"))
    bounded = calibrate(PREDICTIONS, REFERENCES, Target("pauc", most=4))
    assert at(free, "chosen, on its half")[TIMED_PAUC] >= at(bounded, "chosen, on its half")[TIMED_PAUC] > 0.9
    assert at(bounded, "chosen, on its half")[RATE] <= 4


def test_the_figures_are_those_of_the_replayed_policy():
    found = calibrate(PREDICTIONS, REFERENCES, Target("rate", 5), before=ScoreThreshold(0.5))
    for row, policy in (("chosen, other half", found.policy), ("before, other half", ScoreThreshold(0.5))):
        said = [len(PREDICTIONS[name].trace.replay(policy)) for name in found.measured_on]
        assert at(found, row)[RATE] == pytest.approx(np.mean(said))  # each video lasts a minute
    gain = at(found, "chosen, other half")[RATE] - at(found, "before, other half")[RATE]
    assert found.figures["difference"][RATE].value == pytest.approx(gain)
    assert not set(found.chosen_on) & set(found.measured_on)
    assert list(found.table().columns) == list(found.figures)


@given(st.permutations(list(PREDICTIONS)))
@settings(max_examples=10)
def test_the_order_of_predictions_changes_nothing(order):
    kinds = candidates_for(("a", "b"), ["threshold"])
    expected, found = (
        calibrate({name: PREDICTIONS[name] for name in names}, REFERENCES, Target("f1"), candidates=kinds)
        for names in (PREDICTIONS, order)
    )
    assert (found.candidate, found.threshold) == (expected.candidate, expected.threshold)
    assert at(found, "chosen, other half") == pytest.approx(at(expected, "chosen, other half"))


def test_a_model_in_words_has_one_score():
    found = calibrate(*make(in_words=True), Target("f1"))
    assert found.candidate.heads == ("reply",)
    assert at(found, "chosen, other half")[F1] == 1
    assert list(found.temperatures) == ["reply"]


def test_a_policy_of_ones_own_is_calibrated():
    kinds = candidates_for(("a", "b"), ["tests.policies:Smoothed"], [("relevance",)])
    found = calibrate(PREDICTIONS, REFERENCES, Target("rate", 3), candidates=kinds, thresholds=40)
    assert type(found.policy).__name__ == "Smoothed"
    said = [len(PREDICTIONS[name].trace.replay(found.policy)) for name in found.chosen_on]
    assert at(found, "chosen, on its half")[RATE] == pytest.approx(np.mean(said))


def test_without_spans_a_rate_alone_can_be_wanted():
    references = {name: SimpleNamespace(video=f"{name}.mp4", spans=[]) for name in PREDICTIONS}
    found = calibrate(PREDICTIONS, references, Target("rate", 6))
    assert abs(at(found, "chosen, other half")[RATE] - 6) < 2
    assert np.isnan(found.temperatures["relevance"].value)
    assert len(found.reliability("relevance")) == 1
    with pytest.raises(DuetError, match="target='f1' needs reference spans"):
        calibrate(PREDICTIONS, references, Target("f1"))


def test_one_video_cannot_be_halved():
    references = {name: SimpleNamespace(video="a.mp4", spans=SPANS) for name in PREDICTIONS}
    with pytest.raises(DuetError, match="at least two videos"):
        calibrate(PREDICTIONS, references, Target("f1"))


@pytest.mark.parametrize("count", [1, 10**20])
def test_the_number_of_thresholds_has_bounds(count):
    with pytest.raises(DuetError, match=r"thresholds=.*: give 2 to 10,000"):
        calibrate(PREDICTIONS, REFERENCES, Target("f1"), thresholds=count)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loud", "is not known: use one of rate=N, f1, pauc and false-alarms=N"),
        ("rate", "needs a number: rate=N"),
        ("f1=3", "takes no number: f1"),
        ("rate=many", "'many' is no number"),
        ("rate=-1", "0 or more"),
        ("false-alarms=nan", "0 or more"),
    ],
)
def test_a_wrong_target_is_refused(text, message):
    with pytest.raises(DuetError, match=message):
        parse_target(text)


@pytest.mark.parametrize(
    ("modes", "heads", "message"),
    [
        (["greedy"], None, "mode='greedy'"),
        (["loud"], None, "mode='loud' is not known"),
        (["threshold"], [("volume",)], "heads="),
    ],
)
def test_wrong_candidates_are_refused(modes, heads, message):
    with pytest.raises(DuetError, match=message):
        candidates_for(("informative", "relevance"), modes, heads)


# the command

STATED = Settings(frame_fps=2.0, threshold=0.5, heads=("relevance",)).stated()


@pytest.fixture
def files(tmp_path):
    """A prediction file of charades_sta with its settings, and its references."""
    items = [
        {
            "question_id": name, "video": f"{name}.mp4", "timestamps": [[start, end] for start, end, _ in SPANS],
            "conversation": [{"role": "user", "content": "When?", "time": 0}],
        }
        for name in PREDICTIONS
    ]  # fmt: skip
    (tmp_path / "gold.json").write_text(json.dumps(items))
    lines = [json.dumps(each.trace.to_prediction(name, each.duration)) for name, each in PREDICTIONS.items()]
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n")
    stated = {"benchmark": "charades_sta", "settings": {**STATED, "mode": "threshold"}}
    (tmp_path / "p.jsonl.settings.json").write_text(json.dumps(stated))
    return tmp_path


def run(files, *more):
    command = ["calibrate", str(files / "p.jsonl"), "--references", str(files / "gold.json"), *more]
    return CliRunner().invoke(app, command)


def test_the_command_writes_the_policy_and_prints_what_it_gives(files):
    done = run(files, "--target", "rate=2", "--modes", "threshold")
    assert done.exit_code == 0, done.output
    found = read_policy(files / "p.jsonl.policy.json")
    expected = calibrate(
        PREDICTIONS, REFERENCES, Target("rate", 2), candidates=candidates_for(("a", "b"), ["threshold"])
    )
    assert (found.mode, found.threshold) == ("threshold", expected.threshold)
    for text in ("12 questions", str(expected.file()), "before, other half", "timing F1 (0 to 1)", "temperature"):
        assert text in done.output
    assert found.calibration["target"] == "rate=2"
    assert found.calibration["benchmark"] == "charades_sta"


OWN = "tests.policies:Smoothed"


@pytest.mark.parametrize(("modes", "compared"), [(f"threshold,{OWN}", True), ("threshold", False)])
def test_a_policy_of_ones_own_that_predicted_is_compared_where_it_is_named(files, modes, compared):
    stated = {"benchmark": "charades_sta", "settings": {**STATED, "mode": OWN}}
    (files / "p.jsonl.settings.json").write_text(json.dumps(stated))
    done = run(files, "--target", "rate=2", "--modes", modes)
    assert done.exit_code == 0, done.output
    assert ("before, other half" in done.output) is compared
    assert (f"not compared with {OWN}" in done.output) is not compared


@pytest.mark.parametrize("mode", ["hysteresis", OWN])
def test_the_command_prints_every_policy_by_its_settings(files, mode):
    done = run(files, "--target", "rate=2", "--modes", mode, "--heads", "informative+relevance")
    found = read_policy(files / "p.jsonl.policy.json", mode=mode)
    shown = f"mode {mode}, threshold {found.threshold}, heads informative + relevance"
    assert "".join([shown, *(f", {name} {value}" for name, value in found.options.items())]) in done.output


def test_the_commands_mistakes_are_told(files):
    (files / "p.jsonl.settings.json").unlink()
    assert "does not state its benchmark: give --benchmark" in str(run(files, "--target", "f1").exception)
    given = ("--target", "f1", "--benchmark", "charades_sta", "--modes", "threshold")
    assert "is an input" in str(run(files, *given, "--output", str(files / "gold.json")).exception)
    assert run(files, *given, "--heads", "relevance,informative+relevance").exit_code == 0


def test_predict_takes_the_policy_or_its_own_options(files, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mmduet.checkpoints.load_duet", lambda *_, **__: (SimpleNamespace(decides="heads", dtype="torch.x"), None)
    )
    monkeypatch.setattr("mmduet.cli.predict.end", lambda _: None)
    monkeypatch.setattr("mmduet.evaluation.predict.predict", lambda *_, settings, **__: asked.append(settings))
    assert run(files, "--target", "rate=2", "--modes", "hysteresis").exit_code == 0
    policy = files / "p.jsonl.policy.json"
    command = ["predict", "charades_sta", "--references", str(files / "gold.json"), "--videos", str(files)]
    command += ["--output", str(files / "new.jsonl"), "--policy", str(policy)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = read_policy(policy)
    assert (asked[0].mode, asked[0].threshold, asked[0].heads) == ("hysteresis", found.threshold, tuple(found.heads))
    assert asked[0].options == found.options
    done = CliRunner().invoke(app, [*command, "--threshold", "0.3"])
    assert "leave out --threshold and --heads" in str(done.exception)
