"""Class labels in the proportion of the data, in every prefix of a run.

With labels drawn at random, the mix of 1,000 images differs by chance from that of the data. This changes a Fréchet
distance by more than samplers do.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterator, Sequence

import numpy as np

LABEL_STREAM = 2**64 - 1
"""Word of the noise generator's counter for labels; no step of a run reaches it."""

BLOCK = 256
"""Number of images in a block, within which labels are shuffled."""

PASSES = 4
"""Number of times that each image of a block is offered another place."""


class ProportionalLabels:
    """Labels whose mix is that of the data, in every prefix: class k has n p_k of n images, rounded up or down.

    A prefix keeps its labels when more images follow. The seed decides only the order. Labels are computed in blocks,
    up to the last one that was asked for.

    Args:
        counts: images per class in the data; p_k is the share of class k.
    """

    def __init__(self, counts: Sequence[int], seed: int) -> None:
        self._turns, self._seed, self._labels = _turns(counts), seed, list[int]()

    @classmethod
    @functools.lru_cache(maxsize=64)  # all cells of a benchmark ask for the same labels
    def of(cls, counts: tuple[int, ...], seed: int) -> ProportionalLabels:
        """Return the labels from a cache, so that equal requests share them."""
        return cls(counts, seed)

    def __call__(self, image: int) -> int:
        """Return the label of an image."""
        while image >= len(self._labels):
            block = [next(self._turns) for _ in range(BLOCK)]
            self._labels += _shuffled(block, len(self._labels), self._seed)
        return self._labels[image]


Turn = tuple[int, int, int]
"""One image of a class: the last and the first place that it may have, counted from 1, and the class."""


def _turns(counts: Sequence[int]) -> Iterator[Turn]:
    """Yield the images of all classes, the most urgent first.

    The j-th image of class k must come after place (j - 1) / p_k, since before it would be one too many, and at place
    j / p_k at the latest. Taking the image with the earliest deadline first meets all deadlines (Steiner and Yeomans
    1993).
    """
    total = sum(counts)
    waiting = [(1, k, 1) for k, count in enumerate(counts) if count]  # first place, class, number j
    urgent: list[tuple[int, int, int, int]] = []
    place = 0
    while True:
        place += 1
        while waiting and waiting[0][0] <= place:
            first, k, j = heapq.heappop(waiting)
            heapq.heappush(urgent, (-(-j * total // counts[k]), k, first, j))
        last, k, first, j = heapq.heappop(urgent)
        heapq.heappush(waiting, (j * total // counts[k] + 1, k, j + 1))
        yield last, first, k


def _shuffled(turns: list[Turn], before: int, seed: int) -> list[int]:
    """Shuffle a block of turns by swaps that keep each one within its allowed places.

    Args:
        before: number of places before the block.
    """
    counter = np.array([0, 0, LABEL_STREAM, 0], dtype=np.uint64)
    key = np.array([seed, before], dtype=np.uint64)
    shares = np.random.Generator(np.random.Philox(key=key, counter=counter)).random((PASSES, len(turns)))
    for share in shares.tolist():
        for here, u in enumerate(share):
            last, first, _ = turns[here]
            low, high = max(first - 1 - before, 0), min(last - 1 - before, len(turns) - 1)
            there = low + int(u * (high - low + 1))
            other_last, other_first, _ = turns[there]
            if other_first <= before + here + 1 <= other_last:
                turns[here], turns[there] = turns[there], turns[here]
    return [k for _, _, k in turns]
