"""Errors of images: their distances to the converged solution of the probability flow from the same noise.

A converged solution is made once for all samplers with the same model, guidance, clip, labels and seed, and kept in the
benchmark's folder. The errors of a cell lie beside its images, a file a shard.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplerzoo import registry
from samplerzoo.bench import shards
from samplerzoo.bench.cell import Cell, cell_title, identity
from samplerzoo.bench.image_errors import ERRORS, STOCHASTIC, errors_of
from samplerzoo.bench.image_mean import interval
from samplerzoo.bench.meter import Meter
from samplerzoo.bench.results import ERROR, ImageError, Protocol, target_of
from samplerzoo.core.exact import is_stochastic
from samplerzoo.core.features import Features
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.images import to_uint8
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.sampling import converged, convergence
from samplerzoo.sampling.converged import Converged
from samplerzoo.system.files import digest_text
from samplerzoo.trust.arrays import Expected

CONVERGED = "converged"
"""Folder of the converged solutions, and kind of their shards."""
MOVED, STEPS = "moved", "steps"


@functools.cache
def is_deterministic(cell: Cell) -> bool:
    """Tell whether a cell's sampler draws no noise after x_T."""
    return not is_stochastic(cell.plan.sampler, cell.plan.grid, cell.plan.model.schedule)


def solutions(cells: Iterable[Cell]) -> list[Cell]:
    """Return the converged solutions that the deterministic cells are compared with, as cells to make, each once."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if is_deterministic(cell):
            name = solution_name(cell)
            if name not in found or found[name].images < cell.images:
                found[name] = _solution(cell, name)
    return [*found.values()]


def _solution(cell: Cell, name: str) -> Cell:
    """Return the cell of a converged solution. It is computed in float32, whatever the dtype of the other cells."""
    plan = converged.with_steps(cell.plan, 2 * convergence.FIRST_STEPS)
    told: dict[str, Any] = {"sampler": "converged solution", "sampler_options": {}, "spacing": None, "timesteps": None}
    recipe = cell.recipe.model_copy(update={**told, "steps": len(plan.grid), "dtype": "float32"})
    return Cell(name, recipe, plan, converged.least_cost(cell.plan), converges=True)


@functools.cache
def solution_name(cell: Cell) -> str:
    """Hash all that the converged solution of image i depends on."""
    recipe = cell.recipe
    known = identity(recipe, cell.plan)
    for name in ("sampler", "sampler_options", "plugins", "grid", "dtype"):
        del known[name]
    if recipe.guidance is not None:
        plugin = registry.get("guidance", recipe.guidance)
        known["plugin"] = recipe.plugins.get(str(plugin.file or plugin.source))
    return digest_text(json.dumps({**known, "method": convergence.METHOD}, sort_keys=True))


def save_converged(folder: Path, shard: range, found: Converged) -> None:
    """Save the converged solutions of a shard in their folder."""
    tensors = {CONVERGED: found.images.numpy(), MOVED: found.moved.numpy(), STEPS: found.steps.numpy()}
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    shards.save(shards.path(folder, CONVERGED, shard), arrays)


def read_converged(folder: Path, wanted: Sequence[int], name: str = CONVERGED) -> NDArray:
    """Read one array of the converged solutions of some images.

    Args:
        wanted: indices of the images, in ascending order.
        name: CONVERGED for the images (N, C, H, W), MOVED for how far they moved when their steps were last doubled
            (N,), or STEPS for their numbers of steps (N,).

    Raises:
        ZooError: an image has no converged solution.
    """
    rows: dict[int, NDArray] = {}
    for shard in shards.present(folder, CONVERGED):
        if shard[0] <= wanted[-1] and wanted[0] <= shard[-1]:
            rows |= zip(shard, _read_shard(folder, shard, name), strict=True)
    lacking = [index for index in wanted if index not in rows]
    if lacking:
        raise ZooError(f"{folder}: there is no converged solution of image {lacking[0]}")
    return np.stack([rows[index] for index in wanted])


def _read_shard(folder: Path, shard: range, name: str) -> NDArray:
    """Read one array of a shard of converged solutions; for `name`, see `read_converged`."""
    expected = {
        CONVERGED: Expected((len(shard), None, None, None)),
        MOVED: Expected((len(shard),), 0),
        STEPS: Expected((len(shard),), 1),
    }
    return shards.read_one(shards.path(folder, CONVERGED, shard), name, expected[name])


class ErrorMeter:
    """Meter of errors: distances of images to the converged solution.

    Args:
        folder: folder of the benchmark.
        meter: meter of a feature network, to measure distances between features, too; None for pixels alone.
    """

    def __init__(self, folder: Path, meter: Meter | None) -> None:
        self._folder, self._meter = folder, meter

    def protocol(self, cell: Cell) -> Protocol:
        features: Features | None = None if self._meter is None else self._meter.features
        return cell.protocol(
            features=ERROR,
            features_id="rmse of pixels in [-1, 1]" + ("" if features is None else f"; {features.id}"),
            reference="converged solution",
            reference_id=convergence.METHOD,
            reference_images=None,
            target=target_of(cell.recipe),
        )

    def missing(self, solution: Cell, batch_size: int) -> list[range]:
        """Return the batches of a converged solution that are still to be computed."""
        there = shards.present(self._folder / CONVERGED / solution.name, CONVERGED)
        return shards.missing(there, solution.images, batch_size)

    def effort(self, solution: Cell) -> tuple[float, float]:
        """Return bounds on the steps that an image of a converged solution takes, in multiples of the least.

        Once images of this solution are in the folder, or else of other solutions, both bounds are their mean.
        """
        own = self._folder / CONVERGED / solution.name
        for folders in ([own], sorted((self._folder / CONVERGED).glob("[!.]*"))):
            taken = [
                convergence.steps_in_all(float(last))
                for folder in folders
                for shard in shards.present(folder, CONVERGED)
                for last in _read_shard(folder, shard, STEPS)
            ]
            if taken:
                return float(np.mean(taken)) / convergence.LEAST_STEPS, float(np.mean(taken)) / convergence.LEAST_STEPS
        return 1.0, convergence.SLOWNESS

    def lacking(self, cell: Cell) -> list[range]:
        """Return the shards of a cell that have images but no errors. Their images have to be drawn again.

        Raises:
            UsageError: such a shard has more images than the cell.
        """
        folder = cell.folder(self._folder)
        there = {*shards.present(self._errors(cell), ERRORS)}
        found = [it for it in shards.present(folder, shards.IMAGES) if it[0] < cell.images and it not in there]
        if found and found[-1].stop > cell.images:
            raise UsageError(
                f"{self._folder} keeps images {found[-1][0]} to {found[-1][-1]} of {cell_title(cell.recipe)} in one "
                f"file, and errors are of whole files: take --images {found[-1].stop}, or another -o FOLDER"
            )
        return found

    def save(self, cell: Cell, indices: Sequence[int], pictures: NDArray[np.float32]) -> None:
        """Compute and save the errors of a shard of pictures (N, C, H, W) in [-1, 1]."""
        expected = read_converged(self._solution(cell), indices)
        errors = np.sqrt(np.square(pictures - expected).reshape(len(pictures), -1).mean(axis=1))
        shard = range(indices[0], indices[-1] + 1)
        shards.save(shards.path(self._errors(cell), ERRORS, shard), {ERRORS: errors})

    def measure(self, cell: Cell) -> tuple[ImageError, list[str]]:
        """Return the mean error of a cell's images with its interval, and warnings about it."""
        if not is_deterministic(cell):
            return ImageError(), [STOCHASTIC]
        solution = solution_name(cell)
        of_images = interval(errors_of(self._folder, cell.name, solution, cell.images))
        found = dict(zip(("mean", "low", "high"), of_images, strict=True))
        if self._meter is not None:
            in_features = interval(self._feature_distances(cell, self._meter))
            found |= zip(("features_mean", "features_low", "features_high"), in_features, strict=True)
        known = {name: value for name, value in found.items() if not math.isnan(value)}
        moved = read_converged(self._solution(cell), range(cell.images), MOVED)
        astray, median = int((moved > convergence.TOLERANCE).sum()), float(np.median(moved))
        return ImageError(**known, moved=median, solution=solution), [
            f"the converged solution of {astray} of {cell.images} images still moved by more than "
            f"{convergence.TOLERANCE:g} when its steps were doubled for the last time; the median of all is "
            f"{median:.2g}"
        ] if astray else []

    def _feature_distances(self, cell: Cell, meter: Meter) -> NDArray[np.float64]:
        """Return the distance (N,) between the features of each image and those of its converged solution."""
        own, _ = shards.features_of(meter.folder(cell.folder(self._folder)), cell.images)
        folder = meter.folder(self._solution(cell))
        for shard in shards.present(self._solution(cell), CONVERGED):
            if shard not in shards.present(folder, shards.FEATURES):
                pictures = read_converged(self._solution(cell), shard)
                found = meter.embed(_pixels(pictures), [f"converged image {index}" for index in shard])
                shards.save_features(folder, shard, found, None)
        expected, _ = shards.features_of(folder, cell.images)
        blocks = zip(Rows(own).blocks(), Rows(expected).blocks(), strict=True)
        return np.concatenate([np.linalg.norm(a.astype(np.float64) - b, axis=1) for a, b in blocks])

    def _solution(self, cell: Cell) -> Path:
        return self._folder / CONVERGED / solution_name(cell)

    def _errors(self, cell: Cell) -> Path:
        return cell.folder(self._folder) / solution_name(cell)


def _pixels(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    import torch

    return np.ascontiguousarray(to_uint8(torch.from_numpy(pictures)).transpose(0, 3, 1, 2))
