"""Features in many files, read in fixed-size blocks with constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm

from samplerzoo.errors import ZooError, reason
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.pointers import refuse_pointer

Values = NDArray[np.float32]
"""Features of shape (N, D)."""
Part = Path | Values
"""File of features, or features in memory."""

FEATURES = "features"
"""Name of the tensor in a file of features."""
BLOCK = 1000
"""Rows in memory at a time."""
PATIENCE = 3.0
"""Seconds after which long work shows its progress."""

T = TypeVar("T")


def write_features(path: Path, features: Values) -> None:
    """Write features (N, D) to a safetensors file atomically."""
    with atomic_file(path) as partial:
        save_file({FEATURES: features}, partial)


def in_blocks(parts: Iterable[Values]) -> Iterator[Values]:
    """Yield the rows of parts of any size in arrays of BLOCK rows. The last array may be shorter."""
    held: Values | None = None
    for part in parts:
        held = part if held is None else np.concatenate([held, part])
        while len(held) >= BLOCK:
            yield held[:BLOCK]
            held = held[BLOCK:]
    if held is not None and len(held):
        yield held


def progress(items: Iterable[T], task: str, total: int | None = None) -> Iterable[T]:
    """Show a bar over items on the terminal, if they take more than a few seconds."""
    return tqdm(items, desc=task, total=total, delay=PATIENCE, leave=False, disable=None)


class Rows:
    """Table of features, concatenated from files and arrays. Its blocks do not depend on how the rows are split.

    Args:
        parts: files or arrays of shape (n, D), in order.

    Attributes:
        dimensions: number D of columns, 0 if there are no parts.

    Raises:
        ZooError: the parts differ in D, or a file cannot be read.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        shapes = [_shape(part) for part in parts]
        widths = sorted({width for _, width in shapes})
        if len(widths) > 1:
            raise ZooError(f"features of {', '.join(map(str, widths))} dimensions in one set")
        self._parts = [part for part, (count, _) in zip(parts, shapes, strict=True) if count]
        self._ends = list(accumulate(count for count, _ in shapes if count))
        self.dimensions = widths[0] if widths else 0

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def blocks(self, task: str | None = None) -> Iterator[Values]:
        """Yield all rows in order, BLOCK at a time.

        Args:
            task: name of long work on the rows, to show its progress.
        """
        blocks = in_blocks(_read(part) for part in self._parts)
        return blocks if task is None else iter(progress(blocks, task, -(-len(self) // BLOCK)))


def _shape(part: Part) -> tuple[int, int]:
    if isinstance(part, np.ndarray):
        return part.shape[0], part.shape[1]
    with _opened(part) as content:
        features = content.get_slice(FEATURES)
        if features.get_dtype() != "F32":
            raise ZooError(f"{part}: features in {features.get_dtype()}, not in F32")
        count, width = features.get_shape()
        return count, width


def _read(part: Part) -> Values:
    """Return the rows of a part. A file is mapped into memory, so that only the rows in use are read."""
    if isinstance(part, np.ndarray):
        return part
    try:
        with part.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")  # safetensors: the header's length, the header, the tensors
            found = json.loads(file.read(header))[FEATURES]
        shape, (start, _) = tuple(found["shape"]), found["data_offsets"]
        values: Values = np.memmap(part, np.float32, "r", offset=8 + header + start, shape=shape)
        finite = all(np.isfinite(values[first : first + BLOCK]).all() for first in range(0, len(values), BLOCK))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{part}: cannot be read: {reason(error)}") from error
    if not finite:
        raise ZooError(f"{part}: features with NaN or infinity; remove it, and it is made again")
    return values


def _opened(path: Path) -> safe_open:
    refuse_pointer(path)
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise ZooError(f"{path}: cannot be read: {error}") from error
