import pytest

from mmduet.errors import DuetError
from mmduet.model.prompt import StreamTurn, TextTurn, render


def test_prompt_as_published():
    turns = [TextTurn("system", "S"), TextTurn("user", "hi"), StreamTurn(2), TextTurn("assistant", "a cat")]
    assert render(turns, tokens_per_frame=2) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>stream\n<image><image><image><image><|im_end|>\n<|im_start|>assistant\na cat<|im_end|>"
    )


def test_open_turn_ends_without_its_end():
    assert render([StreamTurn(1)], tokens_per_frame=1, close=False) == "<|im_start|>stream\n<image>"


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<image>"])
def test_the_prompts_own_tokens_are_refused(token):
    with pytest.raises(DuetError, match="a token of the prompt"):
        TextTurn("user", f"hello {token}")
