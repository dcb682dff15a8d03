"""Arrays: reading of safetensors files that anybody may have written, with a clear one-line error if one is wrong.

All arrays in folders of results are read here. They have the shape, type and range that the reader expects, or an error
is raised.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from samplerzoo.errors import ZooError, reason
from samplerzoo.trust.pointers import refuse_pointer
from samplerzoo.trust.records import parse_record

AGAIN = "remove it, and it is made again when it is needed"
"""Advice for a wrong file that the program makes again by itself."""
DIGEST = "digest"
"""Key of the digest of a file's arrays and facts."""
FACTS = "facts"
"""Key of the metadata with digest and facts. It is the only key, since safetensors writes several in random order."""


@dataclass(frozen=True)
class Expected:
    """Requirements on an array.

    Attributes:
        shape: sizes of its axes; None for any size.
        least, most: bounds of its values.
        whole: True if values must be whole numbers.
        known: False if values may be NaN, for "not known".
    """

    shape: tuple[int | None, ...]
    least: float = -math.inf
    most: float = math.inf
    whole: bool = False
    known: bool = True

    def fault(self, values: NDArray[Any]) -> str | None:
        """Return what is wrong with an array; None if it meets the requirements."""
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


def read_array(path: Path, name: str, expected: Expected, way_out: str = AGAIN) -> NDArray[Any]:
    """Read an array of a file that `save_arrays` wrote.

    Raises:
        ZooError: the file is broken or was changed, or the array is missing or not as expected.
    """
    arrays, _ = read_arrays(path, way_out)
    return checked(named(arrays, name, path, way_out), expected, f"{path}: {name}", way_out)


def named(arrays: Mapping[str, NDArray[Any]], name: str, path: Path, way_out: str = AGAIN) -> NDArray[Any]:
    """Return an array of a file.

    Raises:
        ZooError: the file has no array of that name.
    """
    if name not in arrays:
        raise ZooError(f"{path}: holds no {name}; {way_out}")
    return arrays[name]


def checked(values: NDArray[Any], expected: Expected, what: str, way_out: str = AGAIN) -> NDArray[Any]:
    """Return an array after checking it.

    Raises:
        ZooError: it does not meet the requirements.
    """
    fault = expected.fault(values)
    if fault is not None:
        raise ZooError(f"{what}: {fault}; {way_out}")
    return values


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str] | None = None) -> None:
    """Write arrays with a digest, so that `read_arrays` notices changes.

    Args:
        facts: metadata of the file.
    """
    told = {**(facts or {}), DIGEST: _digest(arrays, facts or {})}
    save_file(dict(arrays), path, {FACTS: json.dumps(told, sort_keys=True)})


def read_arrays(path: Path, way_out: str = AGAIN) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read arrays that `save_arrays` wrote, and the facts.

    In a file of an earlier version each fact is a separate entry of the metadata, and there may be no digest.

    Raises:
        ZooError: the file is broken, or was changed after it was written.
    """
    refuse_pointer(path)
    try:
        with safe_open(path, framework="numpy") as content:
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (no mapping)
            facts = dict(content.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ZooError(f"{path}: cannot be read: {reason(error)}; {way_out}") from error
    if FACTS in facts:
        facts = parse_record(facts[FACTS], dict[str, str], f"{path}: {FACTS}")
    if facts.pop(DIGEST, None) not in (None, _digest(arrays, facts)):
        raise ZooError(f"{path}: was changed after it was written; {way_out}")
    return arrays, facts


def _digest(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> str:
    """Return the SHA-256 of names, shapes, types and values."""
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        found.update(json.dumps([name, values.shape, values.dtype.str]).encode())
        found.update(values.tobytes())
    return found.hexdigest()
