from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from samplerzoo import Features

if TYPE_CHECKING:
    import torch


class Pixels(Features):
    """The pixels themselves, from 0 to 1: no weights, for images of one size.

    They see where ink is, and not what it draws: a small distance says little, a large one that something is wrong.
    """

    @property
    def id(self) -> str:
        return "pixels / 255"

    def load(self, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda images: images.to(device).flatten(1).float() / 255
