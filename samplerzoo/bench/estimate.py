"""Estimates of a benchmark: the work that is left of each cell, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from samplerzoo.bench.cell import Cell
from samplerzoo.core.level import Level
from samplerzoo.errors import ZooError
from samplerzoo.sampling import convergence
from samplerzoo.sampling.pace import Pace, measure_pace
from samplerzoo.sampling.plan import Plan
from samplerzoo.system.processes import share

if TYPE_CHECKING:
    import torch

PLAIN = [1.0, 0.0, 0.0]
"""Rows of network, classifier and second network per call, if only the network is called, as with guidance scale 1."""


@dataclass(frozen=True, eq=False)
class Remaining:
    """Work that is left of a cell.

    Attributes:
        done: True if the cell has all of its rows, or the converged solution all of its images.
        batches: images to make; none for a cell that is done, or that only lacks figures.
        errors: True if errors are measured as the images are made.
        seconds: estimated time of this process, for images, features and metrics.
        effort: least and most that an image takes, in multiples of the cell's cost. They differ for a converged
            solution, whose number of steps is not known beforehand.
    """

    cell: Cell
    done: bool
    batches: Sequence[range]
    errors: bool = False
    seconds: float = 0.0
    effort: tuple[float, float] = (1.0, 1.0)

    @property
    def images(self) -> int:
        """Number of images to make."""
        return sum(map(len, self.batches))

    @property
    def evaluations(self) -> float:
        """Network evaluations to make, at least."""
        return self.images * self.cell.cost.nfe * self.effort[0]

    @property
    def slowness(self) -> float:
        """Ratio of the most work that may be left to the least."""
        return self.effort[1] / self.effort[0]


class StepTimer:
    """Estimator of the time of cells, from one step of a full batch. Cells with the same kind of calls share a timing.

    Args:
        load: function that returns the plan of a cell with weights.
        batch_size: images of a full batch.
    """

    def __init__(self, load: Callable[[Cell], Plan], batch_size: int) -> None:
        self._load, self._batch_size = load, batch_size
        self._paces: dict[tuple[object, ...], Pace] = {}

    def seconds(self, cell: Cell, batches: Sequence[range]) -> float:
        """Return the seconds that this process's share of the images takes."""
        mine = sum(map(len, share(batches)))
        return self._pace(cell).seconds(mine, cell.cost.nfe) if batches else 0.0

    def _pace(self, cell: Cell) -> Pace:
        cost, recipe = cell.cost, cell.recipe
        # rounded, since under guidance in an interval the rows per call vary a little with the number of steps
        rows = [round(rows / cost.calls, 1) for rows in (cost.evaluations, cost.gradients, cost.second)]
        guidance = None if rows == PLAIN else recipe.guidance
        kind = recipe.dtype, guidance, recipe.second_fingerprint, *rows
        if kind not in self._paces:
            try:
                size = min(self._batch_size, cell.images)
                warm = any(dtype == recipe.dtype for dtype, *_ in self._paces)
                self._paces[kind] = measure_pace(self._load(cell), size, warm=warm)
            except ZooError:  # it is reported when the cell is made, and the other cells go on
                return Pace(0.0, 0.0)
        return self._paces[kind]


class Solving:
    """Progress of a converged solution, whose number of steps is not known beforehand.

    The mean cost of the images solved so far is the estimate for the rest, and the bar's total follows it.

    Args:
        nfe: evaluations of an image that converges at once.
        effort: expected evaluations of an image, in multiples of `nfe`; the bar's total includes it already.
        images: number of images to solve.
    """

    def __init__(self, bar: tqdm, nfe: float, effort: float, images: int) -> None:
        self._bar, self._each, self._images = bar, nfe * effort, images
        self._per_step = nfe / convergence.LEAST_STEPS
        self._done, self._made, self._solved = 0.0, 0.0, 0

    def on_step(self, number: int, level: Level, x: torch.Tensor) -> None:
        """Count a step of a batch of states. Number 0 is the start of a solution, not a step."""
        if number:
            self._done += len(x) * self._per_step
            self._bar.update(len(x) * self._per_step)

    def end(self, images: int) -> None:
        """Note that `images` more images are solved, and estimate the rest from the mean so far."""
        self._solved += images
        expected = self._done / self._solved
        left = self._images - self._solved
        self._bar.total += self._done - self._made - images * self._each + left * (expected - self._each)
        self._made, self._each = self._done, expected
        self._bar.refresh()
