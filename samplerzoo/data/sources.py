"""Batches of uint8 images for metrics, from a run, a folder of images or a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from samplerzoo.data.folders import MANIFEST
from samplerzoo.data.image_sets import ImageData, load_images, summary
from samplerzoo.data.labels import UNLABELLED
from samplerzoo.data.options import DIGITS, DataOptions
from samplerzoo.data.order import keyed_generator
from samplerzoo.data.pictures import PictureError, open_picture
from samplerzoo.data.tables import Table, open_table
from samplerzoo.errors import ZooError

BATCH_SIZE = 250
"""Images per batch."""
SUBSET_SEED = 0
"""Seed of the random choice of images."""


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Batch of uint8 images (N, C, H, W), with their labels (N,) or None, and a name for each image in errors."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    names: list[str]


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Images to measure, which are read in batches when it is iterated over.

    Attributes:
        name: the images, as the user named them.
        data: where they are read from.
        chosen: rows of the data to read, in order.
        labels: labels of all rows of the data; None if they have none.
        class_names: names of the labels; empty if only their numbers are known.
        notes: sentences on assumptions, and on what was left out.
    """

    name: str
    data: Table | ImageData
    chosen: Sequence[int]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of the first image, which all others have to have."""
        row = self.chosen[0]
        return self._pixels(row, self._row(row)).shape

    @property
    def summary(self) -> str:
        """Summary of the images in one line: how many, and of which classes."""
        classes, counts = self.class_names, []
        if self.labels is not None:
            counts = np.bincount(self.labels[self.chosen], minlength=len(classes)).tolist()
        return summary(self.name, len(self), classes, counts, self.notes)

    def __iter__(self) -> Iterator[ImageBatch]:
        """Read the images.

        Raises:
            ZooError: one cannot be read, or has another size or number of channels than the first.
        """
        shape: tuple[int, ...] | None = None
        first = ""
        for start in range(0, len(self.chosen), BATCH_SIZE):
            rows = self.chosen[start : start + BATCH_SIZE]
            names, images = [self._row(row) for row in rows], []
            for row, name in zip(rows, names, strict=True):
                pixels = self._pixels(row, name)
                if shape is None:
                    shape, first = pixels.shape, name
                if pixels.shape != shape:
                    raise ZooError(f"{name} is {_size(pixels.shape)}, and {first} is {_size(shape)}: make them alike")
                images.append(pixels)
            yield ImageBatch(np.stack(images), None if self.labels is None else self.labels[rows], names)

    def _row(self, row: int) -> str:
        path = self.data.path(row) if isinstance(self.data, Table) else None
        return path or f"row {row} of {self.name}"

    def _pixels(self, row: int, name: str) -> NDArray[np.uint8]:
        """Read the pixels (C, H, W) of an image, without resizing."""
        if isinstance(self.data, ImageData):
            return self.data[row][0].numpy()
        try:
            pixels = np.asarray(open_picture(self.data.content(row)))
        except PictureError as error:
            raise ZooError(f"{name}: cannot be read as a picture: {error}") from error
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def image_batches(name: str, split: str, num_images: int | None = None, **options: str | None) -> ImageSource:
    """Open images to read in batches: the first ones of a run, or a random subset of a folder or data set.

    The subset is random because data are often sorted: the halves of MNIST's test split come from different writers.
    It is the same in every call.

    Args:
        name: a run folder; a folder of images from any program, nested or not; or a data set as `train --dataset`
            takes it.
        split: split of a data set, or of a folder that is divided into splits. Ignored for others.
        num_images: number of images; all of them if None.
        options: further options of the data set, as `label_column`.

    Raises:
        ZooError: there are no such images, or too few.
    """
    asked = DataOptions(dataset=name, split=split, **options)
    if name == DIGITS:
        data = load_images(asked)
        chosen = _random(len(data), num_images, name)
        return ImageSource(name, data, chosen, data.labels.numpy(), data.class_names)
    table = open_table(asked, split, whole=True)
    labels, notes = table.labels, table.notes
    known = bool((labels.values != UNLABELLED).all()) and labels.column is not None
    if labels.column is not None and not known:
        notes += (labels.without_some,)
    notes += (f"labels: {table.labelled_by}",) * known
    is_run = (Path(os.path.expanduser(name)) / MANIFEST).is_file()
    chosen = list(range(_enough(len(table), num_images, name))) if is_run else _random(len(table), num_images, name)
    return ImageSource(
        name, table, chosen, labels.values.numpy() if known else None, labels.names if known else (), notes
    )


def names_images(name: str) -> bool:
    """Return True if `name` can mean images: an existing path, scikit-learn's digits, or a hub name."""
    return name == DIGITS or "/" in name or Path(os.path.expanduser(name)).exists()


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]} in {'colour' if shape[0] == 3 else 'grey'}"


def _random(there: int, wanted: int | None, name: str) -> list[int]:
    """Choose `wanted` of `there` indices at random, the same ones in every call."""
    order: list[int] = torch.randperm(there, generator=keyed_generator(SUBSET_SEED)).tolist()
    return order[: _enough(there, wanted, name)]


def _enough(there: int, wanted: int | None, name: str) -> int:
    """Return `wanted`, or `there` if it is None. Raise ZooError if there are too few images."""
    if wanted is not None and wanted > there:
        raise ZooError(f"{name} has {there} images, not {wanted}")
    return there if wanted is None else wanted
