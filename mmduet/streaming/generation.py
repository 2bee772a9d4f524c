"""Greedy decoding, and drafts of a response."""

from collections.abc import Sequence, Set

import torch

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
