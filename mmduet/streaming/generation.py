"""Greedy decoding of a response, with drafts."""

from collections.abc import Sequence, Set

import torch

from mmduet.events import Response
from mmduet.streaming.context import Context, Interrupted
from mmduet.system.stages import stage

LONGEST_DRAFT = 16  # tokens: a CPU takes about twice as long for them as for one, a GPU no longer
AGREEING = 2  # generated tokens that the previous response must contain before it serves as a draft


def next_token(logits: torch.Tensor, generated: Set[int], repetition_penalty: float | None) -> int:
    """Return the likeliest token.

    Args:
        logits: [V]; changed in place.
        generated: Token ids that the penalty applies to.
        repetition_penalty: Hugging Face's, > 0. None: no penalty.
    """
    if repetition_penalty is not None and generated:
        index = torch.tensor(sorted(generated), device=logits.device)
        seen = logits[index]
        logits[index] = torch.where(seen < 0, seen * repetition_penalty, seen / repetition_penalty)
    return int(logits.argmax())


def draft(previous: Sequence[int], generated: Sequence[int]) -> list[int]:
    """Guess the ids after `generated` from the previous response: prompt-lookup decoding.

    The guess is checked in one forward pass. A right guess saves one pass a token, a wrong one changes nothing
    (Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding). Responses to a stream often repeat each other.

    Args:
        previous: Ids of the previous response.
        generated: Ids of this response so far.
    """
    if not generated:
        return list(previous[:LONGEST_DRAFT])
    if len(generated) < AGREEING:
        return []
    for start in range(len(previous) - AGREEING):
        end = start + AGREEING
        if list(previous[start:end]) == list(generated[-AGREEING:]):
            return list(previous[end : end + LONGEST_DRAFT])
    return []


class Decoder:
    """Decodes one response at the end of a context."""

    def __init__(self, context: Context, *, repetition_penalty: float | None, max_new_tokens: int):
        """Prepare; the settings are those of `DuetSession`."""
        self.context, self.state, self.model = context, context.state, context.model
        self.end_id = context.processor.end_id
        self.repetition_penalty, self.max_new_tokens = repetition_penalty, max_new_tokens

    def respond(
        self, time: float, header: Sequence[int], first_logits: torch.Tensor | None = None
    ) -> tuple[Response, list[int]]:
        """Enter a response's header, then decode to the end token or `max_new_tokens`.

        Args:
            time: The response's time, s.
            header: Ids before the response.
            first_logits: The logits of the first token, [V], where they are known; the header is then empty.

        Returns:
            The response, and the generated ids with the end token. The last of them is not in the context yet.
        """
        with stage("generation"):
            generated = self._decode(header, first_logits)
        token_ids = generated[:-1] if generated[-1] == self.end_id else generated
        return Response(time, self.context.processor.response_text(token_ids), tuple(token_ids)), generated

    def _decode(self, header: Sequence[int], first_logits: torch.Tensor | None) -> list[int]:
        state, generated, entering = self.state, list[int](), list(header)
        start = len(state.context) + len(header)
        if first_logits is not None:
            self._add(generated, next_token(first_logits, state.generated, self.repetition_penalty))
            entering = generated[-1:]
        while not generated or not self._is_complete(generated):
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
            entering = generated[-1:]
        state.previous_response = generated
        return generated

    def _continue(self, generated: list[int]) -> None:
        """Decode as far as the device does so by itself, and no draft is possible.

        The cache may then hold more than the context, as in multi-frame scoring.
        """
        if self._is_complete(generated) or draft(self.state.previous_response, generated):
            return
        for token in self.context.kernels.continuation(generated[-1], self.state.cache):
            if self.state.interrupted:
                raise Interrupted
            self.state.context.append(generated[-1])
            self._add(generated, token)
            if self._is_complete(generated) or draft(self.state.previous_response, generated):
                return

    def _add(self, generated: list[int], token: int) -> None:
        generated.append(token)
        if token != self.end_id:
            self.state.generated.add(token)

    def _is_complete(self, generated: Sequence[int]) -> bool:
        return generated[-1] == self.end_id or len(generated) == self.max_new_tokens
