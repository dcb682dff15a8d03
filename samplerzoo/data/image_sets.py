"""Image data sets from the hub, parquet files, image folders or scikit-learn's digits, as map-style data sets of torch.

An item is (uint8 image of shape (C, H, W), label). A set that fits in memory is decoded once, a larger one on demand.
Images of another size are cropped to their centre square and resized with PIL's Lanczos filter.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from samplerzoo.data.options import DataOptions
from samplerzoo.errors import UsageError, ZooError, reason

if TYPE_CHECKING:
    import datasets

IN_MEMORY_BYTES = 2**31
"""Largest size of decoded images that are kept in memory."""
PROBED_ROWS = 64
"""Rows that are read to find the number of channels and the size."""
GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")
"""PIL modes without colour."""
NAMED_FAILURES = 5
"""Largest number of broken images that an error names."""


@dataclass(frozen=True)
class ImageData(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images with their labels.

    Attributes:
        source: uint8 tensor (N, C, H, W), or rows that are decoded on demand.
        labels: int64 tensor (N,), all zero if the data have no labels.
        class_names: one name per class; empty if the data have no labels.
        channels, image_size: number of channels, and side in pixels.
    """

    source: Tensor | LazyImages
    labels: Tensor
    class_names: tuple[str, ...]
    channels: int
    image_size: int

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return uint8 images (n, C, H, W) and labels (n,). The DataLoader of torch calls this for each batch."""
        rows = torch.as_tensor(indices)
        images = self.source[rows] if isinstance(self.source, Tensor) else self.source.decode(indices)
        return images, self.labels[rows]

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 if the data have no labels."""
        return len(self.class_names)

    @property
    def class_counts(self) -> list[int]:
        """Number of images of each class, empty if the data have no labels."""
        return torch.bincount(self.labels, minlength=self.num_classes).tolist() if self.class_names else []


@dataclass(frozen=True)
class LazyImages:
    """Rows of a `datasets` table that are decoded when they are read.

    Attributes:
        rows: the table, whose images are still encoded.
        column: name of its image column.
        channels, size: shape of a decoded image, (channels, size, size).
        name: name of the data set in errors.
    """

    rows: datasets.Dataset
    column: str
    channels: int
    size: int
    name: str

    def decode(self, indices: Sequence[int]) -> Tensor:
        """Return the images of these rows as a uint8 tensor (n, channels, size, size).

        Raises:
            ZooError: some images cannot be read. The message names the first of them.
        """
        images = torch.empty((len(indices), self.channels, self.size, self.size), dtype=torch.uint8)
        broken: list[str] = []
        for slot, index in enumerate(indices):
            entry = self.rows[int(index)][self.column]
            try:
                images[slot] = self._pixels(_open(entry))
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                broken.append(_describe(entry, int(index)))
        if broken:
            some = ", ".join(broken[:NAMED_FAILURES]) + (", ..." if len(broken) > NAMED_FAILURES else "")
            raise ZooError(f"{self.name}: {len(broken)} of {len(indices)} images cannot be read: {some}")
        return images

    def _pixels(self, image: Image.Image) -> Tensor:
        if self.channels == 1 and image.mode not in GREY_MODES:
            raise UsageError(f"{self.name} mixes grey and colour images: choose with --channels 1 or 3")
        return to_tensor(image, self.channels, self.size)


def to_tensor(image: Image.Image, channels: int, size: int) -> Tensor:
    """Convert a picture of any mode and size to a uint8 tensor (channels, size, size)."""
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image, dtype=np.uint8).reshape(size, size, channels)).permute(2, 0, 1)


def load_images(options: DataOptions, split: str | None = None) -> ImageData:
    """Load the data set that the options name.

    Args:
        split: split to load instead of `options.split`.

    Raises:
        UsageError: the options do not fit the data, or there is no such data set on disk.
        ZooError: the data cannot be read.
    """
    split = split or options.split
    data = _digits(options, split) if options.dataset == "digits" else _table(options, split)
    return _keep(data, options.classes) if options.classes else data


def _keep(data: ImageData, classes: str) -> ImageData:
    """Return the images of the named classes only. Their labels become 0, 1, ... in the order of the names."""
    names = tuple(part.strip() for part in classes.split(","))
    unknown = [name for name in names if name not in data.class_names]
    if unknown:
        known = ", ".join(data.class_names) or "none: the data have no labels"
        raise UsageError(f"no class named {unknown[0]!r}; the data's classes: {known}")
    old = [data.class_names.index(name) for name in names]
    rows = torch.isin(data.labels, torch.tensor(old)).nonzero().squeeze(1)
    number = torch.full((data.num_classes,), -1)
    number[old] = torch.arange(len(old))
    source = data.source
    source = source[rows] if isinstance(source, Tensor) else replace(source, rows=source.rows.select(rows.tolist()))
    return replace(data, source=source, labels=number[data.labels[rows]], class_names=names)


def _digits(options: DataOptions, split: str) -> ImageData:
    """Load scikit-learn's 1,797 handwritten digits of 8x8 pixels. Every fifth one belongs to the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError("--dataset digits needs scikit-learn: pip install 'samplerzoo[digits]'") from None
    if split not in ("train", "test"):
        raise UsageError(f"digits has the splits train and test, not {split!r}")
    digits = load_digits()
    rows = np.flatnonzero((np.arange(len(digits.target)) % 5 == 4) == (split == "test"))
    pixels = np.round(digits.images[rows] * (255 / 16)).astype(np.uint8)
    size = options.image_size or pixels.shape[-1]
    channels = options.channels or 1
    images = torch.stack([to_tensor(Image.fromarray(image), channels, size) for image in pixels])
    labels = torch.from_numpy(digits.target[rows].astype(np.int64))
    return ImageData(images, labels, tuple(str(name) for name in digits.target_names), channels, size)


def _table(options: DataOptions, split: str) -> ImageData:
    import datasets

    rows = _rows(options, split)
    if not len(rows):
        raise ZooError(f"{options.dataset} holds no images in its split {split!r}")
    column = _image_column(rows, options.image_column, options.dataset)
    rows = rows.cast_column(column, datasets.Image(decode=False))
    channels, size = _shape(rows, column, options)
    labels, names = _labels(rows, options.label_column)
    lazy = LazyImages(rows.select_columns([column]), column, channels, size, options.dataset)
    fits = len(rows) * channels * size * size <= IN_MEMORY_BYTES
    source = lazy.decode(tqdm(range(len(rows)), desc="decoding", disable=None, leave=False)) if fits else lazy
    return ImageData(source, labels, names, channels, size)


def _rows(options: DataOptions, split: str) -> datasets.Dataset:
    """Open one split of a parquet file, a folder or a hub data set, whichever `options.dataset` names."""
    import datasets

    path = Path(options.dataset)
    try:
        if path.is_file():
            if path.suffix != ".parquet":
                raise UsageError(f"{path} is not a .parquet file; give that, a folder of images, or a hub name")
            if split != options.split:
                raise UsageError(f"{path} is one file and has no split {split!r}: give the folder with all splits")
            return datasets.load_dataset("parquet", data_files={split: str(path)}, split=split)
        if path.is_dir():
            if any(path.rglob("*.parquet")):
                return datasets.load_dataset("parquet", data_dir=str(path), split=split)
            return datasets.load_dataset("imagefolder", data_dir=str(path), split=split)
        if path.is_absolute() or options.dataset.startswith("."):
            raise UsageError(f"no such file or folder: {path}")
        return datasets.load_dataset(options.dataset, options.dataset_config_name, split=split)
    except ZooError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ZooError(f"cannot load {options.dataset} (split {split}): {reason(error)}") from error


def _image_column(rows: datasets.Dataset, name: str | None, dataset: str) -> str:
    import datasets

    images = [key for key, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    if name is not None and name not in rows.column_names:
        raise UsageError(f"{dataset} has no column {name!r}; its columns: {', '.join(rows.column_names)}")
    if name is None and not images:
        raise UsageError(f"{dataset} has no image column; its columns: {', '.join(rows.column_names)}")
    return name or images[0]


def _labels(rows: datasets.Dataset, name: str | None) -> tuple[Tensor, tuple[str, ...]]:
    import datasets

    if name is None:
        named = [key for key, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)]
        name = named[0] if named else None
    if name is None:
        return torch.zeros(len(rows), dtype=torch.int64), ()
    if name not in rows.column_names:
        raise UsageError(f"no label column {name!r}; the columns: {', '.join(rows.column_names)}")
    if not isinstance(rows.features[name], datasets.ClassLabel):
        rows = rows.class_encode_column(name)
    return torch.tensor(rows[name][:], dtype=torch.int64), tuple(rows.features[name].names)


def _shape(rows: datasets.Dataset, column: str, options: DataOptions) -> tuple[int, int]:
    """Return the number of channels and the size, from the options or else from the first rows."""
    entries = rows[: min(PROBED_ROWS, len(rows))][column]
    probed: list[Image.Image] = []
    for entry in entries:
        try:
            probed.append(_open(entry))
        except (OSError, SyntaxError, ValueError):
            continue  # `decode` reports the broken ones
    if not probed:
        raise ZooError(f"{options.dataset}: none of its first {len(entries)} images can be read")
    channels = options.channels or (1 if all(image.mode in GREY_MODES for image in probed) else 3)
    sizes = {image.size for image in probed}
    if options.image_size:
        return channels, options.image_size
    if len(sizes) > 1 or len(set(next(iter(sizes)))) > 1:
        shown = ", ".join(f"{w}x{h}" for w, h in sorted(sizes)[:3])
        raise UsageError(f"{options.dataset} has images of {shown}: choose one size with --image-size")
    return channels, next(iter(sizes))[0]


def _open(entry: Any) -> Image.Image:
    content = entry["bytes"] if entry["bytes"] is not None else Path(entry["path"]).read_bytes()
    return Image.open(io.BytesIO(content))


def _describe(entry: Any, index: int) -> str:
    return f"{entry['path']} (row {index})" if entry.get("path") else f"row {index}"
