from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo import Features, UsageError, ZooError, check_transformers, digest, find_model, read_object, reason

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"


class CleanClassifier(Features):
    """Penultimate layer of the classifier of clean images in a model folder's `features`, as in classifier:mnist.

    It knows classes, so that label accuracy can be measured. Make one with `samplerzoo train-classifier --clean`.
    """

    @property
    def name(self) -> str:
        return Path(os.path.expanduser(self.source)).resolve().name

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
            make = ["samplerzoo", "train-classifier", "--clean", "--dataset", "DATA", "--output-dir", str(folder)]
            raise UsageError(
                f"{self.source} has no feature network: make one of your images DATA with `{shlex.join(make)}`, or "
                "take --features pixels"
            )
        return folder

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width that the classifier was trained on; None of a folder of earlier versions, which has none."""
        size = read_object(self.folder / "config.json").get("image_size")
        if size is None:
            return None
        height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
        if not (isinstance(height, int) and isinstance(width, int)):
            raise ZooError(f"{self.folder / 'config.json'}: image_size is {size!r}, and no size")
        return height, width

    @property
    def class_names(self) -> tuple[str, ...] | None:
        try:
            names = read_object(self.folder / "config.json").get("id2label") or {}
            return tuple(str(names[number]) for number in sorted(names, key=int)) or None
        except (ValueError, AttributeError, TypeError) as error:
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
        from transformers import AutoModelForImageClassification

        check_transformers(self.folder)
        try:
            net, report = AutoModelForImageClassification.from_pretrained(
                self.folder, use_safetensors=True, local_files_only=True, output_loading_info=True,
                trust_remote_code=False,
            )  # fmt: skip
        except Exception as error:  # the kind of error depends on what is broken
            raise unreadable(self.folder, error) from error
        if report["missing_keys"]:  # transformers would make them up
            raise ZooError(f"{self.folder}: weights are missing: {min(report['missing_keys'])}, ...")
        return net.float().eval()


def unreadable(folder: Path, error: Exception) -> ZooError:
    """Say why transformers cannot read a folder. Of code in a folder it asks to be trusted, which nothing here is."""
    asks = "trust_remote_code" in str(error)
    why = "it needs code of its own (auto_map), and no code of a folder is run" if asks else reason(error)
    return ZooError(f"{folder}: the feature network cannot be read: {why}")
