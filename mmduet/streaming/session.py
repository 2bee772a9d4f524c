"""DuetSession: the streaming engine. Frames and queries go in, plain events come out.

It knows no files, no plots, no widgets, and not when to speak: that is the policy's.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import takewhile

import torch
from tqdm import tqdm

from mmduet.errors import DuetError
from mmduet.kernels import kernels_for
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import TextTurn
from mmduet.policy import FrameScores, Policy, ScoreThreshold, checked_policy, fresh_policy
from mmduet.streaming.generation import draft, next_token
from mmduet.streaming.lookahead import LookAhead
from mmduet.streaming.protocol import PROTOCOLS, ContextProtocol
from mmduet.streaming.state import Said, StreamState, Turn, newest_turns
from mmduet.system.devices import enough_memory
from mmduet.system.stages import stage
from mmduet.trace import DuetTrace, Query, Response
from mmduet.video import FrameBatch

Event = FrameScores | Query | Response
Frames = torch.Tensor | Iterable[torch.Tensor | FrameBatch]

LESS = "keep fewer frames (context_frames), load the model with dtype='bfloat16', or let other models go"


class Interrupted(Exception):
    """Another thread wanted no more of this video; `DuetSession.reset` makes ready for the next."""


class DuetSession:
    """Watches one video at a time, frame by frame.

    policy: when to speak. protocol: ``training`` (the context is the training prompt's) or ``upstream`` (as the
    published numbers were made). frame_fps: the rate the frames were sampled at, 1/s; frame k is at k / frame_fps.
    remove_assistant_turns: responses are given but not left in the context, so that later frames go on
    in the same stream turn. repetition_penalty: > 0, over all tokens said in this video (Hugging Face's
    definition), None for none. max_new_tokens: a response is cut there.
    look_ahead: frames to score in one forward, if at hand; None: as many as pay. The events are the same with any.
    context_frames: how many frames the context holds, >= 2. When it is full the older half leaves, with what was
    asked and said then, but for the question that is open; the session goes on as a fresh one would that was shown
    what is left. None: nothing leaves.

    One call of `run` or `stream` is one video; `reset`, `ask` and `feed` are the same, piece by piece.
    """

    def __init__(
        self,
        model: DuetForConditionalGeneration,
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
        if not 0 < frame_fps < math.inf:
            raise DuetError(f"frame_fps={frame_fps}: give a positive number of frames a second.")
        if protocol not in PROTOCOLS:
            raise DuetError(f"protocol={protocol!r} is not known; known are {sorted(PROTOCOLS)}.")
        if repetition_penalty is not None and not repetition_penalty > 0:
            raise DuetError(f"repetition_penalty={repetition_penalty}: give a positive number, or None.")
        if max_new_tokens < 1:
            raise DuetError(f"max_new_tokens={max_new_tokens}: a response has at least one token.")
        if look_ahead is not None and look_ahead < 1:
            raise DuetError(f"look_ahead={look_ahead}: give a number of frames from 1 on, or None for as many as pay.")
        if context_frames is not None and context_frames < 2:
            raise DuetError(f"context_frames={context_frames}: a context holds at least 2 frames; None: all of them.")
        self.model, self.processor = model.eval(), processor
        self.policy, self.frame_fps = ScoreThreshold(0.5) if policy is None else checked_policy(policy), frame_fps
        self.protocol: ContextProtocol = PROTOCOLS[protocol](processor)
        self.remove_assistant_turns = remove_assistant_turns
        self.repetition_penalty, self.max_new_tokens = repetition_penalty, max_new_tokens
        self.kernels = kernels_for(model, processor)
        self.look_ahead = LookAhead(
            look_ahead,
            tokens=processor.frame.tokens,
            at_once=self.kernels.tokens_at_once,
            call_cost=self.kernels.call_cost,
        )
        self.context_frames = context_frames
        self.reset()

    # whole videos

    def run(self, frames: Frames, queries: Iterable[Query] = (), *, progress: bool = False) -> DuetTrace:
        """Watch a video from the start. frames: uint8 [N, 3, H, W], or batches of them, as `iter_frames` gives.
        Returns all that came of it.

        progress: show a bar.
        """
        events = []
        total = len(frames) if isinstance(frames, torch.Tensor) else None
        with tqdm(total=total, unit="frame", desc="watch", disable=not progress) as bar:
            for event in self.stream(frames, queries):
                events.append(event)
                bar.update(isinstance(event, FrameScores))
        return DuetTrace.from_events(events, context_length=len(self.state.context))

    def stream(self, frames: Frames, queries: Iterable[Query] = ()) -> Iterator[Event]:
        """As `run`, each event as it happens. A query after the last frame's time is never reached."""
        self.reset()
        for query in queries:
            self._queue(query)
        yield from self.feed(frames)

    def fresh(self) -> "DuetSession":
        """Another session with the same settings, which has seen nothing; model and processor are the same."""
        session = copy(self)
        session.policy, session.look_ahead = fresh_policy(self.policy), copy(self.look_ahead)
        session.kernels = kernels_for(self.model, self.processor)
        session.reset()
        return session

    # piece by piece

    def reset(self) -> None:
        """Forget the video."""
        self.state = StreamState(cache=self.kernels.cache())
        self.policy.reset()
        self.look_ahead.reset()

    @property
    def time(self) -> float:
        """The next frame's time, s."""
        return self.state.frames / self.frame_fps

    def ask(self, text: str) -> Query:
        """A query now: it enters before the next frame."""
        self._queue(query := Query(self.time, text))
        return query

    def interrupt(self) -> None:
        """From another thread, at any moment: `feed` raises Interrupted before the model's next step, even within a
        response.
        """
        self.state.interrupted = True

    def _queue(self, query: Query) -> None:
        if not query.time >= 0:
            raise DuetError(f"query {query.text!r} at {query.time} s: a time is 0 or later.")
        TextTurn("user", query.text)  # refuses the prompt's own tokens
        self.state.pending.append(query)
        self.state.pending.sort(key=lambda pending: pending.time)

    @torch.inference_mode()
    def feed(self, frames: Frames) -> Iterator[Event]:
        """The next frames, uint8 [N, 3, H, W], or batches of them. Yields, for each: the query that is due (one a
        frame), the scores, and the response, if there is one.

        A FrameBatch that begins later than the next frame's time moves the clock on: frames between were lost.
        Raises DuetError where the device's memory is full; the video then begins anew with `reset`.
        """
        step = max(self.look_ahead.limit, self.kernels.frames_at_once)
        with enough_memory(LESS):
            for batch in [frames] if isinstance(frames, torch.Tensor) else frames:
                if isinstance(batch, FrameBatch):
                    self.state.frames = max(self.state.frames, round(float(batch.times[0]) * self.frame_fps))
                    batch = batch.frames
                for first in range(0, len(batch), step):
                    yield from self._watch(self._encode(batch[first : first + step]))

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, H, W] -> [n, T, H] input embeddings."""
        with stage("vision"):
            return self.kernels.encode(frames)

    # what is at hand

    def _watch(self, frame_embeds: torch.Tensor) -> Iterator[Event]:
        """Frames, [n, T, H]: their events."""
        while len(frame_embeds):
            if self._query_is_due():
                self._enter_query(query := self.state.pending.pop(0))
                yield query
            self._make_room()
            seen = 0
            for event in self._look(frame_embeds[: self._window()]):
                seen += isinstance(event, FrameScores)
                yield event
            frame_embeds = frame_embeds[seen:]

    def _query_is_due(self) -> bool:
        return bool(self.state.pending) and self.state.pending[0].time <= self.time

    def _window(self) -> int:
        """How many frames to score next: not past a query, nor what the context has room for."""
        frames: float = self.look_ahead.frames()
        if self.state.pending:
            frames = min(frames, self.state.pending[0].time * self.frame_fps - self.state.frames)
        if self.context_frames is not None:
            frames = min(frames, self.context_frames - self.state.frames_held())
        return max(1, math.ceil(frames))

    def _look(self, frame_embeds: torch.Tensor) -> Iterator[Event]:
        """Score frames, [n, T, H], in one forward, and go through them as far as the scores hold: to a query, or to
        the first response that stays in the context.
        """
        self._enter(self.protocol.frame(self.state))
        hidden = self._forward(frame_embeds.flatten(0, 1))[-frame_embeds[..., 0].numel() :]
        ends = hidden.unflatten(0, frame_embeds.shape[:2])[:, -1]
        for index, (informative, relevance) in enumerate(self.model.score_frames(ends).tolist()):
            if index and self._query_is_due():
                return
            scores = FrameScores(self.time, informative, relevance)
            self._enter_frame(frame_embeds[index])
            self.state.frames += 1
            yield scores
            speak, stays = self.policy.need(scores), not self.remove_assistant_turns
            self.look_ahead.saw(response=speak and stays)
            if speak:
                yield self._respond(scores.time, stays=stays)
                if stays:
                    return

    def _respond(self, time: float, *, stays: bool) -> Response:
        state, start = self.state, len(self.state.context)
        ahead = [] if stays else state.cache.tail(start)
        with stage("generation"):
            said = self._generate(self.protocol.response(state))
        token_ids = said[:-1] if said[-1] == self.processor.end_id else said
        text = self.processor.response_text(token_ids)
        if stays:
            self._enter_response(Said(tuple(said), text), start)
        else:
            state.crop(start)
            state.cache.extend(ahead)  # the frames looked ahead at follow as if nothing had been said
        state.last = "response"
        return Response(time, text, tuple(token_ids))

    def _generate(self, header: Sequence[int]) -> list[int]:
        """Enter the response's header, then speak greedily until the closing token, which is part of what is
        returned, or `max_new_tokens`. The last token said is not in the context yet.
        """
        state, said, entering = self.state, list[int](), list(header)
        start = len(state.context) + len(header)
        while True:
            guess = draft(state.said_before, said)[: self.max_new_tokens - len(said) - 1]
            self._enter([*entering, *guess])
            hidden = self._forward()[-len(guess) - 1 :]
            for logits, guessed in zip(self.model.vocabulary_logits(hidden).float(), [*guess, None], strict=True):
                self._say(said, next_token(logits, state.generated, self.repetition_penalty))
                if said[-1] != guessed or self._is_complete(said):
                    break
            state.crop(start + len(said) - 1)  # what was guessed wrong
            if self.repetition_penalty is None:
                self._continue(said)
            if self._is_complete(said):
                state.said_before = said
                return said
            entering = said[-1:]

    def _continue(self, said: list[int]) -> None:
        """Speak as far as the device does by itself, and nothing can be guessed. The cache may then hold more than the
        context, as after looking ahead.
        """
        if self._is_complete(said) or draft(self.state.said_before, said):
            return
        for token in self.kernels.continuation(said[-1], self.state.cache):
            if self.state.interrupted:
                raise Interrupted
            self.state.context.append(said[-1])
            self._say(said, token)
            if self._is_complete(said) or draft(self.state.said_before, said):
                return

    def _say(self, said: list[int], token: int) -> None:
        said.append(token)
        if token != self.processor.end_id:
            self.state.generated.add(token)

    def _is_complete(self, said: Sequence[int]) -> bool:
        return said[-1] == self.processor.end_id or len(said) == self.max_new_tokens

    # the context

    def _make_room(self) -> None:
        """Where the context is full, begin it anew with the newer half of the frames."""
        if self.context_frames is None or self.state.frames_held() < self.context_frames:
            return
        turns = newest_turns(self.state.turns, self.context_frames // 2)
        self.state.clear_context()
        for turn in turns:
            if isinstance(turn, Query):
                self._enter_query(turn)
            elif isinstance(turn, Said):
                self._enter_response(turn, len(self.state.context))
            else:
                self._enter(self.protocol.frame(self.state))
                self._enter_frame(turn)
                self.state.waiting.append(turn)

    def _enter_query(self, query: Query) -> None:
        self._enter(self.protocol.query(self.state, query.text))
        self.state.stream_open, self.state.last = False, "query"
        self._remember(query)

    def _enter_frame(self, embeds: torch.Tensor) -> None:
        """One frame, [T, H], whose embeddings are in the cache, or will be behind what waits."""
        self.state.context.extend([self.processor.image_id] * len(embeds))
        self.state.stream_open, self.state.last = True, "frame"
        self._remember(embeds)

    def _enter_response(self, said: Said, start: int) -> None:
        """What a response leaves in the context from `start` on; what generating put there stays where it agrees."""
        state = self.state
        wanted = self.protocol.kept(state, list(said.token_ids), said.text)
        there = zip(state.context[start:], wanted, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], there))
        state.crop(start + common)
        self._enter(wanted[common:])
        state.stream_open, state.last = False, "response"
        self._remember(said)

    def _remember(self, turn: Turn) -> None:
        if self.context_frames is not None:
            self.state.turns.append(turn)

    def _enter(self, ids: Sequence[int]) -> None:
        """Append ids to the context; they are fed with what comes next."""
        self.state.cache.cut(len(self.state.context))  # what was looked ahead at no longer follows
        if ids:
            self.state.context.extend(ids)
            index = torch.tensor(ids, device=self.model.device)
            self.state.waiting.append(self.model.get_input_embeddings()(index))

    def _forward(self, frame_embeds: torch.Tensor | None = None) -> torch.Tensor:
        """Feed what waits, and behind it frames, [n, H]; the hidden states of all of it, [m, H]."""
        if self.state.interrupted:
            raise Interrupted
        waiting, self.state.waiting = self.state.waiting, []
        embeds = torch.cat(waiting if frame_embeds is None else [*waiting, frame_embeds])
        with stage("language model"):
            return self.kernels.hidden(embeds, self.state.cache)
