"""DuetTrace: the scores, queries and responses of one watched video, as plain arrays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.events import Query, Response
from mmduet.formats import captions, prediction_line, table, trace_file
from mmduet.policy import HEADS, REPLY, BoolArray, FloatArray, FrameScores, Policy, checked_policy, decided


@dataclass(slots=True, eq=False)
class DuetTrace:
    """One watched video.

    The scores are those of both heads, or `reply` of a model that decides in words; the others are None. A "frame" of
    such a model is a piece of one or more frames, and its time is the piece's end.

    Attributes:
        times: Time of each frame, s; float64 [N].
        informative: Probabilities in [0, 1], float64 [N].
        relevance: Probabilities in [0, 1], float64 [N].
        responses: The model's turns.
        queries: The user's turns.
        context_length: Tokens in the model's context at the end.
        reply: 1 minus the probability of the words of silence, in [0, 1], float64 [N].
        greedy: Whether greedy decoding gives a reply, bool [N].
    """

    times: FloatArray
    informative: FloatArray | None = None
    relevance: FloatArray | None = None
    responses: list[Response] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    context_length: int = 0
    reply: FloatArray | None = None
    greedy: BoolArray | None = None

    @classmethod
    def from_events(cls, events: Iterable[FrameScores | Query | Response], context_length: int = 0) -> "DuetTrace":
        """Collect a session's events, in order."""
        events = list(events)
        scores = [event for event in events if isinstance(event, FrameScores)]
        in_words = bool(scores) and scores[0].reply is not None
        return cls(
            times=np.array([s.time for s in scores], dtype=float),
            **{name: np.array([getattr(s, name) for s in scores], dtype=float) for name in _heads(in_words)},
            greedy=np.array([s.greedy for s in scores], dtype=bool) if in_words else None,
            responses=[event for event in events if isinstance(event, Response)],
            queries=[event for event in events if isinstance(event, Query)],
            context_length=context_length,
        )

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal; nan equals nan."""
        return isinstance(other, DuetTrace) and trace_file.equal(self, other)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the scores that this trace has: both heads, or ``reply``."""
        return _heads(self.reply is not None)

    def curve(self, head: str) -> FloatArray:
        """The scores of one of `heads`, float64 [N].

        Raises:
            DuetError: The trace has no such scores.
        """
        if head not in self.heads:
            raise DuetError(f"head={head!r}: this trace has {', '.join(self.heads)}.")
        return cast(FloatArray, getattr(self, head))

    def scores(self) -> Iterable[FrameScores]:
        """The frames' scores in order."""
        if self.reply is None:
            return map(FrameScores, self.times.tolist(), *(self.curve(head).tolist() for head in HEADS))
        greedy = [None] * len(self) if self.greedy is None else self.greedy.tolist()
        return (
            FrameScores(time, reply=score, greedy=likeliest)
            for time, score, likeliest in zip(self.times.tolist(), self.reply.tolist(), greedy, strict=True)
        )

    def replay(self, policy: Policy) -> NDArray[np.int64]:
        """Find the frames after which another policy would have spoken.

        The scores stay those of this trace. With responses removed from the context the replay is exact. Otherwise
        it is an approximation, because a response that stays in the context changes later scores.

        Args:
            policy: It is reset first.

        Returns:
            The frames' indices, ascending.

        Raises:
            DuetError: The object is not a policy, or its `need` returns no bool.
        """
        checked_policy(policy).reset()
        picked = [index for index, scores in enumerate(self.scores()) if decided(policy, scores)]
        return np.array(picked, dtype=np.int64)

    def to_prediction(self, question_id: str | int, video_duration: float) -> dict[str, Any]:
        """Make a line of a prediction file in the published form, JSON-ready.

        Args:
            question_id: The question's id.
            video_duration: s.
        """
        turns = [(q.time, 0, q.text, "user") for q in self.queries]
        turns += [(r.time, 1, r.text, "assistant") for r in self.responses]
        return {
            "question_id": question_id,
            "video_duration": video_duration,
            "model_response_list": [
                {"time": time, "content": text, "role": role} for time, _, text, role in sorted(turns)
            ],
            "debug_data": [prediction_line.frame_data(scores) for scores in self.scores()],
        }

    @classmethod
    def from_prediction(cls, line: Mapping[str, Any]) -> "DuetTrace":
        """Read a line of a prediction file.

        Args:
            line: In the published form, or in the older one with ``video_time`` and two-element score lists. The frames
                of a model that decides in words have ``reply_score`` and, optionally, ``greedy_reply``. Token ids and
                context length are in none of them. Frame times ascend, scores are in [0, 1], and response times do
                not descend. In a line without frames a response may be at -1: its time is not known.

        Raises:
            AnnotationError: The message names the question, the field, the rule and the value found.
        """
        return cls(**prediction_line.read(line))

    def to_srt(self, video_duration: float | None = None) -> str:
        """Write the responses as subtitles in SubRip form.

        A cue lasts until the response is read, the next one comes, or the clip ends.

        Args:
            video_duration: s. None: the clip has no known end.

        Raises:
            DuetError: The time of a response is not known.
        """
        return captions.to_srt(captions.cues_of(self.responses, video_duration))

    def to_vtt(self, video_duration: float | None = None) -> str:
        """Write the responses as subtitles in WebVTT form, which browsers show; otherwise as `to_srt`."""
        return captions.to_vtt(captions.cues_of(self.responses, video_duration))

    def to_csv(self) -> str:
        """Write a table: a row a frame with its time, s, its scores, and the queries and responses at that time."""
        scores = {name: getattr(self, name) for name in (*self.heads, "greedy")}
        columns = {name: values for name, values in scores.items() if values is not None}
        return table.to_csv(self.times, columns, self.queries, self.responses)

    def to_json(self) -> str:
        """Write everything as JSON, with token ids. `from_json` reads an equal trace."""
        return trace_file.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "DuetTrace":
        """Read a trace from the text of `to_json`.

        Raises:
            AnnotationError: The text is no JSON, or not of this form. The message names the field, the rule and the
                value found.
        """
        return cls(**trace_file.read_json(text))


def _heads(in_words: bool) -> tuple[str, ...]:
    return (REPLY,) if in_words else HEADS
