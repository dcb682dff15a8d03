"""Trajectory: the first few images of a run between noise and picture, as a strip and as a film.

Both show the states x_t, and the clean images x0 that the network predicts from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samplerzoo import images
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Prediction
from samplerzoo.images import FONT_SIZE, GAP, MARGIN, Pixels
from samplerzoo.sampling.recipe import SCALE, Recipe
from samplerzoo.system.files import atomic_file

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from samplerzoo.sampling.plan import Plan

SHOWN = 4
STRIP_COLUMNS = 11
FILM_FRAMES = 60

STRIP_FILE, FILM_FILE = FILES = ("trajectory.png", "trajectory.gif")


class Trajectory:
    """Listener of the driver that keeps states and predictions of the first images of the first batch."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        self._grid, self._model, self._recipe, self._labels = plan.grid, plan.model, recipe, plan.labels
        self._strip, self._film = moments(plan.grid, STRIP_COLUMNS), _evenly(plan.grid, FILM_FRAMES)
        self._places = {plan.grid.levels[number]: number for number in {*self._strip, *self._film}}
        self._states: dict[int, Pixels] = {}
        self._predictions: dict[int, Pixels] = {}

    @property
    def complete(self) -> bool:
        return len(self._grid) in self._states

    def reached(self, number: int, level: Level, x: torch.Tensor) -> None:
        """Keep a state. This is a listener of steps."""
        if not self.complete and level in self._places:
            self._states[number] = images.to_uint8(self._model.decode(x[:SHOWN]))

    def predicted(self, level: Level, p: Prediction) -> None:
        """Keep the first prediction from each kept state. This is a listener of predictions.

        Some samplers, such as Heun's method, call the network at a level before they reach it. Those predictions are
        not shown.
        """
        number = self._places.get(level)
        if number in self._states and number not in self._predictions and not self.complete:
            self._predictions[number] = images.to_uint8(self._model.decode(p.x0[:SHOWN]))

    def picture(self) -> Image.Image:
        """Draw the strip."""
        levels = [self._grid.levels[number] for number in self._strip]
        name = self._model.schedule.timestep
        heads = ["x0" if level.clean else f"t = {name(level.tau):.4g}" for level in levels]
        return way([self._pair(number) for number in self._strip], heads, self._title())

    def save(self, folder: Path) -> None:
        """Write the strip and the film."""
        images.save_png(self.picture(), folder / STRIP_FILE)
        frames = [np.concatenate(self._pair(number)) for number in self._film]
        with atomic_file(folder / FILM_FILE) as partial:
            partial.write_bytes(images.gif(frames, len(frames[0]) // 2))

    def _pair(self, number: int) -> tuple[Pixels, Pixels]:
        """Return the states after a number of steps, and the predictions from them; at the end both are the states."""
        x = self._states[number]
        return x, self._predictions.get(number, x)

    def _title(self) -> str:
        recipe = self._recipe
        known = {name: value for name, value in recipe.sampler_options.items() if value is not None}
        options = [f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in known.items()]
        scale = recipe.guidance_options.get(SCALE, "")
        guidance = f", {recipe.guidance or 'guidance'} {scale}" if recipe.guidance or scale != "" else ""
        labels = "" if self._labels is None else f", labels {' '.join(map(str, self._labels[:SHOWN]))}"
        steps = f"{len(self._grid)} steps, {recipe.spacing or ''}".rstrip(", ")
        return f"{' '.join([recipe.sampler, *options])}{guidance.rstrip()}, {steps}, seed {recipe.seed}{labels}"


def moments(grid: Grid, count: int) -> list[int]:
    """Choose levels of a grid, by their numbers: levels about evenly spaced in log-SNR, and the clean one.

    Evenly spaced steps would mostly show noise.
    """
    noisy = np.array([level.log_snr for level in grid.levels if not level.clean])
    wanted = np.linspace(noisy[0], noisy[-1], min(count - 1, len(noisy)))
    return sorted({*(int(np.abs(noisy - value).argmin()) for value in wanted), len(grid)})


def way(pairs: Sequence[tuple[Pixels, Pixels]], heads: Sequence[str], title: str) -> Image.Image:
    """Draw trajectories: two rows per image, states above predictions, and a column per moment."""
    width, height = images.tile_size(pairs[0][0])
    count, left, top = len(pairs[0][0]), MARGIN + 3 * FONT_SIZE, MARGIN + 2 * (FONT_SIZE + GAP)
    tiles, texts = [], [(float(MARGIN), float(MARGIN + FONT_SIZE), title, "ls")]
    for column, (pair, head) in enumerate(zip(pairs, heads, strict=True)):
        x = left + column * (width + GAP)
        texts.append((x + width / 2, float(top - GAP), head, "ms"))
        for image in range(count):
            for row, pixels in enumerate(pair):
                tiles.append(((x, top + image * (2 * (height + GAP) + MARGIN) + row * (height + GAP)), pixels[image]))
    for image in range(count):
        for row, name in enumerate(("x_t", "x0")):
            y = top + image * (2 * (height + GAP) + MARGIN) + row * (height + GAP) + height / 2
            texts.append((float(left - GAP), y, name, "rm"))
    bottom = top + count * (2 * (height + GAP) + MARGIN)
    needed = round(images.font_for([title]).getlength(title)) + 2 * MARGIN
    size = max(left + len(pairs) * (width + GAP) + MARGIN, needed), bottom
    return images.sheet(size, tiles, [((x, y), text, anchor) for x, y, text, anchor in texts])


def _evenly(grid: Grid, count: int) -> list[int]:
    """Return evenly spread step numbers, from 0 (pure noise) to the last step."""
    return sorted({round(number) for number in np.linspace(0, len(grid), min(count, len(grid) + 1))})
