"""Trajectory: the first few images of a run on their way from noise to picture, as a strip and as a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samplerzoo import images
from samplerzoo.core.level import Level
from samplerzoo.images import Pixels
from samplerzoo.system.files import atomic_file

if TYPE_CHECKING:
    import torch

    from samplerzoo.sampling.plan import Plan

SHOWN = 8
STRIP_COLUMNS = 11
FILM_FRAMES = 60

STRIP_FILE, FILM_FILE = FILES = ("trajectory.png", "trajectory.gif")


class Trajectory:
    """Listener of the driver's steps that keeps the states of the first batch which will be shown."""

    def __init__(self, plan: Plan) -> None:
        self._grid, self._model = plan.grid, plan.model
        self._strip, self._film = (self._moments(count) for count in (STRIP_COLUMNS, FILM_FRAMES))
        self._kept: dict[int, Pixels] = {}

    @property
    def complete(self) -> bool:
        return len(self._grid) in self._kept

    def __call__(self, number: int, level: Level, x: torch.Tensor) -> None:
        if not self.complete and number in {*self._strip, *self._film}:
            self._kept[number] = images.to_uint8(self._model.decode(x[:SHOWN]))

    def save(self, folder: Path) -> None:
        levels = [self._grid.levels[number] for number in self._strip]
        name = self._model.schedule.timestep
        captions = ["x0" if level.clean else f"t = {name(level.tau):.4g}" for level in levels]
        images.save_png(images.strip([self._kept[number] for number in self._strip], captions), folder / STRIP_FILE)
        with atomic_file(folder / FILM_FILE) as partial:
            partial.write_bytes(images.gif([self._kept[number] for number in self._film]))

    def _moments(self, count: int) -> list[int]:
        """Return evenly spread step numbers, from 0 (pure noise) to the last step."""
        steps = len(self._grid)
        return sorted({round(number) for number in np.linspace(0, steps, min(count, steps + 1))})
