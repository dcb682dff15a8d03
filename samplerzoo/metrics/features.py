"""Feature networks: what a metric sees of an image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from samplerzoo.errors import UsageError, ZooError

WEIGHTS = "model.safetensors"
BATCH_SIZE = 256


class FeatureNetwork:
    """The classifier of clean images in a model folder's `features/`; its features are its penultimate layer.

    Attributes:
        name: of the model folder, which a metric's name carries: fd_mnist.
        digest: the first 16 hex digits of the SHA-256 of its weights; statistics made with others are refused.
    """

    def __init__(self, root: Path, device: str = "cpu") -> None:
        from transformers import AutoModelForImageClassification

        self.folder = root / "features"
        if not (self.folder / WEIGHTS).is_file():
            raise UsageError(
                f"{root} has no feature network: make one with `samplerzoo train-classifier --clean "
                f"--output-dir {self.folder}`"
            )
        try:
            net = AutoModelForImageClassification.from_pretrained(
                self.folder, use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ZooError(f"{self.folder}: the feature network cannot be read: {error}") from error
        self.name = root.name
        self.digest = hashlib.sha256((self.folder / WEIGHTS).read_bytes()).hexdigest()[:16]
        self._net = net.float().to(device).eval()
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Features (N, D) and predicted classes (N,) of uint8 images (N, H, W, C)."""
        channels = self._net.config.num_channels
        if images.shape[-1] != channels:
            raise UsageError(
                f"{self.folder} is for images of {channels} channel{'s' * (channels > 1)}, "
                f"and these have {images.shape[-1]}"
            )
        features, classes = [], []
        for start in range(0, len(images), BATCH_SIZE):
            batch = torch.from_numpy(images[start : start + BATCH_SIZE]).to(self._device)
            x = batch.permute(0, 3, 1, 2).float() / 127.5 - 1
            pooled = self._net.base_model(x).pooler_output.flatten(1)
            features.append(pooled.double().cpu().numpy())
            classes.append(self._net.classifier(pooled).argmax(dim=1).cpu().numpy())
        return np.concatenate(features), np.concatenate(classes)
