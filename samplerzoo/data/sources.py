"""Batches of uint8 images for metrics, from a run, a folder of images or a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, NonNegativeInt, field_validator

from samplerzoo.data.order import keyed_generator
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.limits import MOST_VALUES
from samplerzoo.options import Name, Options
from samplerzoo.records import read_lines

BATCH_SIZE = 250
"""Images per batch."""
SUBSET_SEED = 0
"""Seed of the random choice of images."""
MANIFEST = "manifest.jsonl"
"""File that marks a run folder and lists its images."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""Suffixes of image files, in lower case."""
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
"""PIL modes that can be read without loss, and the mode that each is converted to."""


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Batch of uint8 images (N, C, H, W), with their labels (N,) or None, and a name for each image in errors."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    names: list[str]


class ManifestLine(Options):
    """Line of a run's manifest.jsonl, as far as metrics read it. Its file lies in the run folder."""

    model_config = ConfigDict(extra="ignore")

    file: Name
    label: NonNegativeInt | None = None

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        path = PurePath(file)
        if path.is_absolute() or ".." in path.parts or "\0" in file:
            raise ValueError(f"{file!r} is no file in the run folder")
        return file


def image_batches(name: str, split: str, num_images: int | None = None) -> Iterator[ImageBatch]:
    """Read images in batches: the first ones of a run, or a random subset of a folder or data set.

    The subset is random because data are often sorted: the halves of MNIST's test split come from different writers.
    It is the same in every call.

    Args:
        name: a run folder; a folder of images from any program, nested or not; or a data set as `train --dataset`
            takes it. If a folder of images has a subfolder named like the split, only that one is read, and its
            subfolders are the classes.
        split: split of a folder or data set. Ignored for a run.
        num_images: number of images; all of them if None.

    Raises:
        ZooError: there are too few images, or an image has another size or mode than the first.
    """
    folder = Path(os.path.expanduser(name))
    if (folder / MANIFEST).is_file():
        return _run(folder, num_images)
    if folder.is_dir() and not any(folder.rglob("*.parquet")):
        return _pictures(folder / split if (folder / split).is_dir() else folder, (folder / split).is_dir(), num_images)
    return _data_set(name, split, num_images)


def names_images(name: str) -> bool:
    """Return True if `name` can mean images: an existing path, scikit-learn's digits, or a hub name."""
    return name == "digits" or "/" in name or Path(os.path.expanduser(name)).exists()


def _run(folder: Path, num_images: int | None) -> Iterator[ImageBatch]:
    entries = read_lines(folder / MANIFEST, ManifestLine)
    entries = entries[: _enough(len(entries), num_images, str(folder))]
    labels = [entry.label for entry in entries if entry.label is not None]
    return _read([folder / entry.file for entry in entries], labels if len(labels) == len(entries) else None)


def _pictures(folder: Path, classed: bool, num_images: int | None) -> Iterator[ImageBatch]:
    """Read a random subset of a folder. If `classed`, its subfolders are the classes."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    # hidden files and folders are the system's, or are being written
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    chosen = _random(len(files), num_images, str(folder))
    first = [path.relative_to(folder).parts for path in files]
    labels = None
    if classed and files and all(len(parts) > 1 for parts in first):
        classes = sorted({parts[0] for parts in first})
        labels = [classes.index(first[index][0]) for index in chosen]
    return _read([files[index] for index in chosen], labels)


def _read(files: Sequence[Path], labels: Sequence[int] | None) -> Iterator[ImageBatch]:
    shape: tuple[int, ...] | None = None
    for start in range(0, len(files), BATCH_SIZE):
        part = files[start : start + BATCH_SIZE]
        images = []
        for path in part:
            pixels = _pixels(path)
            shape = shape or pixels.shape
            if pixels.shape != shape:
                raise ZooError(f"{path} is {_size(pixels.shape)}, and {files[0]} is {_size(shape)}: make them alike")
            images.append(pixels)
        known = None if labels is None else np.array(labels[start : start + BATCH_SIZE], dtype=np.int64)
        yield ImageBatch(np.stack(images), known, [str(path) for path in part])


def _pixels(path: Path) -> NDArray[np.uint8]:
    """Read the pixels (C, H, W) of an image file, without resizing.

    Raises:
        UsageError: its mode cannot be read without loss.
        ZooError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            mode = MODES.get(image.mode)
            if mode is None:
                raise UsageError(f"{path} has the mode {image.mode}: metrics see 8-bit grey or RGB; convert it")
            if image.width * image.height > MOST_VALUES:
                raise ZooError(f"{path} has {image.width}x{image.height} pixels; at most {MOST_VALUES} are read")
            pixels = np.asarray(image.convert(mode))
    except ZooError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ZooError(f"{path}: cannot be read as a picture: {error}") from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]} in {'colour' if shape[0] == 3 else 'grey'}"


def _data_set(name: str, split: str, num_images: int | None) -> Iterator[ImageBatch]:
    from samplerzoo.data import image_sets as data
    from samplerzoo.data.options import DataOptions

    found = data.load_images(DataOptions(dataset=name, split=split))
    chosen = _random(len(found), num_images, name)
    for start in range(0, len(chosen), BATCH_SIZE):
        rows = chosen[start : start + BATCH_SIZE]
        images, labels = found.__getitems__(rows)
        names = [f"row {row} of {name}" for row in rows]
        yield ImageBatch(images.numpy(), labels.numpy() if found.num_classes else None, names)


def _random(there: int, wanted: int | None, name: str) -> list[int]:
    """Choose `wanted` of `there` indices at random, the same ones in every call."""
    order: list[int] = torch.randperm(there, generator=keyed_generator(SUBSET_SEED)).tolist()
    return order[: _enough(there, wanted, name)]


def _enough(there: int, wanted: int | None, name: str) -> int:
    """Return `wanted`, or `there` if it is None. Raise ZooError if there are too few images."""
    if not there:
        raise ZooError(f"{name} has no images")
    if wanted is not None and wanted > there:
        raise ZooError(f"{name} has {there} images, not {wanted}")
    return there if wanted is None else wanted
