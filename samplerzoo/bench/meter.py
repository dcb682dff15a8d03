"""Meter of a suite's images: feature network, reference, and the real images of the floor."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplerzoo.bench import shards
from samplerzoo.bench.cell import Cell
from samplerzoo.bench.evidence import features_folder, influence_file
from samplerzoo.bench.measuring_time import MeasuringTimer
from samplerzoo.bench.results import Protocol
from samplerzoo.bench.suite import Suite
from samplerzoo.core.features import Features
from samplerzoo.core.model import Model
from samplerzoo.data.class_names import listed
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.metrics import names, reference
from samplerzoo.metrics.embed import Embedder
from samplerzoo.metrics.evaluate import Measurement, compute_metrics
from samplerzoo.metrics.reference import UnfitReference
from samplerzoo.metrics.reference_store import obtain_reference
from samplerzoo.models.exact import ExactOptions
from samplerzoo.models.folder import is_exact, pretrained
from samplerzoo.models.load import ModelFolder

NO_FLOOR = "none"

TIMED = 16
"""Number of images whose features are computed to time them."""


class Meter:
    """Meter of a suite. It knows its protocol at once, and reads weights when the first image is measured."""

    def __init__(self, suite: Suite, device: str) -> None:
        self._suite = suite
        if suite.features is None and is_exact(suite.model):
            raise UsageError(
                f"{suite.model} has no feature network of its own: add --features pixels --reference "
                f"{_data_of(suite.model)}, or leave out --metrics fd"
            )
        self._features = names.parse_features(self._spec)
        self._device = device
        try:
            self._reference = obtain_reference(suite.reference, suite.reference_split, self._features, device)
        except UnfitReference as error:  # advise a reference of the model's training data instead
            raise type(error)(error.fault, self._mend()) from error
        self._floor = self._find_floor(suite)
        self._loaded: Embedder | None = None

    @property
    def features(self) -> Features:
        """Feature network that images are measured with."""
        return self._features

    def class_counts(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Return the number of reference images of each class, in the order of these class names.

        Classes are matched by name if the reference has names, too. The result is empty if it has no class counts, or
        none of these names.
        """
        found = self._counts_by_name()
        if not names or not found:
            return self._reference.class_counts
        ordered = tuple(found.get(name, 0) for name in names)
        return ordered if any(ordered) else ()

    def check_proportion(self, model: Model) -> None:
        """Refuse labels in the proportion of a reference, if it has images of classes that the model lacks.

        Raises:
            UsageError: names these classes.
        """
        found, known = self._counts_by_name(), model.class_names or ()
        others = [f"{name} ({count:,} images)" for name, count in found.items() if name not in known]
        if known and others and len(others) < len(found):
            raise UsageError(
                f"the reference {self._reference.name} has images of classes that {model.name} lacks, so that labels "
                f"cannot be in its proportion: {listed(others)}; take one without them, or add --class-labels balanced"
            )

    def _counts_by_name(self) -> dict[str, int]:
        """Return the number of images of every class that the reference has images of."""
        reference = self._reference
        pairs = zip(reference.class_names or (), reference.class_counts, strict=False)
        return {name: count for name, count in pairs if count}

    def protocol(self, cell: Cell) -> Protocol:
        return cell.protocol(
            features=self._features.name,
            features_id=self._features.id,
            reference=self._reference.name,
            reference_id=self._reference.id,
            reference_images=self._reference.count,
            dimensions=self._reference.dimensions,
            floor=self._floor and self._floor.name,
            floor_id=self._floor and self._floor.id,
        )

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse images of a shape that cannot be measured, before hours are spent on drawing them."""
        found, _ = self._embedder()(np.zeros((1, *shape), dtype=np.uint8), ["a black image"])
        if found.shape[1] != self._reference.dimensions:
            channels, height, width = shape
            colour = "colour" if channels == 3 else "grey" if channels == 1 else f"{channels} channels"
            raise UsageError(
                f"reference {self._reference.name} is of {self._reference.dimensions} features, and "
                f"{self._features.name} gives {found.shape[1]} of an image of {self._suite.model}: it has to be of "
                f"images of {width}x{height} in {colour}, as those of the model; {self._mend()}"
            )

    @property
    def _spec(self) -> str:
        """Features as the user would name them."""
        return self._suite.features or f"classifier:{self._suite.model}"

    def _mend(self) -> str:
        """Say which command makes a reference, with the training data if the model's folder names them."""
        if is_exact(self._suite.model):
            return f"add --reference {_data_of(self._suite.model)}, the images of the model"
        known: dict[str, Any] = {}
        with suppress(ZooError):
            known = ModelFolder.open(self._suite.model, self._suite.reading).info.data
        data, split = known.get("dataset"), known.get("split", "train")
        if data is None or (self._suite.model in pretrained() and not Path(data).exists()):
            data = "DATA"  # of a model that comes with samplerzoo, the data are where it was trained
        whose = "your images DATA" if data == "DATA" else "the data that it was trained on"
        output = f"{self._features.name}.safetensors"
        words = ["samplerzoo", "ref", "make", data, "--split", split, "--features", self._spec, "-o", output]
        return f"make a reference of {whose} with `{shlex.join(words)}`, then add --reference {output}"

    def timer(self, shape: tuple[int, ...]) -> MeasuringTimer:
        """Return an estimator of how long measuring images of this shape takes."""

        def embed() -> float:
            images = np.zeros((TIMED, *shape), dtype=np.uint8)
            start = time.perf_counter()
            self._embedder()(images, [f"image {index}" for index in range(TIMED)])
            return (time.perf_counter() - start) / TIMED

        sample = 0 if self._reference.sample is None else len(self._reference.sample)
        return MeasuringTimer(embed, self._reference.dimensions, sample, floors=self._floor is not None)

    def folder(self, cell: Path) -> Path:
        """Return the folder of a cell's features."""
        return features_folder(cell, self._features.id)

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
        """Return the features (N, D) of images (N, C, H, W). The names stand in error messages."""
        return self._embedder()(images, names)[0]

    def measure(self, cell: Cell, folder: Path) -> Measurement:
        """Return the metrics of a cell whose features are all computed, with warnings.

        The influence values of its images are kept in the folder. They give the errors of differences between rows.
        """
        parts, predicted = shards.features_of(self.folder(folder), cell.images)
        labels = None if cell.plan.labels is None else list(cell.plan.labels)
        found = compute_metrics(
            parts, predicted, labels, self._reference, self._floor,
            label_names=cell.plan.model.class_names, predicted_names=self._features.class_names,
        )  # fmt: skip
        shards.save_influence(influence_file(folder, self.protocol(cell)), found.influence, labels)
        return found

    def _find_floor(self, suite: Suite) -> reference.Reference | None:
        """Load the real images of the floor.

        By default they are the features' test images, if the reference comes with the features.
        """
        there = reference.named_references(self._features)
        usual = reference.TEST if suite.reference in there and reference.TEST in there else NO_FLOOR
        name = suite.floor or usual
        if name == NO_FLOOR:
            return None
        return obtain_reference(name, reference.TEST, self._features, self._device)

    def _embedder(self) -> Embedder:
        if self._loaded is None:
            self._loaded = Embedder(self._features, self._device)
        return self._loaded


def _data_of(model: str) -> str:
    """Return the data set of an exact model, as a shell takes it."""
    return shlex.quote(ExactOptions.parse(model).dataset)
