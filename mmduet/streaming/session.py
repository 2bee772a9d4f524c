"""DuetSession: the streaming engine. Frames and queries go in, plain events come out.

It knows no files, plots or widgets. Its policy decides when to speak.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import accumulate

import torch
from tqdm import tqdm

from mmduet.errors import DuetError
from mmduet.kernels import kernels_for
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import TextTurn
from mmduet.policy import FrameScores, Policy, ScoreThreshold, checked_policy, fresh_policy
from mmduet.streaming.context import Context, Interrupted
from mmduet.streaming.generation import draft, next_token
from mmduet.streaming.lookahead import LookAhead
from mmduet.streaming.protocol import PROTOCOLS, ContextProtocol
from mmduet.streaming.state import KeptResponse, StreamState
from mmduet.system.devices import enough_memory
from mmduet.system.stages import stage
from mmduet.trace import DuetTrace, Query, Response
from mmduet.video import FrameBatch

Event = FrameScores | Query | Response
Frames = torch.Tensor | Iterable[torch.Tensor | FrameBatch]

LESS = "keep fewer frames (context_frames), load the model with dtype='bfloat16', or delete other models"


class DuetSession:
    """Watches one video at a time, frame by frame.

    One call of `run` or `stream` is one video; `reset`, `ask` and `feed` do the same piece by piece.
    """

    def __init__(
        self,
        model: Backbone,
        processor: DuetProcessor,
        *,
        policy: Policy | None = None,
        frame_fps: float = 2.0,
        protocol: str = "training",
        remove_assistant_turns: bool = False,
        repetition_penalty: float | None = None,
        max_new_tokens: int = 200,
        look_ahead: int | None = None,
        context_frames: int | None = None,
    ):
        """Set up a session.

        Args:
            model: The model; it is set to evaluation mode.
            processor: The model's processor.
            policy: When to speak. None: `ScoreThreshold(0.5)`.
            frame_fps: The rate that the frames were sampled at, 1/s. Frame k is at k / frame_fps.
            protocol: ``training``: the context is the training prompt. ``upstream``: the published code's context.
            remove_assistant_turns: Whether responses are removed from the context. Later frames then continue the same
                stream turn.
            repetition_penalty: Hugging Face's, > 0, over all tokens generated in this video. None: no penalty.
            max_new_tokens: Maximum number of tokens of a response.
            look_ahead: Maximum frames scored per forward pass. None adapts it to the recent response rate. The result
                is identical for every value.
            context_frames: Maximum frames in the context, >= 2. When the context is full, the older half of the frames
                is dropped together with its queries and responses. The latest query is kept. None: no frame is dropped.

        Raises:
            DuetError: A value is out of its range, or the protocol is not known.
        """
        _check(frame_fps, protocol, repetition_penalty, max_new_tokens, look_ahead, context_frames)
        self.model, self.processor = model.eval(), processor
        self.policy, self.frame_fps = ScoreThreshold(0.5) if policy is None else checked_policy(policy), frame_fps
        self.protocol: ContextProtocol = PROTOCOLS[protocol](processor)
        self.context_frames = context_frames
        self.remove_assistant_turns = remove_assistant_turns
        self.repetition_penalty, self.max_new_tokens = repetition_penalty, max_new_tokens
        self.kernels = kernels_for(model, processor)
        self.look_ahead = LookAhead(
            look_ahead,
            tokens=processor.frame.tokens,
            at_once=self.kernels.tokens_at_once,
            call_cost=self.kernels.call_cost,
        )
        self.reset()

    # whole videos

    def run(self, frames: Frames, queries: Iterable[Query] = (), *, progress: bool = False) -> DuetTrace:
        """Watch a video from the start.

        Args:
            frames: uint8 [N, 3, H, W], or batches of them, as `iter_frames` gives.
            queries: Queries, each asked when its time comes.
            progress: Whether a progress bar is shown.

        Returns:
            Scores, queries and responses of the video.
        """
        events = []
        total = len(frames) if isinstance(frames, torch.Tensor) else None
        with tqdm(total=total, unit="frame", desc="watch", disable=not progress) as bar:
            for event in self.stream(frames, queries):
                events.append(event)
                bar.update(isinstance(event, FrameScores))
        return DuetTrace.from_events(events, context_length=len(self.state.context))

    def stream(self, frames: Frames, queries: Iterable[Query] = ()) -> Iterator[Event]:
        """Watch a video from the start, and yield each event as it happens.

        A query after the last frame's time is never asked.
        """
        self.reset()
        for query in queries:
            self._queue(query)
        yield from self.feed(frames)

    def fresh(self) -> "DuetSession":
        """Return a new session with the same model, processor and settings."""
        session = copy(self)
        session.policy, session.look_ahead = fresh_policy(self.policy), copy(self.look_ahead)
        session.kernels = kernels_for(self.model, self.processor)
        session.reset()
        return session

    # piece by piece

    def reset(self) -> None:
        """Forget the video, and start a new one."""
        self.context = Context(self.model, self.processor, self.kernels, self.protocol, frames=self.context_frames)
        self.policy.reset()
        self.look_ahead.reset()

    @property
    def state(self) -> StreamState:
        """Everything that is remembered of the video."""
        return self.context.state

    @property
    def time(self) -> float:
        """The next frame's time, in seconds."""
        return self.state.frames / self.frame_fps

    def ask(self, text: str) -> Query:
        """Ask now: the query enters before the next frame."""
        self._queue(query := Query(self.time, text))
        return query

    def interrupt(self) -> None:
        """Stop `feed` from another thread: it raises Interrupted before the model's next forward pass."""
        self.state.interrupted = True

    def _queue(self, query: Query) -> None:
        if not query.time >= 0:
            raise DuetError(f"query {query.text!r} at {query.time} s: a time is 0 or later.")
        TextTurn("user", query.text)  # refuses the prompt's own tokens
        self.state.queries.append(query)
        self.state.queries.sort(key=lambda queued: queued.time)

    @torch.inference_mode()
    def feed(self, frames: Frames) -> Iterator[Event]:
        """Watch the next frames, and yield each frame's events: a due query, the scores, the response.

        A FrameBatch that begins later than the next frame's time moves the clock: the frames between were lost.

        Args:
            frames: uint8 [N, 3, H, W], or batches of them, as `iter_frames` and `StreamSource` give.

        Raises:
            DuetError: The device's memory is full. The video then starts again with `reset`.
        """
        step = max(self.look_ahead.limit, self.kernels.frames_at_once)
        with enough_memory(LESS):
            for batch in [frames] if isinstance(frames, torch.Tensor) else frames:
                if isinstance(batch, FrameBatch):
                    self.state.frames = max(self.state.frames, round(float(batch.times[0]) * self.frame_fps))
                    batch = batch.frames
                for first in range(0, len(batch), step):
                    yield from self._watch(self._encode(batch[first : first + step]))

    def _encode(self, frames: torch.Tensor) -> list[EmbeddedTokens]:
        with stage("vision"):
            return self.kernels.encode(frames)

    # scoring

    def _watch(self, frames: list[EmbeddedTokens]) -> Iterator[Event]:
        while frames:
            if self._query_is_due():
                self.context.enter_query(query := self.state.queries.pop(0))
                yield query
            self.context.make_room()
            scored = 0
            for event in self._score(frames[: self._window()]):
                scored += isinstance(event, FrameScores)
                yield event
            frames = frames[scored:]

    def _query_is_due(self) -> bool:
        return bool(self.state.queries) and self.state.queries[0].time <= self.time

    def _window(self) -> int:
        """The number of frames to score next: up to the next query, and no more than the context has room for."""
        frames: float = self.look_ahead.frames()
        if self.state.queries:
            frames = min(frames, self.state.queries[0].time * self.frame_fps - self.state.frames)
        if self.context.room is not None:
            frames = min(frames, self.context.room)
        return max(1, math.ceil(frames))

    def _score(self, frames: list[EmbeddedTokens]) -> Iterator[Event]:
        """Score frames in one forward pass, and yield their events while the scores are valid.

        They are valid up to a query, or the first kept response.
        """
        self.context.open_stream()
        ends = torch.tensor([*accumulate(map(len, frames))])
        hidden = self.context.forward(frames)[-int(ends[-1]) :]
        for index, (informative, relevance) in enumerate(self.model.score_frames(hidden[ends - 1]).tolist()):
            if index and self._query_is_due():
                return
            scores = FrameScores(self.time, informative, relevance)
            self.context.enter_frame(frames[index])
            self.state.frames += 1
            yield scores
            speak, kept = self.policy.need(scores), not self.remove_assistant_turns
            self.look_ahead.saw(response=speak and kept)
            if speak:
                yield self._respond(scores.time, kept=kept)
                if kept:
                    return

    # generation

    def _respond(self, time: float, *, kept: bool) -> Response:
        state, start = self.state, len(self.state.context)
        later = [] if kept else state.cache.tail(start)
        with stage("generation"):
            generated = self._generate(self.protocol.response(state))
        token_ids = generated[:-1] if generated[-1] == self.processor.end_id else generated
        text = self.processor.response_text(token_ids)
        if kept:
            self.context.enter_response(KeptResponse(tuple(generated), text), start)
        else:
            state.crop(start)
            state.cache.extend(later)  # the later frames of this forward pass, as if nothing had been generated
        state.last = "response"
        return Response(time, text, tuple(token_ids))

    def _generate(self, header: Sequence[int]) -> list[int]:
        """Enter the response's header, then decode greedily to the end token or `max_new_tokens`.

        Returns the generated ids, with the end token. The last of them is not in the context yet.
        """
        state, generated, entering = self.state, list[int](), list(header)
        start = len(state.context) + len(header)
        while True:
            guess = draft(state.previous_response, generated)[: self.max_new_tokens - len(generated) - 1]
            self.context.enter([*entering, *guess])
            hidden = self.context.forward()[-len(guess) - 1 :]
            for logits, guessed in zip(self.model.vocabulary_logits(hidden).float(), [*guess, None], strict=True):
                self._add(generated, next_token(logits, state.generated, self.repetition_penalty))
                if generated[-1] != guessed or self._is_complete(generated):
                    break
            state.crop(start + len(generated) - 1)  # the rest of the guess was wrong
            if self.repetition_penalty is None:
                self._continue(generated)
            if self._is_complete(generated):
                state.previous_response = generated
                return generated
            entering = generated[-1:]

    def _continue(self, generated: list[int]) -> None:
        """Decode as far as the device does so by itself, and no draft is possible.

        The cache may then hold more than the context, as in multi-frame scoring.
        """
        if self._is_complete(generated) or draft(self.state.previous_response, generated):
            return
        for token in self.kernels.continuation(generated[-1], self.state.cache):
            if self.state.interrupted:
                raise Interrupted
            self.state.context.append(generated[-1])
            self._add(generated, token)
            if self._is_complete(generated) or draft(self.state.previous_response, generated):
                return

    def _add(self, generated: list[int], token: int) -> None:
        generated.append(token)
        if token != self.processor.end_id:
            self.state.generated.add(token)

    def _is_complete(self, generated: Sequence[int]) -> bool:
        return generated[-1] == self.processor.end_id or len(generated) == self.max_new_tokens


def _check(
    frame_fps: float,
    protocol: str,
    repetition_penalty: float | None,
    max_new_tokens: int,
    look_ahead: int | None,
    context_frames: int | None,
) -> None:
    if not 0 < frame_fps < math.inf:
        raise DuetError(f"frame_fps={frame_fps}: give a positive number of frames a second.")
    if protocol not in PROTOCOLS:
        raise DuetError(f"protocol={protocol!r} is not known; known are {sorted(PROTOCOLS)}.")
    if repetition_penalty is not None and not repetition_penalty > 0:
        raise DuetError(f"repetition_penalty={repetition_penalty}: give a positive number, or None.")
    if max_new_tokens < 1:
        raise DuetError(f"max_new_tokens={max_new_tokens}: a response has at least one token.")
    if look_ahead is not None and look_ahead < 1:
        raise DuetError(f"look_ahead={look_ahead}: give a number of frames from 1 on, or None to adapt it.")
    if context_frames is not None and context_frames < 2:
        raise DuetError(f"context_frames={context_frames}: a context holds at least 2 frames; None: all of them.")
