"""Tiny random chat models that see images, saved as transformers saves them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

TEXT: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 4096, "initializer_range": 0.2, "pad_token_id": None,
    "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip


def byte_tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes and some special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|im_start|>", "<|im_end|>", *special]
    vocabulary = {token: index for index, token in enumerate([*names, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>",
        additional_special_tokens=list(special),
    )  # fmt: skip


def template(image: str) -> str:
    """A chat template; `image` is what stands for one."""
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
        f"{{% if part['type'] == 'image' %}}{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
        "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def write_llava(folder: Path) -> Path:
    """A LLaVA-OneVision, with 17 tokens an image of 32 x 32 pixels."""
    tokenizer = byte_tokenizer("<image>", "<video>")
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 8, "vision_use_head": False,
    }  # fmt: skip
    config = LlavaOnevisionConfig(
        vision_config=vision, text_config={"model_type": "qwen2", "vocab_size": len(tokenizer), **TEXT},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[32, 32]], vision_feature_layer=-1, vision_feature_select_strategy="full",
    )  # fmt: skip
    processor = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    images = LlavaOnevisionImageProcessorPil(size={"height": 32, "width": 32}, image_grid_pinpoints=[[32, 32]])
    return _save(folder, LlavaOnevisionForConditionalGeneration, config, tokenizer, images, processor, "<image>")


def write_qwen(folder: Path) -> Path:
    """A Qwen2.5-VL, with a token for each 8 x 8 pixels."""
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = byte_tokenizer(*tokens)
    start, end, image, video = (tokenizer.convert_tokens_to_ids(token) for token in tokens)
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "depth": 2, "num_heads": 2, "patch_size": 4, "out_hidden_size": 64,
        "window_size": 16, "fullatt_block_indexes": [1],
    }  # fmt: skip
    text = {"vocab_size": len(tokenizer), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    config = Qwen2_5_VLConfig(
        vision_config=vision, text_config={**TEXT, **text}, image_token_id=image, video_token_id=video,
        vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, min_pixels=8 * 8, max_pixels=32 * 32)
    wrapped = "<|vision_start|><|image_pad|><|vision_end|>"
    return _save(folder, Qwen2_5_VLForConditionalGeneration, config, tokenizer, images, {}, wrapped)


def _save(folder: Path, kind: Any, config: Any, tokenizer: Any, images: Any, processor: Any, image: str) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": images.to_dict(), **processor}))
    (folder / "chat_template.jinja").write_text(template(image))
    return folder


CHAT_MODELS = {"llava_onevision": write_llava, "qwen2_5_vl": write_qwen}
