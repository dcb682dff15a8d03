from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo import Features, UsageError, ZooError, digest, find_model, reason

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"


class CleanClassifier(Features):
    """Penultimate layer of the classifier of clean images in a model folder's `features`, as in classifier:mnist.

    It knows classes, so that label accuracy can be measured. Make one with `samplerzoo train-classifier --clean`.
    """

    @property
    def name(self) -> str:
        return Path(self.source).expanduser().resolve().name

    @property
    def id(self) -> str:
        return f"{digest(self.folder / WEIGHTS)} pixels in [-1, 1]"

    @property
    def references(self) -> Path:
        return self.folder

    @property
    def folder(self) -> Path:
        """Folder of the classifier.

        Raises:
            UsageError: the model has none.
        """
        if not self.source:
            raise UsageError("features classifier: say of which model, as in classifier:mnist")
        folder = find_model(self.source) / "features"
        if not (folder / WEIGHTS).is_file():
            raise UsageError(
                f"{self.source} has no feature network: make one with `samplerzoo train-classifier --clean "
                f"--output-dir {folder}`"
            )
        return folder

    @property
    def class_names(self) -> tuple[str, ...] | None:
        try:
            names = json.loads((self.folder / "config.json").read_text()).get("id2label") or {}
            return tuple(str(names[number]) for number in sorted(names, key=int)) or None
        except (OSError, ValueError, AttributeError) as error:
            raise ZooError(f"{self.folder / 'config.json'}: cannot be read: {reason(error)}") from error

    def load(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        net = self._read().to(device)

        def features(images: torch.Tensor) -> torch.Tensor:
            channels = net.config.num_channels
            if images.shape[1] != channels:
                raise UsageError(
                    f"{self.folder} is for images of {channels} channel{'s' * (channels > 1)}, "
                    f"and these have {images.shape[1]}"
                )
            x = images.to(device).float() / 127.5 - 1
            return net.base_model(x).pooler_output.flatten(1)

        return features

    def load_head(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        head = self._read().classifier.to(device)
        return lambda features: head(features.to(device)).argmax(dim=1)

    def _read(self) -> Any:
        from safetensors import SafetensorError
        from transformers import AutoModelForImageClassification

        try:
            net, report = AutoModelForImageClassification.from_pretrained(
                self.folder, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ZooError(f"{self.folder}: the feature network cannot be read: {reason(error)}") from error
        if report["missing_keys"]:  # transformers would make them up
            raise ZooError(f"{self.folder}: weights are missing: {min(report['missing_keys'])}, ...")
        return net.float().eval()
