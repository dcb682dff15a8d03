from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo import Features, UsageError, ZooError, digest, find_model, refuse_kernels
from samplerzoo_plugins.clean_classifier import unreadable

if TYPE_CHECKING:
    import torch

PREPROCESSING = "preprocessor_config.json"


class TransformersFeatures(Features):
    """Vision model of transformers, from a folder or the hub, such as hf:facebook/dinov2-small.

    Images are prepared by the model's own image processor. Grey images are repeated in three channels. The features are
    the image embedding of a model that has one (CLIP), else the pooled output, else the first token of the last layer.
    """

    @property
    def name(self) -> str:
        return Path(os.path.expanduser(self.source)).resolve().name

    @property
    def id(self) -> str:
        weights = digest(*sorted(self.folder.glob("[!.]*.safetensors")))
        return f"{weights} {PREPROCESSING} {digest(self.folder / PREPROCESSING)}"

    @property
    def folder(self) -> Path:
        """Folder of the model, fetched from the hub if it is not here.

        Raises:
            UsageError: no model is named, or it does not exist.
            ZooError: a file is missing in the folder.
        """
        if not self.source:
            raise UsageError("features hf: say which model, as in hf:facebook/dinov2-small or hf:FOLDER")
        folder = find_model(self.source)
        for needed in ("config.json", PREPROCESSING, "*.safetensors"):
            if not any(folder.glob(needed.replace("*", "[!.]*"))):
                raise ZooError(f"{folder}: no {needed}; hf: needs config, image processor and safetensors weights")
        return folder

    def load(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        net, processor, pooled = self._read(device)

        def features(images: torch.Tensor) -> torch.Tensor:
            colour = images if images.shape[1] != 1 else images.expand(-1, 3, -1, -1)
            pixels = processor(images=list(colour.cpu()), return_tensors="pt", input_data_format="channels_first")
            values = pixels["pixel_values"].to(device)
            if hasattr(net, "get_image_features"):
                found = net.get_image_features(pixel_values=values)
                return found if not hasattr(found, "pooler_output") else found.pooler_output
            found = net(pixel_values=values)
            return found.pooler_output.flatten(1) if pooled else found.last_hidden_state[:, 0]

        return features

    def _read(self, device: str) -> tuple[Any, Any, bool]:
        """Load the network and its image processor, and say whether the network has pooled features."""
        from transformers import AutoImageProcessor, AutoModel

        refuse_kernels(self.folder)
        try:
            processor = AutoImageProcessor.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
            net, report = AutoModel.from_pretrained(
                self.folder, use_safetensors=True, local_files_only=True, output_loading_info=True,
                trust_remote_code=False,
            )  # fmt: skip
        except Exception as error:  # the kind of error depends on what is broken
            raise unreadable(self.folder, error) from error
        missing = set(report["missing_keys"])  # transformers makes them up
        made_up = {key for key in missing if "pooler" in key}
        if missing - made_up:
            raise ZooError(f"{self.folder}: weights are missing: {min(missing - made_up)}, ...")
        pooled = not made_up and getattr(net, "pooler", True) is not None
        return net.float().to(device).eval(), processor, pooled
