"""Class labels for the images of a run, parsed from the user's text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

from samplerzoo.core.noise import check_seed
from samplerzoo.data.class_names import are_numbers, find_class, listed, split_list
from samplerzoo.errors import UsageError, did_you_mean
from samplerzoo.sampling.proportion import ProportionalLabels

if TYPE_CHECKING:
    from samplerzoo.core.model import Model

IN_PROPORTION = "natural, in proportion"
"""Name of "natural" labels in records. In records of earlier versions, "natural" means labels drawn at random."""


class Labels(Sequence[int]):
    """Labels of a run's images. Each one is computed on demand, so that a run may have any number of images.

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
    """Return one label per image. It depends on the image's index and the seed, not on the number of images.

    Args:
        text: `cat`, `3`, `0-9`, `cat,dog,5-7` (repeated in turn), `balanced` (all classes in turn), or `natural` (in
            proportion to the class counts of the data; see `ProportionalLabels`). A class is given by name, or by
            number unless all names are numbers.

    Raises:
        UsageError: the text is none of these, or the model has no such class.
    """
    K = model.classes
    if K is None:
        raise UsageError(f"{model.name} is unconditional and has no classifier: it takes no class labels")
    if text == "natural":
        return Labels(num_images, _natural(model, seed))
    ranges = [range(K)] if text == "balanced" else _parse(text, model.class_names or (), model.name)
    for labels in ranges:
        if labels[-1] >= K:
            wrong = max(labels[0], K)
            raise UsageError(f"class label {wrong} is out of range: {model.name} has the classes 0 to {K - 1}")
    cycle = [label for labels in ranges for label in labels]
    return Labels(num_images, lambda image: cycle[image % len(cycle)])


def _parse(text: str, names: Sequence[str], model: str) -> list[range]:
    """Return the labels that a list of names, numbers and ranges of numbers asks for, one range for each."""
    ranges = []
    for word, labels in split_list(text, names, lambda word: _range(word, names)):
        if labels is None and names:
            near = did_you_mean(word, list(names))
            raise UsageError(
                f"class labels {text!r}: {model} has no class {word!r}{near}; its classes: {listed(names)}; "
                "or give numbers, balanced or natural"
            )
        if labels is None:
            raise UsageError(f"class labels {text!r}: give 3, 0-9, 1,3,5-7, balanced or natural")
        if not labels:
            raise UsageError(f"class labels {text!r}: {word} runs backwards")
        ranges.append(labels)
    return ranges


def _range(word: str, names: Sequence[str]) -> range | None:
    """Return the labels of a class or of a range of classes. Return None if the word is neither."""
    found = find_class(word, names)
    if found is not None:
        return range(found, found + 1)
    match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", word)
    if match is None:
        return None
    ends = [match[1], match[2] or match[1]]
    labels = [find_class(end, names) for end in ends] if names and are_numbers(names) else [int(end) for end in ends]
    first, last = labels
    return None if first is None or last is None else range(first, last + 1)


def _natural(model: Model, seed: int) -> Callable[[int], int]:
    if not model.class_counts:
        raise UsageError(f"{model.name} does not record how frequent its classes are; take balanced labels")
    check_seed(seed)
    return ProportionalLabels.of(tuple(model.class_counts), seed)
