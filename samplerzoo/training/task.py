"""Interface between the training loop and the tasks that it trains."""

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
    """State of a finished or running training, for the model card and the command line.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        images: images seen so far, by all processes.
        seconds: training time.
        loss: mean over the last logged steps; None before the first.
        interrupted: True if a signal stopped the training early.
        main: True on the main process, which prints the report.
        changes: options that were changed when the training was resumed, as sentences.
    """

    step: int
    epoch: int
    images: int
    seconds: float
    loss: float | None
    interrupted: bool = False
    main: bool = True
    changes: tuple[str, ...] = ()


class Task(ABC):
    """Network to train with its data and its loss, which can save itself as a model folder.

    Attributes:
        net: network to train.
        data: training images.
        illustrate_epochs: epochs between two calls of `illustrate`.
    """

    net: nn.Module
    data: ImageData
    illustrate_epochs: int

    @abstractmethod
    def loss(self, net: nn.Module, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            net: the network as Accelerate wrapped it.
            images: float (B, C, H, W) in [-1, 1], on the device.
            labels: int64 (B,), on the device.
            rng: generator of this batch, on the CPU. Every random number must come from it.
        """

    @abstractmethod
    def save(self, folder: Path, net: nn.Module, report: Report) -> None:
        """Write the model folder, each file atomically. Only the main process calls this.

        Args:
            net: copy of the network on the CPU, in evaluation mode, with the weights to save.
        """

    @abstractmethod
    def illustrate(self, folder: Path, net: nn.Module, report: Report, main: bool) -> None:
        """Draw pictures of the current model every `illustrate_epochs`. All processes call this.

        Args:
            net: copy of the network on the training device, otherwise as in `save`.
            main: True on the main process, which writes the files.
        """
