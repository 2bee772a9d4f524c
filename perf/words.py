"""How fast a session in words is, beside MMDuet2's published loop on the same weights.

    python perf/words.py                # silence only
    python perf/words.py --every 10     # a reply after every 10th turn

The published loop asks for one generation a turn, and prepares and reads the whole conversation again each time. The
weights are random, 0.5B-shaped; what random weights would say is replaced on both sides: silence, or a reply of
--new-tokens tokens. Both sides run in one process, in turn. They must agree on the replies; medians and their ratio are
printed.
"""

from typing import Annotated, Any

import torch
import typer
from transformers import LogitsProcessor, LogitsProcessorList, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from mmduet import DuetSession, Query, Response
from mmduet.checkpoints import build_tiny_words
from mmduet.profiling.performance import EveryNth, alternate_runs
from mmduet.qwen_vl import QwenVLProcessor, QwenVLWords
from mmduet.system.machine import machine

QUESTION = "Tell me when something happens."
HEIGHT, WIDTH = 168, 280  # 6 x 10 tokens


def build(size: str) -> tuple[QwenVLWords, QwenVLProcessor]:
    """Random weights: ``0.5b``, the language model's shape of Qwen2.5-0.5B, or ``tiny``."""
    tiny, processor = build_tiny_words()
    processor.set_max_pixels(HEIGHT * WIDTH)
    if size == "tiny":
        return tiny, processor
    text = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
    text |= {"num_key_value_heads": 2, "vocab_size": 151_936, "max_position_embeddings": 32768}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}}
    vision = {"depth": 8, "hidden_size": 640, "intermediate_size": 1280, "num_heads": 8, "out_hidden_size": 896}
    vision |= {"fullatt_block_indexes": [3, 7]}
    ids = {name: value for name, value in tiny.config.to_dict().items() if name.endswith("token_id")}
    torch.manual_seed(0)
    return QwenVLWords(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)).eval(), processor


class Forced(LogitsProcessor):
    """Makes a generation say given ids."""

    def __init__(self, prompt: int, ids: list[int]):
        self.prompt, self.ids = prompt, ids

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Change the scores of the next token."""
        only = torch.full_like(scores, -torch.inf)
        only[:, self.ids[input_ids.shape[1] - self.prompt]] = 0
        return only


@torch.inference_mode()
def published_loop(
    stock: Any, processor: QwenVLProcessor, frames: torch.Tensor, *, every: int, new_tokens: int
) -> list[list[int]]:
    """Run the published loop, and return its replies' ids."""
    chat, silence = processor.chat, [*processor.ids(processor.silence), processor.end_id]
    text = processor.render_turn(processor.system_turn()) + chat.join
    replies = []
    for turn in range(len(frames) // 2):
        pixels = processor.pixel_values(frames[: 2 * turn + 2])  # every frame so far
        inputs, counts = processor.joined([pixels]), processor.frame_counts(pixels)
        question = QUESTION if turn == 0 else ""
        text += chat.open_turn("user") + chat.render_frames(counts[-2:]) + question + chat.end + chat.join
        text += chat.open_turn("assistant")
        ids = torch.tensor([processor.ids(text)])
        silent = not every or (turn + 1) % every
        forced = [Forced(ids.shape[1], silence)] if silent else []
        output = stock.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == processor.image_id).int(),
            max_new_tokens=len(silence) if silent else new_tokens, do_sample=False, eos_token_id=processor.end_id,
            pad_token_id=processor.end_id, logits_processor=LogitsProcessorList(forced), **inputs,
        )  # fmt: skip
        said = output[0, ids.shape[1] :].tolist()
        text += processor.tokenizer.decode(said)
        text += chat.join if silent else chat.end + chat.join
        replies += [] if silent else [said]
    return replies


def ours(session: DuetSession, frames: torch.Tensor) -> list[list[int]]:
    """Run a session, and return its replies' ids."""
    events = session.stream(frames, [Query(0, QUESTION)])
    return [list(event.token_ids) for event in events if isinstance(event, Response)]


def main(
    every: Annotated[int, typer.Option(help="A reply after every so many turns; 0: none.")] = 0,
    turns: Annotated[int, typer.Option(help="Turns of two frames.")] = 12,
    rounds: Annotated[int, typer.Option(help="Runs of each side, in turn; the median counts.")] = 5,
    new_tokens: Annotated[int, typer.Option(help="Tokens of a reply.")] = 10,
    size: Annotated[str, typer.Option(help="0.5b or tiny.")] = "0.5b",
) -> None:
    """Time both sides."""
    model, processor = build(size)
    with torch.no_grad():  # random weights then never say it by themselves
        model.lm_head.weight[[*processor.ids(processor.silence), processor.end_id]] = 0
    stock = Qwen2_5_VLForConditionalGeneration(model.config).eval()
    stock.load_state_dict(model.state_dict(), assign=True)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2 * turns, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)
    session = DuetSession(model, processor, policy=EveryNth(every), max_new_tokens=new_tokens)
    sides = {
        "published": lambda: published_loop(stock, processor, frames, every=every, new_tokens=new_tokens),
        "ours": lambda: ours(session, frames),
    }
    seconds, replies = alternate_runs(sides, rounds, warm_up=False)
    if replies["published"] != replies["ours"]:
        raise SystemExit(f"the two sides said different things: {replies}")
    print(f"{machine()}: {turns} turns of 2 frames of 60 tokens, {size}, a reply every {every or 'no'} turns")
    for name, time in seconds.items():
        print(f"  {name:10} {turns / time:8.3f} turns/s   {time:.1f} s")
    print(f"  ratio      {seconds['published'] / seconds['ours']:8.2f}")


if __name__ == "__main__":
    typer.run(main)
