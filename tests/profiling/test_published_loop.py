import pytest

from mmduet.policy import ScoreThreshold
from mmduet.profiling.published_loop import PublishedLoop
from mmduet.streaming.session import DuetSession


@pytest.mark.parametrize("threshold", [0.6, 9])
def test_the_published_loop_sees_and_says_what_a_session_does(tiny, frames, threshold):
    wanted = PublishedLoop(*tiny, policy=ScoreThreshold(threshold), max_new_tokens=4).run(frames)
    session = DuetSession(*tiny, policy=ScoreThreshold(threshold), protocol="upstream", max_new_tokens=4)
    trace = session.run(frames)
    assert trace.responses == wanted.responses
    assert bool(wanted.responses) == (threshold < 1)
    assert trace.context_length == wanted.context_length
    assert abs(trace.informative - wanted.informative).max() < 1e-5
    assert abs(trace.relevance - wanted.relevance).max() < 1e-5
