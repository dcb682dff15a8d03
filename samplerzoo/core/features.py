"""Protocol of feature networks, which turn images into the vectors that metrics compare. They are plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from samplerzoo.options import Options, kebab

if TYPE_CHECKING:
    import torch

    Network = Callable[[torch.Tensor], torch.Tensor]
    TextNetwork = Callable[[Sequence[str]], torch.Tensor]


class Features(Options):
    """Base class of feature networks. A subclass implements `id` and `load`.

    `--features NAME:SOURCE`, as in classifier:mnist, creates an instance of the plugin NAME with this source.
    """

    takes_source: ClassVar[bool] = True
    """True if a source may follow the colon. If not, a source is refused, since it would have no effect."""

    source: str = Field("", description="the part of NAME:SOURCE after the colon")

    @model_validator(mode="after")
    def _has_what_it_takes(self) -> Self:
        if self.source and not self.takes_source:
            raise ValueError(f"nothing stands behind its name: --features {self.name}")
        return self

    @property
    def name(self) -> str:
        """Name of the network in metrics, as in fd_<name>."""
        return kebab(type(self).__name__)

    @property
    def id(self) -> str:
        """Identity: hash of the weights, and the preprocessing. Distances with equal ids can be compared.

        It is read without loading weights.
        """
        raise NotImplementedError(f"{type(self).__name__} has no id")

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the images that the network is for; images of another size are refused.

        None if it takes any size, as one does that resizes them itself.
        """
        return None

    @property
    def references(self) -> Path | None:
        """Folder of the named references, such as train.safetensors, or None."""
        return None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes that `load_head` predicts, or None. Labels of images are matched with them by name."""
        return None

    def load(self, device: str = "cpu") -> Network:
        """Return a function from uint8 images (N, C, H, W) to floating-point features (N, D).

        The function raises UsageError for images with a wrong number of channels.
        """
        raise NotImplementedError(f"{type(self).__name__} has no load")

    def load_head(self, device: str = "cpu") -> Network | None:
        """Return a function from features (N, D) to predicted classes (N,), or None if the network knows no classes."""
        return None

    def load_text(self, device: str = "cpu") -> TextNetwork | None:
        """Return a function from N texts to features (N, D), or None if the network knows no texts.

        The nearer a text is to an image, the smaller is the angle between the features of the two.
        """
        return None
