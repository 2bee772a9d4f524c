import pytest

from mmduet.errors import DuetError
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import CHATML, ChatFormat, StreamTurn, TextTurn


def test_prompt_as_published(tiny):
    processor = DuetProcessor(tiny[1].tokenizer, FrameSettings(32, tokens=2))
    turns = [TextTurn("system", "S"), TextTurn("user", "hi"), StreamTurn(2), TextTurn("assistant", "a cat")]
    assert processor.render(turns) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>stream\n<image><image><image><image><|im_end|>\n<|im_start|>assistant\na cat<|im_end|>"
    )


def test_an_open_turn_has_no_end_token():
    assert CHATML.render_turn(StreamTurn(1), [1], close=False) == "<|im_start|>stream\n<image>"


def test_another_chat_format():
    chat = ChatFormat(start="<", end=">", image="#", join=" ", stream_role="video")
    assert chat.render_turn(StreamTurn(2), [1, 2]) == "<video\n###>"
    assert chat.render_turn(TextTurn("user", "hi"), []) == "<user\nhi>"


def test_half_of_a_surrogate_pair_is_no_text():
    """JSON can hold it, and so can what a terminal without UTF-8 hands on."""
    for half in (0xD800, 0xDCF6, 0xDFFF):
        with pytest.raises(DuetError, match="half of a surrogate pair, which is no character"):
            TextTurn("user", f"hello {chr(half)}")
    assert TextTurn("user", "hello \N{CINEMA}").text


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<image>"])
def test_the_prompts_own_tokens_are_refused(token):
    with pytest.raises(DuetError, match="a token of the prompt"):
        TextTurn("user", f"hello {token}")


@pytest.mark.parametrize("frames", [-1, 2.0, None])
def test_frames_that_cannot_be_counted_are_refused(frames):
    with pytest.raises(DuetError, match=f"a stream turn of {frames} frames"):
        StreamTurn(frames)


@pytest.mark.parametrize(("role", "text"), [("Assistant", "hi"), ("stream", "hi"), (None, "hi"), ("user", None)])
def test_a_text_turn_has_a_known_role_and_a_text(role, text):
    with pytest.raises(DuetError, match=r"a text turn of .*: give one of system, user, assistant, and a text"):
        TextTurn(role, text)
