"""Randomness that is a function of a key, so that a resumed run draws the same numbers as an uninterrupted one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from numpy.random import SeedSequence
from torch.utils.data import Sampler


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator that is a function of the key alone.

    The CPU generator of torch keeps 32 bits of a seed, so numpy's SeedSequence hashes the key to 32 bits.
    """
    return torch.Generator().manual_seed(int(SeedSequence(key).generate_state(1)[0]))


class EpochSampler(Sampler[int]):
    """Sampler that shuffles the data anew in each epoch, as a function of (seed, epoch), and can start mid-epoch.

    Args:
        size: number of images.
        seed: seed of all orders.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def start(self, epoch: int, skip: int) -> None:
        """Set the epoch, and the number of its images to skip because they were seen already."""
        self.epoch, self.skip = epoch, skip

    def __len__(self) -> int:
        return self.size - self.skip

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.size, generator=keyed_generator(self.seed, self.epoch))
        return iter(order[self.skip :].tolist())
