"""Class labels for the images of a run, from what the user wrote."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, overload

import numpy as np

from samplerzoo.core.noise import check_seed
from samplerzoo.errors import UsageError

if TYPE_CHECKING:
    from samplerzoo.core.model import Model

LABEL_STREAM = 2**64 - 1
"""Word of the noise generator's counter for labels; no step of a run reaches it."""


class Labels(Sequence[int]):
    """Labels of a run's images, each worked out when it is asked for: a run has as many as it likes.

    Args:
        label_of: function from an image's index to its label.
    """

    def __init__(self, num_images: int, label_of: Callable[[int], int]) -> None:
        self._indices, self._label_of = range(num_images), label_of

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        found = self._indices[index]
        return self._label_of(found) if isinstance(found, int) else [*map(self._label_of, found)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list


def parse_class_labels(text: str, model: Model, num_images: int, seed: int) -> Labels:
    """Return one label an image. It depends on the image's index and the seed, not on the number of images.

    Args:
        text: `3`, `0-9`, `1,3,5-7` (repeated in turn), `balanced` (all classes in turn), or `natural` (drawn with the
            frequencies of the training data).

    Raises:
        UsageError: the text is none of these, or the model has no such class.
    """
    K = model.classes
    if K is None:
        raise UsageError(f"{model.name} is unconditional and has no classifier: it takes no class labels")
    if text == "natural":
        return Labels(num_images, _natural(model, seed))
    ranges = [range(K)] if text == "balanced" else _parse(text)
    for labels in ranges:
        if labels[-1] >= K:
            wrong = max(labels[0], K)
            raise UsageError(f"class label {wrong} is out of range: {model.name} has the classes 0 to {K - 1}")
    cycle = [label for labels in ranges for label in labels]
    return Labels(num_images, lambda image: cycle[image % len(cycle)])


def _parse(text: str) -> list[range]:
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise UsageError(f"class labels {text!r}: give 3, 0-9, 1,3,5-7, balanced or natural")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"class labels {text!r}: {part} runs backwards")
        ranges.append(range(first, last + 1))
    return ranges


def _natural(model: Model, seed: int) -> Callable[[int], int]:
    if not model.class_counts:
        raise UsageError(f"{model.name} does not record how frequent its classes are; take balanced labels")
    check_seed(seed)
    counter = np.array([0, 0, LABEL_STREAM, 0], dtype=np.uint64)
    edges = list(accumulate(model.class_counts))

    def label_of(image: int) -> int:
        key = np.array([seed, image], dtype=np.uint64)
        word = int(np.random.Philox(key=key, counter=counter).random_raw())
        return bisect_right(edges, word * edges[-1] >> 64)

    return label_of
