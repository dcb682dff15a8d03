"""Metrics of one set of images, computed from their features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, ValidationError

from samplerzoo.errors import ZooError, reason
from samplerzoo.metrics.distance_estimate import estimate_distance
from samplerzoo.metrics.feature_files import Part, Rows, Values
from samplerzoo.metrics.frechet import Array, FeatureMoments
from samplerzoo.metrics.influence import standard_error
from samplerzoo.metrics.kid import kernel_distance
from samplerzoo.metrics.precision_recall import NEIGHBOURS, precision_recall
from samplerzoo.metrics.reference import NoFloor, Reference, floor
from samplerzoo.options import Options

Share = Annotated[float, Field(ge=0, le=1)]

NAMED = 5
"""Largest number of images that an error names."""
SAME = 1e-9
"""Largest distance of a set from itself that is only rounding, relative to the sum of its variances."""


class Metrics(Options):
    """Metrics of one row. None means not available: no labels, no reference sample, too few images, or exact moments.

    Attributes:
        fd: Fréchet distance of these images to the reference. Like all such distances it is too large by about
            c / images.
        fd_jackknifed: the distance without this bias, which is what reports compare.
        fd_se: its standard error.
        fd_infinity: the distance of infinitely many images, by a line in 1 / images through all and half of them. Its
            standard error is that of the distance, `fd_se`, as in the test of their calibration.
        floor, floor_jackknifed, floor_se: the same for as many real images with the same labels.
        kid, kid_se: kernel distance, which has no bias, and its standard error, including the choice of real images.
        kid_sd: deviation of the kernel distance over random subsets, only in rows of earlier versions.
        precision, recall, recall_se: improved precision and recall, shares in [0, 1]; and the standard error of recall.
        label_accuracy: share of images whose predicted class is the one they were generated for.
        order: measured order of convergence.
    """

    fd: float
    fd_jackknifed: float | None = None
    fd_se: NonNegativeFloat | None = None
    fd_infinity: float | None = None
    floor: float | None = None
    floor_jackknifed: float | None = None
    floor_se: NonNegativeFloat | None = None
    kid: float | None = None
    kid_se: NonNegativeFloat | None = None
    kid_sd: NonNegativeFloat | None = None
    precision: Share | None = None
    recall: Share | None = None
    recall_se: NonNegativeFloat | None = None
    label_accuracy: Share | None = None
    order: float | None = None


class Measurement(NamedTuple):
    """Result of measuring a set of images.

    Attributes:
        warnings: doubts about the metrics.
        influence: influence values (N,) of the images on each figure, `fd` and `kid`.
    """

    metrics: Metrics
    warnings: list[str]
    influence: dict[str, Array]


def compute_metrics(
    features: Sequence[Part],
    predicted: NDArray[np.int64] | None,
    labels: Sequence[int] | None,
    reference: Reference,
    test: Reference | None,
    *,
    label_names: Sequence[str] | None = None,
    predicted_names: Sequence[str] | None = None,
) -> Measurement:
    """Compute all metrics of a set of images, and warnings about them.

    The result does not depend on how the features are split into files.

    Args:
        features: files, or arrays of shape (n, D), in the order of the images.
        predicted: predicted classes (N,); None if the feature network knows no classes.
        labels: classes (N,) that the images were generated for, if any.
        reference: real images to compare with.
        test: held-out real images, from which the floor is computed.
        label_names, predicted_names: names of the classes. Where both are known, classes are matched by name.

    Raises:
        ZooError: a feature is NaN or infinite, or the reference has another number of dimensions.
    """
    rows = Rows(features)
    moments = FeatureMoments.merged(FeatureMoments.of(block) for block in _finite(rows))
    distance = estimate_distance(rows, moments, labels, reference.distance)
    found: dict[str, float | None] = {
        "fd": distance.plain,
        "fd_jackknifed": distance.jackknifed,
        "fd_se": distance.error,
        "fd_infinity": distance.at_infinity,
    }
    influence = {} if distance.influence is None else {"fd": distance.influence}
    warnings = _doubts(moments, distance.plain, reference)
    if test is not None:
        try:
            same = None if labels is None else renumbered(labels, label_names, test.class_names)
            real = floor(test, reference, same, moments.count)
            found |= {"floor": real.plain, "floor_jackknifed": real.jackknifed, "floor_se": real.error}
        except NoFloor as none:
            warnings.append(str(none))
        except UnknownClass as none:
            warnings.append(f"no floor: {test.name} has no class {none}")
    if reference.sample is not None and min(len(rows), len(reference.sample)) > 1:
        kernel = kernel_distance(rows, Rows([reference.sample]), reference.kernel_sums)
        error = math.hypot(standard_error(kernel.influence, labels), kernel.real_error)
        found |= {"kid": kernel.value, "kid_se": error}
        influence["kid"] = kernel.influence
        if min(len(rows), len(reference.sample)) > NEIGHBOURS:
            shares = precision_recall(rows, reference.manifold, labels)
            found |= {"precision": shares.precision, "recall": shares.recall, "recall_se": shares.recall_error}
    if predicted is not None and labels is not None:
        try:
            meant = renumbered(labels, label_names, predicted_names)
            found["label_accuracy"] = float(np.mean(predicted == np.asarray(meant)))
        except UnknownClass as unknown:
            warnings.append(f"no label accuracy: the feature network knows no class {unknown}")
    try:
        return Measurement(Metrics.model_validate(found), warnings, influence)
    except ValidationError as error:  # features or moments are so large that their squares are infinite
        raise ZooError(f"compared with {reference.name}: {reason(error)}") from error


class UnknownClass(ZooError):
    """Error raised for a class that is missing in another list of classes. Its message is the name of the class."""


def renumbered(labels: Sequence[int], names: Sequence[str] | None, others: Sequence[str] | None) -> list[int]:
    """Renumber labels to another order of classes, matched by name.

    If the names of one side are not known, labels keep their numbers.

    Args:
        names: class names of the labels.
        others: class names in the new order.

    Raises:
        UnknownClass: `others` lacks a class.
    """
    if not names or not others or tuple(names) == tuple(others):
        return list(labels)
    number = {name: index for index, name in enumerate(others)}
    for label in set(labels):
        if names[label] not in number:
            raise UnknownClass(names[label])
    return [number[names[label]] for label in labels]


def refuse_nonfinite(values: Values, names: Sequence[str]) -> None:
    """Refuse features (N, D) that are NaN or infinite.

    Args:
        names: name of each image.

    Raises:
        ZooError: some are not finite. The message names the first images.
    """
    broken = [names[int(i)] for i in np.flatnonzero(~np.isfinite(values).all(axis=1))]
    if broken:
        some = ", ".join(broken[:NAMED]) + (", ..." if len(broken) > NAMED else "")
        raise ZooError(f"NaN or infinity in the features of {len(broken)} of {len(values)} images: {some}")


def _finite(rows: Rows) -> Iterator[Values]:
    """Yield the blocks of rows. Raise ZooError at a value that is NaN or infinite."""
    first = 0
    for block in rows.blocks():
        refuse_nonfinite(block, [f"image {first + i}" for i in range(len(block))])
        yield block
        first += len(block)


def _doubts(moments: FeatureMoments, distance: float, reference: Reference) -> list[str]:
    """Return warnings that apply to the distance."""
    found, width = [], len(moments.mean)
    if moments.count == reference.count and distance <= SAME * float(np.trace(moments.m2)) / moments.count:
        found.append(f"the images are those of {reference.name} itself: it has no distance to itself")
    counts = {"images": moments.count, f"images in the reference {reference.name}": reference.count}
    for what, count in counts.items():
        if count is not None and count < width:
            found.append(f"{count} {what} are fewer than the {width} features: their covariance is not of full rank")
    if reference.features_id is None:
        found.append(f"{reference.name} does not say what features it was made with")
    return found
