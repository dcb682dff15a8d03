"""The figures of one set of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.features import FeatureNetwork
from samplerzoo.metrics.frechet import Moments, RunningMoments, frechet_distance

Batch = tuple[NDArray[np.uint8], NDArray[np.int64] | None]
"""Images (N, H, W, C) and their labels (N,), if they have any."""


@dataclass(frozen=True)
class Evaluation:
    """A metric's name says its features and its count: fd_mnist@5000."""

    features: str
    count: int
    frechet_distance: float
    label_accuracy: float | None
    """Share of images that the feature network's own classifier puts in the class they were made as."""

    @property
    def name(self) -> str:
        return f"fd_{self.features}@{self.count}"


def moments(batches: Iterable[Batch], features: FeatureNetwork) -> tuple[Moments, float | None]:
    """Moments of the features of all images, and the share of labels that are recognised."""
    running, right, labelled = RunningMoments(), 0, 0
    for images, labels in batches:
        values, classes = features(images)
        running.add(values)
        if labels is not None:
            right += int((classes == labels).sum())
            labelled += len(labels)
    return running.moments(), right / labelled if labelled else None


def evaluate(batches: Iterable[Batch], features: FeatureNetwork, reference: Moments) -> Evaluation:
    found, accuracy = moments(batches, features)
    return Evaluation(features.name, found.count, frechet_distance(found, reference), accuracy)
