"""What the training loop needs to know about the thing that it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from samplerzoo.data.image_sets import ImageData


@dataclass(frozen=True)
class Report:
    """A finished or running training, for the model card and the command line."""

    step: int
    epoch: int
    images: int
    seconds: float
    loss: float | None
    """Mean over the last logged steps."""
    interrupted: bool = False
    main: bool = True
    """Whether this process is the one that speaks."""
    changes: tuple[str, ...] = ()
    """Options that were changed on the way."""


class Task(ABC):
    """A network, its loss, and how to save it as a model folder that others can load."""

    net: nn.Module
    data: ImageData
    illustrate_epochs: int

    @abstractmethod
    def loss(self, net: nn.Module, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Mean loss of a batch.

        Args:
            net: the network as Accelerate wrapped it.
            images: float (B, C, H, W) in [-1, 1], on the device.
            labels: int64 (B,), on the device.
            rng: the batch's own generator, on the CPU; every random number must come from it.
        """

    @abstractmethod
    def save(self, folder: Path, net: nn.Module, report: Report) -> None:
        """Make a folder loadable as a model, each file whole or not at all; on the main process alone.

        Args:
            net: a copy on the CPU, in evaluation mode, that holds the weights to be used.
        """

    @abstractmethod
    def illustrate(self, folder: Path, net: nn.Module, report: Report, main: bool) -> None:
        """Pictures of the model as it stands, every `illustrate_epochs`; on all processes, of which `main` writes.

        Args:
            net: a copy on the training device, otherwise as in `save`.
        """
