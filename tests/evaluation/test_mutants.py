"""Files that went wrong in some way: whatever is in them, readers and scores end well or in a DuetError."""

import copy
import json
import random
import warnings

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks import charades_sta, magqa, qvhighlights, youcook2
from mmduet.evaluation.benchmarks.submission import read_submission, submission_lines
from mmduet.evaluation.coverage import coverage
from mmduet.evaluation.judges import AnswerCache, Pair, Rating, read_batch
from mmduet.evaluation.prediction_file import read_predictions
from mmduet.evaluation.references import read_questions, read_references
from tests.mutations import bounded

ODD = (
    None, True, False, 0, -1, 1, 0.5, -0.5, 1.5, float("nan"), float("inf"), -float("inf"), 1e8, 1e308, 10**400, "",
    "0.5", "a", "\ud800", "\u2028", "../x", [], [[]], [1], [1, 2], {}, {"a": 1}, [None], "From 2 to 6", "9" * 400,
)  # fmt: skip
FRAMES = [{"time": i / 1, "informative_score": 0.1, "relevance_score": i / 10} for i in range(10)]
TURNS = [{"role": "user", "content": "What?", "time": 0}]
WATCHED = {
    "question_id": 1, "video_duration": 10.0, "debug_data": FRAMES,
    "model_response_list": [*TURNS, {"role": "assistant", "content": "A cat.", "time": 3.0}],
}  # fmt: skip
TEXT = {"question_id": 1, "video_duration": 10.0, "model_response": ["2.0 - 6.0 seconds, a cat"]}
ITEM = {"question_id": 1, "video": "v.mp4", "conversation": TURNS}
GROUNDED = ITEM | {"timestamps": [[2, 6]]}
ANSWERED = ITEM | {"answer": [{"role": "assistant", "content": "a cat", "time": [2, 6]}]}
HIGHLIGHT = {
    "qid": 1, "query": "q", "duration": 10, "vid": "v", "relevant_clip_ids": [1, 2],
    "saliency_scores": [[4, 3, 2], [1, 0, 4]], "relevant_windows": [[2, 6]],
}  # fmt: skip
SUBMISSION = {"qid": 1, "pred_relevant_windows": [[2, 6, 0.9]], "pred_saliency_scores": [0, 1, 1, 0, 0]}
BATCH = {"custom_id": "1*0*0", "response": {"body": {"choices": [{"message": {"content": "4"}}]}}, "error": None}
KEPT = {"judge": "j", "question": "q", "gold": "g", "reply": "r", "answer": "5"}
RATED = {"1*0*0": Rating(4, "4")}


def score_watched(path):
    found = read_predictions(path)
    coverage(found, {"1": None})
    for benchmark, item in (("charades_sta", GROUNDED), ("qvhighlights", HIGHLIGHT), ("magqa", ANSWERED)):
        path.with_name("gold.jsonl").write_text(json.dumps(item))
        gold = read_references(path.with_name("gold.jsonl"), benchmark)
        try:
            measure(benchmark, found.by_id, gold)
        except DuetError:
            continue
    submission_lines({name: p for name, p in found.by_id.items() if name.isdigit()})


def measure(benchmark, predictions, gold):
    if benchmark == "charades_sta":
        charades_sta.score(predictions, gold)
    elif benchmark == "qvhighlights":
        qvhighlights.score(predictions, gold)
    else:
        for prediction in predictions.values():
            youcook2.captions(prediction, rule="corrected")
        magqa.pairs(predictions, gold)
        magqa.score(predictions, gold, RATED)


def score_references(benchmark):
    def read(path):
        gold = read_references(path, benchmark)
        path.with_name("predictions.jsonl").write_text(json.dumps(WATCHED))
        measure(benchmark, read_predictions(path.with_name("predictions.jsonl")).by_id, gold)

    return read


def score_submitted(path):
    found = read_submission(path)
    path.with_name("gold.jsonl").write_text(json.dumps(HIGHLIGHT))
    qvhighlights.score_submission(found, read_references(path.with_name("gold.jsonl"), "qvhighlights"))


PAIRS = [Pair("1", (0,), (0,), ("q", "g", "r"))]
KINDS = {
    "watched": (WATCHED, score_watched),
    "text": (TEXT, score_watched),
    "charades_sta": (GROUNDED, score_references("charades_sta")),
    "magqa": (ANSWERED, score_references("magqa")),
    "qvhighlights": (HIGHLIGHT, score_references("qvhighlights")),
    "questions": (ITEM, lambda path: read_questions(path, "charades_sta")),
    "queries": (HIGHLIGHT, lambda path: read_questions(path, "qvhighlights")),
    "submission": (SUBMISSION, score_submitted),
    "batch": (BATCH, lambda path: read_batch(path, PAIRS)),
    "cache": (KEPT, AnswerCache),
}


def places(value, place=()):
    """Every place in a JSON value."""
    yield place
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*place, key))


def changed(value, rng):
    """The value with one place replaced, removed, or doubled."""
    value = copy.deepcopy(value)
    *way, last = rng.choice([place for place in places(value) if place] or [(None,)])
    if last is None:
        return rng.choice(ODD)
    part = value
    for key in way:
        part = part[key]
    action = rng.choice(["replace", "replace", "replace", "remove", "double"])
    if action == "replace":
        part[last] = rng.choice(ODD)
    elif action == "remove":
        del part[last]
    elif isinstance(part, list):
        part.append(part[last])
    else:
        part[f"{last}2"] = part[last]
    return value


def mutant(line, rng):
    """The bytes of a file that went wrong."""
    action = rng.choice(["value"] * 8 + ["twice", "bytes", "cut", "deep", "odd", "empty"])
    for _ in range(rng.choice([1, 1, 2, 3])):
        line = changed(line, rng) if action == "value" and isinstance(line, (dict, list)) and line else line
    content = json.dumps(line, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass") + b"\n"
    if action == "bytes":
        at = rng.randrange(len(content))
        content = content[:at] + bytes([rng.randrange(256)]) + content[at + rng.randrange(3) :]
    return {
        "twice": content * 2,
        "cut": content[: rng.randrange(len(content))],
        "deep": content.replace(b":", b":" + b"[" * rng.choice([50, 5000]), 1),
        "odd": json.dumps(rng.choice(ODD)).encode() + b"\n" + content,
        "empty": rng.choice([b"", b"\n\n", b"\0", b"\xef\xbb\xbf"]),
    }.get(action, content)


def run_mutants(kind, count, folder, seed=0):
    """How many of the mutants ended in a DuetError; any other error is raised, with the file's content."""
    line, read = KINDS[kind]
    rng, refused = random.Random(f"{kind} {seed}"), 0
    path = folder / "mutant.jsonl"
    for _ in range(count):
        content = mutant(line, rng)
        path.write_bytes(content)
        try:
            with bounded():
                read(path)
        except DuetError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{error!r} for {content[:2000]!r}") from error
    return refused


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_a_duet_error_surfaces(kind, tmp_path):
    line, read = KINDS[kind]
    path = tmp_path / "whole.jsonl"
    path.write_text(json.dumps(line) + "\n")
    read(path)  # the file is right before it is changed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".* name positions without a digest")
        assert run_mutants(kind, 60, tmp_path) > 10
