"""InWords: after each piece of video the model answers, with a reply or with the words of silence.

The text of a silent answer is known, so many pieces run in one forward pass as if the model were silent after each.
The scores hold up to the first piece after which it speaks; there the context is cut. The result is that of one piece
after another. The conversation is MMDuet2's (arXiv 2512.06810).
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat

import torch

from mmduet.errors import DuetError
from mmduet.events import Event, FrameScores, Query, UserTurn
from mmduet.model.backbone import EmbeddedTokens
from mmduet.policy import decided
from mmduet.streaming.decision import Session, decoder_for
from mmduet.streaming.state import KeptResponse, Mark, Piece, Turn, frames_of


@dataclass(frozen=True, slots=True)
class _Fed:
    """A piece that is in the context as if the model had been silent.

    Attributes:
        piece: The piece.
        header: The context's end before the answer, with the assistant's header.
        end: The context's end after the silence.
        logits: Vocabulary logits at the tokens of silence, float32 [n, V]; none where no answer is given.
    """

    piece: Piece
    header: Mark
    end: Mark
    logits: torch.Tensor | None


class InWords:
    """The decision of MMDuet2: the score of a piece is 1 - p(silence)."""

    def __init__(self, session: Session, *, frames_per_turn: int, turns: Sequence[UserTurn] = ()):
        """Watch for a session.

        Args:
            session: The session.
            frames_per_turn: Frames of a piece, >= 1.
            turns: The first user turns, where they are fixed beforehand.
        """
        self.session, self.frames_per_turn, self.turns = session, frames_per_turn, deque(turns)
        self.waiting: list[tuple[int, EmbeddedTokens]] = []  # index in the video, frame
        self.valid = session.state.mark()  # the end of what no later piece changes
        processor = session.processor
        self.chat, self.ids = processor.chat, processor.ids
        self.system = processor.render_turn(processor.system_turn())
        self.header = len(self.ids(self.chat.open_turn("assistant")))  # tokens before an answer
        self.silence = [*processor.ids(processor.silence), processor.end_id]

    @property
    def next_frame(self) -> int:
        """As `Decision.next_frame`."""
        return self.waiting[-1][0] + 1 if self.waiting else self.session.state.frames

    def watch(self, frames: list[EmbeddedTokens], first: int) -> Iterator[Event]:
        """As `Decision.watch`."""
        self.waiting += enumerate(frames, first)
        while pieces := self._pieces():
            yield from self._score(pieces)

    def finish(self) -> Iterator[Event]:
        """As `Decision.finish`: the last piece may have fewer frames.

        Raises:
            DuetError: The turns that were fixed have more frames than the video.
        """
        if self.turns:
            asked, given = sum(turn.frames for turn in self.turns), len(self.waiting)
            raise DuetError(
                f"turns: the last {len(self.turns)} of them have {asked} frames, and the video has {given} left: give "
                "as many frames as the turns have."
            )
        if self.waiting:
            yield from self._score([self._piece(0, UserTurn(len(self.waiting)), list(self.session.state.queries))])

    # pieces

    def _pieces(self) -> list[Piece]:
        """The complete pieces to score next, as many as are scored at once."""
        pieces: list[Piece] = []
        first, room, queries = 0, self._room(), list(self.session.state.queries)
        turns = chain(self.turns, repeat(UserTurn(self.frames_per_turn)))
        for turn in islice(turns, self.session.look_ahead.frames()):
            last = first + turn.frames
            if last > len(self.waiting) or (pieces and last > room):
                break
            pieces.append(self._piece(first, turn, queries))
            first = last
        return pieces

    def _piece(self, first: int, turn: UserTurn, queries: list[Query]) -> Piece:
        """A piece of the waiting frames from `first` on. It takes the queries that are asked before its end."""
        frames, fps = self.waiting[first : first + turn.frames], self.session.frame_fps
        end = self.waiting[first + turn.frames - 1][0] + 1 if first + turn.frames else self.session.state.frames
        due = [query for query in queries if query.time < end / fps]
        del queries[: len(due)]  # they are in order
        start = frames[0][0] if frames else end
        own = [Query(start / fps, turn.text)] if turn.text else []
        framed = tuple(self.session.context.framed(frame) for _, frame in frames)
        return Piece(framed, end, (*due, *own), not turn.skip_inference, turn.must_reply)

    # scoring

    def _score(self, pieces: Sequence[Piece]) -> Iterator[Event]:
        """Score pieces in one forward pass, and yield their events while the scores are valid."""
        session, state = self.session, self.session.state
        state.rewind(self.valid)
        self._make_room(len(pieces[0].frames))
        for index, fed in enumerate(self._feed(pieces)):
            if index and self._asked_since(fed.piece):
                return
            yield from self._take(fed.piece)
            if fed.logits is None:
                self._keep(fed, None)
                continue
            scores = self._scores(fed.logits, fed.piece.end / session.frame_fps)
            yield scores
            speak = decided(session.policy, scores) or fed.piece.must_reply
            kept = speak and not session.remove_assistant_turns
            session.look_ahead.saw(response=kept)
            if not speak:
                self._keep(fed, session.processor.silence)
                continue
            event = self._reply(fed, scores, kept=kept)
            yield event
            if kept:
                return

    def _feed(self, pieces: Sequence[Piece]) -> list[_Fed]:
        """Enter pieces as if the model were silent after each, and run them."""
        session, context, state = self.session, self.session.context, self.session.state
        fed, rows, start = [], list[int](), state.cache.length
        for piece in pieces:
            self._enter(piece)
            header = state.mark()
            if piece.answered:
                context.enter(self.silence)
                rows += range(header.length - start - 1, len(state.context) - start - 1)
            fed.append((piece, header, state.mark()))
        logits = session.model.vocabulary_logits(context.forward()[rows]).float()
        each = iter(logits.split(len(self.silence)))
        return [_Fed(piece, header, end, next(each) if piece.answered else None) for piece, header, end in fed]

    def _enter(self, piece: Piece) -> None:
        """Append a user's turn, and the header of its answer."""
        chat, context = self.chat, self.session.context
        before = "" if context.state.context else self.system
        context.enter(self.ids(before + chat.join + chat.open_turn("user")))
        for frame in piece.frames:
            context.append(frame)
        text = "\n".join(query.text for query in piece.queries) + chat.end
        context.enter(self.ids(text + (chat.join + chat.open_turn("assistant") if piece.answered else "")))

    def _scores(self, logits: torch.Tensor, time: float) -> FrameScores:
        """The score of a piece from the logits at the tokens of silence."""
        silence = torch.tensor(self.silence, device=logits.device)
        logprobs = logits.log_softmax(-1).gather(1, silence[:, None])[:, 0].tolist()
        greedy = bool((logits.argmax(-1) != silence).any())
        return FrameScores(time, reply=-math.expm1(sum(logprobs)), greedy=greedy, silence_logprobs=tuple(logprobs))

    def _asked_since(self, piece: Piece) -> bool:
        """Whether a query that belongs to a piece was asked after the piece had been fed."""
        limit, entered = piece.end / self.session.frame_fps, {id(query) for query in piece.queries}
        return any(query.time < limit and id(query) not in entered for query in self.session.state.queries)

    def _take(self, piece: Piece) -> Iterator[Query]:
        """Count a piece's frames as watched, and yield its queries."""
        state = self.session.state
        del self.waiting[: len(piece.frames)]
        if self.turns:
            self.turns.popleft()
        state.frames = piece.end
        entered = {id(query) for query in piece.queries}
        state.queries = [query for query in state.queries if id(query) not in entered]
        yield from piece.queries

    def _keep(self, fed: _Fed, answer: str | None) -> None:
        """Make a piece and its answer part of the context."""
        self.valid = fed.end
        self._remember(fed.piece, answer)

    # replies

    def _reply(self, fed: _Fed, scores: FrameScores, *, kept: bool) -> Event:
        """Generate a reply instead of the silence that was fed.

        Where greedy decoding gives silence, the reply is the likeliest one with another first token.
        """
        session, state = self.session, self.session.state
        assert fed.logits is not None
        later = None if kept else state.after(fed.header)
        state.rewind(fed.header)
        prefix = session.processor.must_reply if fed.piece.must_reply else ""
        first = fed.logits[0].clone()
        if not scores.greedy:
            first[self.silence[0]] = -torch.inf
        header = self.ids(prefix)
        response, _ = decoder_for(session).respond(scores.time, header, None if header else first)
        if later is None:
            answer = prefix + response.text
            self._enter_answer(answer, fed.header.length - self.header)
            self.valid = state.mark()
            self._remember(fed.piece, answer)
        else:
            state.rewind(fed.header)
            state.put_back(later)
            self._keep(fed, session.processor.silence)
        return response

    def _enter_answer(self, answer: str, start: int) -> None:
        header = self.chat.open_turn("assistant")
        self.session.context.enter_instead(self.ids(header + answer + self.chat.end), start)

    # a context of limited length

    def _room(self) -> float:
        limit, held = self.session.context.frames, self.session.state.frames_held()
        return float("inf") if limit is None else limit - held

    def _remember(self, piece: Piece, answer: str | None) -> None:
        if self.session.context.frames is not None:
            self.session.state.turns += [piece, *([KeptResponse((), answer)] if answer is not None else [])]

    def _make_room(self, coming: int) -> None:
        """Build a full context again from the newer half of its frames; the latest query before them is kept."""
        state, limit = self.session.state, self.session.context.frames
        if limit is None or state.frames_held() + coming <= limit:
            return
        turns = _newest(state.turns, limit // 2)
        state.clear_context()
        for turn in turns:
            if isinstance(turn, Piece):
                self._enter(turn)
            elif isinstance(turn, KeptResponse):
                self._enter_answer(turn.text, len(state.context) - self.header)
        state.turns, self.valid = turns, state.mark()


def _newest(turns: Sequence[Turn], frames: int) -> list[Turn]:
    """Return the newest turns with at most so many frames; the latest query before them joins the first."""
    start, held = len(turns), 0
    for place in range(len(turns) - 1, -1, -1):
        held += frames_of(turns[place])
        if held > frames:
            break
        if isinstance(turns[place], Piece):
            start = place
    before = [query for turn in turns[:start] if isinstance(turn, Piece) for query in turn.queries]
    kept = list(turns[start:])
    if before and kept and isinstance(first := kept[0], Piece):
        queries = (before[-1], *first.queries)
        kept[0] = Piece(first.frames, first.end, queries, first.answered, first.must_reply)
    return kept
