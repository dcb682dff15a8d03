"""Image data sets from the hub, parquet files, image folders or scikit-learn's digits, as map-style data sets of torch.

An item is (uint8 image of shape (C, H, W), label). A set that fits in memory is decoded once, a larger one on demand.
Images of another size are cropped to their centre square and resized with PIL's Lanczos filter.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from samplerzoo.data.class_names import NAMED, parse_classes
from samplerzoo.data.labels import UNLABELLED, check_labelled
from samplerzoo.data.marks import Marks
from samplerzoo.data.options import DIGITS, DataOptions
from samplerzoo.data.pictures import PictureError, open_picture
from samplerzoo.data.tables import Table, open_table
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.trust.limits import MOST_EXACT
from samplerzoo.trust.markup import visible

IN_MEMORY_BYTES = 2**31
"""Largest size of decoded images that are kept in memory."""
PROBED_ROWS = 64
"""Rows that are read to find the number of channels and the size."""
HASHED_ROWS = 1000
"""Images whose content is part of a fingerprint, evenly spread."""
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
        name: the data set, as the user named it.
        notes: sentences on assumptions, and on what was left out.
        table: rows that the images were read from, if they come from a table.
    """

    source: Tensor | LazyImages
    labels: Tensor
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    name: str = "data"
    notes: tuple[str, ...] = ()
    table: Table | None = None

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

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of label, name and size of every image, in order, and of the content of some, so that it is fast.

        It hashes files and not pixels, since another version of Pillow may decode other pixels.
        """
        digest = hashlib.sha256(json.dumps([self.class_names, self.labels.tolist()]).encode())
        if self.table is None:
            digest.update(self.__getitems__(self._some)[0].numpy().tobytes())
        else:
            files, contents = self._read
            digest.update(hashlib.sha256(b"".join([json.dumps(files).encode(), *contents])).hexdigest().encode())
        return digest.hexdigest()

    @functools.cached_property
    def marks(self) -> Marks | None:
        """Marks of what the fingerprint hashes, picture by picture; None for images without files."""
        if self.table is None:
            return None
        files, contents = self._read
        names = self.class_names or ("",)
        labelled = [(names[label], *file) for label, file in zip(self.labels.tolist(), files, strict=True)]
        return Marks.of(labelled, contents, self._some)

    @property
    def _some(self) -> list[int]:
        """Rows whose content is read for the fingerprint."""
        some: list[int] = np.linspace(0, len(self) - 1, min(len(self), HASHED_ROWS)).astype(int).tolist()
        return some

    @functools.cached_property
    def _read(self) -> tuple[list[tuple[str, int | None]], list[bytes]]:
        """Names and sizes of all files, and digests of some."""
        assert self.table is not None
        return self.table.names_and_sizes(), self.table.digests(self._some)

    @property
    def summary(self) -> str:
        """Summary of the data in one line: how many images, and which classes."""
        shape = f"{self.image_size}x{self.image_size}, {'grey' if self.channels == 1 else 'colour'}"
        return summary(self.name, len(self), self.class_names, self.class_counts, (shape, *self.notes))


@dataclass(frozen=True)
class LazyImages:
    """Rows of a table that are decoded when they are read.

    Attributes:
        channels, size: shape of a decoded image, (channels, size, size).
        fitted: crop and resize images of another size. Without it they are refused.
        turned_grey: turn colour into grey if there is one channel. Without it colour is refused.
    """

    table: Table
    channels: int
    size: int
    fitted: bool
    turned_grey: bool

    def decode(self, indices: Sequence[int]) -> Tensor:
        """Return the images of these rows as a uint8 tensor (n, channels, size, size).

        Raises:
            UsageError: an image has another size, or colour among grey ones.
            ZooError: some images cannot be read. The message names the first of them.
        """
        images = torch.empty((len(indices), self.channels, self.size, self.size), dtype=torch.uint8)
        broken: list[str] = []
        for slot, index in enumerate(indices):
            try:
                images[slot] = self._pixels(open_picture(self.table.content(int(index))))
            except PictureError as error:
                path = self.table.path(int(index))
                broken.append(f"{path} (row {index}): {error}" if path else f"row {index}: {error}")
        if broken:
            some = ", ".join(broken[:NAMED_FAILURES]) + (", ..." if len(broken) > NAMED_FAILURES else "")
            raise ZooError(f"{self.table.name}: {len(broken)} of {len(indices)} images cannot be read: {some}")
        return images

    def _pixels(self, image: Image.Image) -> Tensor:
        name = self.table.name
        if self.channels == 1 and image.mode != "L" and not self.turned_grey:
            raise UsageError(f"{name} mixes grey and colour images: choose with --channels 1 or 3")
        if not self.fitted and image.size != (self.size, self.size):
            sizes = f"{self.size}x{self.size}, {image.width}x{image.height}"
            raise UsageError(f"{name} has images of {sizes}: choose one size with --image-size")
        return to_tensor(image, self.channels, self.size)


def summary(name: str, images: int, classes: Sequence[str], counts: Sequence[int], notes: Sequence[str]) -> str:
    """Summarize a data set in one line: how many images, which classes, and notes."""
    said = "no labels"
    if classes and len(classes) <= NAMED:
        kinds = ", ".join(f"{label} {count:,}" for label, count in zip(classes, counts, strict=True))
        said = f"{len(classes)} class{'es' * (len(classes) > 1)}: {kinds}"
    elif classes:
        said = f"{len(classes):,} classes of {min(counts):,} to {max(counts):,} images: {classes[0]} to {classes[-1]}"
    return visible("; ".join([f"{name}: {images:,} images, {said}", *notes]))


def to_tensor(image: Image.Image, channels: int, size: int) -> Tensor:
    """Convert a picture of mode L or RGB and any size to a uint8 tensor (channels, size, size)."""
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
    return _digits(options, split) if options.dataset == DIGITS else _from_table(options, split)


def _digits(options: DataOptions, split: str) -> ImageData:
    """Load scikit-learn's 1,797 handwritten digits of 8x8 pixels. Every fifth one belongs to the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError("--dataset digits needs scikit-learn: pip install 'samplerzoo[digits]'") from None
    for flag in ("dataset_config_name", "image_column", "label_column"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag.replace('_', '-')}: digits has none to choose from; leave it out")
    if split not in ("train", "test"):
        raise UsageError(f"digits has the splits train and test, not {split!r}")
    digits = load_digits()
    rows = np.flatnonzero((np.arange(len(digits.target)) % 5 == 4) == (split == "test"))
    pixels = np.round(digits.images[rows] * (255 / 16)).astype(np.uint8)
    size = options.image_size or pixels.shape[-1]
    channels = options.channels or 1
    if len(rows) * channels * size**2 > MOST_EXACT:
        raise UsageError(
            f"digits of {size}x{size} pixels are too large to be kept in memory: --image-size 32, or as few"
        )
    images = torch.stack([to_tensor(Image.fromarray(image), channels, size) for image in pixels])
    labels = torch.from_numpy(digits.target[rows].astype(np.int64))
    names = tuple(str(name) for name in digits.target_names)
    if options.classes is not None:
        chosen = parse_classes(options.classes, names)
        kept = torch.isin(labels, torch.tensor(chosen))
        number = torch.full((len(names),), UNLABELLED)
        number[chosen] = torch.arange(len(chosen))
        images, labels, names = images[kept], number[labels[kept]], tuple(names[index] for index in chosen)
    return ImageData(images, labels, names, channels, size, DIGITS)


def _from_table(options: DataOptions, split: str) -> ImageData:
    table = open_table(options, split)
    labels, notes = table.labels, table.notes
    known = (labels.values != UNLABELLED).all()
    if options.wants_labels:
        check_labelled(labels, options.dataset)
    elif labels.names and not known:
        notes += (labels.without_some,)
    named = bool(labels.names and known)
    notes += (f"labels: {table.labelled_by}",) * named
    channels, size = _shape(table, options)
    lazy = LazyImages(table, channels, size, options.image_size is not None, options.channels is not None)
    fits = len(table) * channels * size * size <= IN_MEMORY_BYTES
    source = lazy.decode(tqdm(range(len(table)), desc="decoding", disable=None, leave=False)) if fits else lazy
    values = labels.values if named else torch.zeros(len(table), dtype=torch.int64)
    return ImageData(source, values, labels.names if named else (), channels, size, options.dataset, notes, table)


def _shape(table: Table, options: DataOptions) -> tuple[int, int]:
    """Return the number of channels and the size, from the options or else from the first rows."""
    first = min(PROBED_ROWS, len(table))
    probed: list[Image.Image] = []
    for index in range(first):
        try:
            probed.append(open_picture(table.content(index)))
        except PictureError:
            continue  # `decode` reports the broken ones
    if not probed:
        LazyImages(table, 1, 1, True, True).decode(range(first))  # says why
    channels = options.channels or (1 if all(image.mode == "L" for image in probed) else 3)
    sizes = {image.size for image in probed}
    if options.image_size:
        return channels, options.image_size
    if len(sizes) > 1 or len(set(next(iter(sizes)))) > 1:
        shown = ", ".join(f"{w}x{h}" for w, h in sorted(sizes)[:3])
        raise UsageError(f"{table.name} has images of {shown}: choose one size with --image-size")
    return channels, next(iter(sizes))[0]
