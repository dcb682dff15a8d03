from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from samplerzoo import PUBLISHED_INCEPTION, Features, UsageError, ZooError, atomic_file, digest, reason

if TYPE_CHECKING:
    import torch

FILE = "inception-2015-12-05.pt"
URL = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{FILE}"
CHANNELS = 3


class Inception(Features):
    """TensorFlow's Inception of 2015, the network of published FIDs, in StyleGAN's TorchScript port: 2048 features.

    Give the file as inception:FILE; without a file it is downloaded once. The network takes uint8 images, resizes them
    as TensorFlow does, and returns features for `return_features=True`. Grey images are repeated in its three channels.
    A result is called FID only with the file that others use, which is recognised by its SHA-256; with any other file
    it is called fd_inception.
    """

    @property
    def id(self) -> str:
        return f"{digest(self.file)} uint8, resized by the network"

    @property
    def file(self) -> Path:
        """File of the network. It is downloaded if none is named and none is in the cache."""
        if not self.source:
            return _downloaded()
        path = Path(os.path.expanduser(self.source))
        if not path.is_file():
            raise UsageError(f"features inception: no file {self.source}; {WAY_OUT}")
        return path

    def load(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        import torch

        try:
            net = torch.jit.load(self.file, map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise ZooError(f"{self.file}: not a TorchScript file: {reason(error)}") from error

        def features(images: torch.Tensor) -> torch.Tensor:
            if images.shape[1] not in (1, CHANNELS):
                raise UsageError(f"Inception sees images of 1 or 3 channels, and these have {images.shape[1]}")
            try:
                found: torch.Tensor = net(images.to(device).expand(-1, CHANNELS, -1, -1), return_features=True)
            except RuntimeError as error:
                raise ZooError(f"{self.file}: does not answer as {FILE} does: {_last_line(error)}") from error
            return found

        return features


WAY_OUT = f"get {URL} and give it as inception:FILE"


def _cached() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "samplerzoo" / FILE


def _downloaded() -> Path:
    path = _cached()
    if path.is_file():
        return path
    from torch.hub import download_url_to_file

    try:
        with atomic_file(path) as partial:
            download_url_to_file(URL, str(partial), hash_prefix=PUBLISHED_INCEPTION, progress=False)
    except (OSError, RuntimeError) as error:
        raise ZooError(f"features inception: the download failed ({reason(error)}); {WAY_OUT}") from error
    return path


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
