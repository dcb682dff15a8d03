"""Estimates of a benchmark: what is left to do of each cell, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samplerzoo.bench.cell import Cell
from samplerzoo.errors import ZooError
from samplerzoo.sampling.driver import seconds_per_evaluation
from samplerzoo.sampling.plan import Plan
from samplerzoo.system.processes import share


@dataclass(frozen=True, eq=False)
class Remaining:
    """Work that is left of a cell.

    Attributes:
        done: whether the cell has its rows, or the converged solution all of its images.
        batches: images to make; none for a cell that is done, or of which only the figures are missing.
        errors: whether the errors of the images that are made have to be measured on the way.
        seconds: estimated time of this process, for images, features and metrics.
    """

    cell: Cell
    done: bool
    batches: Sequence[range]
    errors: bool = False
    seconds: float = 0.0

    @property
    def images(self) -> int:
        """Number of images to make."""
        return sum(map(len, self.batches))

    @property
    def evaluations(self) -> float:
        """Network evaluations to make."""
        return self.images * self.cell.cost.nfe


class StepTimer:
    """Estimates the time of cells from one step of a full batch, timed once for all cells with network calls alike.

    Args:
        load: returns the plan of a cell with weights.
        batch_size: images of a full batch.
    """

    def __init__(self, load: Callable[[Cell], Plan], batch_size: int) -> None:
        self._load, self._batch_size = load, batch_size
        self._seconds: dict[tuple[object, ...], float] = {}

    def seconds(self, cell: Cell, batches: Sequence[range]) -> float:
        """Return the seconds that this process's share of the images takes."""
        mine = sum(map(len, share(batches)))
        return mine * cell.cost.nfe * self._seconds_per_evaluation(cell) if batches else 0.0

    def _seconds_per_evaluation(self, cell: Cell) -> float:
        cost, recipe = cell.cost, cell.recipe
        # to a tenth: under guidance in an interval they are other ones with every number of steps
        rows = [round(rows / cost.calls, 1) for rows in (cost.evaluations, cost.gradients, cost.second)]
        kind = recipe.dtype, recipe.guidance, recipe.second_fingerprint, *rows
        if kind not in self._seconds:
            try:
                size = min(self._batch_size, cell.images)
                self._seconds[kind] = seconds_per_evaluation(self._load(cell), size)
            except ZooError:  # the error is reported when the cell is made, and stops no other
                return 0.0
        return self._seconds[kind]
