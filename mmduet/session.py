"""DuetSession: the streaming engine. Frames and queries go in, plain events come out.

It knows no files, no plots, no widgets, and not when to speak: that is the policy's.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from tqdm import tqdm
from transformers import DynamicCache

from mmduet.conversation import TextTurn
from mmduet.errors import DuetError
from mmduet.model import DuetForConditionalGeneration
from mmduet.policy import FrameScores, Policy, ScoreThreshold
from mmduet.processing import DuetProcessor
from mmduet.protocol import PROTOCOLS, ContextProtocol, StreamState
from mmduet.trace import DuetTrace, Query, Response

Event = FrameScores | Query | Response
ENCODE_BATCH = 8  # frames the vision tower takes at once, if at hand; more only costs memory traffic on a CPU


class Interrupted(Exception):
    """Another thread wanted no more of this video; `DuetSession.reset` makes ready for the next."""


class DuetSession:
    """Watches one video at a time, frame by frame.

    policy: when to speak. protocol: ``training`` (the context is the training prompt's) or ``upstream`` (as the
    published numbers were made). frame_fps: the rate the frames were sampled at, 1/s; frame k is at k / frame_fps.
    remove_assistant_turns: responses are given but not left in the context, so that later frames go on
    in the same stream turn. repetition_penalty: > 0, over all tokens said in this video (Hugging Face's
    definition), None for none. max_new_tokens: a response is cut there.

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
    ):
        if not (frame_fps > 0 and math.isfinite(frame_fps)):
            raise DuetError(f"frame_fps={frame_fps}: give a positive number of frames a second.")
        if protocol not in PROTOCOLS:
            raise DuetError(f"protocol={protocol!r} is not known; known are {sorted(PROTOCOLS)}.")
        if repetition_penalty is not None and not repetition_penalty > 0:
            raise DuetError(f"repetition_penalty={repetition_penalty}: give a positive number, or None.")
        if max_new_tokens < 1:
            raise DuetError(f"max_new_tokens={max_new_tokens}: a response has at least one token.")
        self.model, self.processor = model.eval(), processor
        self.policy = policy if policy is not None else ScoreThreshold(0.5)
        self.frame_fps = frame_fps
        self.protocol: ContextProtocol = PROTOCOLS[protocol](processor)
        self.remove_assistant_turns = remove_assistant_turns
        self.repetition_penalty = repetition_penalty
        self.max_new_tokens = max_new_tokens
        self.reset()

    # whole videos

    def run(self, frames: torch.Tensor, queries: Iterable[Query] = (), *, progress: bool = False) -> DuetTrace:
        """Watch a video from the start. frames: uint8 [N, 3, H, W]. Returns all that came of it.

        progress: show a bar.
        """
        events = []
        with tqdm(total=len(frames), unit="frame", desc="watch", disable=not progress) as bar:
            for event in self.stream(frames, queries):
                events.append(event)
                bar.update(isinstance(event, FrameScores))
        return DuetTrace.from_events(events, context_length=len(self.state.context))

    def stream(self, frames: torch.Tensor, queries: Iterable[Query] = ()) -> Iterator[Event]:
        """As `run`, each event as it happens. A query after the last frame's time is never reached."""
        self.reset()
        for query in queries:
            self._queue(query)
        yield from self.feed(frames)

    # piece by piece

    def reset(self) -> None:
        """Forget the video."""
        self.state = StreamState(cache=DynamicCache(config=self.model.config.text_config))
        self.policy.reset()

    @property
    def time(self) -> float:
        """The next frame's time, s."""
        return self.state.frames / self.frame_fps

    def ask(self, text: str) -> Query:
        """A query now: it enters before the next frame."""
        query = Query(self.time, text)
        self._queue(query)
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
    def feed(self, frames: torch.Tensor) -> Iterator[Event]:
        """The next frames, uint8 [N, 3, H, W]. Yields, for each: the query that is due (one a frame),
        the scores, and the response, if there is one.
        """
        for first in range(0, len(frames), ENCODE_BATCH):
            for frame_embeds in self._encode(frames[first : first + ENCODE_BATCH]):
                yield from self._watch(frame_embeds)

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, H, W] -> [n, T, H] input embeddings."""
        pixel_values = self.processor.pixel_values(frames.to(self.model.device))
        return self.model.encode_frames(pixel_values.to(self.model.dtype))

    def _watch(self, frame_embeds: torch.Tensor) -> Iterator[Event]:
        time = self.time
        if self.state.pending and self.state.pending[0].time <= time:
            query = self.state.pending.pop(0)
            self._feed_query(query.text)
            yield query
        scores = self._score(frame_embeds, time)
        yield scores
        if self.policy.need(scores):
            yield self._respond(time)

    def _feed_query(self, text: str) -> None:
        self._feed(self.protocol.query(self.state, text))
        self.state.stream_open, self.state.last = False, "query"

    def _score(self, frame_embeds: torch.Tensor, time: float) -> FrameScores:
        """Append one frame, [T, H], to the context and score it."""
        ids = self.protocol.frame(self.state) + [self.processor.image_id] * len(frame_embeds)
        hidden = self._feed(ids, frame_embeds.unsqueeze(0))
        self.state.stream_open, self.state.last = True, "frame"
        self.state.frames += 1
        informative, relevance = self.model.score_frames(hidden[0, -1:])[0].tolist()
        return FrameScores(time, informative, relevance)

    def _respond(self, time: float) -> Response:
        state, start = self.state, len(self.state.context)
        said = self._generate(self.protocol.response(state))
        token_ids = said[:-1] if said[-1] == self.processor.end_id else said
        text = self.processor.response_text(token_ids)
        if self.remove_assistant_turns:
            state.crop(start)
        else:
            self._make_context(start, self.protocol.kept(state, start, said, text))
            state.stream_open = False
        state.last = "response"
        return Response(time, text, tuple(token_ids))

    def _make_context(self, start: int, wanted: list[int]) -> None:
        """Make the context from `start` on what is wanted, keeping what already is."""
        fed = self.state.context[start:]
        common = next(
            (i for i, (a, b) in enumerate(zip(fed, wanted, strict=False)) if a != b), min(len(fed), len(wanted))
        )
        self.state.crop(start + common)
        if wanted[common:]:
            self._feed(wanted[common:])

    def _generate(self, header: Sequence[int]) -> list[int]:
        """Feed the response's header, then speak greedily until the closing token, which is part of what is
        returned, or `max_new_tokens`. The last token said is not in the context yet.
        """
        said: list[int] = []
        hidden = self._feed(header)
        while True:
            said.append(self._next_token(self.model.vocabulary_logits(hidden[0, -1]).float()))
            if said[-1] == self.processor.end_id:
                return said
            self.state.generated.append(said[-1])
            if len(said) == self.max_new_tokens:
                return said
            hidden = self._feed(said[-1:])

    def _next_token(self, logits: torch.Tensor) -> int:
        if self.repetition_penalty is not None and self.state.generated:
            index = torch.tensor(sorted(set(self.state.generated)), device=logits.device)
            seen = logits[index]
            logits[index] = torch.where(seen < 0, seen * self.repetition_penalty, seen / self.repetition_penalty)
        return int(logits.argmax())

    def _feed(self, ids: Sequence[int], frame_embeds: torch.Tensor | None = None) -> torch.Tensor:
        """Append ids (and the frames their image tokens stand for) to the context; [1, L, H] hidden states."""
        if self.state.interrupted:
            raise Interrupted
        input_ids = torch.tensor([ids], device=self.model.device)
        if frame_embeds is None:  # a random model may even say <image>: then it is a word like any other
            embeds = self.model.get_input_embeddings()(input_ids)
        else:
            embeds = self.model.embed(input_ids, frame_embeds)
        hidden = self.model.hidden_states(embeds, past_key_values=self.state.cache, use_cache=True)
        self.state.context.extend(ids)
        return hidden
