"""ThresholdExplorer: curves, rows and the example in view agree."""

import json
import math

import numpy as np
import pytest
from bs4 import BeautifulSoup
from mmduet_widgets import ThresholdExplorer, threshold_explorer

from mmduet.errors import DuetError
from mmduet.evaluation.prediction_file import Prediction, read_predictions
from mmduet.evaluation.references import Answer, AnsweredItem, Turn
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Query, Response
from tests.clips import write_clip

ATTACK = '<img src=x onerror="window.ran=1"></script>'


def make_prediction(name: str, *, frames: int = 12, text: str = "a cat") -> Prediction:
    """Two frames a second; informative goes 0, 0.1 … 0.9, 0, 0.1; something is said at 4.5 s."""
    times = np.arange(frames) / 2
    trace = DuetTrace(times, np.arange(frames) % 10 / 10, np.zeros(frames), [Response(4.5, text)], [Query(0.0, "?")])
    return Prediction(name, frames / 2, trace)


def make_reference(name: str, *, text: str = "cat") -> AnsweredItem:
    turn = Turn(role="user", content="?", time=0)
    answer = Answer(content=text, time=(3.0, 5.0))
    return AnsweredItem(question_id=name, video=f"{name}.mp4", conversation=[turn], answer=[answer])


@pytest.fixture
def explorer() -> ThresholdExplorer:
    names = ["a", "b"]
    predictions = {name: make_prediction(name) for name in names}
    references = {name: make_reference(name) for name in names}
    return ThresholdExplorer(predictions, references, policy=ScoreThreshold(0.85))


def words(explorer: ThresholdExplorer) -> list[list[str]]:
    """The table of the example in view."""
    rows = BeautifulSoup(explorer.children[3].value, "html.parser").select("tbody tr")
    return [[cell.get_text() for cell in row.select("td")] for row in rows]


def names_of_figure(explorer: ThresholdExplorer) -> list[str]:
    return json.loads(explorer.children[0].moved)["changes"]["name"]


def test_it_opens_where_the_predictions_were_made(explorer):
    assert explorer.threshold == 0.85
    assert explorer.question == "a"
    assert words(explorer) == [["1", "4.5", "a cat", "cat"]]
    assert explorer.table.loc[0.85, "timing precision"] == 1.0
    assert explorer.table.loc[0.85, "responses a minute"] == 10.0


def test_another_threshold_says_where_it_would_speak_and_what_is_not_known(explorer):
    (slider,) = explorer.children[1].children
    slider.value = 0.65
    assert explorer.threshold == 0.65
    assert words(explorer) == [
        ["1", "3.5", "(not said in this run)", "cat"],
        ["2", "4.0", "(not said in this run)", "cat"],
        ["3", "4.5", "a cat", "cat"],
    ]
    assert names_of_figure(explorer)[-1] == "would speak 6×"
    assert json.loads(explorer.children[4].moved)["changes"]["name"][0] == "would speak 3×"


def test_a_click_on_a_curve_picks_its_threshold_and_one_on_a_row_its_example(explorer):
    explorer.children[0].clicked = {"axis": "y2", "x": 0.4, "y": 20.0, "at": 1}
    assert explorer.threshold == 0.4
    explorer.children[0].clicked = {"axis": "y3", "x": 2.0, "y": 1.5, "at": 2}
    assert explorer.question == explorer.children[2].value == "b"
    assert explorer.threshold == 0.4
    assert json.loads(explorer.children[4].figure)["layout"]["title"]["text"] == "b"


def test_the_choice_and_the_question_follow_each_other(explorer):
    explorer.children[2].value = "b"
    assert explorer.question == "b"
    explorer.question = "a"
    assert explorer.children[2].value == "a"
    with pytest.raises(DuetError, match="question='c'"):
        explorer.question = "c"


def test_rows_are_those_around_the_example_in_view():
    predictions = {str(i): make_prediction(str(i)) for i in range(threshold_explorer.ROWS + 3)}
    explorer = ThresholdExplorer(predictions, policy=ScoreThreshold(0.85))
    explorer.question = str(threshold_explorer.ROWS + 1)
    ticks = json.loads(explorer.children[0].figure)["layout"]["yaxis3"]["ticktext"]
    assert ticks == [str(threshold_explorer.ROWS + i) for i in range(3)]


def test_without_references_there_is_speed_alone():
    explorer = ThresholdExplorer({"a": make_prediction("a")}, policy=ScoreSum(1.0))
    assert list(explorer.table.columns) == ["responses a minute"]


def test_metrics_are_columns(explorer):
    explorer = ThresholdExplorer(
        explorer.predictions,
        explorer.references,
        policy=ScoreThreshold(0.85),
        metrics={"on time": lambda name, times: float(4.5 in times)},
    )
    assert explorer.table.loc[0.85, "on time"] == 1.0
    assert explorer.table["on time"].iloc[-1] == 0.0


def test_pictures_come_with_the_example_in_view_and_may_be_missing(tmp_path, monkeypatch):
    write_clip(tmp_path / "a.mp4", frames=72)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    predictions = {name: make_prediction(name) for name in "abc"}
    references = {name: make_reference(name) for name in "abc"}
    explorer = ThresholdExplorer(predictions, references, policy=ScoreThreshold(0.85), videos=tmp_path)
    pictures = {}
    for name in "abc":
        explorer.question = name
        pictures[name] = len(json.loads(explorer.children[4].figure)["layout"].get("images", []))
    assert pictures == {"a": 12, "b": 0, "c": 0}


def test_predictions_are_those_of_a_file_and_baselines_are_none(tmp_path):
    path = tmp_path / "predictions.jsonl"
    line = make_prediction("a").trace.to_prediction("a", 6.0)
    baseline = {"question_id": "b", "video_duration": 6.0, "model_response": ["0 - 3 seconds, a cat"]}
    path.write_text(json.dumps(line))
    explorer = ThresholdExplorer(read_predictions(path).by_id, policy=ScoreThreshold(0.85))
    assert list(explorer.predictions) == ["a"]
    path.write_text(json.dumps(baseline))
    with pytest.raises(DuetError, match="none of 1 predictions has frame scores"):
        ThresholdExplorer(read_predictions(path).by_id, policy=ScoreThreshold(0.85))


def test_never_speaking_is_a_threshold(explorer):
    explorer.threshold = math.inf
    assert words(explorer) == []
    with pytest.raises(DuetError, match="threshold=nan"):
        explorer.threshold = math.nan


def test_text_is_text():
    predictions = {ATTACK: make_prediction(ATTACK, text=ATTACK)}
    explorer = ThresholdExplorer(
        predictions, {ATTACK: make_reference(ATTACK, text=ATTACK)}, policy=ScoreThreshold(0.85),
        metrics={ATTACK: lambda name, times: 0.5},
    )  # fmt: skip
    assert words(explorer) == [["1", "4.5", ATTACK, ATTACK]]
    explorer.threshold = 0.3
    shown = [
        json.loads(text) for view in (explorer.children[0], explorer.children[4]) for text in (view.figure, view.moved)
    ]
    for texts in (*shown, json.loads(explorer.report()[0].to_json())):
        assert "onerror" in str(texts) or "would speak" in str(texts)
        assert "<img" not in str(texts)
        assert "</script" not in str(texts)


def test_a_report_has_the_figure_with_a_slider_of_its_own(explorer):
    explorer.threshold = 0.3
    (figure,) = explorer.report()
    assert figure.layout.sliders[0].currentvalue.suffix == "  (used: 0.85)"
    assert explorer.to_html().startswith("<iframe")
