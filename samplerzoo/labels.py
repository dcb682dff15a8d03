"""Class labels for the images of a run, from what the user wrote."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from samplerzoo.errors import UsageError

if TYPE_CHECKING:
    from samplerzoo.models import Model

LABEL_STREAM = 2**64 - 1
"""A word of the generator's counter that no step of a run reaches."""


def class_labels(text: str, model: Model, num_images: int, seed: int) -> list[int]:
    """One label an image; the label of an image depends on its index and the seed, not on how many there are.

    Args:
        text: `3`, `0-9`, `1,3,5-7` (repeated in turn), `balanced` (all classes in turn), or `natural` (drawn with the
            frequencies of the training data).
    """
    K = model.classes
    if K is None:
        raise UsageError(f"{model.name} is unconditional and has no classifier: it takes no class labels")
    if text == "natural":
        return _natural(model, num_images, seed)
    cycle = list(range(K)) if text == "balanced" else _parse(text)
    for label in cycle:
        if label >= K:
            raise UsageError(f"class label {label} is out of range: {model.name} has the classes 0 to {K - 1}")
    return [cycle[i % len(cycle)] for i in range(num_images)]


def _parse(text: str) -> list[int]:
    labels: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise UsageError(f"class labels {text!r}: give 3, 0-9, 1,3,5-7, balanced or natural")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"class labels {text!r}: {part} runs backwards")
        labels.extend(range(first, last + 1))
    return labels


def _natural(model: Model, num_images: int, seed: int) -> list[int]:
    if not model.class_counts:
        raise UsageError(f"{model.name} does not record how frequent its classes are; take balanced labels")
    edges = list(accumulate(model.class_counts))
    labels = []
    for image in range(num_images):
        bits = np.random.Philox(key=[seed, image], counter=[0, 0, LABEL_STREAM, 0])
        word = int(bits.random_raw())
        labels.append(bisect_right(edges, word * edges[-1] >> 64))
    return labels
