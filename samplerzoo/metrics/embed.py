"""Images through a feature network, a few at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from samplerzoo.core.features import Features
from samplerzoo.data.sources import ImageBatch
from samplerzoo.errors import ZooError
from samplerzoo.metrics.evaluate import refuse_nonfinite
from samplerzoo.metrics.feature_files import Values, write_features

BATCH_SIZE = 250


class Embedder:
    """A feature network that is ready to be used."""

    def __init__(self, features: Features, device: str = "cpu") -> None:
        self.features = features
        self._net = features.load(device)
        self._head = features.load_head(device)

    def __call__(
        self, images: torch.Tensor | NDArray[np.uint8], names: Sequence[str]
    ) -> tuple[Values, NDArray[np.int64] | None]:
        """float32 features (N, D), and the classes (N,) that the network sees if it knows any.

        Args:
            images: uint8 (N, C, H, W).
            names: what to call an image if its features are no numbers.

        Raises:
            ZooError: some are none, or the network does not answer with a vector an image.
        """
        found, classes = [], []
        # a distance is to be the same on every device: no TF32, which convolutions on CUDA otherwise use
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            for part in torch.as_tensor(images).split(BATCH_SIZE):
                values = self._net(part)
                if values.ndim != 2 or len(values) != len(part):
                    raise ZooError(f"features {self.features.name} answer {tuple(values.shape)} to {len(part)} images")
                found.append(values.float().cpu().numpy())
                if self._head is not None:
                    classes.append(self._head(values).cpu().numpy())
        features = np.concatenate(found)
        refuse_nonfinite(features, names)
        return features, np.concatenate(classes) if classes else None


@dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """Features of many images: files of them, and the classes seen and meant, (N,) each, where they are known."""

    files: list[Path]
    predicted: NDArray[np.int64] | None
    labels: list[int] | None
    count: int


def embed_to_files(batches: Iterable[ImageBatch], embedder: Embedder, folder: Path) -> EmbeddedImages:
    """The features of all images, in files of the folder; memory does not grow with their number."""
    files: list[Path] = []
    seen: list[NDArray[np.int64]] = []
    meant: list[int] = []
    images = 0
    for number, batch in enumerate(_shown(batches)):
        features, predicted = embedder(batch.images, batch.names)
        files.append(folder / f"{number:06d}.safetensors")
        write_features(files[-1], features)
        images += len(features)
        seen += [] if predicted is None else [predicted]
        meant += [] if batch.labels is None else batch.labels.tolist()
    labels = meant if len(meant) == images else None
    return EmbeddedImages(files, np.concatenate(seen) if seen else None, labels, images)


def embed_stream(
    batches: Iterable[ImageBatch], embedder: Embedder
) -> Iterator[tuple[Values, NDArray[np.int64] | None]]:
    """Features and labels, for `make_reference`."""
    for batch in _shown(batches):
        yield embedder(batch.images, batch.names)[0], batch.labels


def _shown(batches: Iterable[ImageBatch]) -> Iterator[ImageBatch]:
    """With the number of images on the terminal."""
    with tqdm(desc="features", unit=" images", disable=None, leave=False) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.images))
