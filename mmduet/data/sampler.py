"""GroupedSampler: batches of conversations about equally long, in random order."""

from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random

from torch.utils.data import Sampler

POOL = 16  # batches that are sorted by length together


class GroupedSampler(Sampler[tuple[int, int]]):
    """(epoch, index) such that every `batch_size` in a row belong to conversations of about the same length.

    transformers' LengthGroupedSampler leaves its batches sorted, so that a model sees all long conversations of a
    pool, then all short ones: here these are other kinds of task, and the model would forget one over the other.
    The order depends on (seed, epoch) alone; with `batch_size` 1 it is a plain shuffle. lengths: of each example,
    in frames.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int = 0):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        whole = len(order) - len(order) % self.batch_size
        rest, batches = order[whole:], []
        for start in range(0, whole, POOL * self.batch_size):
            pool = sorted(order[start : min(start + POOL * self.batch_size, whole)], key=self.lengths.__getitem__)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        rng.shuffle(batches)
        yield from ((self.epoch, index) for index in chain(*batches, rest))

    def set_epoch(self, epoch: int) -> None:
        """The order of another epoch."""
        self.epoch = epoch
