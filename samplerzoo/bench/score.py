"""Scores of images: how near each image is to its prompt, in the features of CLIP.

The score of an image is 100 max(cos, 0), where cos is the cosine of the angle between its features and those of its
prompt (Hessel et al. 2021, without their factor 2.5). It needs no real images.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplerzoo.bench import shards
from samplerzoo.bench.cell import Cell
from samplerzoo.bench.evidence import influence_file
from samplerzoo.bench.image_mean import interval
from samplerzoo.bench.results import SCORE, ImageScore, Protocol
from samplerzoo.bench.suite import Suite
from samplerzoo.core.model import Model
from samplerzoo.errors import UsageError
from samplerzoo.metrics.embed import Embedder, text_features
from samplerzoo.metrics.names import parse_features

METHOD = "100 max(cos, 0)"


class ScoreMeter:
    """Meter of scores. It reads weights when the first cell is measured.

    Raises:
        UsageError: no features are named, or the model takes no prompts.
    """

    def __init__(self, suite: Suite, model: Model, device: str) -> None:
        if suite.features is None:
            raise UsageError("--metrics clip-score needs a CLIP model: add --features hf:FOLDER")
        if model.text is None:
            raise UsageError(f"--metrics clip-score compares images with their prompts, and {model.name} takes none")
        self._features, self._device = parse_features(suite.features), device
        self._embedder: Embedder | None = None
        self._texts: dict[tuple[str, ...], NDArray[np.float32]] = {}

    def protocol(self, cell: Cell) -> Protocol:
        return cell.protocol(
            features=SCORE,
            features_id=self._features.id,
            reference=self._features.name,
            reference_id=METHOD,
            reference_images=None,
        )

    def measure(self, cell: Cell, folder: Path) -> ImageScore:
        """Return the mean score of a cell's images with its interval; keep the single scores as evidence."""
        texts = self._text(cell)
        scores = []
        for shard in shards.present(folder, shards.IMAGES):
            indices = [index for index in shard if index < cell.images]
            if indices:
                found = self._images(folder, shard)[: len(indices)]
                scores.append(score(found, texts[np.array(indices) % len(texts)]))
        of_images = np.concatenate(scores)
        shards.save_influence(influence_file(folder, self.protocol(cell)), {SCORE: of_images}, None)
        mean, *ends = interval(of_images)
        low, high = (None if math.isnan(end) else end for end in ends)
        return ImageScore(mean=mean, low=low, high=high)

    def check(self) -> None:
        """Refuse features without a text encoder, before hours are spent on drawing images."""
        text_features(self._features, ["a"], self._device)

    def _images(self, folder: Path, shard: range) -> NDArray[np.float32]:
        """Return the features of the images of a shard."""
        if self._embedder is None:
            self._embedder = Embedder(self._features, self._device)
        return self._embedder(shards.read_images(folder, shard), [f"image {index}" for index in shard])[0]

    def _text(self, cell: Cell) -> NDArray[np.float32]:
        """Return the features of a cell's prompts."""
        prompts = cell.recipe.prompts or ()
        if prompts not in self._texts:
            self._texts = {prompts: text_features(self._features, prompts, self._device)}
        return self._texts[prompts]


def score(images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the score of each image (N,), from the features (N, D) of images and of their prompts."""
    a, b = (rows.astype(np.float64) for rows in (images, texts))
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.maximum(100 * cosine, 0)
