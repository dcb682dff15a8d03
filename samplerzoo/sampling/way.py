"""Way of images from noise to picture: every state, and what is predicted from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Prediction


@dataclass(frozen=True, eq=False)
class Way:
    """States of images on their way, on the CPU, and what the sampler was told of them.

    Attributes:
        states: (moments, N, *shape), from pure noise to the end: one a level of the grid.
        predictions: x0 as predicted from each state but the last, after guidance and clip: (moments - 1, N, *shape).
            A moment whose level the sampler passes without a prediction, as some do, has NaN.
    """

    states: torch.Tensor
    predictions: torch.Tensor


class Recorder:
    """Listener that keeps every state of a batch, and the first prediction from each.

    Args:
        most: images that are kept, the first ones; by default all.
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
