"""Stage one: the projector alone is trained to map frames close to the words that describe them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mmduet.data.conversations import Clock
from mmduet.data.kinds import AnnotatedText
from mmduet.data.mixture import MixtureDataset
from mmduet.errors import AnnotationError
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor

MAX_PAIRS = 8  # maximum frames of a span that are aligned
ReadFeatures = Callable[[Path, float, int, int], torch.Tensor]


@dataclass(slots=True)
class AlignmentPairs:
    """Frames, each with a text that describes it.

    Attributes:
        features: float16 [M, cells, D], one per frame.
        text: int64 [M], indices into texts.
        texts: The texts.
    """

    features: torch.Tensor
    text: torch.Tensor
    texts: list[str]


def alignment_pairs(dataset: MixtureDataset, read: ReadFeatures) -> AlignmentPairs:
    """Pair each text with frames of the spans that it describes.

    Args:
        dataset: The training set.
        read: (video, fps, first, count) -> vision features, such as `FeatureCache.read`.

    Raises:
        AnnotationError: There are fewer than two texts, so there is nothing to contrast.
    """
    found: list[torch.Tensor] = []
    index: list[int] = []
    texts: dict[str, int] = {}
    for number, sample in enumerate(dataset.samples):
        clock = Clock(sample.fps, sample.duration)
        for text, start, end in _described(dataset.texts(number)):
            first = clock.frames(clock.ceil(start))
            count = min(clock.frames(clock.clip(end) - first / sample.fps), MAX_PAIRS)
            if count > 0:
                found.append(read(sample.video, sample.fps, first, count).half())
                index += [texts.setdefault(text, len(texts))] * count
    if len(texts) < 2:
        raise AnnotationError(
            f"{dataset.path} has {len(texts)} distinct texts that describe frames; aligning the projector contrasts "
            "texts and needs at least 2: add some, or set align_iterations=0."
        )
    return AlignmentPairs(torch.cat(found), torch.tensor(index), list(texts))


def _described(texts: Iterable[AnnotatedText]) -> Iterator[tuple[str, float, float]]:
    """(text, start, end) of each span that a text describes."""
    for text in texts:
        for start, end in text.spans:
            yield text.text, start, end


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
    """Train the projector alone so that a frame's tokens come close to the words of its text.

    The loss is symmetric InfoNCE (van den Oord et al., arXiv 1807.03748; CLIP, arXiv 2103.00020). The similarity of a
    frame and a text is the mean over the frame's tokens of their best cosine with one of the text's input embeddings
    (the late interaction of ColBERT, arXiv 2004.12832), both centred on the vocabulary's mean. Afterwards the tokens
    get the mean and the standard deviation of the word embeddings.

    Args:
        model: The model; its projector is changed.
        processor: Its processor.
        pairs: Frames and texts.
        iterations: Optimiser steps.
        batch_size: Texts per step, each with one of its frames.
        learning_rate: The projector's learning rate.
        temperature: Divides the similarities.
        seed: Seed of what is drawn.

    Returns:
        The loss of each iteration.
    """
    words, is_word = _text_embeddings(model, processor, pairs.texts)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.projector.parameters(), lr=learning_rate)
    by_text = [(pairs.text == index).nonzero().flatten() for index in range(len(pairs.texts))]
    losses = []
    for _ in tqdm(range(iterations), desc="align projector", unit="it", mininterval=1):
        chosen = torch.randperm(len(by_text), generator=generator)[:batch_size]
        rows = [by_text[i][torch.randint(len(by_text[i]), (1,), generator=generator)] for i in chosen]
        tokens = model.project_features(pairs.features[torch.cat(rows)].to(model.device, model.dtype))
        cosines = torch.einsum("bth,nlh->bntl", F.normalize(tokens.float(), dim=-1), words[chosen])
        logits = cosines.masked_fill(~is_word[chosen][None, :, None], -1.0).amax(-1).mean(-1) / temperature
        match = torch.arange(len(chosen), device=logits.device)
        loss = (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    _match_embeddings(model, pairs)
    return losses


@torch.no_grad()
def _text_embeddings(model: Any, processor: DuetProcessor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """The texts' word embeddings, centred on the vocabulary's mean.

    float32 [n, L, H], each of length 1, and bool [n, L]: which are words and not padding.
    """
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
