"""Checks of a walk: any grid, shape and dtype, one state per step, nothing changed in place, no draw in vain."""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

import numpy as np
import torch

from samplerzoo.core.blame import blame
from samplerzoo.core.exact import draws
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.testing.checks.answers import POINTS, distance, off_the_point
from samplerzoo.testing.fixtures import (
    LINEAR,
    ON_VP,
    Path,
    Watched,
    bimodal,
    farthest,
    given_noise,
    last,
    normal,
    states,
)
from samplerzoo.testing.moments import Impulses, run

ROUNDING = 1e-10
"""Relative rounding of float64 over a few dozen steps; a mistake is far above it."""

IRREGULAR = ON_VP.uneven


def check_one_state_a_step(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a walk yields one state, of the shape of x_T, for every step of its grid, also on a grid of one."""
    schedule = path.schedule
    for grid in (*(grid_of(sampler, schedule, n) for n in (1, 2, 7)), path.uneven):
        found = list(states(sampler, bimodal(schedule=schedule), grid, given_noise(3, (2,))))[1:]
        assert len(found) == len(grid), (
            f"its walk yields {len(found)} states on a grid of {_steps(grid)}: yield once a step, the last one too"
        )
        for number, x in enumerate(found, 1):
            assert x.shape == (3, 2), f"state {number} of {len(grid)} has the shape {tuple(x.shape)}, and x_T (3, 2)"
            assert torch.isfinite(x).all(), f"state {number} of {len(grid)} is NaN or infinite"


def check_levels_are_on_the_schedule(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that it denoises at levels of the schedule: `denoise.schedule` makes those that the grid does not have."""
    schedule = path.schedule
    for grid in (*(grid_of(sampler, schedule, 7, spacing) for spacing in path.spacings), path.uneven):
        watched = Watched(normal(schedule=schedule))
        list(watched.states(sampler, grid, given_noise(2, (1,))))
        assert watched.asked, "it never calls denoise, so that no image can come of it"
        for _, level in watched.asked:
            at = schedule.at(level.tau)
            assert (at.alpha, at.sigma) == (level.alpha, level.sigma), (
                f"it denoises at tau {level.tau:g} with alpha {level.alpha:.6f}, sigma {level.sigma:.6f}, where the "
                f"schedule has {at.alpha:.6f} and {at.sigma:.6f}: take levels from denoise.schedule.at or .at_log_snr"
            )


def check_any_shape(sampler: Sampler) -> None:
    """Check that the same numbers in another shape make the same image: nothing depends on channels and pixels."""
    grid = LINEAR.grid(5)
    flat = last(sampler, normal(shape=(12,)), grid, given_noise(4, (12,)))
    for shape in ((1, 12), (3, 2, 2), (3, 1, 2, 2)):
        try:
            image = last(sampler, normal(shape=shape), grid, given_noise(4, shape))
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise AssertionError(
                f"it fails on images of shape {shape} ({blame(error, sampler) or error}); are dimensions counted?"
            ) from error
        assert image.shape == (4, *shape), f"images of shape {shape} came back as {tuple(image.shape)[1:]}"
        off = farthest(image.flatten(1), flat)
        assert off <= ROUNDING * size(flat), f"images of shape {shape} differ by {off:.2g} from the same ones in a row"


def check_dtype_is_kept(sampler: Sampler) -> None:
    """Check that all states have the dtype of x_T, with all of its digits: coefficients are Python floats."""
    for dtype in (torch.float32, torch.float64):
        watched = Watched(normal())
        found = list(watched.states(sampler, LINEAR.grid(5), given_noise(8, (1,), dtype)))
        for what, x in [*(("denoises", x) for x, _ in watched.asked), *(("yields", x) for x in found)]:
            assert x.dtype == dtype, f"it {what} {x.dtype} where x_T is {dtype}: a tensor of another dtype came in"
            assert dtype == torch.float32 or not torch.equal(x, x.float().double()), (
                f"it {what} float64 numbers that have only the digits of float32: something is computed in float32"
            )


def check_nothing_is_changed_in_place(sampler: Sampler) -> None:
    """Check that x_T, draws, predictions and yielded states are not changed in place."""
    for grid in (LINEAR.grid(1), LINEAR.grid(5)):
        for what, now, before in _handed_over(sampler, grid):
            assert torch.equal(now, before), f"{what} was changed in place, in a run of {_steps(grid)}"


@torch.no_grad()
def _handed_over(sampler: Sampler, grid: Grid) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return every tensor that a run hands over, with a name and a copy of what it was then."""
    kept: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    model, draw = bimodal(), given_noise(3, (2,))

    def keep(what: str, x: torch.Tensor) -> None:
        kept.append((what, x, x.clone()))

    def noise() -> torch.Tensor:
        z = draw()
        keep("a draw of noise", z)
        return z

    def predict(x: torch.Tensor, level: Level) -> Prediction:
        p = model.denoise(x, level)
        keep("eps of a prediction", p.eps)
        keep("x0 of a prediction", p.x0)
        return p

    x = noise()  # on a path whose prior is N(0, 1), x_T itself
    for number, state in enumerate(sampler.walk(x, grid, Denoiser(predict, LINEAR), noise), 1):
        keep(f"the state of step {number}", state)
    return kept


def check_irregular_grids(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that both levels of a step come from the grid: on uneven steps, and on steps that do not divide T."""
    uneven = np.cumsum([0.0, *([1.0, 3.0] * 120)])
    schedule = path.schedule
    low, high = schedule.at(schedule.T).log_snr, schedule.at(schedule.low).log_snr
    inner = [schedule.at_log_snr(float(low + (high - low) * u)) for u in uneven[1:-1] / uneven[-1]]
    levels = (schedule.at(schedule.T), *inner, schedule.at(schedule.low), schedule.at(0))
    grids = {
        "240 steps that are long and short in turn": Grid(levels),
        "300 steps, which do not divide T": grid_of(sampler, schedule, 300),
    }
    for name, grid in grids.items():
        off = distance(sampler, grid, path)
        assert off < 0.02, (
            f"on {name}, mean and standard deviation are off by {off:.3f}: is the size of a step or the previous "
            "timestep worked out from the number of steps, where the grid has it?"
        )
    model = normal(POINTS, 0.0, shape=(len(POINTS),), parametrization=SAMPLE, schedule=schedule)
    off = off_the_point(sampler, model, path.uneven)
    assert off < 1e-9, f"on fractions of timesteps it misses a single point by {off:.2g}"


def check_draws_are_used(sampler: Sampler) -> None:
    """Check that every draw leaves a trace in the image, and that without draws an image follows from x_T alone."""
    for grid in (LINEAR.grid(5), IRREGULAR):
        drawn = draws(sampler, grid, LINEAR)
        images = run(normal(), sampler, grid, Impulses(1 + drawn, (1,)))
        again = run(normal(), sampler, grid, Impulses(1 + drawn, (1,)))
        assert drawn or torch.equal(images, again), (
            f"it draws no noise in {_steps(grid)}, and two runs from one x_T differ by {farthest(images, again):.2g}: "
            "take random numbers from noise()"
        )
        for number in range(2, drawn + 2):
            assert not torch.equal(images[number], images[0]), (
                f"draw {number - 1} of {drawn} after x_T, in {_steps(grid)}, leaves no trace in the image: do not "
                "draw what is not used"
            )


def check_shift_is_applied(sampler: Sampler) -> None:
    """Check that a sampler that declares `takes_shift` moves by the mean shift of a guidance."""
    if not sampler.takes_shift:
        raise SkipTest("it takes no mean shift, and says so")
    model, grid = normal(), LINEAR.grid(5)

    def shifted(by: float) -> torch.Tensor:
        def predict(x: torch.Tensor, level: Level) -> Prediction:
            return dataclasses.replace(model.denoise(x, level), shift=torch.full_like(x, by))

        noise = given_noise(2, (1,))
        *_, image = sampler.walk(noise(), grid, Denoiser(predict, LINEAR), noise)
        return image

    assert (shifted(0.5) > shifted(0.0)).all(), "it declares takes_shift, and a shift upwards does not raise its images"


def size(x: torch.Tensor) -> float:
    """Return what an error is compared with: the largest number of x, at least 1."""
    return max(1.0, float(x.abs().max()))


def _steps(grid: Grid) -> str:
    return f"{len(grid)} step" + "s" * (len(grid) > 1)
