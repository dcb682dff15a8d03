"""Images to be measured, as batches of uint8: of a run, of any folder of images, or of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from samplerzoo.data.order import keyed_generator
from samplerzoo.errors import UsageError, ZooError

BATCH_SIZE = 250
SUBSET_SEED = 0
MANIFEST = "manifest.jsonl"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
"""What a picture's mode is read as, without loss."""


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images (N, C, H, W) of uint8, their labels (N,) if they have any, and what to call each."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    names: list[str]


def image_batches(name: str, split: str, num_images: int | None = None) -> Iterator[ImageBatch]:
    """`num_images` images of a run (its first), or of a folder or a data set (at random, the same ones every time).

    The first ones of the others would not do: data are often sorted, and the two halves of MNIST's test split come from
    different writers.

    Args:
        name: a run folder; a folder of images, made by any program, nested or not; or a data set as
            `train --dataset` takes it. In a folder that has one called as the split, the images of that count, and the
            folders in it are their classes.

    Raises:
        ZooError: there are fewer images, or one of another size or mode than the first; names it.
    """
    folder = Path(name).expanduser()
    if (folder / MANIFEST).is_file():
        return _run(folder, num_images)
    if folder.is_dir() and not any(folder.rglob("*.parquet")):
        return _pictures(folder / split if (folder / split).is_dir() else folder, (folder / split).is_dir(), num_images)
    return _data_set(name, split, num_images)


def names_images(name: str) -> bool:
    """Whether that can name images at all: a path, scikit-learn's digits, or a hub name."""
    return name == "digits" or "/" in name or Path(name).expanduser().exists()


def _run(folder: Path, num_images: int | None) -> Iterator[ImageBatch]:
    entries = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]
    entries = entries[: _enough(len(entries), num_images, str(folder))]
    labels = [entry.get("label") for entry in entries]
    return _read([folder / entry["file"] for entry in entries], None if None in labels else labels)


def _pictures(folder: Path, classed: bool, num_images: int | None) -> Iterator[ImageBatch]:
    """Of a folder, at random; `classed` if the folders in it are classes."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
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
    """(C, H, W), with nothing resized."""
    try:
        with Image.open(path) as image:
            mode = MODES.get(image.mode)
            if mode is None:
                raise UsageError(f"{path} has the mode {image.mode}: metrics see 8-bit grey or RGB; convert it")
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
    """That many of them; the same ones every time."""
    order: list[int] = torch.randperm(there, generator=keyed_generator(SUBSET_SEED)).tolist()
    return order[: _enough(there, wanted, name)]


def _enough(there: int, wanted: int | None, name: str) -> int:
    if not there:
        raise ZooError(f"{name} has no images")
    if wanted is not None and wanted > there:
        raise ZooError(f"{name} has {there} images, not {wanted}")
    return there if wanted is None else wanted
