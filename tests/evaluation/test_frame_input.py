"""Frame-input files, and prediction by a model that decides in words."""

import json

import numpy as np
import pytest
from PIL import Image

from mmduet import DuetTrace
from mmduet.checkpoints import build_tiny_words
from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.benchmarks import BENCHMARKS
from mmduet.evaluation.predict import predict, weights_digest, with_overrides
from mmduet.evaluation.prediction_file import read_predictions
from mmduet.evaluation.references import read_questions


@pytest.fixture
def folder(tmp_path):
    """Eight images of different sizes, and a file that lists them in turns."""
    for index in range(8):
        noise = np.random.default_rng(index).integers(0, 256, (40 + 4 * index, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index}.png")
    image = lambda index: {"type": "image", "image": f"{index}.png"}  # noqa: E731
    turns = [
        {"role": "user", "content": [image(0), image(1), {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": "the published reference"},
        {"role": "user", "content": [image(2), image(3)], "skip_inference": True},
        {"role": "user", "content": [image(4), image(5), {"type": "text", "text": "now?"}], "must_reply": True},
        {"role": "user", "content": [image(6), image(7)]},
    ]
    (tmp_path / "test.json").write_text(json.dumps([{"question_id": "q", "conversation": turns}]))
    return tmp_path


def test_turns_and_images_are_read(folder):
    (question,) = read_questions(folder / "test.json", "charades_sta")
    assert [turn.frames for turn in question.turns] == [2, 2, 2, 2]
    assert [turn.text for turn in question.turns] == ["what?", "", "now?", ""]
    assert [turn.skip_inference for turn in question.turns] == [False, True, False, False]
    assert [turn.must_reply for turn in question.turns] == [False, False, True, False]
    assert question.images == tuple(f"{index}.png" for index in range(8))


def test_every_turn_is_answered_at_its_time(folder, tmp_path):
    questions = read_questions(folder / "test.json", "charades_sta")
    settings = with_overrides("charades_sta", build_tiny_words()[0], frame_fps=0.5, max_new_tokens=4)
    outcome = predict(*build_tiny_words(), questions, folder, tmp_path / "out.jsonl", settings=settings)
    assert not outcome.failed
    trace = read_predictions(outcome.path).by_id["q"].trace
    assert trace.times.tolist() == [4.0, 12.0, 16.0]
    assert 12.0 in [reply.time for reply in trace.responses]
    assert [(query.time, query.text) for query in trace.queries] == [(0.0, "what?"), (8.0, "now?")]


def test_an_image_that_is_missing_or_elsewhere_is_an_error_line(folder, tmp_path):
    questions = read_questions(folder / "test.json", "charades_sta")
    settings = with_overrides("charades_sta", build_tiny_words()[0], max_new_tokens=4)
    (folder / "3.png").unlink()
    outcome = predict(*build_tiny_words(), questions, folder, tmp_path / "out.jsonl", settings=settings)
    assert "3.png" in outcome.failed["q"]


def test_a_model_with_heads_is_refused_before_it_starts(folder, tmp_path, tiny):
    questions = read_questions(folder / "test.json", "charades_sta")
    with pytest.raises(DuetError, match="only a model that decides in words"):
        predict(*tiny, questions, folder, tmp_path / "out.jsonl", settings=BENCHMARKS["charades_sta"].settings)


def test_a_turn_of_another_form_is_named(folder):
    content = json.loads((folder / "test.json").read_text())
    content[0]["conversation"][0]["content"][0]["type"] = "video"
    (folder / "test.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="conversation / 0 / content"):
        read_questions(folder / "test.json", "charades_sta")


def test_settings_are_as_published_for_how_the_model_decides():
    published = BENCHMARKS["youcook2"].settings
    assert with_overrides("youcook2") == published
    words = with_overrides("youcook2", build_tiny_words()[0])
    assert (words.mode, words.threshold, words.heads, words.frames_per_turn) == ("greedy", None, ("reply",), 2)
    assert with_overrides("youcook2", build_tiny_words()[0], threshold=0.4).mode == "threshold"
    assert "frames_per_turn" not in published.stated()


def test_a_trace_in_words_is_written_and_read_again():
    trace = DuetTrace(np.array([2.0, 4.0]), reply=np.array([0.25, 0.75]), greedy=np.array([False, True]))
    again = DuetTrace.from_prediction(trace.to_prediction("q", 4.0))
    assert (again.reply.tolist(), again.greedy.tolist(), again.heads) == ([0.25, 0.75], [False, True], ("reply",))
    line = trace.to_prediction("q", 4.0)
    del line["debug_data"][0]["greedy_reply"]
    assert DuetTrace.from_prediction(line).greedy is None
    line["debug_data"][1] = {"time": 4.0, "informative_score": 0.5, "relevance_score": 0.5}
    with pytest.raises(AnnotationError, match="reply_score"):
        DuetTrace.from_prediction(line)


def test_other_weights_have_another_digest():
    digests = {weights_digest(build_tiny_words(seed=seed)[0]) for seed in (0, 1)}
    assert len(digests) == 2
