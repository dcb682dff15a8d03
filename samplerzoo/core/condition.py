"""Condition: what each image of a batch shall show, in the form that the network takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Condition:
    """Inputs of a network other than state and time, one row per image. `+` joins batches, `[rows]` selects images.

    A recipe records labels or prompts, and the model turns them into a Condition.

    Attributes:
        inputs: keyword inputs of the network, each (N, ...); empty for an unconditional one.
        labels: (N,) int64 class of each image, which a classifier can guide to; None if images belong to no class.
        null: the same inputs for the unconditional prediction, from the empty or a negative prompt; empty if the model
            has others, as one with a null label does.
    """

    inputs: Mapping[str, torch.Tensor] = field(default_factory=dict)
    labels: torch.Tensor | None = None
    null: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __getitem__(self, rows: slice | Sequence[int] | torch.Tensor) -> Condition:
        chosen, null = ({name: value[rows] for name, value in each.items()} for each in (self.inputs, self.null))
        return Condition(chosen, None if self.labels is None else self.labels[rows], null)

    def __add__(self, other: Condition) -> Condition:
        import torch

        labels = None
        if self.labels is not None and other.labels is not None:
            labels = torch.cat([self.labels, other.labels])
        return Condition(_joined(self.inputs, other.inputs), labels, _joined(self.null, other.null))


def _joined(inputs: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.cat([value, others[name]]) for name, value in inputs.items()}
