"""Meter: measures the images of a suite, with the feature network, the reference, and the real images of the floor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplerzoo.bench import shards
from samplerzoo.bench.cell import Cell
from samplerzoo.bench.results import Metrics, Protocol
from samplerzoo.bench.suite import Suite
from samplerzoo.core.features import Features
from samplerzoo.errors import UsageError
from samplerzoo.metrics import names, reference
from samplerzoo.metrics.embed import Embedder
from samplerzoo.metrics.evaluate import compute_metrics
from samplerzoo.models.load import title
from samplerzoo.system.files import digest_text

NO_FLOOR = "none"


class Meter:
    """Meter of a suite. It knows its protocol at once, and reads weights when the first image is measured."""

    def __init__(self, suite: Suite, device: str) -> None:
        self._features = names.parse_features(suite.features or f"classifier:{suite.model}")
        self._reference = reference.load_reference(suite.reference, self._features)
        self._floor = self._find_floor(suite)
        self._device = device
        self._loaded: Embedder | None = None

    @property
    def features(self) -> Features:
        """Feature network that images are measured with."""
        return self._features

    def class_counts(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Return the images per class of the reference, of classes in the order of these names.

        They are matched by name where both are known. The result is empty if the reference does not say.
        """
        counts, known = self._reference.class_counts, self._reference.class_names
        if not names or not known or not counts:
            return counts
        found = dict(zip(known, counts, strict=True))
        ordered = tuple(found.get(name, 0) for name in names)
        return ordered if any(ordered) else ()

    def protocol(self, cell: Cell) -> Protocol:
        return Protocol(
            model=title(cell.recipe.model),
            fingerprint=cell.recipe.fingerprint or "",
            images=cell.images,
            labels=cell.recipe.class_labels,
            features=self._features.name,
            features_id=self._features.id,
            reference=self._reference.name,
            reference_id=self._reference.id,
            reference_images=self._reference.count,
            floor=self._floor and self._floor.name,
            floor_id=self._floor and self._floor.id,
        )

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse images of a shape that cannot be measured, before hours go into them."""
        found, _ = self._embedder()(np.zeros((1, *shape), dtype=np.uint8), ["a black image"])
        if found.shape[1] != self._reference.dimensions:
            raise UsageError(
                f"reference {self._reference.name} is of {self._reference.dimensions} features, "
                f"and {self._features.name} gives {found.shape[1]} of an image"
            )

    def folder(self, cell: Path) -> Path:
        """Return the folder of a cell's features."""
        return cell / digest_text(self._features.id)

    def lacking(self, cell: Path, count: int) -> list[range]:
        """Return the shards of images 0 to count - 1 that have no features yet."""
        there = {*shards.present(self.folder(cell), shards.FEATURES)}
        return [it for it in shards.present(cell, shards.IMAGES) if it[0] < count and it not in there]

    def extract(self, cell: Path, shard: range) -> None:
        """Compute the features of a shard, and save them."""
        names = [f"image {index}" for index in shard]
        found, predicted = self._embedder()(shards.read_images(cell, shard), names)
        shards.save_features(self.folder(cell), shard, found, predicted)

    def embed(self, images: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.float32]:
        """Return the features (N, D) of images (N, C, H, W); names are for errors."""
        return self._embedder()(images, names)[0]

    def measure(self, cell: Cell, folder: Path) -> tuple[Metrics, list[str]]:
        """Return the metrics of a cell, of which all features are there, and warnings about them."""
        parts, predicted = shards.features_of(self.folder(folder), cell.images)
        labels = None if cell.plan.labels is None else list(cell.plan.labels)
        return compute_metrics(
            parts, predicted, labels, self._reference, self._floor,
            label_names=cell.plan.model.class_names, predicted_names=self._features.class_names,
        )  # fmt: skip

    def _find_floor(self, suite: Suite) -> reference.Reference | None:
        """Load the real images of the floor.

        By default they are the features' test images, if the reference comes with the features.
        """
        there = reference.named_references(self._features)
        usual = reference.TEST if suite.reference in there and reference.TEST in there else NO_FLOOR
        name = suite.floor or usual
        return None if name == NO_FLOOR else reference.load_reference(name, self._features)

    def _embedder(self) -> Embedder:
        if self._loaded is None:
            self._loaded = Embedder(self._features, self._device)
        return self._loaded
