"""A training step of a 7B-shaped model with random weights: an estimate on paper, and measured where there is a GPU.

    python benchmarks/training_7b.py                 # the estimate; on a machine with a GPU, the measured step too
    python benchmarks/training_7b.py --frames 60

bfloat16, LoRA r 16 on every linear layer, projector and heads in full, gradient checkpointing, batch 1: the recipe of
mmduet/configs/mmduet_7b.yaml in one process.
"""

import time
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from transformers import Qwen2Config, SiglipVisionConfig

from mmduet.model import DuetConfig, DuetForConditionalGeneration
from mmduet.training import add_lora

GB = 1e9
PEAK = {"H100": 989e12, "A100": 312e12}  # dense bfloat16 operations a second, NVIDIA's data sheets
UTILISATION = 0.4  # share of these that training of such models commonly reaches
WORDS = 200  # tokens that are no frame, half of them labelled
CONFIG = DuetConfig(
    text_config=Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, max_position_embeddings=32768, tie_word_embeddings=False,
    ),
    vision_config=SiglipVisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=26, num_attention_heads=16, image_size=384,
        patch_size=14,
    ),
    image_token_id=152063,  # type: ignore[call-arg]
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """Bytes of memory and operations of a step."""

    memory: dict[str, float]
    operations: dict[str, float]

    def table(self) -> str:
        """What makes them up."""
        rows = [f"| {name} | {size / GB:.1f} GB |" for name, size in self.memory.items()]
        total = sum(self.memory.values())
        lines = ["| memory | |", "| --- | --- |", *rows, f"| together | {total / GB:.0f} GB |", ""]
        for card, peak in PEAK.items():
            seconds = [amount / peak / UTILISATION for amount in self.operations.values()]
            cached, tower = seconds
            lines.append(
                f"{card} at {UTILISATION:.0%} of its peak: {cached + tower:.1f} s a step, {cached:.1f} from cache"
            )
        return "\n".join(lines)


def estimate(frames: int) -> Estimate:
    """By hand, from the shapes alone."""
    with torch.device("meta"):
        wrapped = add_lora(DuetForConditionalGeneration(CONFIG), r=16, alpha=32, dropout=0.05)
    model, text, vision = wrapped.get_base_model(), CONFIG.text_config, CONFIG.vision_config
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in wrapped.parameters() if not p.requires_grad)
    tower = sum(p.numel() for p in model.vision_tower.parameters())
    layers = sum(p.numel() for p in model.language_model.base_model.layers.parameters() if not p.requires_grad)
    tokens, patches = frames * CONFIG.tokens_per_frame + WORDS, CONFIG.grid_side**2
    wide, hidden = text.intermediate_size, text.hidden_size
    memory = {
        "frozen weights, bfloat16": 2 * frozen,
        "trained weights, gradients, Adam's two moments, float32": 16 * trained,
        "inputs of every layer, kept for the backward pass": 2 * tokens * hidden * text.num_hidden_layers,
        # gate, up, their product and its activation, and LoRA's dropped-out float32 copies of seven inputs
        "one layer, computed anew": tokens * (4 * 2 * wide + (4 + 1) * (6 * hidden + wide) + 6 * 2 * hidden),
        "frames in the tower, the widest layer, and as pixels": frames * (patches * 2 * 2 * 4304 + 4 * 3 * 384**2),
        "projector": frames * len(model.pool.cells) * hidden * 4 * 3,
        "logits of labelled tokens": WORDS / 2 * text.vocab_size * 4 * 3,
    }
    attention = 4 * tokens**2 / 2 * hidden * text.num_hidden_layers
    forward = 2 * layers * tokens + attention
    seen = frames * (2 * tower * patches + 4 * patches**2 * vision.hidden_size * vision.num_hidden_layers)
    # forward, again for the checkpoints, and the gradient of the inputs: frozen weights need none of their own
    return Estimate(memory, {"language model": 3 * forward, "vision tower": seen})


def batch(frames: int, device: str) -> dict[str, torch.Tensor]:
    """One conversation: frames, every one labelled, and half of the words."""
    ids = torch.randint(0, 1000, (1, WORDS + frames * CONFIG.tokens_per_frame), device=device)
    ids[0, : frames * CONFIG.tokens_per_frame] = CONFIG.image_token_id
    labels, informative = torch.full_like(ids, -100), torch.full_like(ids, -100)
    labels[0, -WORDS // 2 :] = ids[0, -WORDS // 2 :]
    informative[0, CONFIG.tokens_per_frame - 1 : frames * CONFIG.tokens_per_frame : CONFIG.tokens_per_frame] = 1
    pixels = torch.randn(frames, 3, 384, 384, device=device)
    return {"input_ids": ids, "pixel_values": pixels, "labels": labels, "informative_labels": informative}


def measure(frames: int, steps: int) -> None:
    """Print the median step and the most memory in use."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = DuetForConditionalGeneration(CONFIG)
    torch.set_default_dtype(torch.float32)
    wrapped = add_lora(model, r=16, alpha=32, dropout=0.05).train()
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=2e-5)
    inputs, seconds = batch(frames, "cuda"), []
    for _ in range(steps + 1):
        torch.cuda.synchronize()
        started = time.monotonic()
        with torch.autocast("cuda", torch.bfloat16):
            loss = wrapped(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        seconds.append(time.monotonic() - started)
    median = sorted(seconds[1:])[steps // 2]
    print(
        f"\n{torch.cuda.get_device_name()}, {frames} frames, loss {loss.item():.3f}: {median:.2f} s a step, "
        f"{torch.cuda.max_memory_allocated() / GB:.1f} GB at most"
    )


def main(
    frames: Annotated[int, typer.Option(help="Of the conversation.")] = 120,
    steps: Annotated[int, typer.Option(help="Steps to measure, after one that warms up.")] = 5,
) -> None:
    """Print the estimate, and what was measured."""
    print(f"Estimate on paper, not measured: {frames} frames, {WORDS} other tokens, one process\n")
    print(estimate(frames).table())
    if torch.cuda.is_available():
        measure(frames, steps)
    else:
        print("\nno GPU here, so nothing is measured")


if __name__ == "__main__":
    typer.run(main)
