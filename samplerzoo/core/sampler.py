"""The sampler protocol: a frozen set of options with one method to write, from one level to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

from samplerzoo.core.schedule import Grid, Level, Schedule
from samplerzoo.options import Options

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.prediction import Denoiser


class Sampler(Options):
    """Walks from noise to data. Write `step`, or `walk` for a method with memory.

    A sampler owns no loop, grid, device, random state or file, so it has none of them to get wrong. It is written for
    tensors (N, ...) of any shape, leaves its input unchanged, keeps the dtype, and never mixes the images of a batch.
    The state that it returns at the clean level holds no fresh noise.
    """

    takes_shift: ClassVar[bool] = False
    """Whether `Prediction.shift` is applied; if not, a guidance that asks for it is refused."""

    @property
    def order(self) -> int:
        """Order of convergence in the step size: the weak order if it draws noise after x_T."""
        return 1

    def grid(self, schedule: Schedule, steps: int, spacing: str) -> Grid:
        """The levels to visit; a sampler that owns its grid overrides this."""
        return schedule.grid(steps, spacing)

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """The state at level s, from the state x at level t.

        `denoise(x, level)` gives a Prediction, `noise()` a new standard normal tensor of the shape of x.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither step nor walk")

    def walk(
        self, x: torch.Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Yields the state once a grid step; a method with memory keeps it in its local variables."""
        for t, s in grid.pairs():
            x = self.step(x, t, s, denoise, noise)
            yield x
