"""OVO-Bench: result files, streams and logs, under the published rules and the corrected one."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation import lmms_eval, read_references
from mmduet.evaluation.benchmarks import OVOBENCH, ovobench
from mmduet.evaluation.benchmarks.ovo.answers import RULES, read_choice, read_count, read_yes_no
from mmduet.evaluation.benchmarks.ovo.items import GROUPS, TASKS, OvoItem, spaced
from mmduet.evaluation.benchmarks.ovo.results import read_answers, rounds_of
from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import DuetTrace, Query, Response

CHOICE = {
    "id": 1, "task": "EPM", "video": "a.mp4", "realtime": 9.5, "question": "Which cup?",
    "options": ["red cup", "blue cup"], "gt": 1,
}  # fmt: skip
NOW = CHOICE | {"id": 2, "task": "OCR", "gt": 0}
COUNT = {
    "id": 3, "task": "REC", "video": "a.mp4", "activity": "a jump", "start_times": [1, 5], "end_times": [2, 6],
    "test_info": [{"realtime": 2, "count": 1}, {"realtime": 8, "count": 2}],
}  # fmt: skip
STEPS = {
    "id": 4, "task": "SSR", "video": "a.mp4", "tutorial": "MakeRedTea", "all_steps": ["boil"], "start_time": [3],
    "end_time": [9],
    "test_info": [{"realtime": 1, "step": "boil", "type": 0}, {"realtime": 5, "step": "boil", "type": 1}],
}  # fmt: skip
CLUE = {
    "id": 5, "task": "CRR", "video": "a.mp4", "question": "Who?", "answer": "me", "ask_time": 2, "clue_time": 6,
    "test_info": [{"realtime": 2, "type": 0}, {"realtime": 8, "type": 1}],
}  # fmt: skip
ENTRIES = [CHOICE, NOW, COUNT, STEPS, CLUE]
runner = CliRunner()


@pytest.fixture
def references(tmp_path):
    path = tmp_path / "anno.json"
    path.write_text(json.dumps(ENTRIES))
    return path


def result_file(*responses):
    """Results of ENTRIES: a text for a choice, a list for a forward entry."""
    parts = {"backward": [], "realtime": [], "forward": []}
    for entry, response in zip(ENTRIES, responses, strict=True):
        if "test_info" in entry:
            points = [point | {"response": r} for point, r in zip(entry["test_info"], response, strict=True)]
            parts["forward"].append(entry | {"test_info": points})
        else:
            answered = {key: entry[key] for key in ("id", "task")} | {"response": response}
            answered["ground_truth"] = "AB"[entry["gt"]]
            parts["backward" if entry["task"] == "EPM" else "realtime"].append(answered)
    return parts


MIXED = ("Answer: B", "a", ["1", None], ["No", "yes"], ["N", "Yes"])


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(result_file(*MIXED)))
    return path


def evaluated(results, references, **options):
    items = read_references(references, OVOBENCH)
    return ovobench.evaluate(read_answers(results, items).by_id, items, **options)


# the published figures


def test_the_official_figures_come_out(reference):
    folder = reference / "streaming" / "ovobench"
    expected = json.loads((folder / "expected.json").read_text())
    items = read_references(folder / "anno.json", OVOBENCH)
    answers = read_answers(folder / "results.json", items).by_id
    figures = ovobench.evaluate(answers, items)
    official = expected["official"]
    assert {task: round(figures[task], 2) for task in TASKS} == official["accuracy_percent_printed"]
    averages = {name.replace("-t", "t"): round(figures[name], 2) for name in ovobench.AVERAGES}
    assert averages == official["averages_percent_printed"]
    scores = ovobench.score(answers, items)
    assert {t: [int(scores[t].sum() / 100), int(scores[t].count())] for t in TASKS} == official["right_of_total"]
    each = (scores.sum(axis=1) / 100).astype(int).to_dict()
    assert {name: each[name] for name in official["item_scores"]} == official["item_scores"]
    for name, points in official["forward_point_scores"].items():
        assert [each[f"{name}_{i}"] for i in range(len(points))] == points


def test_the_figures_of_lmms_eval_come_out(reference):
    folder = reference / "streaming" / "ovobench"
    expected = json.loads((folder / "expected.json").read_text())["lmms_eval"]
    items = read_references(folder / "anno.json", OVOBENCH)
    answers = read_answers(folder / "results.json", items).by_id
    figures = ovobench.evaluate(answers, items, rule="lmms-eval")
    scores = ovobench.score(answers, items, rule="lmms-eval")
    for part, group in (("backward", "Backward"), ("realtime", "Real-time"), ("forward", "Forward")):
        assert figures[group] == pytest.approx(expected[part]["average"], abs=1e-9)
        for task, accuracy in expected[part]["accuracy"].items():
            assert figures[task] == pytest.approx(accuracy, abs=1e-9)
            assert [scores[task].sum() / 100, scores[task].count()] == expected[part]["counts"][task]


def test_the_command_prints_and_writes_the_figures(reference, tmp_path):
    folder = reference / "streaming" / "ovobench"
    given = ["--predictions", str(folder / "results.json"), "--references", str(folder / "anno.json")]
    done = runner.invoke(app, ["evaluate", "ovobench", *given, "--output", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert "upstream       45.83     38.89    27.41  37.38" in done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert round(figures["Total"]["value"], 2) == 37.38
    assert figures["Total"]["low"] < 37.38 < figures["Total"]["high"]


# the rules


@pytest.mark.parametrize(
    ("response", "index"),
    [
        ("B", 1), ("b", 1), (" (b). ", 1), ("B. The blue cup", 1), ("Answer: D", None), ("The answer is B", 1),
        ("the option is a.", 0), ("A red cup stands there.", 0), ("It is B because it is blue", 1), ("", None),
        ("A cup", None), ("A or B", None), ("I see a blue cup and a red cup.", None), ("Bad", None),
    ],
)  # fmt: skip
def test_corrected_reads_the_option_that_is_named(response, index):
    assert read_choice(response, ("red cup", "blue cup")) == index


def test_the_longest_of_options_that_contain_each_other_is_meant():
    assert read_choice("I see a cup of tea.", ("cup", "cup of tea")) == 1


@pytest.mark.parametrize(
    ("response", "count"),
    [("2", 2), ("2.0", 2), ("02", 2), ("three", 3), ("1 times, by 3 people", 1), ("3 or 4", None), ("3-4", None),
     ("Twice.", 2), ("none", None), ("", None)],
)  # fmt: skip
def test_corrected_reads_the_first_number(response, count):
    assert read_count(response) == count


@pytest.mark.parametrize(
    ("response", "yes"),
    [("Yes", 1), ("yes.", 1), ("NO", 0), ("Y.", 1), ("n", 0), ("Not sure", None), ("Now", None), ("No, Yes", None),
     ("Nothing to see", None), ("Yes, but not now", 1), ("", None)],
)  # fmt: skip
def test_corrected_reads_yes_or_no_as_words(response, yes):
    assert read_yes_no(response) == yes


@given(st.text(max_size=12), st.integers(0, 1))
def test_upstream_finds_a_word_anywhere_and_corrected_never_both(response, reference):
    word = ("No", "Yes")[reference]
    assert RULES["upstream"].yes_no(response, reference, ()) == (word in response or response == word[0])
    corrected = [RULES["corrected"].yes_no(response, value, ()) for value in (0, 1)]
    assert sum(corrected) <= 1


def test_the_rules_differ_where_the_published_one_is_defective(results, references):
    upstream, corrected = (evaluated(results, references, rule=rule) for rule in ("upstream", "corrected"))
    assert (upstream["EPM"], corrected["EPM"]) == (100, 100)
    assert (upstream["OCR"], corrected["OCR"]) == (0, 100), "a small letter"
    assert (upstream["REC"], corrected["REC"]) == (50, 50), "no response is wrong"
    assert evaluated(results, references, rule="lmms-eval")["REC"] == 100, "no response is left out"
    assert (upstream["SSR"], corrected["SSR"]) == (50, 100)
    assert upstream["Forward"] == pytest.approx(np.mean([upstream[task] for task in GROUPS["Forward"]]))
    assert upstream["Total"] == pytest.approx(np.mean([upstream[group] for group in GROUPS]))


def test_an_unknown_rule_is_refused(results, references):
    with pytest.raises(DuetError, match="rule='strict' is not known; known are"):
        evaluated(results, references, rule="strict")


# files


def test_the_files_of_a_folder_are_added_up(results, references, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("a.json", "b.json"):
        (folder / name).write_bytes(results.read_bytes())
    other = result_file("A", "A", ["7", "7"], ["No", "Yes"], ["No", "Yes"])
    (folder / "c.json").write_text(json.dumps(other))
    items = read_references(references, OVOBENCH)
    scores = ovobench.score(read_answers(folder, items).by_id, items)
    assert scores["OCR"].dropna().tolist() == [0, 0, 100]
    assert {"2", "2 (2)", "2 (3)"} <= set(scores.index)
    assert len(scores) == 3 * (2 + 3 * 2)


def test_without_a_group_there_is_no_total(references, tmp_path):
    path = tmp_path / "forward.json"
    path.write_text(json.dumps({"forward": result_file(*MIXED)["forward"]}))
    figures = evaluated(path, references)
    assert math.isnan(figures["Total"])
    assert math.isnan(figures["Backward"])
    assert not math.isnan(figures["Forward"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "XYZ"}, "task 'XYZ' is not known: use one of OCR, ACR"),
        ({"gt": 2}, "gt 2 names none of 2 options"),
        ({"realtime": -1}, "realtime"),
        ({"options": ["one"]}, "options"),
        ({"video": "../a.mp4"}, "a way out"),
    ],
)
def test_a_wrong_entry_is_refused(change, message, tmp_path):
    path = tmp_path / "anno.json"
    path.write_text(json.dumps([CHOICE | change]))
    with pytest.raises(DuetError, match=message):
        read_references(path, OVOBENCH)


@pytest.mark.parametrize(
    ("part", "entry", "message"),
    [
        ("backward", {"id": 1, "response": 3}, "response"),
        (
            "backward",
            {"id": 1, "response": "A", "ground_truth": "A"},
            "ground_truth is 'A', and the reference's gt is 'B'",
        ),
        ("forward", COUNT | {"test_info": [{"response": "1"}]}, "has 1 test points, and its reference 2"),
        ("forward", COUNT, "response"),
    ],
)
def test_a_result_that_does_not_fit_is_refused(part, entry, message, references, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({part: [entry]}))
    with pytest.raises(DuetError, match=message):
        read_answers(path, read_references(references, OVOBENCH))


# streams


def item(entry):
    return OvoItem.model_validate(entry)


def stream(asked, said, frames=()):
    times = np.array(frames, dtype=float)
    zeros = np.zeros_like(times)
    trace = DuetTrace(times, zeros, zeros, [Response(*r) for r in said], [Query(time, "?") for time in asked])
    return Prediction("3", 10.0, trace)


def test_a_streams_answer_is_the_first_response_in_time_and_before_the_next_question():
    said = [(1.5, "early"), (2.0, "1"), (2.5, "2"), (9.0, "3")]
    assert rounds_of(stream([2, 8], said), item(COUNT), wait=5.0) == (("1", "3"),)
    assert rounds_of(stream([2, 8], said), item(COUNT), wait=0.5) == (("1", None),)
    assert rounds_of(stream([2, 8], said[3:]), item(COUNT), wait=5.0) == ((None, "3"),)


def test_questions_between_two_frames_are_answered_one_a_frame():
    near = COUNT | {"test_info": [{"realtime": 2.1, "count": 1}, {"realtime": 2.2, "count": 2}]}
    found = rounds_of(stream([2.1, 2.2], [(2.5, "1"), (3.0, "2")], np.arange(12) / 2), item(near), wait=1.0)
    assert found == (("1", "2"),)


def test_a_question_after_the_last_frame_is_answered_there():
    found = rounds_of(stream([2, 8], [(2.0, "1"), (5.5, "2")], np.arange(12) / 2), item(COUNT), wait=1.0)
    assert found == (("1", "2"),)


@pytest.mark.parametrize("wait", [-1.0, np.nan])
def test_a_wait_is_a_number_of_seconds_from_0_on(wait):
    with pytest.raises(DuetError, match=r"wait=.*: give a number of seconds from 0 on"):
        rounds_of(stream([2, 8], []), item(COUNT), wait=wait)


def test_an_online_prediction_is_no_answer():
    with pytest.raises(DuetError, match=r"was asked at .* use ovobench_online"):
        rounds_of(stream([0], []), item(COUNT), wait=1.0)


def test_questions_are_put_at_the_test_points():
    question = OVOBENCH.question(item(STEPS))
    assert [query.time for query in question.queries] == [1, 5]
    assert all("boil" in query.text for query in question.queries)
    assert (
        OVOBENCH.question(item(CHOICE)).queries[0].text == "Which cup? A. red cup; B. blue cup; Answer with a letter."
    )
    assert spaced("MakeRedTea") == "make red tea"
    assert spaced("wrapGifts") == "wrap gifts"


# exchange


def test_an_exported_result_file_has_the_same_figures_and_keeps_the_annotations(results, references, tmp_path):
    output = tmp_path / "again.json"
    command = ["export", "ovobench", str(results), "--references", str(references), "--output", str(output)]
    assert runner.invoke(app, command).exit_code == 0
    assert evaluated(output, references) == pytest.approx(evaluated(results, references), nan_ok=True)
    assert json.loads(output.read_text())["forward"] == result_file(*MIXED)["forward"]
    assert runner.invoke(app, command).exit_code == 0, "it is written again"


@pytest.mark.parametrize("form", ["backward", "realtime", "forward"])
def test_a_sample_log_holds_the_answers_of_its_task(form, results, references, tmp_path):
    output = tmp_path / f"20260101_000000_samples_ovo_{form}.jsonl"
    command = ["export", "ovobench", str(results), "--references", str(references), "--output", str(output)]
    done = runner.invoke(app, [*command, "--form", form])
    assert done.exit_code == 0, done.output
    group = {"backward": "Backward", "realtime": "Real-time", "forward": "Forward"}[form]
    for rule in RULES:
        assert evaluated(output, references, rule=rule)[group] == evaluated(results, references, rule=rule)[group]
    assert lmms_eval.read_log(output)[0].doc_id == 0


def test_logs_and_result_files_of_a_folder_are_added_up(results, references, tmp_path):
    folder = Path(tmp_path / "logs")
    folder.mkdir()
    for form in ("backward", "realtime", "forward"):
        command = ["export", "ovobench", str(results), "--references", str(references), "--form", form]
        assert runner.invoke(app, [*command, "--output", str(folder / f"{form}.jsonl")]).exit_code == 0
    assert evaluated(folder, references) == pytest.approx(evaluated(results, references), nan_ok=True)


@pytest.mark.parametrize(("more", "message"), [([], "give --references"), (["--form", "x"], "form='x' is not known")])
def test_an_export_that_cannot_be_is_refused(more, message, results, references, tmp_path):
    given = ["--references", str(references)] if more else []
    done = runner.invoke(app, ["export", "ovobench", str(results), "--output", str(tmp_path / "o.json"), *given, *more])
    assert isinstance(done.exception, DuetError)
    assert message in str(done.exception)
