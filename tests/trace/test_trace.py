from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.policy import FrameScores, ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Query, Response
from tests.trace.traces import traces

scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20)


def trace_of(pairs, responses=(), queries=()):
    frames = [FrameScores(i / 2, *pair) for i, pair in enumerate(pairs)]
    return DuetTrace.from_events([*frames, *queries, *responses])


@given(scores)
def test_prediction_line_round_trip(pairs):
    trace = trace_of(pairs, [Response(0.5, "a cat")], [Query(0.0, "what?")])
    line = trace.to_prediction("v0.mp4", 6.0)
    again = DuetTrace.from_prediction(line)
    assert again.to_prediction("v0.mp4", 6.0) == line
    np.testing.assert_array_equal(again.informative, trace.informative)


@given(traces())
def test_a_trace_is_equal_to_its_copy_only(trace):
    again = DuetTrace.from_json(trace.to_json())
    assert trace == again
    for other in (
        replace(again, times=np.append(again.times, 99.0)),
        replace(again, context_length=-1),
        replace(again, queries=[*again.queries, Query(0.0, "more")]),
        replace(again, greedy=None if again.greedy is not None else np.zeros(len(again), dtype=bool)),
        trace.to_json(),
    ):
        assert trace != other


def test_turns_are_ordered_by_time_users_first():
    trace = trace_of([], [Response(1.0, "b"), Response(0.0, "a")], [Query(1.0, "q")])
    contents = [turn["content"] for turn in trace.to_prediction(0, 1.0)["model_response_list"]]
    assert contents == ["a", "q", "b"]


def test_older_form_is_read():
    frame = {"video_time": 1.5, "informative_score": [0.25, 0.75], "relevance_score": [0.9, 0.1]}
    trace = DuetTrace.from_prediction({"question_id": "x", "model_response_list": [], "debug_data": [frame]})
    assert (trace.times[0], trace.informative[0], trace.relevance[0]) == (1.5, 0.75, 0.1)


@pytest.mark.parametrize("line", [{}, {"question_id": "x", "model_response_list": [], "debug_data": [{"time": 0}]}])
def test_a_broken_line_names_its_question(line):
    with pytest.raises(DuetError, match=r"prediction .* has debug_data"):
        DuetTrace.from_prediction(line)


def test_replay_asks_the_policy_afresh():
    trace = trace_of([(0.2, 0), (0.9, 0), (0.4, 0), (0.8, 0)])
    assert trace.replay(ScoreThreshold(0.5)).tolist() == [1, 3]
    policy = ScoreSum(1.0)
    assert trace.replay(policy).tolist() == trace.replay(policy).tolist() == [1, 3]
