"""Sampler protocol: a frozen set of options, and one method to write that goes from one level to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from samplerzoo.core.blame import bad_answer, blaming
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.options import Options, kebab

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.model import Model
    from samplerzoo.core.prediction import Denoiser


class Sampler(Options):
    """Method that walks from noise to data. Write `step`, or `walk` for a method with memory.

    A sampler owns no loop, grid, device, random state or file, so it has none of them to get wrong. It is written for
    tensors (N, ...) of any shape, leaves its input unchanged, keeps the dtype, and never mixes the images of a batch.
    The state that it returns at the clean level holds no fresh noise.
    """

    takes_shift: ClassVar[bool] = False
    """True if the sampler applies `Prediction.shift`; if not, a guidance that asks for it is refused."""

    needs_mean: ClassVar[bool] = True
    """True if x0 has to be the mean E[x_0 | x]; if not, the sampler is for models that map to a sample, too."""

    @property
    def order(self) -> int:
        """Order of convergence in the step size: the weak order if it draws noise after x_T.

        Above 2, the first few steps do not count, since a method with memory has a lower order there. The order is 0 if
        images do not converge to the data distribution as the steps become small.
        """
        return 1

    def suited(self, model: Model) -> Self:
        """Return this sampler with the defaults that depend on the model. Options that the user has set stay."""
        return self

    def grid(self, schedule: Schedule, steps: int, spacing: str) -> Grid:
        """Return the levels to visit. A sampler that has a grid of its own overrides this."""
        return schedule.grid(steps, spacing)

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """Return the state at level s, from the state x at level t.

        Args:
            x: (N, ...), left unchanged.
            denoise: `denoise(x, level)` gives a Prediction, at any level of `denoise.schedule`.
            noise: `noise()` gives a new standard normal tensor of the shape of x.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither step nor walk")

    def walk(
        self, x: torch.Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Yield the state once per step of the grid. A method with memory overrides this.

        Its memory is its local variables, so that runs do not disturb each other.
        """
        for t, s in grid.pairs():
            x = self.step(x, t, s, denoise, noise)
            yield x


def suited(sampler: Sampler, model: Model) -> Sampler:
    """Fill in the defaults of a sampler that depend on the model, and refuse a model that it is not for.

    Raises:
        UsageError: the sampler needs the mean of the clean image, which the model does not give.
        ZooError: the sampler fails, or gives something else.
    """
    if sampler.needs_mean and not model.averages:
        raise UsageError(
            f"{kebab(type(sampler).__name__)} needs the mean of the clean image given the noisy one, and "
            f"{model.name} gives one possible image, as consistency models do: --sampler consistency"
        )
    with blaming(sampler):
        found = sampler.suited(model)
    if not isinstance(found, Sampler):
        raise bad_answer(sampler, "suited", found, "a sampler, such as self")
    try:
        type(found).model_validate(dict(found))
    except ValueError as error:
        raise bad_answer(sampler, "suited", found, "options within their bounds") from error
    return found


def grid_of(sampler: Sampler, schedule: Schedule, steps: int, spacing: str | None = None) -> Grid:
    """Ask a sampler for its grid. Without a spacing, it gets the default spacing of the path.

    Raises:
        UsageError: this number of steps does not fit on this schedule.
        ZooError: the sampler fails, or gives something else.
    """
    with blaming(sampler):
        grid = sampler.grid(schedule, steps, schedule.spacing if spacing is None else spacing)
    if not isinstance(grid, Grid):
        raise bad_answer(sampler, "grid", grid, "a Grid, as schedule.grid gives it")
    return grid
