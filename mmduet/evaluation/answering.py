"""Answering: put questions into a stream, and have the model answer each one at once.

Benchmarks that ask for an answer at a time need this: a duet that decides by itself may stay silent. The policy is then
not asked. Lines and files are those of `mmduet.evaluation.predict`, and the same call resumes an interrupted run.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmduet.errors import DuetError, VideoError
from mmduet.evaluation.benchmark import Question, Settings
from mmduet.evaluation.predict import Outcome, describe, output_path
from mmduet.evaluation.prediction_file import begin, collect, put_in_order
from mmduet.files import inside
from mmduet.model.backbone import Backbone
from mmduet.model.processing import DuetProcessor
from mmduet.policy import FrameScores
from mmduet.streaming.session import DuetSession, Event
from mmduet.trace import DuetTrace, Query, Response
from mmduet.video import iter_frames, read_metadata


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
        output: The folder of prediction files.
        settings: How the questions are asked. The policy (mode, threshold, heads) is not used.

    Raises:
        DuetError: A setting is out of range.
        FileError: Another process writes the file, or a line cannot be written.
    """
    stated = describe(model, settings, {"answers": "at once"})
    path, names = output_path(output, "answers", stated), [str(question.question_id) for question in questions]
    with begin(path, stated, names) as file:
        done = collect(path)
        todo = [question for question in questions if str(question.question_id) not in done]
        for question in tqdm(todo, desc="answer", unit="question"):
            file.add(_line(model, processor, question, Path(videos), settings))
        put_in_order(file, path, names)
        lines = collect(path)
    return Outcome(
        path, len(lines), len(todo), {name: line["error"] for name, line in lines.items() if "error" in line}
    )


def _line(
    model: Backbone, processor: DuetProcessor, question: Question, videos: Path, settings: Settings
) -> dict[str, Any]:
    try:
        path = inside(videos, question.video)
        if path is None:
            raise VideoError(f"video {question.video!r} leads out of {videos}: give its path in that folder.")
        duration = read_metadata(path).duration
        fps = settings.frame_fps or settings.max_frames / duration
        last = (min(settings.max_frames, max(1, int(duration * fps))) - 1) / fps
        queries = [Query(min(query.time, last), query.text) for query in question.queries]
        session = DuetSession(
            model, processor, policy=AnswerWhenAsked([query.time for query in queries]), frame_fps=fps,
            protocol=settings.protocol, remove_assistant_turns=settings.remove_assistant_turns,
            repetition_penalty=settings.repetition_penalty, max_new_tokens=settings.max_new_tokens,
        )  # fmt: skip
        trace = DuetTrace.from_events(_until_answered(session, path, queries, settings.max_frames))
        if len(trace.responses) < len(queries):
            raise DuetError(f"{len(trace.responses)} of {len(queries)} queries fit before the end of {path}.")
        trace.queries = list(question.queries)
        return trace.to_prediction(question.question_id, duration)
    except (DuetError, OSError, UnicodeError) as error:
        return {"question_id": question.question_id, "error": str(error)}


def _until_answered(session: DuetSession, path: Path, queries: Sequence[Query], most: int) -> Iterator[Event]:
    """The events up to the last answer. Frames after it are not decoded, but for those that near queries may need."""
    needed = math.ceil(max(query.time for query in queries) * session.frame_fps) + len(queries)
    frames = iter_frames(
        path, fps=session.frame_fps, size=session.processor.frame.size, max_frames=min(most, needed),
        batch_size=session.look_ahead.limit,
    )  # fmt: skip
    left = len(queries)
    for event in session.stream(frames, queries):
        yield event
        left -= isinstance(event, Response)
        if not left:
            return
