import pytest
import torch

from mmduet.streaming.generation import draft, next_token


def test_repetition_penalty_is_hugging_faces():
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = torch.randn(259, generator=torch.Generator().manual_seed(0))
    wanted = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([[3, 7, 7]]), logits[None].clone())[0]
    assert next_token(logits, {3, 7}, 1.3) == int(wanted.argmax())
    torch.testing.assert_close(logits, wanted)


@pytest.mark.parametrize(
    ("said", "guess"),
    [([], [1, 2, 3, 4, 9]), ([1], []), ([1, 2], [3, 4, 9]), ([7, 2, 3], [4, 9]), ([3, 2], []), ([4, 9], [])],
)
def test_a_response_goes_on_as_the_one_before(said, guess):
    assert draft([1, 2, 3, 4, 9], said) == guess


def test_nothing_before_nothing_to_guess():
    assert draft([], []) == draft([], [1, 2]) == []
