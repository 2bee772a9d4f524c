"""StreamingBench's Proactive Output under its three scorings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation import read_predictions, read_questions, read_references
from mmduet.evaluation.benchmarks import STREAMINGBENCH, streamingbench
from mmduet.evaluation.benchmarks.streamingbench_items import ProactiveItem, poll, read_proactive
from tests.evaluation.conftest import prediction

QUESTION = {
    "task_type": "Proactive Output", "question": 'When the cup appears, output "Cup".', "time_stamp": "00:01:05",
    "ground_truth_time_stamp": "00:01:10", "ground_truth_output": "Cup", "required_ability": "working memory",
}  # fmt: skip
ENTRY = {"time": "[0:01:00 - 0:01:30]", "questions": [QUESTION], "video_categories": "x", "video_path": "./a.mp4"}


@pytest.fixture
def folder(reference):
    return reference / "streaming" / "streamingbench"


@pytest.fixture
def expected(folder):
    return json.loads((folder / "expected.json").read_text())


def item(**change):
    return ProactiveItem.model_validate(QUESTION | {"question_id": 0, "video_path": "a.mp4"} | change)


def write(path, *entries):
    path.write_text(json.dumps(entries))
    return path


def polled(question, *turns, answered):
    history = [{"role": "assistant", "content": text, "time": time, "cost": 0.0} for time, text in turns]
    return question | {"Model": {"answered": answered, "dialog_history": history}}


# the published figures


def test_polling_as_published(folder, expected):
    items = read_references(folder / "questions_proactive.json", STREAMINGBENCH)
    scores = streamingbench.score(read_proactive(folder / "output.json", items).by_id, items)
    stats = expected["official_polling"]["stats"]["Proactive Output"]
    assert scores["time accuracy"].count() == stats["total"]
    for name in ("time", "answer"):
        assert scores[f"{name} accuracy"].sum() == stats[f"{name}_correct"]
        assert scores[f"{name} accuracy"].mean() == pytest.approx(stats[f"{name}_accuracy"], abs=1e-9)
    for row in expected["official_polling"]["per_question"]:
        found = scores.loc[row["question_id"]].fillna(0)
        assert (found["time accuracy"], found["answer accuracy"]) == (row["time_correct"], row["answer_correct"])


def test_the_polling_loop_makes_the_published_dialogues(folder):
    script = json.loads((folder / "poll_script.json").read_text())
    published = [q for entry in json.loads((folder / "output.json").read_text()) for q in entry["questions"]]
    items = read_references(folder / "questions_proactive.json", STREAMINGBENCH)
    compared = 0
    for name, found in items.items():
        said = script[found.question]
        dialogues = [v for v in published[int(name)].values() if isinstance(v, dict)]

        def answer(start, now, prompt, found=found, said=said):
            assert start == found.asked
            return said["final"] if prompt == found.question else said["answers"][f"{now:g}"]

        for dialogue in dialogues:
            made = poll(found, answer)
            assert made.answered == dialogue["answered"]
            turns = [(t.role, t.time, t.content if t.role == "assistant" else "") for t in made.dialog_history]
            assert turns == [
                (t["role"], t["time"], t["content"] if t["role"] == "assistant" else "")
                for t in dialogue["dialog_history"]
            ]
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("references", ["questions_proactive.json", "gold_as_spans.json"])
def test_the_first_reply_and_all_replies_as_published(folder, expected, references):
    items = read_references(folder / references, STREAMINGBENCH)
    predictions = read_predictions(folder / "predictions.jsonl").by_id
    first, online = expected["mmduet2_first_reply"], expected["emgarde_online"]
    differences = [streamingbench.first_difference(p, items[name]) for name, p in predictions.items()]
    assert differences == first["first_reply_minus_gold"]
    scores = streamingbench.score(predictions, items)
    assert scores["first@0s"].count() == first["examples"]
    for bound, value in first["accuracy"].items():
        assert scores[f"first@{bound}s"].mean() == pytest.approx(value, abs=1e-9)
    assert len(scores) == online["total"]
    for name in ("Recall@1s", "Recall@2s", "Accuracy@1s", "Accuracy@2s"):
        assert round(scores[name].mean(), 4) == online[name]


def test_the_command_writes_both(folder, expected, tmp_path):
    stats = expected["official_polling"]["stats"]["Proactive Output"]
    wanted = {
        "output.json": ("answer accuracy", stats["answer_accuracy"]),
        "predictions.jsonl": ("first@3s", expected["mmduet2_first_reply"]["accuracy"]["3"]),
    }
    for name, (metric, value) in wanted.items():
        given = ["--predictions", str(folder / name), "--references", str(folder / "questions_proactive.json")]
        output = tmp_path / f"{name}.figures.json"
        done = CliRunner().invoke(app, ["evaluate", "streamingbench", *given, "--output", str(output)])
        assert done.exit_code == 0, done.output
        assert json.loads(output.read_text())[metric]["value"] == pytest.approx(value, abs=1e-9)


# by hand


@given(st.lists(st.integers(0, 60).map(lambda value: 55 + value / 2), max_size=5))
def test_a_wider_bound_is_never_worse_and_the_first_reply_is_one_of_all(times):
    replied = prediction(responses=[(time, "x") for time in sorted(times)], duration=90)
    found = streamingbench.score({"0": replied}, {"0": item()}).iloc[0]
    firsts = [found[f"first@{bound}s"] for bound in (0, 1, 2, 3)]
    assert firsts == sorted(firsts)
    for bound in (1, 2):
        assert found[f"Accuracy@{bound}s"] <= found[f"Recall@{bound}s"]
        assert found[f"Accuracy@{bound}s"] == found[f"first@{bound}s"]
    assert found["answer accuracy"] == 0, "the words are missing"


def test_words_count_letter_for_letter_and_only_in_time():
    def right(time, text):
        found = {"0": prediction(responses=[(time, text)], duration=90)}
        return streamingbench.evaluate(found, {"0": item()})["answer accuracy"]

    assert right(72.0, "Here is the Cup!") == 1
    assert right(72.0, "cup") == 0
    assert right(72.5, "Cup") == 0


def test_replies_before_the_question_are_no_replies():
    found = prediction(responses=[(60.0, "x"), (70.0, "Cup")], duration=90)
    row = streamingbench.score({"0": found}, {"0": item()}).iloc[0]
    assert (row["first@0s"], row["Accuracy@1s"], row["replies"]) == (1, 1, 1)


def test_questions_without_a_prediction():
    items = {"0": item(), "1": item(question_id=1)}
    found = {"0": prediction(responses=[(70.0, "Cup")], duration=90)}
    published = streamingbench.evaluate(found, items)
    assert (published["Recall@1s"], published["first@1s"], published["replies"]) == (0.5, 1, 1)
    assert streamingbench.evaluate(found, items, over="predicted")["Recall@1s"] == 1
    with pytest.raises(DuetError, match="over='all' is not known"):
        streamingbench.score(found, items, over="all")


def test_the_last_turn_of_a_polled_model_counts(tmp_path):
    def accuracies(*turns, answered):
        path = write(tmp_path / "o.json", ENTRY | {"questions": [polled(QUESTION, *turns, answered=answered)]})
        items = read_references(write(tmp_path / "q.json", ENTRY), STREAMINGBENCH)
        found = streamingbench.evaluate(read_proactive(path, items).by_id, items)
        return found["time accuracy"], found["answer accuracy"], found["Recall@2s"]

    assert accuracies((69, "Yes"), (69, "Cup"), answered=69) == (1, 1, 1)
    assert accuracies((67, "No"), (74, "no"), answered=False) == (0, 0, 0)
    assert accuracies((71, "No"), answered=False) == (1, 0, 0), "as published; it is no reply"


def test_polling_stops_at_yes_inside_a_word_and_runs_past_the_reference_time():
    said = {66: "No", 67: "I see eyes."}
    dialogue = poll(item(), lambda start, now, prompt: said.get(now, "no") if "Is it now" in prompt else "Cup")
    assert (dialogue.answered, dialogue.dialog_history[-1].content) == (67, "Cup")
    silent = poll(item(), lambda *_: "no")
    assert (silent.answered, silent.dialog_history[-1].time, len(silent.dialog_history)) == (False, 74, 18)
    with pytest.raises(DuetError, match="no time is left to poll in"):
        poll(item(ground_truth_time_stamp="00:01:01"), lambda *_: "no")


# files


def test_a_questions_id_is_its_position(tmp_path):
    path = write(tmp_path / "q.json", ENTRY | {"questions": [QUESTION, QUESTION]}, ENTRY)
    assert [q.question_id for q in read_questions(path, STREAMINGBENCH)] == [0, 1, 2]
    assert read_questions(path, STREAMINGBENCH)[0].queries[0].time == 65


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_stamp": "1:05"}, 'a time is "HH:MM:SS"'),
        ({"time_stamp": "aa:01:05"}, 'a time is "HH:MM:SS"'),
        ({"ground_truth_output": ""}, "not empty"),
        ({"question": 3}, "question"),
    ],
)
def test_a_wrong_question_is_refused(change, message, tmp_path):
    with pytest.raises(DuetError, match=message):
        read_references(write(tmp_path / "q.json", ENTRY | {"questions": [QUESTION | change]}), STREAMINGBENCH)


def test_outputs_that_do_not_fit_are_refused(tmp_path):
    items = read_references(write(tmp_path / "q.json", ENTRY), STREAMINGBENCH)
    one = polled(QUESTION, (69, "Yes"), answered=69)
    wrong = {
        "answers of Model and Other": one | {"Other": one["Model"]},
        "no question has a model's answer": QUESTION,
        "give the test file that the model was asked": one | {"question": "Another?"},
        "dialog_history": polled(QUESTION, answered=False),
    }
    for message, question in wrong.items():
        with pytest.raises(DuetError, match=message):
            read_proactive(write(tmp_path / "o.json", ENTRY | {"questions": [question]}), items)
