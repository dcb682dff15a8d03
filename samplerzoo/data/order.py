"""Randomness by key: a resumed run draws what an uninterrupted one would have drawn."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from numpy.random import SeedSequence
from torch.utils.data import Sampler


def keyed_generator(*key: int) -> torch.Generator:
    """A generator that is a function of the key alone.

    torch's CPU generator keeps 32 bits of a seed, so the key is hashed to these (numpy's SeedSequence is made for it).
    """
    return torch.Generator().manual_seed(int(SeedSequence(key).generate_state(1)[0]))


class EpochSampler(Sampler[int]):
    """A new order of the data each epoch, a function of (seed, epoch), that can begin in its middle."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def start(self, epoch: int, skip: int) -> None:
        """Set the epoch, and how many of its images were seen already."""
        self.epoch, self.skip = epoch, skip

    def __len__(self) -> int:
        return self.size - self.skip

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.size, generator=keyed_generator(self.seed, self.epoch))
        return iter(order[self.skip :].tolist())
