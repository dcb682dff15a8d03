"""Way of images from noise to picture: all states, and the predictions from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Prediction


@dataclass(frozen=True, eq=False)
class Way:
    """States of images on their way from noise to data, and the predictions from them, on the CPU.

    Attributes:
        states: one for each level of the grid, (levels, N, *shape), from pure noise to the end.
        predictions: x0 as predicted from each state but the last, after guidance and clip, (levels - 1, N, *shape). It
            is NaN where the sampler makes no prediction at a level.
    """

    states: torch.Tensor
    predictions: torch.Tensor


class Recorder:
    """Listener that keeps every state of a batch, and the first prediction from each.

    Args:
        most: number of images to keep, the first ones; by default all.
    """

    def __init__(self, grid: Grid, most: int | None = None) -> None:
        self._grid, self._most = grid, most
        self._states: list[torch.Tensor] = []
        self._predictions: dict[int, torch.Tensor] = {}

    def reached(self, number: int, level: Level, x: torch.Tensor) -> None:
        self._states.append(x[: self._most].cpu().clone())

    def predicted(self, level: Level, p: Prediction) -> None:
        number = len(self._states) - 1
        if level == self._grid.levels[number] and number not in self._predictions:
            self._predictions[number] = p.x0[: self._most].cpu().clone()

    def states(self) -> torch.Tensor:
        return torch.stack(self._states)

    def predictions(self) -> torch.Tensor:
        lacking = torch.full_like(self._states[0], float("nan"))
        return torch.stack([self._predictions.get(number, lacking) for number in range(len(self._grid))])


def join(shares: Sequence[tuple[torch.Tensor, torch.Tensor]], order: torch.Tensor) -> Way:
    """Join the ways of all batches, in the order of their images."""
    states, predictions = (torch.cat(parts, dim=1)[:, order] for parts in zip(*shares, strict=True))
    return Way(states, predictions)
