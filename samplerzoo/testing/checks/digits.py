"""Checks of precision: x_T keeps its dtype, coefficients have all digits, and lower precision only adds rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from samplerzoo.core.level import Grid
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.testing.fixtures import (
    ON_VP,
    Noise,
    Path,
    Watched,
    farthest,
    given_noise,
    normal,
    states,
    varied,
)

ROUNDING = 1e-10
"""Relative rounding of float64 over a few dozen steps; a mistake is far above it."""


def size(x: torch.Tensor) -> float:
    """Return the size that errors are compared with: the largest absolute value of x, at least 1."""
    return max(1.0, float(x.abs().max()))


def check_dtype_is_kept(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that all states have the dtype of x_T, with all of its digits."""
    for dtype in (torch.float32, torch.float64):
        watched = Watched(normal(schedule=path.schedule))
        found = list(watched.states(sampler, path.some, given_noise(8, (1,), dtype)))
        for what, x in [*(("denoises", x) for x, _ in watched.asked), *(("yields", x) for x in found)]:
            assert x.dtype == dtype, f"it {what} {x.dtype} where x_T is {dtype}: a tensor of another dtype came in"
            assert dtype == torch.float32 or not torch.equal(x, x.float().double()), (
                f"it {what} float64 numbers that have only the digits of float32: something is computed in float32"
            )


NUDGE = 1e-7
"""Relative change of levels: above the rounding of float32, and so small that a smooth formula is linear over it."""


def check_coefficients_have_all_digits(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that images are a smooth function of the levels: float32 coefficients and rounded levels would show.

    Images of three runs whose levels differ by equal small amounts must be on a straight line.
    """
    schedule = path.schedule
    taus = [schedule.tau(t) * 0.9003 for t in path.timesteps[:4]]  # between whole timesteps, where beta jumps
    runs = []
    for nudge in (-1, 0, 1):
        grid = Grid((*(schedule.at(tau * (1 + nudge * NUDGE)) for tau in taus), schedule.at(0.0)))
        model = normal(schedule=schedule)
        runs.append(torch.stack(list(states(sampler, model, grid, given_noise(8, (1,))))))
    below, middle, above = runs
    off = farthest(above - middle, middle - below) / size(middle)
    assert off < 1e-10, (
        f"levels that are moved by {NUDGE:g} of themselves, twice, move the states unequally, by {off:.1g}: "
        "what is made of the levels is rounded; coefficients are Python floats, and levels are those of the grid"
    )
    if schedule.whole is None:  # on a path of timesteps, betas do not change with the levels
        _check_levels_are_not_rounded(sampler, path)


COARSE_NUDGE = 0.01
"""Relative change of levels over which a correct formula is nearly linear, and one with rounded levels changes."""

STRAIGHT = 0.1
"""Allowed relative difference of the slopes over both changes, since formulas are curved."""

PLACES = (0.9003, 0.8507, 0.7909)
"""Factors on the times of the levels that are then changed."""


def _check_levels_are_not_rounded(sampler: Sampler, path: Path) -> None:
    """Check that states change with the levels at the same rate over a tiny change as over a larger one.

    If levels are rounded or looked up in a table, a tiny change has no effect, or too little. A method that switches
    its formula at some level jumps at one place at most, and so passes.
    """
    off = []
    for place in PLACES:
        small, large = (_slope(sampler, path, place, nudge) for nudge in (NUDGE, COARSE_NUDGE))
        off.append(farthest(small, large) / max(1e-3, float(large.abs().max())))
    assert min(off) < STRAIGHT, (
        f"levels that are moved by {NUDGE:g} of themselves move the states otherwise than over {COARSE_NUDGE:g}, by "
        f"{min(off):.2g} of the slope: levels are rounded"
    )


def _slope(sampler: Sampler, path: Path, place: float, nudge: float) -> torch.Tensor:
    """Return the slope of the states over the relative change `nudge` of all levels."""
    schedule, runs = path.schedule, []
    model = normal(schedule=schedule)
    for sign in (-1, 1):
        taus = [schedule.tau(t) * place * (1 + sign * nudge) for t in path.timesteps[:4]]
        grid = Grid((*map(schedule.at, taus), schedule.at(0.0)))
        runs.append(torch.stack(list(states(sampler, model, grid, given_noise(8, (1,))))))
    return (runs[1] - runs[0]) / (2 * nudge)


FAINT = -11.0
"""Log-SNR below which alpha is so small that dividing by it loses digits."""

FLOAT32 = 2.5e-4
"""Allowed relative rounding of a run in float32: half of that of a single number in half precision."""


def check_float32_is_enough(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a run in float32 gives the images of one in float64, but for rounding, on all schedules of a path.

    Levels with almost no signal are left out, since correct formulas may divide by alpha.
    """
    for name, schedule in path.schedules.items():
        model = varied(schedule=schedule)
        for steps, spacing in ((5, path.spacings[0]), (10, path.spacings[0]), (30, path.spacings[1])):
            levels = grid_of(sampler, schedule, steps, spacing).levels
            grid = Grid(tuple(level for level in levels if level.log_snr > FAINT))
            exact, rounded = (
                list(states(sampler, model, grid, given_noise(16, (1,), dtype)))
                for dtype in (torch.float64, torch.float32)
            )
            for number, (x, y) in enumerate(zip(exact, rounded, strict=True)):
                off = farthest(x, y) / size(x)
                assert off < FLOAT32, (
                    f"float32 and float64 differ by {off:.2g} after step {number} of {len(grid)} ({spacing}, {name} "
                    f"schedule), where rounding is below {FLOAT32:g}"
                )


HALF_PRECISION = (torch.bfloat16, torch.float16)

HALF_GRIDS: dict[str, tuple[Sequence[float], tuple[float, float]]] = {
    "a few steps": ((-2.0, -0.8, 0.1, 1.5, 2.0), (0.06, 0.01)),
    "one step": ((-2.0,), (0.02, 0.003)),
    "two steps": ((0.0, 1.0), (0.07, 0.015)),
    "many steps": (np.linspace(-3.0, 3.0, 25).tolist(), (0.12, 0.02)),
    "a long last step": ((-2.0, -1.5, -1.0, -0.5), (0.04, 0.006)),
    "much noise": ((-5.0, -3.0, -1.0, 1.0, 3.0), (0.11, 0.022)),
    "little noise": ((-1.0, 0.0, 2.0, 4.0, 6.0), (0.2, 0.03)),
}
"""Grids for half precision: log-SNR of levels, and allowed relative rounding of states in bfloat16 and in float16.

At these levels neither alpha nor sigma is so small that correct formulas lose their digits. The allowed rounding is
twice that of correct methods.
"""


FINER = 2.0**-12
"""Relative change of draws, below the rounding of half precision."""


def check_draws_keep_their_digits(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that states follow a small change of all draws in proportion, on data on which they are affine in them.

    Draws, states or answers that go through another dtype on their way, as by autocast, or that are rounded to some
    digits, move by whole steps, or not at all.
    """
    schedule = path.schedule
    for what, (log_snr, _) in HALF_GRIDS.items():
        grid = Grid((*map(schedule.at_log_snr, log_snr), schedule.at(0.0)))
        draw = given_noise(8, (1,))
        shares = 1 + FINER * torch.arange(3, dtype=torch.float64)[:, None, None]
        noise = lambda: (shares * draw()).flatten(0, 1)  # noqa: B023, E731
        for number, x in enumerate(states(sampler, normal(schedule=schedule), grid, noise)):
            below, middle, above = x.chunk(3)
            off = farthest(above - middle, middle - below) / size(x)
            assert off <= ROUNDING, (
                f"draws that grow by {FINER:g} of themselves, twice, move the state of step {number} of {len(grid)} "
                f"unequally, by {off:.2g}, from log-SNR {log_snr[0]:g} on ({what}): draws, states or answers are "
                "rounded on their way, as by half precision"
            )


def check_half_precision_is_near(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that states in half precision keep their dtype, and equal those in float64 but for rounding.

    samplerzoo itself passes states in float32. Other callers of `walk` may use other dtypes.
    """
    schedule = path.schedule
    model = normal(schedule=schedule)  # without a shift, which would be rounded more coarsely
    for what, (log_snr, bounds) in HALF_GRIDS.items():
        grid = Grid((*map(schedule.at_log_snr, log_snr), schedule.at(0.0)))
        exact = list(states(sampler, model, grid, _rough_noise(torch.float64)))
        for dtype, allowed in zip(HALF_PRECISION, bounds, strict=True):
            rounded = list(states(sampler, model, grid, _rough_noise(dtype)))
            for number, (x, y) in enumerate(zip(exact, rounded, strict=True)):
                assert y.dtype == dtype, f"its state of step {number} is {y.dtype} where x_T is {dtype}"
                off = farthest(x, y) / size(x)
                assert off < allowed, (
                    f"states in {dtype} differ by {off:.2g} from those in float64 after step {number} of {len(grid)}, "
                    f"from log-SNR {log_snr[0]:g} on ({what}), where rounding is below {allowed:g}"
                )


def _rough_noise(dtype: torch.dtype) -> Noise:
    """Draw numbers that every dtype represents exactly."""
    draw = given_noise(16, (4,), torch.bfloat16)
    return lambda: draw().to(dtype)
