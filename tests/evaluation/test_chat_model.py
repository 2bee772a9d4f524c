"""Tiny chat models of two kinds, and checkpoints that are none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmduet.errors import CheckpointError, DuetError
from mmduet.evaluation.chat_model import ChatModel, load_chat_model, render
from tests.chat_models import CHAT_MODELS, write_llava

FRAMES = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 3, 48, 48) * 60  # four greys


@pytest.fixture(scope="module", params=sorted(CHAT_MODELS))
def folder(request, tmp_path_factory):
    """A checkpoint; not to be changed."""
    return CHAT_MODELS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def chat(folder):
    return load_chat_model(folder)


@pytest.fixture
def copy(tmp_path, llava):
    """A checkpoint to damage."""
    return shutil.copytree(llava, tmp_path / "copy")


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return write_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture
def fresh(llava):
    """A model to change."""
    return load_chat_model(llava)


@torch.inference_mode()
def test_the_answer_is_the_greedy_one(chat):
    """Token by token, each with the whole text again."""
    inputs = render(chat.processor, FRAMES, "What is this?")
    ids, images = inputs["input_ids"], {name: inputs[name] for name in inputs if "pixel" in name or "image" in name}
    length = ids.shape[1]
    for _ in range(12):
        extra = {}
        if "mm_token_type_ids" in inputs:
            extra["mm_token_type_ids"] = torch.nn.functional.pad(
                inputs["mm_token_type_ids"], (0, ids.shape[1] - length)
            )
        ids = torch.cat([ids, chat.model(input_ids=ids, **images, **extra).logits[:, -1:].argmax(-1)], 1)
    generated = chat.processor.tokenizer.decode(ids[0, length:], skip_special_tokens=True)
    assert "<|im_end|>" not in chat.processor.tokenizer.decode(ids[0, length:]), "else the answer is shorter"
    assert chat.ask(FRAMES, "What is this?", max_new_tokens=12) == generated.strip()


def test_every_frame_enters_as_an_image_in_its_order(chat):
    pixels = render(chat.processor, FRAMES, "")["pixel_values"].view(len(FRAMES), -1)
    assert (pixels.mean(1).diff() > 0).all(), "the greys are from dark to light"


def test_the_text_is_after_the_frames_in_one_turn(chat):
    text = chat.processor.tokenizer.decode(render(chat.processor, FRAMES, "What is this?")["input_ids"][0])
    assert text.startswith("<|im_start|>user\n")
    assert text.endswith("What is this?<|im_end|>\n<|im_start|>assistant\n")


def test_an_answer_is_the_same_again(chat):
    answers = {chat.ask(FRAMES, "What?", max_new_tokens=8) for _ in range(3)}
    assert len(answers) == 1


@pytest.mark.parametrize("text", ["an <|im_end|> of it", "a <|im_start|>system"])
def test_a_token_of_the_prompt_is_refused(chat, text):
    with pytest.raises(DuetError, match=r"holds '<\|im_\w+\|>', a token of the prompt: remove it"):
        chat.ask(FRAMES, text, max_new_tokens=1)


def test_what_stands_for_an_image_is_refused(fresh):
    """Also where the tokenizer does not know it as special."""
    fresh.processor.image_token = "[img]"
    with pytest.raises(DuetError, match=r"holds '\[img\]', a token of the prompt"):
        ChatModel(fresh.model, fresh.processor).ask(FRAMES, "two of [img]", max_new_tokens=1)


def test_a_lone_surrogate_is_refused(chat):
    with pytest.raises(UnicodeError):
        chat.ask(FRAMES, "\ud800", max_new_tokens=1)


def test_frames_and_answer_fit_into_the_context(chat):
    room = chat.model.config.get_text_config().max_position_embeddings
    length = render(chat.processor, FRAMES, "What?")["input_ids"].shape[1]
    with pytest.raises(DuetError, match=rf"4 frames and the text are {length} tokens.* has {room}: lower max_frames"):
        chat.ask(FRAMES, "What?", max_new_tokens=room - length + 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error(fresh, value):
    fresh.model.lm_head.weight.data[5] = value
    with pytest.raises(DuetError, match="the logits are NaN or infinite"):
        fresh.ask(FRAMES, "What?", max_new_tokens=2)


def test_the_digest_sees_every_weight(fresh):
    """Also one that is in no other checkpoint: LoRA changes all numbers of the matrices that it is merged into."""
    seen = {fresh.weights}
    for _, parameter in fresh.model.named_parameters():
        parameter.data += 1.0
        seen.add(fresh.weights)
    assert len(seen) == 1 + len(list(fresh.model.parameters()))


def test_precision_is_chosen(llava):
    chat = load_chat_model(llava, dtype="bfloat16")
    assert {parameter.dtype for parameter in chat.model.parameters()} == {torch.bfloat16}
    assert isinstance(chat.ask(FRAMES, "What?", max_new_tokens=2), str)
    with pytest.raises(DuetError, match="dtype='int4' is not known"):
        load_chat_model(llava, dtype="int4")
    with pytest.raises(DuetError, match="device='tpu' is not known"):
        load_chat_model(llava, device="tpu")


# checkpoints that are refused


def refusal(name) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_chat_model(name)
    message = str(caught.value)
    assert "\n" not in message, "one sentence"
    return message


def change(folder, file, **values):
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_name_that_is_neither_a_folder_nor_a_hub_id():
    assert "'mini' is no folder and no hub id (owner/name)" in refusal("mini")
    assert "owner/nothing is no local folder, and the hub cannot be reached" in refusal("owner/nothing")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ('{"model_type": "llama"}', "is of type 'llama', which is no image-text-to-text model of transformers"),
        ('{"model_type": "mmduet"}', "is of type 'mmduet', which is no image-text-to-text model of transformers"),
        ('{"model_type": "florence2"}', "is of type 'florence2', which is no chat model"),
        ("{}", "is of type 'None', which is no image-text-to-text model"),
        ("{", "config.json"),
        ('{"model_type": "llava_onevision", "image_token_index": "x"}', "config.json is not understood"),
        ('{"model_type": "llava_onevision", "quantization_config": {"bits": 4}}', "has quantised weights"),
    ],
)
def test_configs_of_other_kinds(tmp_path, config, why):
    (tmp_path / "config.json").write_text(config)
    assert why in refusal(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_of_a_checkpoint_is_not_run(copy, file):
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass Evil: pass\n")
    names = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")
    change(copy, file, auto_map=dict.fromkeys(names, "evil.Evil"))
    assert "names code of its own, which is never run here" in refusal(copy)
    assert not (copy / "ran").exists()


def test_an_attention_of_a_hub_is_not_used(copy):
    change(copy, "config.json", _attn_implementation="owner/kernel", attn_implementation="owner/kernel")
    assert load_chat_model(copy).model.config._attn_implementation == "sdpa"


def test_an_adapter_is_not_put_on_in_silence(copy):
    (copy / "adapter_config.json").write_text("{}")
    assert "has an adapter_config.json: merge the adapter into its model" in refusal(copy)


def test_a_template_cannot_leave_its_sandbox(copy):
    (copy / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    assert "takes no question with several images" in refusal(copy)


def test_a_processor_that_is_incomplete(copy):
    (copy / "chat_template.jinja").write_text("{% for message in messages %}no image{% endfor %}")
    assert "takes no question with several images" in refusal(copy)
    (copy / "chat_template.jinja").unlink()
    assert "has no chat template: give a chat model" in refusal(copy)
    (copy / "processor_config.json").unlink()
    assert "processor_config.json is not understood" in refusal(copy)


def test_weights_that_are_missing_pickled_or_damaged(copy):
    weights = load_file(copy / "model.safetensors")
    name = next(key for key in weights if key.endswith("layers.0.mlp.up_proj.weight"))
    save_file({k: v for k, v in weights.items() if k != name}, copy / "model.safetensors", {"format": "pt"})
    assert "not found in the checkpoint: model.language_model.layers.0.mlp.up_proj.weight" in refusal(copy)
    save_file({**weights, name: weights[name] * float("nan")}, copy / "model.safetensors", {"format": "pt"})
    assert "holds NaN or infinite numbers" in refusal(copy)
    save_file({**weights, name: weights[name][:5].clone()}, copy / "model.safetensors", {"format": "pt"})
    assert "copy is not understood" in refusal(copy)
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    assert "model.safetensors" in refusal(copy)
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    assert "safetensors" in refusal(copy)
