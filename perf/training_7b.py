"""A training step of a 7B-shaped model with random weights: an estimate from shapes, and a measurement on a GPU.

    python perf/training_7b.py                 # the estimate; on a machine with a GPU, the measured step, too
    python perf/training_7b.py --frames 60

bfloat16, LoRA r 16 on every linear layer, projector and heads in full, gradient checkpointing, batch 1: the recipe of
mmduet/configs/mmduet_7b.yaml in one process. The measured step uses the parts of training, from pixels and from cached
vision features.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import torch
import typer
from accelerate import Accelerator
from transformers import Qwen2Config, SiglipVisionConfig

from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.system.memory import peak_memory
from mmduet.training import add_lora
from mmduet.training.precision import cheap_bfloat16
from mmduet.training.run import CHECKPOINTING

GB = 1e9
PEAK = {"H100": 989e12, "A100": 312e12}  # dense bfloat16 operations a second, NVIDIA's data sheets
WORDS = 200  # text tokens, half of them labelled
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
CARD = "NVIDIA H100 80GB HBM3, torch 2.11"
MEASURED = {120: (20.7, 0.77)}  # frames -> GB, s per step from cached features, on CARD
UTILISATION = 0.36  # share of the peak FLOP/s that CARD reached


@dataclass(frozen=True)
class Estimate:
    """Cost of a training step.

    Attributes:
        memory: Bytes by purpose, at the moment of peak memory.
        pixels: Bytes of the frames' pixels, which cached features save.
        operations: Floating-point operations by part of the model.
    """

    memory: dict[str, float]
    pixels: float
    operations: dict[str, float]

    @property
    def gigabytes(self) -> float:
        """Peak memory from cached features, in GB."""
        return sum(self.memory.values()) / GB

    def table(self) -> str:
        """The estimate as a Markdown table."""
        rows = [f"| {name} | {size / GB:.1f} GB |" for name, size in self.memory.items()]
        together = f"| sum, from cached features | {self.gigabytes:.1f} GB |"
        pixels = f"| sum, from pixels, float32 | {self.gigabytes + self.pixels / GB:.1f} GB |"
        lines = ["| memory | |", "| --- | --- |", *rows, together, pixels, ""]
        for card, peak in PEAK.items():
            cached, tower = (amount / peak / UTILISATION for amount in self.operations.values())
            share = f"{card} at {UTILISATION:.0%} of its peak"
            lines.append(f"{share}: {cached:.1f} s per step from cached features, {cached + tower:.1f} s from pixels")
        return "\n".join(lines)


@cache
def _shape() -> Any:
    """The model with LoRA, without memory."""
    with torch.device("meta"):
        return add_lora(DuetForConditionalGeneration(CONFIG), r=16, alpha=32, dropout=0.05)


def estimate(frames: int) -> Estimate:
    """Estimate a step from the shapes alone."""
    wrapped = _shape()
    tokens = frames * CONFIG.tokens_per_frame + WORDS
    return Estimate(_memory(wrapped, frames, tokens), 4.0 * frames * 3 * 384**2, _operations(wrapped, frames, tokens))


def _memory(wrapped: Any, frames: int, tokens: int) -> dict[str, float]:
    """Peak memory: the backward pass computes the last layer again, while the inputs of all layers are still stored.

    The tower is not included: it has no gradient, has ended, and took less. Later moments take less, too: a layer's
    gradients are smaller than its stored input, which is freed, and the logits are freed before the layers begin.
    """
    hidden, wide = CONFIG.text_config.hidden_size, CONFIG.text_config.intermediate_size
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in wrapped.parameters() if not p.requires_grad)
    cells, seen = len(wrapped.get_base_model().pool.cells), CONFIG.vision_config.hidden_size
    # inputs of both norms in float32; query, key, value of all heads, and the result; residuals
    attention = 2 * 4 * hidden + 4 * 2 * hidden + 3 * 2 * hidden
    dropped = 2 + 1  # bytes: LoRA's input after dropout, and the dropout mask
    return {
        "frozen weights, bfloat16": 2 * frozen,
        "trained weights, Adam's two moments, float32": 12 * trained,
        "inputs of every layer": 2 * tokens * hidden * CONFIG.text_config.num_hidden_layers,
        "one layer again: attention, norms": tokens * attention,
        "one layer again: gate, activation, up, their product": tokens * 4 * 2 * wide,
        "one layer again: inputs of seven LoRAs": tokens * dropped * (6 * hidden + wide),
        "embeddings, last norm": tokens * (3 * 2 + 4 + 2) * hidden,
        "projector": frames * (cells * (2 * 2 * hidden + 2 * seen) + 2 * CONFIG.tokens_per_frame * hidden),
        "logits of labelled tokens": WORDS / 2 * CONFIG.text_config.vocab_size * (2 + 4),
    }


def _operations(wrapped: Any, frames: int, tokens: int) -> dict[str, float]:
    model, text, vision = wrapped.get_base_model(), CONFIG.text_config, CONFIG.vision_config
    tower = sum(p.numel() for p in model.vision_tower.parameters())
    layers = sum(p.numel() for p in model.language_model.base_model.layers.parameters() if not p.requires_grad)
    patches = CONFIG.grid_side**2
    attention = 4 * tokens**2 / 2 * text.hidden_size * text.num_hidden_layers
    forward = 2 * layers * tokens + attention
    seen = frames * (2 * tower * patches + 4 * patches**2 * vision.hidden_size * vision.num_hidden_layers)
    # forward, forward again for the checkpoints, gradient of the inputs; frozen weights need no gradient
    return {"language model": 3 * forward, "vision tower": seen}


def batch(config: DuetConfig, frames: int, device: torch.device) -> dict[str, torch.Tensor]:
    """One conversation: every frame is labelled, and half of the words."""
    visual, size = frames * config.tokens_per_frame, config.vision_config.image_size
    ids = torch.randint(0, 200, (1, visual + WORDS), device=device)
    ids[0, :visual] = config.image_token_id
    labels, informative = torch.full_like(ids, -100), torch.full_like(ids, -100)
    labels[0, -WORDS // 2 :] = ids[0, -WORDS // 2 :]
    informative[0, config.tokens_per_frame - 1 : visual : config.tokens_per_frame] = 1
    return {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "informative_labels": informative,
        "pixel_values": torch.randn(frames, 3, size, size, device=device),
    }  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A measured step: median seconds, peak memory in GB, and the last loss."""

    seconds: float
    gigabytes: float
    loss: float


def measure(config: DuetConfig, frames: int, steps: int) -> dict[str, Step]:
    """Measure steps from pixels, then from cached features, on the same model, as `mmduet.training` does them."""
    accelerator = Accelerator(mixed_precision="bf16")
    torch.set_default_dtype(torch.bfloat16)
    with accelerator.device:
        model = DuetForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    wrapped = add_lora(model, r=16, alpha=32, dropout=0.05).train()
    model.activation_checkpointing_enable(CHECKPOINTING)
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=2e-5, fused=True)
    inputs = batch(config, frames, accelerator.device)
    with cheap_bfloat16(wrapped):
        prepared = accelerator.prepare_model(wrapped)
        found = {"pixels": _measured(accelerator, prepared, optimizer, inputs, steps)}
        inputs["vision_features"] = model.frame_features(inputs.pop("pixel_values"))
        found["cached features"] = _measured(accelerator, prepared, optimizer, inputs, steps)
    return found


def _measured(accelerator: Accelerator, model: Any, optimizer: Any, inputs: dict[str, Any], steps: int) -> Step:
    cuda, seconds = accelerator.device.type == "cuda", []
    for number in range(steps + 1):
        if cuda:
            torch.cuda.synchronize()
            if number == 1:
                torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        loss = model(**inputs).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        last = loss.item()  # waits for the GPU
        seconds.append(time.monotonic() - started)
    return Step(sorted(seconds[1:])[steps // 2], peak_memory(accelerator.device) / 1000, last)


def main(
    frames: Annotated[int, typer.Option(help="Frames of the conversation.")] = 120,
    steps: Annotated[int, typer.Option(help="Measured steps, after one that warms up.")] = 5,
) -> None:
    """Print the estimate and the measurement."""
    print(f"Estimate from shapes: {frames} frames, {WORDS} other tokens, one process\n")
    print(estimate(frames).table())
    if frames in MEASURED:
        gigabytes, seconds = MEASURED[frames]
        print(f"\nmeasured earlier on {CARD}: {gigabytes} GB, {seconds} s per step from cached features")
    if not torch.cuda.is_available():
        print("\nthis machine has no GPU, so nothing is measured")
        return
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}: median of {steps} steps, peak memory")
    for way, step in measure(CONFIG, frames, steps).items():
        print(f"from {way}: {step.seconds:.2f} s per step, {step.gigabytes:.1f} GB, loss {step.loss:.3f}")


if __name__ == "__main__":
    typer.run(main)
