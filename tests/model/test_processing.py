import pytest
import torch

from mmduet.errors import CheckpointError, DuetError
from mmduet.model.losses import IGNORE
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import StreamTurn, TextTurn


def test_encoding_is_the_tokenised_prompt(tiny):
    processor = tiny[1]
    turns = [TextTurn("user", "hi"), StreamTurn(2), TextTurn("assistant", "a cat")]
    text = processor.render([processor.system_turn(), *turns])
    assert processor.encode(turns).input_ids.tolist() == processor.ids(text)


def test_labels_stand_on_each_frames_last_token(tiny):
    processor = tiny[1]
    encoded = processor.encode([StreamTurn(3, informative=(0, 1, 1), relevance=(1, 0, 0))])
    image = (encoded.input_ids == processor.image_id).nonzero().flatten()
    ends = image[processor.frame.tokens - 1 :: processor.frame.tokens]
    assert encoded.informative_labels[ends].tolist() == [0, 1, 1]
    assert encoded.relevance_labels[ends].tolist() == [1, 0, 0]
    assert (encoded.informative_labels != IGNORE).sum() == 3


def test_pixels_are_normalised_and_fitted(tiny):
    processor = tiny[1]
    white = torch.full((1, 3, 32, 64), 255, dtype=torch.uint8)
    pixels = processor.pixel_values(white)
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, :, 16].min() == 1.0
    assert pixels[0, :, 0].max() == -1.0, "the bars above and below are black"


@pytest.mark.parametrize("frames", [torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)])
def test_other_frames_are_refused(tiny, frames):
    with pytest.raises(DuetError, match="uint8"):
        tiny[1].pixel_values(frames)


def test_response_text_holds_no_special_token_however_spelled(tiny):
    processor = tiny[1]
    spelled = [i for part in ("<|im", "_end|>x", "<ima", "ge>") for i in processor.ids(part)]
    assert processor.response_text([*spelled, processor.end_id, processor.image_id]) == "x"


def test_save_and_load(tiny, tmp_path):
    processor = tiny[1]
    processor.save_pretrained(tmp_path)
    again = DuetProcessor.from_pretrained(tmp_path)
    assert again.frame == processor.frame
    assert again.ids("<|im_start|>user\nhey <image>") == processor.ids("<|im_start|>user\nhey <image>")


def test_a_foreign_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"duet_processor\.json"):
        DuetProcessor.from_pretrained(tmp_path)
