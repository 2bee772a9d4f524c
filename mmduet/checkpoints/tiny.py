"""The models of random weights that tests use: `tiny`, which has heads, and `tiny-words`."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast, Qwen2_5_VLConfig, SiglipVisionConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import IM_END, IM_START, IMAGE
from mmduet.qwen_vl import QwenVLProcessor, QwenVLWords
from mmduet.qwen_vl.processing import CHAT


def _tokenizer(*more: str, merges: Sequence[tuple[str, str]] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, what they merge to, and the prompt's tokens."""
    alphabet, merged = sorted(pre_tokenizers.ByteLevel.alphabet()), [first + second for first, second in merges]
    vocabulary = {token: index for index, token in enumerate([IM_START, IM_END, *alphabet, *merged, *more])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=IM_START, eos_token=IM_END, pad_token=IM_END,
        additional_special_tokens=list(more),
    )  # fmt: skip


def build_tiny(*, seed: int = 0) -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """Build the `tiny` model: a few hundred kB of random weights, 4 tokens a frame of 32x32 pixels."""
    tokenizer = _tokenizer(IMAGE)
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32768, initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    config = DuetConfig(
        text_config=text, vision_config=vision, image_token_id=cast(int, tokenizer.convert_tokens_to_ids(IMAGE)),
        pool_stride=2, initializer_range=0.2,  # type: ignore[call-arg]
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DuetForConditionalGeneration(config)
    return model.eval(), DuetProcessor(tokenizer, FrameSettings(size=32, tokens=config.tokens_per_frame))  # type: ignore[no-untyped-call]


def build_tiny_words(*, seed: int = 0) -> tuple[QwenVLWords, QwenVLProcessor]:
    """Build the `tiny-words` model: a Qwen2.5-VL of random weights, 4 tokens a frame of 56x56 pixels.

    Random weights alone would never be silent, so the output layer is changed until most of the answers are.
    """
    tokenizer = _tokenizer(*CHAT_TOKENS.values(), merges=SILENCE_MERGES)
    ids: dict[str, Any] = {name: tokenizer.convert_tokens_to_ids(token) for name, token in CHAT_TOKENS.items()}
    text: dict[str, Any] = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    text |= {"max_position_embeddings": 32768, "initializer_range": 0.2}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2]}}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    vision: dict[str, Any] = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    vision |= {"out_hidden_size": 64, "window_size": 56, "fullatt_block_indexes": [1], "initializer_range": 0.2}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56)
    processor = QwenVLProcessor(tokenizer, images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = QwenVLWords(config)
        _prefer_silence(model, processor)
    return model.eval(), processor  # type: ignore[no-untyped-call]


CHAT_TOKENS = {
    "image_token_id": CHAT.image,
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": CHAT.frame_start,
    "vision_end_token_id": CHAT.frame_end,
}


# "NO" and " REPLY" are one token each, as in Qwen's tokenizer
SILENCE_MERGES = (("N", "O"), ("R", "E"), ("P", "L"), ("RE", "PL"), ("REPL", "Y"), ("Ġ", "REPLY"))


@torch.no_grad()
def _prefer_silence(model: QwenVLWords, processor: QwenVLProcessor) -> None:
    """Let the next token depend mostly on the last one, and the tokens of silence be likely after each other.

    The factors were found by trying: with seed 0 and noise for frames, one answer in eight is a reply, of a few tokens.
    """
    for name, weight in model.language_model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight *= 0.1
    inputs, outputs = cast(torch.Tensor, model.get_input_embeddings().weight), model.lm_head.weight
    outputs *= 0.3
    silence, header = [*processor.ids(processor.silence), processor.end_id], processor.ids("\n")[-1]
    for before, token in zip([header, *silence], silence, strict=False):
        outputs[token] += (2 if before == header else 5) * inputs[before] / inputs[before].norm()
    outputs[processor.end_id] += 0.5 * inputs.mean(0) / inputs.mean(0).norm()
