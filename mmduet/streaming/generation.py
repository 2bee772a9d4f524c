"""The next word, and a guess at the words after it."""

from collections.abc import Sequence, Set

import torch

LONGEST_DRAFT = 16  # tokens: a CPU takes about twice as long for them as for one, a GPU no longer
AGREEING = 2  # tokens said that must stand in the response before as well, for it to be a guide


def next_token(logits: torch.Tensor, said: Set[int], repetition_penalty: float | None) -> int:
    """The likeliest, [V] logits (changed in place), with Hugging Face's penalty on the tokens `said` so far."""
    if repetition_penalty is not None and said:
        index = torch.tensor(sorted(said), device=logits.device)
        seen = logits[index]
        logits[index] = torch.where(seen < 0, seen * repetition_penalty, seen / repetition_penalty)
    return int(logits.argmax())


def draft(before: Sequence[int], said: Sequence[int]) -> list[int]:
    """A guess at how a response goes on after `said`: as the one before did after the same words.

    Checked in one forward, a right guess saves one forward a token, a wrong one changes nothing: lookup decoding
    (Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding). A stream's responses often repeat each other.
    """
    if not said:
        return list(before[:LONGEST_DRAFT])
    if len(said) < AGREEING:
        return []
    for start in range(len(before) - AGREEING):
        end = start + AGREEING
        if list(before[start:end]) == list(said[-AGREEING:]):
            return list(before[end : end + LONGEST_DRAFT])
    return []
