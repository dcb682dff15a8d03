"""Features of images, computed in batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from samplerzoo.core.blame import bad_answer, blaming
from samplerzoo.core.features import Features
from samplerzoo.core.protocol import check_values
from samplerzoo.data.class_names import apart
from samplerzoo.data.sources import ImageBatch, ImageSource
from samplerzoo.errors import UsageError
from samplerzoo.metrics.evaluate import refuse_nonfinite
from samplerzoo.metrics.feature_files import Values, write_features
from samplerzoo.metrics.names import spec_of

BATCH_SIZE = 250
"""Images per call of the feature network."""


class Embedder:
    """Feature network with its weights loaded.

    Args:
        features: the plugin.
        device: where the network computes.
    """

    def __init__(self, features: Features, device: str = "cpu") -> None:
        self.features, self.device = features, device
        with blaming(features):
            self._net, self._head = features.load(device), features.load_head(device)
            self.class_names = features.class_names and apart(features.class_names)
        if not callable(self._net):
            raise bad_answer(features, "load", self._net, "a function of images (N, C, H, W)")
        if self._head is not None and not callable(self._head):
            raise bad_answer(features, "load_head", self._head, "None or a function of features (N, D)")
        check_values(features, "name", "id")

    def __call__(
        self, images: torch.Tensor | NDArray[np.uint8], names: Sequence[str]
    ) -> tuple[Values, NDArray[np.int64] | None]:
        """Return float32 features (N, D), and the predicted classes (N,) or None if the network knows no classes.

        Args:
            images: uint8 (N, C, H, W).
            names: name of each image, for errors.

        Raises:
            UsageError: the network is for images of another size.
            ZooError: a feature is NaN or infinite, or the network does not return one vector per image.
        """
        check_size(self.features, images.shape[1:])
        found, classes = [], []
        # no TF32, the default of convolutions on CUDA: distances should not depend on the device
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            for part in torch.as_tensor(images).split(BATCH_SIZE):
                with blaming(self.features):
                    values = self._net(part)
                if not isinstance(values, torch.Tensor) or values.ndim != 2 or len(values) != len(part):
                    wanted = f"a tensor ({len(part)}, D) for {len(part)} images"
                    raise bad_answer(self.features, "load", values, wanted, of="'s function")
                found.append(values.float().cpu().numpy())
                if self._head is not None:
                    with blaming(self.features):
                        predicted = self._head(values)
                    if not isinstance(predicted, torch.Tensor) or predicted.shape != (len(part),):
                        wanted = f"a tensor ({len(part)},) of classes"
                        raise bad_answer(self.features, "load_head", predicted, wanted, of="'s function")
                    classes.append(predicted.cpu().numpy())
        features = np.concatenate(found)
        refuse_nonfinite(features, names)
        return features, np.concatenate(classes) if classes else None


def check_size(features: Features, shape: Sequence[int]) -> None:
    """Refuse images (C, H, W) of another size than the network is for: what it says of them means nothing.

    Raises:
        UsageError: names both sizes.
    """
    with blaming(features):
        size = features.image_size
    if size is None:
        return
    if not (isinstance(size, tuple) and len(size) == 2):
        raise bad_answer(features, "image_size", size, "None or (height, width)")
    _, height, width = shape
    if size != (height, width):
        raise UsageError(
            f"images of {width}x{height}; the network of {spec_of(features)} is for {size[1]}x{size[0]}: give images "
            f"of that size, or other features, as --features pixels with real images of {width}x{height}"
        )


def text_features(features: Features, texts: Sequence[str], device: str) -> Values:
    """Return float32 features (N, D) of texts, from a network with a text encoder.

    Raises:
        UsageError: the network has no text encoder.
        ZooError: the network does not return one finite vector per text.
    """
    with blaming(features):
        net = features.load_text(device)
    if net is None:
        raise UsageError(f"features {features.name} know no texts; a CLIP model does: --features hf:FOLDER")
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH_SIZE):
            part = texts[start : start + BATCH_SIZE]
            with blaming(features):
                values = net(part)
            if not isinstance(values, torch.Tensor) or values.ndim != 2 or len(values) != len(part):
                wanted = f"a tensor ({len(part)}, D) for {len(part)} texts"
                raise bad_answer(features, "load_text", values, wanted, of="'s function")
            found.append(values.float().cpu().numpy())
    rows = np.concatenate(found)
    refuse_nonfinite(rows, [f"prompt {number}" for number in range(1, len(texts) + 1)])
    return rows


@dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """Features of many images in files.

    Attributes:
        files: files of features, in the order of the images.
        predicted: predicted classes (N,); None if the network knows no classes.
        labels: labels of all N images; None if some have none.
        count: N.
    """

    files: list[Path]
    predicted: NDArray[np.int64] | None
    labels: list[int] | None
    count: int


def embed_to_files(images: ImageSource, embedder: Embedder, folder: Path) -> EmbeddedImages:
    """Write the features of all images to files in a folder, with constant memory."""
    files: list[Path] = []
    seen: list[NDArray[np.int64]] = []
    meant: list[int] = []
    for number, batch in enumerate(_shown(images)):
        features, predicted = embedder(batch.images, batch.names)
        files.append(folder / f"{number:06d}.safetensors")
        write_features(files[-1], features)
        seen += [] if predicted is None else [predicted]
        meant += [] if batch.labels is None else batch.labels.tolist()
    labels = meant if len(meant) == len(images) else None
    return EmbeddedImages(files, np.concatenate(seen) if seen else None, labels, len(images))


def embed_stream(
    images: ImageSource, embedder: Embedder, *, note: str = ""
) -> Iterator[tuple[Values, NDArray[np.int64] | None]]:
    """Yield features and labels of each batch, as `make_reference` takes them.

    Args:
        note: what the summary of the images says besides.
    """
    for batch in _shown(images, note):
        yield embedder(batch.images, batch.names)[0], batch.labels


def _shown(images: ImageSource, note: str = "") -> Iterator[ImageBatch]:
    """Yield the batches with a bar, and print a summary after the first one, so that an early error is one line."""
    with tqdm(desc="features", total=len(images), unit=" images", disable=None, leave=False) as bar:
        for number, batch in enumerate(images):
            yield batch
            if not number:
                tqdm.write("; ".join(filter(None, [images.summary, note])), file=sys.stderr)
            bar.update(len(batch.images))
