"""Questions that a model answers at once."""

import json
from dataclasses import replace

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation import read_predictions
from mmduet.evaluation.answering import AnswerWhenAsked, answer
from mmduet.evaluation.benchmark import Question, Settings
from mmduet.evaluation.predict import predict
from mmduet.policy import FrameScores
from mmduet.trace import Query
from tests.clips import write_clip

SETTINGS = Settings(frame_fps=2.0, max_frames=6, max_new_tokens=2)


def question(*times, name="q", video="a.mp4"):
    return Question(name, video, tuple(Query(time, f"What at {time}?") for time in times))


@pytest.fixture
def videos(tmp_path):
    write_clip(tmp_path / "a.mp4")
    return tmp_path


def test_the_policy_speaks_once_for_each_query():
    policy = AnswerWhenAsked([1.0, 0.2])
    for _ in range(2):
        spoken = [time for time in (0.0, 0.5, 1.0, 1.5) if policy.need(FrameScores(time, 1.0, 1.0))]
        assert spoken == [0.5, 1.0]
        policy.reset()


def test_every_query_is_answered_at_the_next_frame(tiny, videos):
    done = answer(
        *tiny, [question(0.0, 1.2), question(99.0, name="late")], videos, videos / "out.jsonl", settings=SETTINGS
    )
    assert (done.written, done.new, done.failed) == (2, 2, {})
    found = read_predictions(done.path).by_id
    assert [r.time for r in found["q"].trace.responses] == [0.0, 1.5]
    assert [q.time for q in found["q"].trace.queries] == [0.0, 1.2]
    assert found["q"].trace.times[-1] == 1.5, "no frame is watched after the last answer"
    assert [q.time for q in found["late"].trace.queries] == [99.0]
    assert len(found["late"].trace.responses) == 1, "it is put before the last frame"


def test_the_same_call_asks_nothing_twice_and_other_settings_are_refused(tiny, videos):
    given = ([question(0.0)], videos, videos / "out.jsonl")
    answer(*tiny, *given, settings=SETTINGS)
    assert answer(*tiny, *given, settings=SETTINGS).new == 0
    with pytest.raises(DuetError, match="max_new_tokens was 2, is 1"):
        answer(*tiny, *given, settings=replace(SETTINGS, max_new_tokens=1))
    with pytest.raises(DuetError, match="answers was 'at once'"):
        predict(*tiny, *given, settings=SETTINGS)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (question(0.0, video="../a.mp4"), "leads out of"),
        (question(0.0, video="none.mp4"), "none.mp4"),
        (question(98.0, 99.0), "1 of 2 queries fit before the end"),
    ],
)
def test_a_question_that_cannot_be_answered_has_a_line_with_its_error(asked, error, tiny, videos):
    done = answer(*tiny, [asked], videos, videos / "out.jsonl", settings=SETTINGS)
    assert error in done.failed["q"]
    assert error in json.loads(done.path.read_text())["error"]
