"""DuetTrace: what a session saw and said, as plain arrays; no model, no files, no plots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmduet.errors import DuetError
from mmduet.policy import FrameScores, Policy


@dataclass(frozen=True, slots=True)
class Query:
    """A user's turn. time: seconds into the video, >= 0."""

    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Response:
    """The model's turn. time: of the frame after which it was given, s."""

    time: float
    text: str
    token_ids: tuple[int, ...] = ()


@dataclass(slots=True)
class DuetTrace:
    """One video, watched.

    times, informative, relevance: float64 [N]; seconds, and probabilities in [0, 1].
    context_length: tokens in the model's context at the end.
    """

    times: np.ndarray
    informative: np.ndarray
    relevance: np.ndarray
    responses: list[Response] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    context_length: int = 0

    @classmethod
    def from_events(cls, events: Iterable[FrameScores | Query | Response], context_length: int = 0) -> "DuetTrace":
        """Collect the events of a session, in order."""
        events = list(events)
        scores = [event for event in events if isinstance(event, FrameScores)]
        return cls(
            times=np.array([s.time for s in scores], dtype=float),
            informative=np.array([s.informative for s in scores], dtype=float),
            relevance=np.array([s.relevance for s in scores], dtype=float),
            responses=[event for event in events if isinstance(event, Response)],
            queries=[event for event in events if isinstance(event, Query)],
            context_length=context_length,
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.times)

    def scores(self) -> Iterable[FrameScores]:
        """The frames' scores in order."""
        return map(FrameScores, self.times.tolist(), self.informative.tolist(), self.relevance.tolist())

    def replay(self, policy: Policy) -> np.ndarray:
        """Indices (int64, ascending) of the frames after which `policy` would have spoken.

        The scores stay those of this trace: had the model really spoken elsewhere, and kept its
        words in the context, later scores would differ. With responses removed from the context
        the replay is exact.
        """
        policy.reset()
        picked = [index for index, scores in enumerate(self.scores()) if policy.need(scores)]
        return np.array(picked, dtype=np.int64)

    def to_prediction(self, question_id: str | int, video_duration: float) -> dict[str, Any]:
        """One line of a published prediction file (JSON-ready). video_duration: s."""
        turns = [(q.time, 0, q.text, "user") for q in self.queries]
        turns += [(r.time, 1, r.text, "assistant") for r in self.responses]
        return {
            "question_id": question_id,
            "video_duration": video_duration,
            "model_response_list": [
                {"time": time, "content": text, "role": role} for time, _, text, role in sorted(turns)
            ],
            "debug_data": [
                {"time": s.time, "informative_score": s.informative, "relevance_score": s.relevance}
                for s in self.scores()
            ],
        }

    @classmethod
    def from_prediction(cls, line: Mapping[str, Any]) -> "DuetTrace":
        """Read one prediction line: the published form, or the older one with ``video_time`` and
        two-element score lists. Token ids and context length are not in either.

        Raises DuetError naming the question and the missing or wrong field.
        """
        where = f"prediction {line.get('question_id', '?')!r}"
        try:
            frames = [_read_frame(frame) for frame in line["debug_data"]]
            turns = [(turn["role"], float(turn["time"]), turn["content"]) for turn in line["model_response_list"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DuetError(
                f"{where}: {type(error).__name__} {error}; a line has debug_data [{{time, informative_score, "
                "relevance_score}}] and model_response_list [{{time, content, role}}]."
            ) from error
        trace = cls.from_events(frames)
        trace.queries = [Query(time, text) for role, time, text in turns if role == "user"]
        trace.responses = [Response(time, text) for role, time, text in turns if role == "assistant"]
        return trace


def _read_frame(frame: Mapping[str, Any]) -> FrameScores:
    time = frame["time"] if "time" in frame else frame["video_time"]
    scores = (frame["informative_score"], frame["relevance_score"])
    # the older form wrote both classes' probabilities: [silent, speak]
    informative, relevance = (score[1] if isinstance(score, list) else score for score in scores)
    return FrameScores(float(time), float(informative), float(relevance))
