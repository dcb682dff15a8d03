"""Features in many files, read in fixed-size blocks with constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from samplerzoo.errors import ZooError
from samplerzoo.system.files import atomic_file

Values = NDArray[np.float32]
"""Features of shape (N, D)."""
Part = Path | Values
"""File of features, or features in memory."""

FEATURES = "features"
"""Name of the tensor in a file of features."""
BLOCK = 1000
"""Rows that are held in memory at a time."""


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

    def blocks(self) -> Iterator[Values]:
        """Yield all rows in order, BLOCK at a time."""
        return in_blocks(_read(part) for part in self._parts)

    def take(self, indices: NDArray[np.int64]) -> Values:
        """Return the rows at these indices, in this order."""
        found = np.empty((len(indices), self.dimensions), dtype=np.float32)
        owner = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(owner):
            mine = owner == number
            first = self._ends[number - 1] if number else 0
            found[mine] = _read(self._parts[number])[indices[mine] - first]
        return found


def _shape(part: Part) -> tuple[int, int]:
    if isinstance(part, np.ndarray):
        return part.shape[0], part.shape[1]
    with _opened(part) as content:
        count, width = content.get_slice(FEATURES).get_shape()
        return count, width


def _read(part: Part) -> Values:
    if isinstance(part, np.ndarray):
        return part
    with _opened(part) as content:
        values: Values = content.get_tensor(FEATURES)
        return values


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise ZooError(f"{path}: cannot be read: {error}") from error
