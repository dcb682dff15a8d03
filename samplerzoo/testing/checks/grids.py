"""Checks of levels: those of a run depend only on the request, and lie where networks were trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress

import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.paths import RectifiedFlow
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import ON_VP, Path, given_noise, made_for


def check_grids_are_as_asked(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a run has the requested number of steps, and the same levels after any earlier requests.

    A grid of its own class may have another number of steps, as those of other libraries do. A grid that follows
    spacings must also follow the options behind their names, the grid of the model's own scheduler, and its shift.
    """
    asked = [(steps, spacing) for steps in (9, 11) for spacing in path.spacings]
    found = []
    for order in (asked, asked[::-1]):
        schedule = copy.copy(path.schedule)  # a cache for one object does not know the other
        grids = {(steps, spacing): grid_of(sampler, schedule, steps, spacing) for steps, spacing in order}
        found.append(grids)
        for (steps, spacing), grid in grids.items():
            assert type(grid) is not Grid or len(grid) == steps, (
                f"its grid has {len(grid)} steps, {spacing}, where {steps} were asked for"
            )
    _check_begins_in_noise(sampler, path)
    _check_spacings_are_followed(sampler, path)
    for steps, spacing in asked:
        first, second = (grids[steps, spacing] for grids in found)
        assert first.levels == second.levels, (
            f"its grid of {steps} steps, {spacing}, is another one after others were asked for: what is kept forgets "
            "the steps, the spacing or the schedule"
        )


LATE = 2.0
"""Largest distance in log-SNR of the first level from the noisiest one of the path."""


def _check_begins_in_noise(sampler: Sampler, path: Path) -> None:
    """Check that a run begins near the noisiest level, or where the spacing begins, on all schedules of a path."""
    for name, schedule in path.schedules.items():
        for spacing in path.spacings:
            grids = grid_of(sampler, schedule, 20, spacing), schedule.grid(20, spacing)
            first, usual = (grid.levels[0] for grid in grids)
            latest = max(usual.log_snr, schedule.at(schedule.T).log_snr + LATE)
            assert first.log_snr <= latest, (
                f"its grid of 20 steps, {spacing}, begins at log-SNR {first.log_snr:.3g} of the {name} schedule, whose "
                f"noisiest level has {schedule.at(schedule.T).log_snr:.3g}: a run begins with noise alone"
            )


SAME = 1e-9
"""Largest relative difference of times that count as equal: a grid may be computed in another unit."""

FOLLOWED = (9, 20, 31, 50, 101, 250)
"""Numbers of steps of the grids that are compared with those of the spacing."""

NAMES = ("trailing", "leading", "linspace", "quadratic", "karras")
"""Spacings that users choose."""

SHIFT = 3.0
"""Shift of a flow."""

BENT = 1.5
"""Power of the share of the steps in the grid of a model's own scheduler, which makes it differ from usual grids."""


def _check_spacings_are_followed(sampler: Sampler, path: Path) -> None:
    """Check that a grid which follows spacings also follows all that a spacing depends on.

    A spacing depends on the options behind its name, on the grid of the model's own scheduler, and on the shift of a
    flow. A method with levels of its own, the same for all spacings, is left out.
    """
    for steps in FOLLOWED:
        laid = {spacing: _times(sampler, path.schedule, steps, spacing) for spacing in path.spacings}
        if len({*laid.values()}) == 1:
            return
        follows = all(_same(times, _levels(path.schedule.grid(steps, it)), path.schedule) for it, times in laid.items())
        for spacing in NAMES if follows else ():
            with suppress(UsageError):  # it is none of this path
                assert _same(
                    _times(sampler, path.schedule, steps, spacing),
                    _levels(path.schedule.grid(steps, spacing)),
                    path.schedule,
                ), (
                    f"its grid of {steps} steps is as the spacing lays it on a {path.kind} path for some spacings, and "
                    f"for {spacing} it is not: hand spacing on to schedule.grid as it is"
                )
        for what, usual, schedule, spacing in _belonging(path.schedule):
            with suppress(UsageError):  # it refuses the spacing
                if type(grid_of(sampler, schedule, steps, spacing)) is not Grid:
                    return
                found, grid = _times(sampler, schedule, steps, spacing), f"its grid of {steps} steps"
                assert not follows or _same(found, _levels(schedule.grid(steps, spacing)), schedule), (
                    f"{grid} is as the spacing lays it on a {path.kind} path, and with {what}, {spacing}, it is not: "
                    "hand spacing on to schedule.grid as it is"
                )
                assert found != _times(sampler, path.schedule, steps, usual), (
                    f"{grid} is another one on each spacing of a {path.kind} path, and with {what}, {spacing}, it is "
                    f"that of {usual}"
                )


def _belonging(schedule: Schedule) -> Iterator[tuple[str, str, Schedule, str]]:
    """Yield each dependence of a spacing: its name, a spacing without it, and a schedule and a spacing with it."""
    yield "an option behind its name", "karras", schedule, "karras:rho=3"
    span, owning = schedule.T - schedule.low, copy.copy(schedule)
    owning.own = lambda steps: [schedule.T - span * (k / max(steps - 1, 1)) ** BENT for k in range(steps)]
    yield "the grid of the model's own scheduler", schedule.usual, owning, owning.spacing
    if isinstance(schedule, RectifiedFlow):
        shifted = copy.copy(schedule)
        shifted.shift = SHIFT
        yield f"a shift of {SHIFT:g}", schedule.usual, shifted, schedule.usual


def _times(sampler: Sampler, schedule: Schedule, steps: int, spacing: str) -> tuple[float, ...]:
    """Return the times of the levels that a sampler visits."""
    return _levels(grid_of(sampler, schedule, steps, spacing))


def _levels(grid: Grid) -> tuple[float, ...]:
    return tuple(level.tau for level in grid.levels)


def _same(found: tuple[float, ...], expected: tuple[float, ...], schedule: Schedule) -> bool:
    """Tell whether times are equal up to rounding."""
    return len(found) == len(expected) and all(
        abs(a - b) <= SAME * schedule.T for a, b in zip(found, expected, strict=True)
    )


BEYOND = 0.1
"""Largest excess in log-SNR of a computed level over the cleanest level of training."""

NUMBERS = (1, 2, 5, 20)
"""Numbers of steps of the runs in which all levels that the network is asked about are checked."""

MORE_NUMBERS, LAST = (31, 50, 101, 200, 333, 500, 1000), 4
"""Further numbers of steps, of which the last `LAST` steps are run."""


def check_levels_are_those_of_training(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that neither a grid nor its steps use a noisy level below `schedule.low`, the cleanest level of training.

    Below it networks give no sensible answer. Grids that the user chooses are not checked, nor grids of their own
    class, as those of other libraries.
    """
    for name, schedule in path.schedules.items():
        cleanest = schedule.at(schedule.low).log_snr + BEYOND
        known = f"of the {name} schedule, whose networks know levels from {schedule.low:g} (schedule.low) on"
        for spacing in path.spacings:
            for steps in (*NUMBERS, *MORE_NUMBERS):
                try:
                    grid, usual = grid_of(sampler, schedule, steps, spacing), schedule.grid(steps, spacing)
                except UsageError:
                    if steps in NUMBERS:
                        raise
                    continue
                if usual.levels[-2].log_snr > cleanest:
                    continue  # so many steps go below it in any case
                if type(grid) is not Grid:
                    return
                before = 0 if steps in NUMBERS else max(len(grid) - LAST, 0)
                last = grid.levels[-2]
                assert last.log_snr <= cleanest, (
                    f"its grid of {steps} steps, {spacing}, ends at tau {last.tau:.3g} {known}"
                )
                for step, level in _asked(sampler, schedule, Grid(grid.levels[before:])):
                    assert level.log_snr <= cleanest, (
                        f"in step {before + step} of {steps}, {spacing}, it asks the network about tau {level.tau:.3g} "
                        f"{known}"
                    )


@torch.no_grad()
def _asked(sampler: Sampler, schedule: Schedule, grid: Grid) -> list[tuple[int, Level]]:
    """Return the step and the level of each call of the network in a run."""
    model, step = made_for(sampler, 0.5, 0.5, schedule), 0
    asked: list[tuple[int, Level]] = []

    def predict(x: torch.Tensor, level: Level) -> Prediction:
        asked.append((step, level))
        return model.denoise(x, level)

    for _ in walk(sampler, grid, Denoiser(predict, schedule), given_noise(1, (1,))):
        step += 1
    return asked
