"""Errors of single images, as a benchmark's folder keeps them. Imports no torch: reports read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplerzoo.bench import shards
from samplerzoo.bench.results import Row
from samplerzoo.errors import ZooError
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.arrays import Expected, checked, read_arrays, save_arrays

ERRORS, KEPT_FILE = "errors", "errors.safetensors"
STOCHASTIC = "no error: it draws noise on the way, so that no one image is right for the noise it begins with"
"""Reason for which a row has no error."""
ROUNDING = 1e-4
"""Relative error of a mean of values in single precision."""


class LackingErrors(ZooError):
    """Error raised where errors of single images are missing, as in a committed folder without cells."""


def errors_of(folder: Path, cell: str, solution: str, count: int) -> NDArray[np.float64]:
    """Return the errors of a cell's first images, in the folder of a benchmark.

    Raises:
        LackingErrors: some of them are missing.
        ZooError: a file is wrong.
    """
    where = folder / shards.CELLS / cell / solution
    parts = [
        shards.read_one(shards.path(where, ERRORS, it), ERRORS, Expected((len(it),), 0))
        for it in shards.present(where, ERRORS)
    ]
    errors = np.concatenate([np.zeros(0), *parts])[:count]
    if len(errors) < count:
        raise LackingErrors(f"{where}: there are the errors of {len(errors)} images, not of {count}")
    return errors


def collect_errors(folder: Path, rows: Iterable[Row]) -> dict[str, NDArray[np.float64]]:
    """Return the errors of the single images of rows, by cell, and keep them in one file of the folder.

    With this file, a report can do without the cells.

    Raises:
        ZooError: the file cannot be read, or the errors disagree with a row.
    """
    found, kept = _errors_in(folder, rows)
    if kept:
        with atomic_file(folder / KEPT_FILE) as partial:
            save_arrays(partial, {key: np.ascontiguousarray(kept[key], np.float32) for key in sorted(kept)})
    return found


def gather_errors(folder: Path, rows: Iterable[Row]) -> dict[str, NDArray[np.float64]]:
    """Return the errors of the single images of rows, by cell. Nothing is written.

    Raises:
        ZooError: the file of kept errors cannot be read, or the errors disagree with a row.
    """
    return _errors_in(folder, rows)[0]


def _errors_in(folder: Path, rows: Iterable[Row]) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[Any]]]:
    """Return the errors of rows by cell, and all arrays that the file has to keep.

    Errors come from a cell's shards, or from the file if the cell is gone.
    """
    path = folder / KEPT_FILE
    kept: dict[str, NDArray[Any]] = {}
    if path.exists():
        kept, _ = read_arrays(path, shards.remade_from_cells(folder))
        for key, values in kept.items():
            checked(values, Expected((None,), 0), f"{path}: {key}", shards.remade_from_cells(folder))
    found = {}
    for row in rows:
        if row.error is not None and row.error.solution is not None and row.protocol.images is not None:
            key = f"{row.cell} {row.error.solution}"
            way_out = shards.remade_from_cells(folder)
            with suppress(LackingErrors):
                kept[key] = errors_of(folder, row.cell, row.error.solution, row.protocol.images)
                way_out = shards.MEASURED_AGAIN  # the shards are the source, so a mismatch is the row's fault
            if len(kept.get(key, ())) >= row.protocol.images:
                found[row.cell] = kept[key][: row.protocol.images]
                mean = float(found[row.cell].mean(dtype=np.float64))
                if row.error.mean is None or not math.isclose(mean, row.error.mean, rel_tol=ROUNDING):
                    raise ZooError(
                        f"{path}: {key}: the errors of its images have a mean of {mean:.4g}, and its row in "
                        f"results.jsonl has {row.error.mean}; {way_out}"
                    )
    return found, kept
