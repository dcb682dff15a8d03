"""Condition: what each image of a batch is to be, as the network takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Condition:
    """Inputs of a network beside state and time, one row an image. `+` joins two batches, `[rows]` takes some images.

    A recipe keeps what was asked for, such as labels; the model turns it into a Condition.

    Attributes:
        inputs: keyword inputs of the network, each (N, ...); empty for an unconditional one.
        labels: (N,) int64 class of each image, which a classifier can guide to; None if images belong to no class.
    """

    inputs: Mapping[str, torch.Tensor] = field(default_factory=dict)
    labels: torch.Tensor | None = None

    def __getitem__(self, rows: slice | Sequence[int] | torch.Tensor) -> Condition:
        chosen = {name: value[rows] for name, value in self.inputs.items()}
        return Condition(chosen, None if self.labels is None else self.labels[rows])

    def __add__(self, other: Condition) -> Condition:
        import torch

        joined = {name: torch.cat([value, other.inputs[name]]) for name, value in self.inputs.items()}
        if self.labels is None or other.labels is None:
            return Condition(joined)
        return Condition(joined, torch.cat([self.labels, other.labels]))
