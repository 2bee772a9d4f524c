"""DuetSession: the streaming engine. Frames and queries go in, plain events come out.

It knows no files, plots or widgets. Its policy decides when to speak.
"""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from typing import NamedTuple

import torch
from tqdm import tqdm

from mmduet.errors import DuetError
from mmduet.events import Event, Query, UserTurn
from mmduet.kernels import kernels_for
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.contract import checked_backbone
from mmduet.model.processing import DuetProcessor
from mmduet.policy import Greedy, Policy, ScoreThreshold, checked_policy, fresh_policy
from mmduet.streaming.access import Access
from mmduet.streaming.checks import check_settings, check_turns, checked_query, not_asked
from mmduet.streaming.context import Context
from mmduet.streaming.context import Interrupted as Interrupted
from mmduet.streaming.decision import Decision
from mmduet.streaming.heads import ByHeads
from mmduet.streaming.lookahead import LookAhead
from mmduet.streaming.protocol import PROTOCOLS, ContextProtocol
from mmduet.streaming.state import StreamState
from mmduet.streaming.words import InWords
from mmduet.system.devices import enough_memory
from mmduet.system.stages import stage
from mmduet.trace import DuetTrace
from mmduet.video.batch import Frames as Frames
from mmduet.video.batch import placed

LESS = "keep fewer frames (context_frames), load the model with dtype='bfloat16', or delete other models"


class _Published(NamedTuple):
    """The settings of the published systems, by how they decide."""

    policy: Callable[[], Policy]
    max_new_tokens: int
    frames_per_turn: int


PUBLISHED = {"heads": _Published(partial(ScoreThreshold, 0.5), 200, 1), "words": _Published(Greedy, 512, 2)}


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
        max_new_tokens: int | None = None,
        look_ahead: int | None = None,
        context_frames: int | None = None,
        frames_per_turn: int | None = None,
    ):
        """Set up a session.

        Args:
            model: The model; it is set to evaluation mode.
            processor: The model's processor.
            policy: When to speak. None: `ScoreThreshold(0.5)`, or `Greedy()` of a model that decides in words.
            frame_fps: The rate that the frames were sampled at, 1/s. Frame k is at k / frame_fps.
            protocol: ``training``: the context is the training prompt. ``upstream``: the published code's context.
            remove_assistant_turns: Whether responses are removed from the context. Later frames then continue the same
                stream turn; in words, silence takes their place.
            repetition_penalty: Hugging Face's, > 0, over all tokens generated in this video. None: no penalty.
            max_new_tokens: Maximum number of tokens of a response. None: as published, 200 (in words: 512).
            look_ahead: Maximum frames (in words: turns) scored per forward pass. None adapts it to the recent response
                rate. The result is identical for every value.
            context_frames: Maximum frames in the context, >= 2. When the context is full, the older half of the frames
                is dropped together with its queries and responses. The latest query is kept. None: no frame is dropped.
            frames_per_turn: Frames of a user's turn, of a model that decides in words. None: 2, as published.

        Raises:
            DuetError: A value is out of its range, or the protocol is not known.
        """
        published = PUBLISHED[checked_backbone(model).decides]
        self.policy = published.policy() if policy is None else checked_policy(policy)
        self.max_new_tokens = published.max_new_tokens if max_new_tokens is None else max_new_tokens
        self.frames_per_turn = published.frames_per_turn if frames_per_turn is None else frames_per_turn
        check_settings(frame_fps, protocol, repetition_penalty, self.max_new_tokens, look_ahead, context_frames)
        check_turns(model.decides, self.frames_per_turn, context_frames)
        self.model, self.processor, self.kernels = model.eval(), processor, kernels_for(model, processor)
        self.protocol: ContextProtocol = PROTOCOLS[protocol](processor)
        self.frame_fps, self.context_frames = frame_fps, context_frames
        self.remove_assistant_turns, self.repetition_penalty = remove_assistant_turns, repetition_penalty
        sizes = {"at_once": self.kernels.tokens_at_once, "call_cost": self.kernels.call_cost}
        self.look_ahead = LookAhead(look_ahead, tokens=processor.frame.tokens * self.frames_per_turn, **sizes)
        self.access = Access()
        self.reset()

    # whole videos

    def run(
        self, frames: Frames, queries: Iterable[Query] = (), *, turns: Sequence[UserTurn] = (), progress: bool = False
    ) -> DuetTrace:
        """Watch a video from the start. A warning names each query that was not asked, as in `unasked`.

        Args:
            frames: uint8 [N, 3, H, W], or batches of them, as `read_frames` and `iter_frames` give.
            queries: Queries, each asked when its time comes.
            turns: The first user turns of a model that decides in words, where they are fixed beforehand.
            progress: Whether a progress bar is shown.

        Returns:
            Scores, queries and responses of the video.
        """
        events = []
        total = len(frames) if isinstance(frames, torch.Tensor) else None
        with tqdm(total=total, unit="frame", desc="watch", disable=not progress) as bar:
            for event in self.stream(frames, queries, turns=turns):
                events.append(event)
                bar.update(self.state.frames - bar.n)
        for text in self.unasked:
            warnings.warn(text, stacklevel=2)
        return DuetTrace.from_events(events, context_length=len(self.state.context))

    def stream(
        self, frames: Frames, queries: Iterable[Query] = (), *, turns: Sequence[UserTurn] = ()
    ) -> Iterator[Event]:
        """Watch a video from the start, and yield each event as it happens; the arguments are those of `run`.

        A query after the last frame's time is never asked; `unasked` names it at the end.

        Raises:
            DuetError: `turns` are given to a model with heads, or have other frames than the video. Frames or queries
                are not of the kind of `run`, or their times not those of `frame_fps`. Another iteration has begun, or
                another thread uses the session.
        """
        yield from self.access.newest(self._stream(frames, queries, turns))

    def _stream(self, frames: Frames, queries: Iterable[Query], turns: Sequence[UserTurn]) -> Generator[Event]:
        self._reset(turns)
        for query in queries:
            self._queue(query)
        yield from self._feed(frames)
        yield from self._finish()

    def fresh(self) -> "DuetSession":
        """Return a new session with the same model, processor and settings."""
        session = copy(self)
        session.policy, session.look_ahead, session.access = fresh_policy(self.policy), copy(self.look_ahead), Access()
        session.kernels = kernels_for(self.model, self.processor)
        session.reset()
        return session

    # piece by piece

    def reset(self, *, turns: Sequence[UserTurn] = ()) -> None:
        """Forget the video, and start a new one. Its first turns may be fixed, as for `run`."""
        with self.access.alone():
            self._reset(turns)

    def _reset(self, turns: Sequence[UserTurn]) -> None:
        self.context = Context(self.model, self.processor, self.kernels, self.protocol, frames=self.context_frames)
        self.policy.reset()
        self.look_ahead.reset()
        self.decision: Decision
        if self.model.decides == "words":
            for turn in turns:
                check_turns("words", max(turn.frames, 1), self.context_frames)
                self.processor.chat.check_text("user", turn.text)
            self.decision = InWords(self, frames_per_turn=self.frames_per_turn, turns=turns)
        elif turns:
            raise DuetError("turns=…: a model with heads scores each frame: give queries with their times instead.")
        else:
            self.decision = ByHeads(self, self.protocol)

    @property
    def state(self) -> StreamState:
        """Everything that is remembered of the video."""
        return self.context.state

    @property
    def time(self) -> float:
        """The next frame's time, in seconds."""
        return self.state.frames / self.frame_fps

    @property
    def unasked(self) -> list[str]:
        """A sentence for each query whose time has not come; it names the query and the last frame watched."""
        return [not_asked(query, self.state.frames, self.frame_fps) for query in self.state.queries]

    def ask(self, text: str) -> Query:
        """Ask now: the query enters before the next frame."""
        self._queue(query := Query(self.time, text))
        return query

    def interrupt(self) -> None:
        """Stop `feed` from another thread: it raises Interrupted before the model's next forward pass."""
        self.state.interrupted = True

    def _queue(self, query: Query) -> None:
        self.processor.chat.check_text("user", checked_query(query).text)
        self.state.queries.append(query)
        self.state.queries.sort(key=lambda queued: queued.time)

    def feed(self, frames: Frames) -> Iterator[Event]:
        """Watch the next frames, and yield each frame's events: a due query, the scores, the response.

        A FrameBatch that begins later than the next frame's time moves the clock: the frames between were lost.

        Args:
            frames: uint8 [N, 3, H, W], or batches of them, as `iter_frames` and `StreamSource` give.

        Raises:
            DuetError: As for `stream`, or the device's memory is full. The video then starts again with `reset`.
        """
        yield from self.access.newest(self._feed(frames))

    @torch.inference_mode()
    def _feed(self, frames: Frames) -> Generator[Event]:
        step = max(self.look_ahead.limit * self.frames_per_turn, self.kernels.frames_at_once)
        with enough_memory(LESS):
            for place, batch in placed(frames, self.frame_fps):
                first = max(place, self.decision.next_frame)
                for at in range(0, len(batch), step):
                    yield from self.decision.watch(self._encode(batch[at : at + step]), first + at)

    def _encode(self, frames: torch.Tensor) -> list[EmbeddedTokens]:
        with stage("vision"):
            return self.kernels.encode(frames)

    @torch.inference_mode()
    def _finish(self) -> Iterator[Event]:
        with enough_memory(LESS):
            yield from self.decision.finish()
