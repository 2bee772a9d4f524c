"""The base model of a run, as it is before the run changes it: a resumed run must begin with the same."""

import hashlib
import json
from typing import Any, cast

import torch

from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor

NUMBERS = 256  # of a weight that are hashed; its checksum counts all of them
UNRELATED = ("transformers_version", "_name_or_path", "architectures", "dtype")
WORD = torch.int64


def base_settings(model: DuetForConditionalGeneration, processor: DuetProcessor) -> dict[str, Any]:
    """Settings of a base model that change what is trained, in the form that JSON gives back."""
    stated = {"dtype": str(model.dtype).removeprefix("torch."), "decides": model.decides, **processor.settings()}
    return cast(dict[str, Any], json.loads(json.dumps(stated)))


@torch.no_grad()
def base_digest(model: DuetForConditionalGeneration, processor: DuetProcessor) -> str:
    """SHA-256 of a base model's config and vocabulary, and of a checksum and some numbers of each weight.

    The checksum notices every number that changes, and takes a sixteenth of the time of SHA-256 over all numbers (0.02
    and 0.37 s for 0.5 GB on a CPU).
    """
    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in UNRELATED}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(ascii(sorted(processor.vocabulary().items())).encode())
    for name, value in sorted(model.state_dict().items()):
        flat = value.detach().flatten()
        chosen = flat[:: max(1, len(flat) // NUMBERS)].clone().view(torch.uint8)
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} {_checksum(flat)}".encode())
        digest.update(chosen.cpu().numpy().tobytes())
    return digest.hexdigest()


def _checksum(flat: torch.Tensor) -> int:
    """The sum of a contiguous tensor's bits in words of 8 bytes, modulo 2**64; the last ones are filled with zeros."""
    if flat.storage_offset() * flat.element_size() % WORD.itemsize:
        flat = flat.clone()  # a view of words begins at a whole one
    bits = flat.view(torch.uint8)
    end = len(bits) // WORD.itemsize * WORD.itemsize
    rest = torch.nn.functional.pad(bits[end:].clone(), (0, -len(bits) % WORD.itemsize))
    return int(bits[:end].view(WORD).sum() + rest.view(WORD).sum())
