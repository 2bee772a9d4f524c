"""Stage one: the projector alone learns to land among the words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mmduet.data.conversations import Clock
from mmduet.data.mixture import MixtureDataset, Source
from mmduet.errors import AnnotationError
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor

PAIRS_A_SPAN = 8  # frames of a span that the alignment sees, at most
ReadFeatures = Callable[[Path, float, int, int], torch.Tensor]


@dataclass(slots=True)
class AlignmentPairs:
    """features: float16 [M, cells, D], one a frame. text: int64 [M], into texts."""

    features: torch.Tensor
    text: torch.Tensor
    texts: list[str]


def alignment_pairs(dataset: MixtureDataset, read: ReadFeatures) -> AlignmentPairs:
    """Each narration with frames of its timespan, each query with frames of the spans that it is about.

    read: (video, fps, first, count) -> vision features, such as `FeatureStore.read`.
    Raises AnnotationError when there are no two texts to tell apart.
    """
    found: list[torch.Tensor] = []
    index: list[int] = []
    texts: dict[str, int] = {}
    for source in dataset.sources:
        clock = Clock(source.fps, source.duration)
        for text, start, end in _described(source):
            first = clock.frames(clock.ceil(start))
            count = min(clock.frames(clock.clip(end) - first / source.fps), PAIRS_A_SPAN)
            if count > 0:
                found.append(read(source.video, source.fps, first, count).half())
                index += [texts.setdefault(text, len(texts))] * count
    if len(texts) < 2:
        raise AnnotationError(
            f"{dataset.path} has {len(texts)} distinct narrations and queries with frames; aligning the projector "
            "contrasts texts and needs at least 2: add some, or set align_iterations=0."
        )
    return AlignmentPairs(torch.cat(found), torch.tensor(index), list(texts))


def _described(source: Source) -> list[tuple[str, float, float]]:
    """(text, start, end) of what an annotation says is in view; a magqa answer need not describe it."""
    if source.kind == "narration":
        return [(narration.text, *narration.timespan) for narration in source.annotation]
    if source.kind == "grounding":
        return [(source.annotation.query, start, end) for start, end in source.annotation.timestamps]
    return []


def align_projector(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    pairs: AlignmentPairs,
    *,
    iterations: int = 400,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    temperature: float = 0.07,
    seed: int = 0,
) -> list[float]:
    """Train the projector alone so that a frame's tokens become words for what it shows.

    Symmetric InfoNCE (van den Oord et al., arXiv 1807.03748; CLIP, arXiv 2103.00020). How well a frame goes with
    a text is the mean over the frame's tokens of their best cosine with one of the text's input embeddings
    (the late interaction of ColBERT, arXiv 2004.12832), both taken from the vocabulary's mean. Words that tell
    texts apart win, so frames land beside their nouns. No language model runs. Afterwards the projector's last
    layer is scaled and shifted so that its tokens have the embeddings' mean and standard deviation.
    Returns the loss of each iteration.
    """
    words, spoken = _text_embeddings(model, processor, pairs.texts)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.projector.parameters(), lr=learning_rate)
    by_text = [(pairs.text == index).nonzero().flatten() for index in range(len(pairs.texts))]
    losses = []
    for _ in tqdm(range(iterations), desc="align projector", unit="it", mininterval=1):
        chosen = torch.randperm(len(by_text), generator=generator)[:batch_size]
        rows = [by_text[i][torch.randint(len(by_text[i]), (1,), generator=generator)] for i in chosen]
        tokens = model.project_features(pairs.features[torch.cat(rows)].to(model.device, model.dtype))
        cosines = torch.einsum("bth,nlh->bntl", F.normalize(tokens.float(), dim=-1), words[chosen])
        logits = cosines.masked_fill(~spoken[chosen][None, :, None], -1.0).amax(-1).mean(-1) / temperature
        match = torch.arange(len(chosen), device=logits.device)
        loss = (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    _match_embeddings(model, pairs)
    return losses


@torch.no_grad()
def _text_embeddings(model, processor: DuetProcessor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [n, L, H]: each text's word embeddings, from the vocabulary's mean, length 1; bool [n, L]: which are."""
    table = model.get_input_embeddings().weight.float()
    rows = [F.normalize(table[processor.ids(text)] - table.mean(0), dim=-1) for text in texts]
    words = pad_sequence(rows, batch_first=True)
    return words, words.any(-1)


@torch.no_grad()
def _match_embeddings(model: Any, pairs: AlignmentPairs) -> None:
    """Give the projector's tokens the word embeddings' mean and standard deviation."""
    last = [layer for layer in model.projector if isinstance(layer, nn.Linear)][-1]
    table = model.get_input_embeddings().weight.float()
    some = pairs.features[:: max(1, len(pairs.features) // 256)]
    tokens = model.project_features(some.to(model.device, model.dtype))
    scale = (table - table.mean(0)).std() / tokens.float().std()
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(table.mean(0))
