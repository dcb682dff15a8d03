from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from samplerzoo import Features

if TYPE_CHECKING:
    import torch


class Pixels(Features):
    """Pixels from 0 to 1 as features, without weights, for images of one size.

    A small distance of pixels says little about images. A large one shows that something is wrong.
    """

    takes_source = False

    @property
    def id(self) -> str:
        return "pixels / 255"

    def load(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda images: images.to(device).flatten(1).float() / 255
