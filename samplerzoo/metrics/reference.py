"""References: statistics of real images, with which other images are compared.

A reference holds mean and covariance of the features, for the Fréchet distance. It also holds a random sample of the
features with their labels, for kernel distance, precision, recall and the floor, which is the distance of real images.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt
from safetensors import safe_open
from safetensors.numpy import save_file

from samplerzoo.core.features import Features
from samplerzoo.data.class_names import listed
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.metrics.distance_estimate import DistanceEstimate, estimate_distance
from samplerzoo.metrics.feature_files import Rows, Values, in_blocks
from samplerzoo.metrics.frechet import Array, DistanceTo, FeatureMoments
from samplerzoo.metrics.kid import kernel_sums
from samplerzoo.metrics.names import spec_of
from samplerzoo.metrics.precision_recall import Manifold
from samplerzoo.options import Name, Options
from samplerzoo.system.files import atomic_file, digest
from samplerzoo.trust.limits import MOST_FEATURES
from samplerzoo.trust.pointers import refuse_pointer
from samplerzoo.trust.records import parse_record

TEST = "test"
"""Name of the reference of held-out real images, from which the floor is computed by default."""
NPZ = ".npz"
SUFFIXES = (".safetensors", NPZ)
"""Suffixes of reference files: our format, and that of pytorch-fid."""
RECORD = "reference"
"""Key of the JSON record in the metadata of a safetensors file."""
SAMPLE_SIZE = 10_000
"""Features kept in the sample of a reference."""
FLOOR_SEED = 0
"""Seed of the choice of real images for a floor."""
ROUNDING = 1e-6
"""Largest rounding error of a covariance, relative to its trace, in its symmetry and its zero eigenvalues."""
HALF_ERROR = 1e-3
"""Largest error of storing features in half precision, in standard deviations of each dimension."""


class NoFloor(ZooError):
    """Error raised if a reference cannot give a floor. Its message says why."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Statistics of real images.

    Attributes:
        name: name by which it was requested, such as train, or the name of its file.
        mean, covariance: moments of the features of all images, (D,) and (D, D).
        count: number of images; None if the file does not say.
        features_id: id of the feature network; None if the file does not say.
        class_counts: images per class; empty if the data have no labels.
        class_names: names of the classes; empty if they are not known.
        sample, sample_labels: random features (M, D) and their classes (M,).
        id: first 16 hex digits of the file's SHA-256; empty if it was never saved.
    """

    name: str
    mean: Array
    covariance: Array
    count: int | None = None
    features_id: str | None = None
    class_counts: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    sample: Values | None = None
    sample_labels: NDArray[np.int64] | None = None
    id: str = ""

    @property
    def dimensions(self) -> int:
        """Number D of features per image."""
        return len(self.mean)

    @functools.cached_property
    def distance(self) -> DistanceTo:
        """Fréchet distances to this reference."""
        return DistanceTo(self)

    @functools.cached_property
    def kernel_sums(self) -> Array:
        """Sums of the kernel distance's kernel over pairs of the sample, which must exist."""
        assert self.sample is not None
        return kernel_sums(Rows([self.sample]), None)

    @functools.cached_property
    def manifold(self) -> Manifold:
        """Manifold of the sample, which must exist. It takes seconds to compute, and all rows of a benchmark use it."""
        assert self.sample is not None
        return Manifold(Rows([self.sample]))


def is_reference(name: str, features: Features) -> bool:
    """Return True if `name` is a reference of these features, or has the suffix of a reference file."""
    return Path(name).suffix.lower() in SUFFIXES or name in named_references(features)


def named_references(features: Features) -> dict[str, Path]:
    """Return the references that come with features: all safetensors files in their folder except the weights."""
    root = features.references
    files = sorted(root.glob("[!.]*.safetensors")) if root else []  # hidden files are still being written
    return {path.stem: path for path in files if path.stem != "model"}


def check_suffix(path: Path) -> None:
    """Raise UsageError if a path does not have the suffix of a reference file."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a reference is a .safetensors file, or .npz for pytorch-fid")


class UnfitReference(ZooError):
    """Error raised for a reference that was made with other features.

    Attributes:
        fault: what is wrong, without the advice on what to do, which a caller may know better.
    """

    def __init__(self, fault: str, way_out: str) -> None:
        super().__init__(f"{fault}; {way_out}")
        self.fault = fault


class NoReference(UnfitReference, UsageError):
    """Error raised if features have no reference of a name."""


def load_reference(name: str, features: Features) -> Reference:
    """Load a reference by its name with these features, or from a file: .safetensors, or pytorch-fid's .npz.

    Raises:
        NoReference: there is none of this name.
        UsageError: there is no such file.
        UnfitReference: it was made with other features.
        ZooError: it cannot be read.
    """
    path = _find(name, features)
    refuse_pointer(path)
    found = _load_npz(path) if path.suffix.lower() == NPZ else _load(path)
    if found.features_id not in (None, features.id):
        words = ["samplerzoo", "ref", "make", "DATA", "--features", spec_of(features), "-o", str(path)]
        raise UnfitReference(
            f"{path} was made with other features ({found.features_id}, not {features.id})",
            f"make it again of its images DATA with `{shlex.join(words)}`",
        )
    return replace(found, name=name if path.stem == name else path.name, id=digest(path))


def save_reference(reference: Reference, path: Path) -> None:
    """Write a reference as .safetensors, or as .npz for pytorch-fid, which holds `mu` and `sigma` only.

    Raises:
        UsageError: the path has another suffix.
    """
    check_suffix(path)
    with atomic_file(path) as partial:
        if path.suffix.lower() == NPZ:
            with partial.open("wb") as file:
                np.savez(file, mu=reference.mean, sigma=reference.covariance)
            return
        tensors: dict[str, NDArray[Any]] = {"mean": reference.mean, "covariance": reference.covariance}
        if reference.sample is not None:
            tensors["sample"] = _compact(reference.sample)
        if reference.sample_labels is not None:
            tensors["sample_labels"] = reference.sample_labels.astype(np.int32)
        record: dict[str, Any] = {
            "count": reference.count,
            "features": reference.features_id,
            "class_counts": reference.class_counts,
        }
        if reference.class_names:
            record["class_names"] = reference.class_names
        # a single entry, because safetensors writes several in random order and the hash of the file is the id
        save_file(tensors, partial, {RECORD: json.dumps(record)})


def make_reference(
    batches: Iterable[tuple[Values, NDArray[np.int64] | None]],
    features_id: str,
    name: str,
    sample_size: int = SAMPLE_SIZE,
    seed: int = 0,
    class_names: Sequence[str] = (),
) -> Reference:
    """Compute a reference from batches of features (N, D) and labels (N,) or None.

    The result does not depend on how the features are split into batches. Memory grows with `sample_size` only.

    Args:
        features_id: id of the feature network.
        name: name of the data, for errors.
        sample_size: number of features to keep.
        seed: seed of the random choice of the sample.
        class_names: names of the labels, if they are known.

    Raises:
        ZooError: there are no images, or only some of them have labels.
    """
    sample, counts = _Sample(sample_size, seed), np.zeros(0, dtype=np.int64)

    def passing() -> Iterator[Values]:
        nonlocal counts
        for values, labels in batches:
            sample.add(values, labels)
            if labels is not None:
                seen = np.bincount(labels, minlength=len(counts))
                counts = seen + np.pad(counts, (0, len(seen) - len(counts)))
            yield values

    total = FeatureMoments.merged(FeatureMoments.of(block) for block in in_blocks(passing()))
    if counts.sum() not in (0, total.count):
        raise ZooError(f"{name}: only {counts.sum()} of {total.count} images have labels")
    return Reference(
        name=name,
        mean=total.mean,
        covariance=total.covariance,
        count=total.count,
        features_id=features_id,
        class_counts=tuple(counts.tolist()),
        class_names=tuple(class_names),
        sample=sample.values,
        sample_labels=sample.labels,
    )


def floor(test: Reference, against: Reference, labels: Sequence[int] | None, n: int) -> DistanceEstimate:
    """Estimate the Fréchet distance of n real images to a reference, in the same way as for generated images.

    Args:
        test: reference of held-out images, from whose sample the images are chosen.
        against: reference to measure the distance to.
        labels: classes of the n images; any classes if None.
        n: number of images.

    Raises:
        NoFloor: the sample is missing, or has too few images or too few of a class.
    """
    return _floor(test, against, None if labels is None else tuple(sorted(labels)), n)


@functools.lru_cache(maxsize=16)  # all rows of a benchmark ask for the same floor
def _floor(test: Reference, against: Reference, labels: tuple[int, ...] | None, n: int) -> DistanceEstimate:
    if test.id and test.id == against.id:
        raise NoFloor(f"no floor: {test.name} is the reference itself")
    if test.sample is None:
        raise NoFloor(f"no floor: {test.name} keeps no sample of its features")
    chosen = _subset(test, labels, n, np.random.default_rng(FLOOR_SEED))
    classes = None if labels is None or test.sample_labels is None else test.sample_labels[chosen]
    rows = Rows([test.sample[chosen]])
    moments = FeatureMoments.merged(map(FeatureMoments.of, rows.blocks()))
    return estimate_distance(rows, moments, classes, against.distance)


def _subset(test: Reference, labels: Sequence[int] | None, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose n rows of the sample at random, with these labels if given. Return their sorted indices."""
    assert test.sample is not None
    if labels is None:
        if len(test.sample) < n:
            raise NoFloor(f"no floor: {test.name} keeps a sample of {len(test.sample)} images, not of {n}")
        return np.sort(rng.choice(len(test.sample), n, replace=False))
    if test.sample_labels is None:
        raise NoFloor(f"no floor: {test.name} has no labels to choose the same mix by")
    chosen = []
    for label, wanted in zip(*np.unique(np.asarray(labels), return_counts=True), strict=True):
        there = np.flatnonzero(test.sample_labels == label)
        if len(there) < wanted:
            raise NoFloor(f"no floor: {test.name} keeps {len(there)} images of class {label}, not {wanted}")
        chosen.append(rng.choice(there, wanted, replace=False))
    return np.sort(np.concatenate(chosen))


class _Sample:
    """Uniform random sample of a stream of rows. Each row draws a random number, and the lowest ones are kept."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._lots = np.zeros(0)
        self.values: Values | None = None
        self.labels: NDArray[np.int64] | None = None

    def add(self, values: Values, labels: NDArray[np.int64] | None) -> None:
        """Draw for further rows (N, D) with labels (N,) or None."""
        first = self.values is None
        lots = np.concatenate([self._lots, self._rng.random(len(values))])
        kept = np.sort(np.argsort(lots, kind="stable")[: self._size])
        self._lots = lots[kept]
        self.values = (values if self.values is None else np.concatenate([self.values, values]))[kept]
        if labels is not None and (first or self.labels is not None):
            self.labels = (labels if self.labels is None else np.concatenate([self.labels, labels]))[kept]


def _compact(sample: Values) -> NDArray[np.floating]:
    """Convert a sample to half precision if the error is below HALF_ERROR, else return it unchanged."""
    with np.errstate(over="ignore"):
        half = sample.astype(np.float16)
        error = (half.astype(np.float64) - sample) ** 2
    return half if (error.sum(axis=0) <= HALF_ERROR**2 * len(sample) * sample.var(axis=0)).all() else sample


def _find(name: str, features: Features) -> Path:
    path = Path(os.path.expanduser(name))
    if path.suffix.lower() in SUFFIXES:
        if not path.is_file():
            raise UsageError(f"no file {name}")
        return path
    there = named_references(features)
    if name not in there:
        words = ["samplerzoo", "ref", "make", "DATA", "--features", spec_of(features), "-o"]
        if features.references is None:
            make, then = [*words, f"{name}.safetensors"], f", and name that file in place of {name}"
        else:
            make, then = [*words, str(features.references / f"{name}.safetensors")], ""
        names = ", ".join(there) or "none"
        raise NoReference(
            f"features {features.name} have no reference {name!r}; they have: {names}",
            f"make one of your images DATA with `{shlex.join(make)}`{then}",
        )
    return there[name]


class ReferenceRecord(Options):
    """JSON record in the metadata of a reference."""

    count: PositiveInt
    features: str
    class_counts: tuple[NonNegativeInt, ...]
    class_names: tuple[Name, ...] = ()


def _load(path: Path) -> Reference:
    try:
        with safe_open(path, framework="numpy") as content:
            record = parse_record(content.metadata()[RECORD], ReferenceRecord, str(path))
            _check_shapes(
                tuple(content.get_slice("mean").get_shape()), tuple(content.get_slice("covariance").get_shape())
            )
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 (no mapping)
        sample, labels = tensors.get("sample"), tensors.get("sample_labels")
        found = Reference(
            name=path.name,
            mean=tensors["mean"].astype(np.float64),
            covariance=tensors["covariance"].astype(np.float64),
            count=record.count,
            features_id=record.features,
            class_counts=record.class_counts,
            class_names=record.class_names,
            sample=None if sample is None else sample.astype(np.float32),
            sample_labels=None if labels is None else labels.astype(np.int64),
        )
        _check_moments(found)
        _check_sample(found)
    except Exception as error:  # the kind of error depends on how the file is broken
        raise ZooError(f"{path}: not a reference: {reason(error)}; make it again with `samplerzoo ref make`") from error
    return found


def _load_npz(path: Path) -> Reference:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if not {"mu", "sigma"} <= {*names}:
                raise ZooError(f"it has {listed(names) or 'nothing'}")
            shapes = [_npy_shape(archive, name) for name in ("mu.npy", "sigma.npy")]
        _check_shapes(*shapes)
        with np.load(path, allow_pickle=False) as content:
            found = Reference(path.name, content["mu"].astype(np.float64), content["sigma"].astype(np.float64))
        _check_moments(found)
    except Exception as error:  # the kind of error depends on how the file is broken
        way_out = "make a reference of the images with `samplerzoo ref make`"
        raise ZooError(f"{path}: not a file of pytorch-fid, with mu and sigma: {reason(error)}; {way_out}") from error
    return found


def _npy_shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """Read the shape of an array in an .npz file, without reading the array."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
    if dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {dtype}, not numbers")
    return tuple(shape)


def _check_shapes(mean: tuple[int, ...], covariance: tuple[int, ...]) -> None:
    """Refuse shapes that cannot be those of moments, before an array of that size is read."""
    if len(mean) != 1 or not mean[0] or covariance != (mean[0], mean[0]):
        raise ZooError(f"shapes {mean} and {covariance} are not those of a mean and a covariance")
    if mean[0] > MOST_FEATURES:
        raise ZooError(f"{mean[0]} features; at most {MOST_FEATURES} are read")


def _check_moments(reference: Reference) -> None:
    """Refuse numbers that cannot be the moments of a set of features.

    A covariance is symmetric and positive semidefinite, up to the rounding of a file in single precision.
    """
    mean, covariance = reference.mean, reference.covariance
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ZooError("a mean or covariance with NaN or infinity")
    rounding = ROUNDING * np.abs(np.diagonal(covariance)).sum()
    if np.abs(covariance - covariance.T).max() > rounding:
        raise ZooError("a covariance that is not symmetric")
    try:
        np.linalg.cholesky(covariance + (rounding + np.finfo(np.float64).tiny) * np.eye(len(mean)))
    except np.linalg.LinAlgError:
        raise ZooError("a covariance with negative eigenvalues, which none has") from None


def _check_sample(reference: Reference) -> None:
    """Refuse a sample of features that does not go with the moments."""
    sample, labels = reference.sample, reference.sample_labels
    if sample is not None and (sample.ndim != 2 or sample.shape[1] != reference.dimensions):
        raise ZooError(f"a sample of shape {sample.shape} for {reference.dimensions} features")
    if sample is not None and not np.isfinite(sample).all():
        raise ZooError("a sample with NaN or infinity")
    if labels is not None and (sample is None or labels.shape != (len(sample),) or (labels < 0).any()):
        raise ZooError("labels that do not go with the sample")
