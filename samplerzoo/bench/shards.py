"""Shards of a cell: files of images and of their features. A file is complete or does not exist.

A shard holds one batch, and its name gives the images: images-000000-000249.safetensors.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from samplerzoo.bench.machine import Machine
from samplerzoo.core.cost import Cost
from samplerzoo.errors import ZooError, reason
from samplerzoo.images import Pixels
from samplerzoo.metrics import feature_files
from samplerzoo.metrics.feature_files import Part, Values
from samplerzoo.metrics.frechet import Array
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.arrays import AGAIN, Expected, checked, named, read_arrays, save_arrays
from samplerzoo.trust.markup import visible

CELLS = "cells"
IMAGES, FEATURES = "images", "features"
PREDICTED = "predicted"
LABELS = "labels"
RECORD, PLACE = "made", "place"
MEASURED_AGAIN = "remove the line of its cell from results.jsonl, and the same `samplerzoo bench` measures it again"
"""Advice for a cell whose influence values are wrong."""


class ShardRecord(Machine):
    """Record of how the images of a shard were made.

    Attributes:
        calls, evaluations, gradients, second: cost, as in `Cost`.
        seconds, encoding, decoding: time, as in `Duration`.
        clipped: share of the values of x0 beyond the clip's bound; None without a clip.
        peak_memory: bytes.
    """

    calls: int
    evaluations: int
    gradients: int
    second: int = 0
    seconds: float
    encoding: float = 0.0
    decoding: float = 0.0
    clipped: float | None
    peak_memory: int

    def cost(self, images: int) -> Cost:
        return Cost(images, self.calls, self.evaluations, self.gradients, self.second)


def remade_from_cells(folder: Path) -> str:
    """Say what to do about a broken file of a benchmark folder that can be computed from its cells."""
    if (folder / CELLS).is_dir():
        return f"remove it, and `samplerzoo report {shlex.quote(str(folder))}` makes it again from the cells"
    return "take it from a copy of the folder: the cells that it was made from are gone"


def path(folder: Path, kind: str, shard: range) -> Path:
    """Return the file of a shard."""
    return folder / f"{kind}-{shard[0]:06d}-{shard[-1]:06d}.safetensors"


def present(folder: Path, kind: str) -> list[range]:
    """Return the shards that exist, in order."""
    pattern = re.compile(rf"{kind}-(\d{{6,}})-(\d{{6,}})\.safetensors")
    found = [pattern.fullmatch(path.name) for path in folder.glob(f"{kind}-*.safetensors")]
    return sorted((range(int(match[1]), int(match[2]) + 1) for match in found if match), key=lambda shard: shard[0])


def missing(there: Iterable[range], count: int, batch_size: int) -> list[range]:
    """Return the batches that complete images 0 to count - 1.

    A batch ends at multiples of its size, so that an interrupted run goes on with the batches it would have made.
    """
    batches, at = [], 0
    for shard in [*sorted(there, key=lambda shard: shard.start), range(count, count)]:
        while at < min(shard.start, count):
            end = min((at // batch_size + 1) * batch_size, shard.start, count)
            batches.append(range(at, end))
            at = end
        at = max(at, shard.stop)
    return batches


def save(file: Path, arrays: Mapping[str, NDArray], facts: Mapping[str, str] | None = None) -> None:
    """Save the arrays of a shard, with its place in the benchmark folder, so that `read` notices a misplaced file.

    Args:
        facts: metadata of the file.
    """
    with atomic_file(file) as partial:
        save_arrays(partial, arrays, {**(facts or {}), PLACE: _place(file)})


def read(file: Path, way_out: str = AGAIN) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Read the arrays of a shard, and its facts. A file of an earlier version has no place to check.

    Raises:
        ZooError: the file is broken, was changed, or belongs to another cell or other images.
    """
    arrays, facts = read_arrays(file, way_out)
    if (place := facts.pop(PLACE, _place(file))) != _place(file):
        raise ZooError(f"{file}: was written as {visible(place)}; {way_out}")
    return arrays, facts


def read_one(file: Path, name: str, expected: Expected) -> NDArray:
    """Read an array of a shard; see `read`."""
    arrays, _ = read(file)
    return checked(named(arrays, name, file), expected, f"{file}: {name}")


def save_images(folder: Path, shard: range, pixels: Pixels, made: ShardRecord) -> None:
    """Save pixels (N, H, W, C), stored as (N, C, H, W), with the record of how they were made."""
    images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    save(path(folder, IMAGES, shard), {IMAGES: images}, {RECORD: made.model_dump_json()})


def save_features(folder: Path, shard: range, features: Values, predicted: NDArray[np.int64] | None) -> None:
    """Save features (N, D), and the classes (N,) that the feature network predicts, if any."""
    tensors: dict[str, NDArray] = {feature_files.FEATURES: features}
    if predicted is not None:
        tensors[PREDICTED] = predicted
    save(path(folder, FEATURES, shard), tensors)


def save_influence(file: Path, influence: dict[str, Array], labels: Sequence[int] | None) -> None:
    """Save the influence values (N,) of a cell's images on each figure, with the labels that they are stratified by."""
    tensors: dict[str, NDArray] = {name: values.astype(np.float32) for name, values in influence.items()}
    if labels is not None:
        tensors[LABELS] = np.asarray(labels)
    save(file, tensors)


def read_influence(file: Path, count: int | None) -> tuple[dict[str, Array], NDArray[np.int64] | None]:
    """Read the influence values of a cell's images on each figure, and the labels.

    Args:
        count: number of the images.
    """
    tensors, _ = read(file, MEASURED_AGAIN)
    for name, values in tensors.items():
        checked(values, Expected((count,), whole=name == LABELS), f"{file}: {name}", MEASURED_AGAIN)
    labels = tensors.pop(LABELS, None)
    return {name: values.astype(np.float64) for name, values in tensors.items()}, labels


def read_images(folder: Path, shard: range) -> Pixels:
    """Read the images (N, C, H, W) of a shard."""
    return read_one(path(folder, IMAGES, shard), IMAGES, _images(shard))


def first_images(folder: Path, count: int) -> Pixels | None:
    """Read the first images (N, H, W, C) of a cell, `count` at most; None if image 0 is not there."""
    for shard in present(folder, IMAGES):
        if shard[0] == 0:
            return np.ascontiguousarray(read_images(folder, shard)[:count].transpose(0, 2, 3, 1))
    return None


def images_at(folder: Path, indices: Sequence[int]) -> Pixels | None:
    """Read some images (N, H, W, C) of a cell; None if one of them is not there."""
    found: dict[int, NDArray[np.uint8]] = {}
    for shard in present(folder, IMAGES):
        wanted = [index for index in indices if index in shard]
        if wanted:
            pixels = read_images(folder, shard)
            found |= {index: pixels[index - shard[0]] for index in wanted}
    if not indices or len(found) < len({*indices}):
        return None
    return np.stack([found[index] for index in indices]).transpose(0, 2, 3, 1)


def made(folder: Path, shard: range) -> ShardRecord:
    """Read the record of how the images of a shard were made."""
    file = path(folder, IMAGES, shard)
    _, facts = read(file)
    try:
        return ShardRecord.model_validate_json(facts[RECORD])
    except (KeyError, ValidationError) as error:
        raise ZooError(f"{file}: cannot be read: {reason(error)}; {AGAIN}") from error


def features_of(folder: Path, count: int) -> tuple[list[Part], NDArray[np.int64] | None]:
    """Return the features of images 0 to count - 1, as files and arrays, and the predicted classes, if any."""
    parts: list[Part] = []
    predicted = []
    for shard in present(folder, FEATURES):
        file, wanted = path(folder, FEATURES, shard), min(len(shard), count - shard[0])
        if wanted <= 0:
            break
        arrays, _ = read(file)
        features = named(arrays, feature_files.FEATURES, file)
        if len(features) != len(shard):
            raise ZooError(f"{file}: {len(features)} rows of features for {len(shard)} images; {AGAIN}")
        parts.append(file if wanted == len(shard) else features[:wanted])
        if PREDICTED in arrays:
            expected = Expected((len(shard),), 0, whole=True)
            predicted.append(checked(arrays[PREDICTED], expected, f"{file}: {PREDICTED}")[:wanted])
    return parts, np.concatenate(predicted) if predicted else None


def _images(shard: range) -> Expected:
    """Return the shape and the bounds that the array (N, C, H, W) of a shard's images must have."""
    return Expected((len(shard), None, None, None), 0, 255, whole=True)


def _place(file: Path) -> str:
    """Return the last three parts of a shard's path. A benchmark folder that is renamed does not change them."""
    return "/".join(file.parts[-3:])
