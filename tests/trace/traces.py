"""Traces of any text, for tests of the forms in which they are written."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from mmduet.trace import DuetTrace, Query, Response

TEXTS = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from("a1 \n\r\t\v\x00\x85\u2028<>&;-{}\\/b:,.\ud800"), max_size=60
)
ARROWS = st.sampled_from(
    ["a --> b", "00:00:01,000 --> 00:00:02,000", "\n\n2\n00:00:01.000 --> 00:00:02.000\nx", "<b>x</b>", "&lt;",
     "{\\an8}x", "NOTE x", "STYLE", "WEBVTT", "1", " ", "", "x\n\ny", "--->", "<00:00:01.000>", "</", "=1+1"]
)  # fmt: skip
TURN = st.tuples(st.integers(0, 19), TEXTS | ARROWS, st.lists(st.integers(0, 99), max_size=3))


@st.composite
def traces(draw: Any) -> DuetTrace:
    """A trace of up to 20 frames, one each half second, of a model with heads or in words."""
    length = draw(st.integers(0, 20))
    score = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=length, max_size=length).map(np.array)
    said = sorted(draw(st.lists(TURN, max_size=5)), key=lambda turn: turn[0])
    responses = [Response(at / 2, text, tuple(ids)) for at, text, ids in said]
    queries = [Query(at / 3, text) for at, text, _ in draw(st.lists(TURN, max_size=3))]
    heads = ("reply",) if draw(st.booleans()) else ("informative", "relevance")
    greedy = draw(st.lists(st.booleans(), min_size=length, max_size=length)) if len(heads) == 1 else None
    return DuetTrace(
        np.arange(length) / 2,
        **{head: draw(score) for head in heads},
        greedy=None if greedy is None else np.array(greedy, dtype=bool),
        responses=responses,
        queries=queries,
        context_length=draw(st.integers(0, 9999)),
    )
