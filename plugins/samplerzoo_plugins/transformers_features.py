from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo import PREPROCESSING, Features, UsageError, ZooError, check_transformers, digest, find_model
from samplerzoo_plugins.clean_classifier import unreadable

if TYPE_CHECKING:
    import torch

VOCABULARIES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
"""Files of which a tokenizer needs some: without them, transformers makes up an empty one."""


class TransformersFeatures(Features):
    """Vision model of transformers, from a folder or the hub, such as hf:facebook/dinov2-small.

    Images are prepared by the model's own image processor. Grey images are repeated in three channels. The features are
    the image embedding of a model that has one (CLIP), else the pooled output, else the first token of the last layer,
    or the mean over the places of a map. A masked autoencoder sees the whole image. A model whose answers are random is
    refused.
    """

    @property
    def name(self) -> str:
        return Path(os.path.expanduser(self.source)).resolve().name

    @property
    def id(self) -> str:
        weights = digest(*sorted(self.folder.glob("[!.]*.safetensors")))
        preprocessing = self._preprocessing(self.folder)
        return f"{weights} {preprocessing.name} {digest(preprocessing)}"

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
        for needed in ("config.json", "*.safetensors"):
            if not any(folder.glob(needed.replace("*", "[!.]*"))):
                raise ZooError(f"{folder}: no {needed}; hf: needs config, image processor and safetensors weights")
        self._preprocessing(folder)
        return folder

    @staticmethod
    def _preprocessing(folder: Path) -> Path:
        """Return the file of the image processor."""
        for name in PREPROCESSING:
            if (folder / name).is_file():
                return folder / name
        raise ZooError(
            f"{folder}: no {' or '.join(PREPROCESSING)}; save its image processor there, as in "
            "AutoImageProcessor.from_pretrained(MODEL).save_pretrained(FOLDER)"
        )

    def load(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        import torch

        net, processor, pooled = self._read(device)
        whole = _unmasked(net)
        checked = False

        def features(images: torch.Tensor) -> torch.Tensor:
            if images.shape[1] not in (1, 3):
                raise UsageError(f"{self.folder} sees images of 1 or 3 channels, and these have {images.shape[1]}")
            colour = images if images.shape[1] != 1 else images.expand(-1, 3, -1, -1)
            pixels = processor(images=list(colour.cpu()), return_tensors="pt", input_data_format="channels_first")
            values = pixels["pixel_values"].to(device)
            answer = embed(values)
            nonlocal checked
            if not checked and not torch.equal(answer, embed(values)):
                raise ZooError(f"{self.folder}: two answers to the same images differ: {type(net).__name__} is random")
            checked = True
            return answer

        def embed(values: torch.Tensor) -> torch.Tensor:
            if hasattr(net, "get_image_features"):
                found = net.get_image_features(pixel_values=values)
                return found if not hasattr(found, "pooler_output") else found.pooler_output
            found = net(pixel_values=values, **whole(len(values)))
            if pooled and getattr(found, "pooler_output", None) is not None:
                return found.pooler_output.flatten(1)
            last = getattr(found, "last_hidden_state", None)
            if last is None or last.ndim not in (3, 4):
                raise ZooError(f"{self.folder}: {type(net).__name__} has neither pooled features nor tokens")
            return last[:, 0] if last.ndim == 3 else last.mean((2, 3))

        return features

    def load_text(self, device: str = "cpu") -> Callable[[Sequence[str]], torch.Tensor] | None:
        from transformers import AutoTokenizer

        net, _, _ = self._read(device)
        if not hasattr(net, "get_text_features"):
            return None
        if not any(all((self.folder / name).is_file() for name in names) for names in VOCABULARIES):
            raise ZooError(f"{self.folder}: no tokenizer.json; save its tokenizer there, as with the image processor")
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # the kind of error depends on what is broken
            raise unreadable(self.folder, error) from error
        most = min(tokenizer.model_max_length, net.config.text_config.max_position_embeddings)

        def features(texts: Sequence[str]) -> torch.Tensor:
            tokens = tokenizer(
                [*texts], padding="max_length", max_length=most, truncation=True, return_tensors="pt"
            ).to(device)
            found = net.get_text_features(**tokens)
            return found if not hasattr(found, "pooler_output") else found.pooler_output

        return features

    def _read(self, device: str) -> tuple[Any, Any, bool]:
        """Load the network and its image processor, and say whether the network has pooled features."""
        from transformers import AutoImageProcessor, AutoModel

        check_transformers(self.folder)
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


def _unmasked(net: Any) -> Callable[[int], dict[str, torch.Tensor]]:
    """Let a masked autoencoder see the whole image; return a function of further inputs for so many images.

    It sorts the patches by noise, and drops the last ones. Noise that rises leaves each where it is.
    """
    import torch

    if getattr(net.config, "mask_ratio", None) is None or "noise" not in inspect.signature(net.forward).parameters:
        return lambda count: {}
    net.config.mask_ratio = 0.0
    count = net.embeddings.patch_embeddings.num_patches
    rising = torch.arange(count, dtype=torch.float32, device=net.device)
    return lambda count: {"noise": rising.expand(count, -1)}
