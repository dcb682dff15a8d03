"""Arrays: safetensors files that another hand may have written, read in one way, with a clear line where one is wrong.

Whatever reads arrays of a folder of results reads them here. What comes back has the shape, the kind and the range that
its reader expects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from samplerzoo.errors import ZooError, reason

AGAIN = "remove it, and it is made again"
"""Way out where the program makes the file that is wrong."""


@dataclass(frozen=True)
class Expected:
    """What an array is expected to be.

    Attributes:
        shape: sizes of its axes; None is any size.
        least, most: bounds of its values.
        whole: True of whole numbers.
        known: False if NaN may stand for what is not known.
    """

    shape: tuple[int | None, ...]
    least: float = -math.inf
    most: float = math.inf
    whole: bool = False
    known: bool = True

    def fault(self, values: NDArray[Any]) -> str | None:
        """Say what is wrong with an array; None if nothing is."""
        fits = [size in (None, own) for size, own in zip(self.shape, values.shape, strict=False)]
        if values.ndim != len(self.shape) or not all(fits):
            wanted = ", ".join("any" if size is None else str(size) for size in self.shape)
            return f"shape {values.shape}, not ({wanted})"
        if values.dtype.kind not in ("iu" if self.whole else "iuf"):
            return f"values of type {values.dtype}, not {'whole numbers' if self.whole else 'numbers'}"
        if values.dtype.kind == "f":
            values = values if self.known else values[~np.isnan(values)]
            if not np.isfinite(values).all():
                return "NaN or infinity"
        if values.size and (values.min() < self.least or values.max() > self.most):
            low, high = (f"{end:g}" for end in (self.least, self.most))
            return f"values outside of [{low}, {high}]"
        return None


@contextmanager
def opened(path: Path, way_out: str = AGAIN) -> Iterator[safe_open]:
    """Open a safetensors file.

    Args:
        way_out: what to do about a file that is wrong.

    Raises:
        ZooError: it is none, or is broken; also from inside of the block.
    """
    try:
        with safe_open(path, framework="numpy") as content:
            yield content
    except (OSError, SafetensorError) as error:
        raise ZooError(f"{path}: cannot be read: {reason(error)}; {way_out}") from error


def read_array(path: Path, name: str, expected: Expected, way_out: str = AGAIN) -> NDArray[Any]:
    """Read an array of a safetensors file.

    Raises:
        ZooError: the file is broken, or the array is missing or not as expected.
    """
    with opened(path, way_out) as content:
        values: NDArray[Any] = content.get_tensor(name)
    return checked(values, expected, f"{path}: {name}", way_out)


def checked(values: NDArray[Any], expected: Expected, what: str, way_out: str = AGAIN) -> NDArray[Any]:
    """Return an array that is as expected.

    Raises:
        ZooError: it is not.
    """
    fault = expected.fault(values)
    if fault is not None:
        raise ZooError(f"{what}: {fault}; {way_out}")
    return values
