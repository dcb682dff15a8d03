"""The protocol of feature networks: what a metric sees of an image. Plugins, as samplers and guidances are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from samplerzoo.options import Options, kebab

if TYPE_CHECKING:
    import torch

    Network = Callable[[torch.Tensor], torch.Tensor]


class Features(Options):
    """A network that turns images into vectors, whose distribution is measured. Write `id` and `load`.

    Subclasses are made from `--features NAME:SOURCE`, as in classifier:mnist.
    """

    source: str = Field("", description="which one: what stands behind the colon of NAME:SOURCE")

    @property
    def name(self) -> str:
        """What metrics carry: fd_<name>."""
        return kebab(type(self).__name__)

    @property
    def id(self) -> str:
        """The weights' hash and the preprocessing: distances are comparable where this agrees. Loads no weights."""
        raise NotImplementedError(f"{type(self).__name__} has no id")

    @property
    def references(self) -> Path | None:
        """The folder of references that go by a name, such as train.safetensors."""
        return None

    def load(self, device: str = "cpu") -> Network:
        """uint8 images (N, C, H, W) to floating point features (N, D).

        The network, not the caller, refuses images of other channels with a UsageError.
        """
        raise NotImplementedError(f"{type(self).__name__} has no load")

    def load_head(self, device: str = "cpu") -> Network | None:
        """Features (N, D) to the predicted classes (N,), for a network that knows classes."""
        return None
