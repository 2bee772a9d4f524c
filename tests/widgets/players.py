"""Players of a made-up trace, for the tests of their Python and of their page."""

from typing import Any

import numpy as np
from bs4 import BeautifulSoup, Tag
from mmduet_widgets import DuetPlayer

from mmduet.policy import ScoreThreshold
from mmduet.trace import DuetTrace, Query, Response

ATTACK = '<img src=x onerror="window.ran=1"></script><script>window.ran=1</script><!-- \u2028 @DATA@'
WEBM = b"\x1a\x45\xdf\xa3" + bytes(8)


def make_trace(frames: int = 12, **changes: Any) -> DuetTrace:
    """Two frames a second; informative goes 0, 0.1 … 0.9, 0, 0.1."""
    trace = DuetTrace(
        times=np.arange(frames) / 2,
        informative=np.arange(frames) % 10 / 10,
        relevance=np.full(frames, 0.25),
        responses=[Response(4.0, "A cat."), Response(2.0, ATTACK)],
        queries=[Query(0.0, "What is there?")],
    )
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace


def make_words(frames: int = 12, **changes: Any) -> DuetTrace:
    """A trace of a model that decides in words, a piece of a second each; greedy where reply exceeds 0.55."""
    reply = np.arange(frames) % 10 / 10
    trace = DuetTrace(
        times=np.arange(frames) + 1.0,
        reply=reply,
        greedy=reply > 0.55,
        responses=[Response(7.0, "A cat."), Response(9.0, ATTACK)],
        queries=[Query(0.0, "What is there?")],
    )
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace


def make_player(video: Any = WEBM, trace: DuetTrace | None = None, **options: Any) -> DuetPlayer:
    options = {"policy": ScoreThreshold(0.65), **options}
    return DuetPlayer(video, make_trace() if trace is None else trace, **options)


def inner(frame: str) -> str:
    """The document within an `<iframe srcdoc>`."""
    [element] = BeautifulSoup(frame, "html.parser").contents  # one element, whatever texts are in it
    assert isinstance(element, Tag)
    return str(element["srcdoc"])
