"""Checks of what a sampler makes of a learned variance and of a mean shift."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from samplerzoo.core.exact import draws
from samplerzoo.core.level import Grid, Level, posterior_std, transition_variance
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.testing.checks.answers import MEAN, STD
from samplerzoo.testing.checks.walk import ROUNDING
from samplerzoo.testing.fixtures import ON_VP, Path, given_noise, made_for, normal
from samplerzoo.testing.moments import Impulses


def check_noise_is_as_predicted(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check what a sampler makes of a learned variance and of a mean shift, if it looks at them.

    The weight of a learned variance is that of log beta, 0 being log beta-tilde (Nichol and Dhariwal 2021, eq. 15). A
    shift moves the state by the variance of the fresh noise (Dhariwal and Nichol 2021, algorithm 1).
    """
    schedule = path.schedule
    grid = Grid(tuple(path.uneven.levels[i] for i in (1, 2, 3, -1)))
    noise, moved = _responses(sampler, schedule, grid, 0.3)
    if sampler.takes_shift:
        for number, (variance, shift) in enumerate(zip(noise, moved, strict=True), 1):
            assert abs(variance - shift) <= ROUNDING, (
                f"it declares takes_shift, and a shift of 1 moves the state of step {number} by {shift:.6g}, where its "
                f"fresh noise has the variance {variance:.6g}"
            )
        assert all(noise), "it declares takes_shift, and draws no noise whose variance a shift could be multiplied by"
        _check_shifts_of_pixels(sampler, schedule, grid, noise)
    else:
        assert not any(moved), "a mean shift moves its states, and it does not declare takes_shift"
    ends = [_responses(sampler, schedule, grid, weight)[0] for weight in (0.0, 1.0)]
    if ends[0] == ends[1]:
        return
    for number, ((t, s), low, found, high) in enumerate(zip(grid.pairs(), ends[0], noise, ends[1], strict=False), 1):
        small, large = posterior_std(t, s) ** 2, transition_variance(t, s)
        for weight, variance in ((0.0, low), (0.3, found), (1.0, high)):
            expected = small ** (1 - weight) * large**weight
            assert abs(variance - expected) <= 1e-9 * expected, (
                f"its fresh noise follows the learned variance, and has the variance {variance:.6g} in step {number} "
                f"at weight {weight:g}, where that of beta-tilde and beta is {expected:.6g}"
            )


@torch.no_grad()
def _check_shifts_of_pixels(sampler: Sampler, schedule: Schedule, grid: Grid, variances: Sequence[float]) -> None:
    """Check that every pixel of a batch moves by its own shift, small or large, times the variance of its noise."""
    shifts = torch.tensor([[1.0, -30.0, 1e-3], [0.0, 2.0, -0.5], [1e3, 0.1, 7.0]], dtype=torch.float64)
    model = normal(MEAN, STD, shape=(3,), schedule=schedule)
    for number, variance in enumerate(variances):
        part = Grid(grid.levels[number:])

        def moved(by: torch.Tensor, part: Grid = part) -> torch.Tensor:
            def predict(x: torch.Tensor, level: Level) -> Prediction:
                p = model.denoise(x, level)
                return dataclasses.replace(p, shift=by, variance=torch.full_like(x, 0.3))

            draw = given_noise(3, (3,))
            return next(iter(walk_from(sampler, draw(), part, Denoiser(predict, schedule), draw)))

        off = (moved(shifts) - moved(0 * shifts) - variance * shifts).abs() / (1 + variance * shifts.abs())
        image, pixel = divmod(int(off.argmax()), 3)
        assert off.max() <= 1e-9, (
            f"a shift of {shifts[image, pixel]:g} of one pixel of a batch, whose pixels all have shifts of their own, "
            f"moves it otherwise than by itself times the variance of the fresh noise in step {number + 1}"
        )


@torch.no_grad()
def _responses(sampler: Sampler, schedule: Schedule, grid: Grid, weight: float) -> tuple[list[float], list[float]]:
    """Return the variance of the fresh noise of every noisy step, and how far a mean shift of 1 in it moves its state.

    Both are measured on the first step of a grid that begins there, since a step has no other memory.
    """
    model = made_for(sampler, MEAN, STD, schedule)
    found: tuple[list[float], list[float]] = ([], [])
    for begin in range(len(grid) - 1):
        part = Grid(grid.levels[begin:])
        states = {}
        drawn = draws(sampler, part, schedule, steps=1)
        for shift in (None, 0.0, 1.0):
            source = Impulses(drawn + 1, (1,))
            x = source() * 0.0

            def predict(x: torch.Tensor, level: Level, shift: float | None = shift) -> Prediction:
                p = model.denoise(x, level)
                told = None if shift is None else torch.full_like(x, shift)
                weights = torch.full_like(x, weight) if model.averages else None
                return dataclasses.replace(p, shift=told, variance=weights)

            states[shift] = next(iter(walk_from(sampler, x, part, Denoiser(predict, schedule), source)))
        plain = states[None]
        assert torch.equal(plain, states[0.0]), "a mean shift of 0 moves its states"
        found[0].append(float((plain[2 : drawn + 2] - plain[0]).square().sum()))
        found[1].append(float((states[1.0] - plain)[0]))
    return found
