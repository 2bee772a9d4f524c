"""GroupedSampler: batches of conversations about equally long, in random order."""

from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random

from torch.utils.data import Sampler

POOL = 16  # batches that are sorted by length together


class GroupedSampler(Sampler[tuple[int, int]]):
    """(epoch, index) such that every `batch_size` in a row belong to conversations of about the same length.

    transformers' LengthGroupedSampler leaves its batches sorted: a model sees all long conversations of a pool, then
    all short ones. Here these belong to different annotation kinds, and the model would forget one kind over the other.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int = 0):
        """Group samples.

        Args:
            lengths: Each sample's length, in frames.
            batch_size: Samples in a group; 1 gives a plain shuffle.
            seed: The order depends on it and the epoch alone.
        """
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        full = len(order) - len(order) % self.batch_size
        rest, batches = order[full:], []
        for start in range(0, full, POOL * self.batch_size):
            pool = sorted(order[start : min(start + POOL * self.batch_size, full)], key=self.lengths.__getitem__)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        rng.shuffle(batches)
        yield from ((self.epoch, index) for index in chain(*batches, rest))

    def set_epoch(self, epoch: int) -> None:
        """Use the order of another epoch."""
        self.epoch = epoch
