"""Answering: put questions into a stream, and have the model answer each one at once.

Benchmarks that ask for an answer at a time need this: a duet that decides by itself may stay silent. The policy is then
not asked. Lines and files are those of `mmduet.evaluation.predict`, and the same call resumes an interrupted run.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Question, Settings
from mmduet.evaluation.predict import (
    Outcome,
    ask_all,
    check_finite_scores,
    describe,
    read_duration,
    session_for,
)
from mmduet.events import Event
from mmduet.model.backbone import Backbone
from mmduet.model.processing import DuetProcessor
from mmduet.policy import FrameScores, ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace, Query, Response
from mmduet.video import iter_frames

NEVER = ScoreThreshold(math.inf)  # until a question brings its own policy


class AnswerWhenAsked:
    """A policy that speaks after the first frame that follows each query.

    Args:
        times: When queries are asked, s. A session enters at most one query a frame.
    """

    def __init__(self, times: Sequence[float]):
        self.times = sorted(times)
        self.pending = list(self.times)

    def need(self, scores: FrameScores) -> bool:
        """Tell whether a query was put before this frame."""
        if not self.pending or scores.time < self.pending[0]:
            return False
        self.pending.pop(0)
        return True

    def reset(self) -> None:
        """Wait for all queries again."""
        self.pending = list(self.times)


def answer(
    model: Backbone,
    processor: DuetProcessor,
    questions: Sequence[Question],
    videos: str | Path,
    output: str | Path,
    *,
    settings: Settings,
) -> Outcome:
    """Ask every question, and append one line for each to a prediction file of its own.

    A video is watched up to its last answer. A query after the last frame is put before this frame.

    Args:
        model: The model.
        processor: Its processor.
        questions: The questions.
        videos: The folder of the questions' videos.
        output: The prediction file to write or to resume.
        settings: How the questions are asked. The policy (mode, threshold, heads) is not used.

    Raises:
        DuetError: The file was started with other settings, or a setting is out of range.
        FileError: The output is no prediction file, another process writes it, or a line cannot be written.
    """
    stated = describe(model, settings, {"answers": "at once"})
    session = session_for(model, processor, settings, NEVER)
    return ask_all(
        lambda question, video: _answer(session, question, video, settings), questions, videos, output, stated=stated
    )


def _answer(session: DuetSession, question: Question, path: Path, settings: Settings) -> dict[str, Any]:
    """A question's line."""
    duration = read_duration(path)
    session.frame_fps = settings.frame_fps or settings.max_frames / duration
    last = (min(settings.max_frames, max(1, int(duration * session.frame_fps))) - 1) / session.frame_fps
    queries = [Query(min(query.time, last), query.text) for query in question.queries]
    session.policy = AnswerWhenAsked([query.time for query in queries])
    trace = DuetTrace.from_events(_until_answered(session, path, queries, settings.max_frames))
    if len(trace.responses) < len(queries):
        raise DuetError(f"{len(trace.responses)} of {len(queries)} queries fit before the end of {path}.")
    check_finite_scores(trace)
    trace.queries = list(question.queries)
    return trace.to_prediction(question.question_id, duration)


def _until_answered(session: DuetSession, path: Path, queries: Sequence[Query], most: int) -> Iterator[Event]:
    """The events up to the last answer. Frames after it are not decoded, but for those that near queries may need."""
    needed = math.ceil(max(query.time for query in queries) * session.frame_fps) + len(queries)
    frames = iter_frames(
        path, fps=session.frame_fps, size=session.processor.frame.fit, max_frames=min(most, needed),
        batch_size=session.look_ahead.limit,
    )  # fmt: skip
    left = len(queries)
    for event in session.stream(frames, queries):
        yield event
        left -= isinstance(event, Response)
        if not left:
            return
