"""Traces that runs leave in a process, found by runs that differ from earlier ones in one thing only.

A cache with an incomplete key, such as step sizes by number of steps and ends of the grid, gives wrong values to a
later run with the same key. Repeating the same run would show nothing, since its own values are in the cache.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import torch

from samplerzoo.core.level import Grid
from samplerzoo.core.prediction import Denoiser
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.testing.alike import at_the_place_of
from samplerzoo.testing.fixtures import ON_VP, Path, farthest, given_noise, states, varied
from samplerzoo.testing.settings import neighbours

LOG_SNR = (-3.13, -2.21, -1.79, -0.93, -0.516, 0.31)
"""Log-SNR of the first levels of the examined run: between whole timesteps, where beta jumps."""

LAST = 2.03
"""Log-SNR of its last noisy level."""

OTHERS = (
    (-3.13, -2.86, -1.27, -1.08, -0.12, 0.31),
    (-3.13, -2.21, -1.34, -0.93, -0.516, 0.31),
    (-3.13, -2.21, -1.79, -0.93, -0.24, 0.31),
    (-3.61, -2.95, -2.16, -1.79, -0.41, 0.17),
)
"""First levels of earlier runs: with the same ends, with all levels but one the same, and with none the same."""

STEPS, FEWER, MORE = 139, 137, 141
"""Steps of all these runs, and of runs that share nothing with them: numbers that no other check uses."""

SHARED = "runs with the same number of steps, ends, times or some levels, or all of them and other noise"

STEPS_AT_A_PLACE = 6
"""Steps of the runs on schedules that lie at one place in memory, one after the other."""

OPTIONS_FROM, OPTIONS_STEPS = -0.08, 10
"""Shift in log-SNR and steps of the runs for other options, so that these are the first to fill a cache."""

SIZE, SMALLER, LARGER = (6, 5), (5, 4), (7, 6)
"""Images and pixels of the same runs: shapes that no other check uses."""

NUDGE = 1e-3
"""Change in log-SNR for levels that no other run shares. Over it, states are nearly linear."""

STRAIGHT = 1e-5
"""Allowed relative difference of a state from the mean of those at nudged levels."""

ROUNDING = 1e-10
"""Relative rounding of float64."""


def check_nothing_is_shared(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a run is not changed by earlier runs that share the number of steps, levels or shape with it.

    It is compared with runs by fresh objects, with other numbers of steps and other shapes. They have the same first
    levels, and so begin in the same way. It is also compared with runs at slightly different levels. A method that
    depends on the number of steps or on the shape does not begin in the same way, and is only compared with the latter.
    """
    with contextlib.suppress(UsageError):  # if the number of steps is refused
        _run_other_grids(sampler, path)
        _check_as_fresh(sampler, path.schedule, LOG_SNR, STEPS, SHARED)
    around = [*neighbours(sampler)]
    if around:
        levels, steps = [level + OPTIONS_FROM for level in LOG_SNR], STEPS + OPTIONS_STEPS
        with contextlib.suppress(UsageError):
            for other in around:
                with contextlib.suppress(UsageError):  # if the option is refused
                    _begun(other, path.schedule, _grid(path.schedule, levels, steps))
            _check_as_fresh(sampler, path.schedule, levels, steps, "runs of the same grid with other options")
    with contextlib.suppress(UsageError):
        _check_places_are_not_kept(sampler, path)
        _check_places_of_runs_are_not_kept(sampler, path)


def _check_places_are_not_kept(sampler: Sampler, path: Path) -> None:
    """Check that a schedule is not taken for one that was at the same place in memory before, and has the same id."""

    def run(schedule: Schedule) -> list[torch.Tensor]:
        grid, model = grid_of(sampler, schedule, STEPS_AT_A_PLACE), varied(shape=(2,), schedule=schedule)
        return list(states(sampler, model, grid, given_noise(3, (2,))))

    *_, other = path.schedules.values()  # the one that differs in its length, too
    expected, found = run(path.schedule), at_the_place_of(other, path.schedule, run)
    for number, (x, y) in enumerate(zip(expected, found or expected, strict=True)):
        assert torch.equal(x, y), (
            f"after a run on another schedule, which is gone, state {number} is off by {farthest(x, y):.2g}: an id is "
            "used again once its object is gone, so that nothing can be kept by it"
        )


def _check_places_of_runs_are_not_kept(sampler: Sampler, path: Path) -> None:
    """Check that a run is not taken for another one, which was left before its end, and whose denoiser is gone."""
    grid = grid_of(sampler, path.schedule, STEPS_AT_A_PLACE)
    middle = len(grid) // 2
    rest, model = Grid(grid.levels[middle:]), varied(shape=(2,), schedule=path.schedule)

    @torch.no_grad()
    def run(denoise: Denoiser, levels: Grid = rest) -> list[torch.Tensor]:
        draw = given_noise(3, (2,))
        states = sampler.walk(levels.levels[0].sigma * draw(), levels, denoise, draw)
        return [x.clone() for x in itertools.islice(states, middle)]

    denoise = Denoiser(model.denoise, path.schedule)
    expected, found = run(denoise), at_the_place_of(denoise, denoise, run, lambda gone: run(gone, grid))
    for number, (x, y) in enumerate(zip(expected, found or expected, strict=True), 1):
        assert torch.equal(x, y), (
            f"after a run that was left, state {number} of another one is off by {farthest(x, y):.2g}: an id is used "
            "again once its object is gone, so that nothing can be kept by id(denoise)"
        )


def _run_other_grids(sampler: Sampler, path: Path) -> None:
    """Begin runs with other noise: on grids that share ends or levels, on schedules that share times, on the same grid.

    Their order is such that each of them is the first to fill some kind of cache.
    """
    times = [level.tau for level in _grid(path.schedule, LOG_SNR, STEPS).levels]
    for schedule in path.schedules.values():
        if schedule.at(times[0]) == path.schedule.at(times[0]):
            continue  # it has the same levels
        with contextlib.suppress(UsageError):  # if the schedule is refused
            _begun(sampler, schedule, Grid(tuple(map(schedule.at, times))), seed=1)
    for before in (*OTHERS, LOG_SNR):
        _begun(sampler, path.schedule, _grid(path.schedule, before, STEPS), seed=1)


def _check_as_fresh(sampler: Sampler, schedule: Schedule, first: Sequence[float], steps: int, after: str) -> None:
    """Compare a run with those of fresh objects with other steps and shapes, and with runs at nudged levels."""
    found = _begun(sampler, schedule, _grid(schedule, first, steps))
    fewer = _begun(_fresh(sampler), schedule, _grid(schedule, first, steps + FEWER - STEPS), SMALLER)
    more = _begun(_fresh(sampler), schedule, _grid(schedule, first, steps + MORE - STEPS), LARGER)
    if _off(more, fewer).max() <= ROUNDING:
        _check_same(found, more, ROUNDING, after)
    around, *others = _around(sampler, schedule, first, steps)
    if all(_off(around, other).max() <= STRAIGHT for other in others):
        _check_same(found, around, STRAIGHT, after)


def _around(sampler: Sampler, schedule: Schedule, first: Sequence[float], steps: int) -> list[torch.Tensor]:
    """Estimate the states from runs at nudged levels: by means of both sides, and by extrapolation from either side.

    The estimates agree if states are linear in the levels. They are not for a method that rounds, or that calls the
    network where beta jumps. Other checks judge such methods.
    """
    far_below, below, above, far_above = (
        _begun(_fresh(sampler), schedule, _grid(schedule, first, steps, nudge=by))
        for by in (-NUDGE, -NUDGE / 2, NUDGE / 2, NUDGE)
    )
    return [(far_below + far_above) / 2, (below + above) / 2, 2 * below - far_below, 2 * above - far_above]


def _check_same(found: torch.Tensor, expected: torch.Tensor, allowed: float, after: str) -> None:
    for number, off in enumerate(_off(expected, found).tolist()):
        assert off <= allowed, (
            f"after {after}, state {number} of a run is off by {off:.2g} from that of one which has nothing in common "
            "with them: what a run keeps belongs in local variables of walk"
        )


def _off(larger: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the largest relative difference of each state from the same images and pixels of a larger batch."""
    _, images, pixels = x.shape
    y = larger[:, :images, :pixels]
    return (x - y).abs().amax((1, 2)) / y.abs().amax((1, 2)).clamp(min=1.0)


def _fresh(sampler: Sampler) -> Sampler:
    return type(sampler).model_validate_json(sampler.model_dump_json())


def _grid(schedule: Schedule, first: Sequence[float], steps: int, *, nudge: float = 0.0) -> Grid:
    """Return a grid of levels with given log-SNR, followed by even steps. A nudge moves all levels."""
    step = (LAST - first[-1]) / (steps - len(first))
    rest = (first[-1] + step * n for n in range(1, steps - len(first) + 1))
    return Grid((*(schedule.at_log_snr(level + nudge) for level in (*first, *rest)), schedule.at(0.0)))


def _begun(
    sampler: Sampler, schedule: Schedule, grid: Grid, size: tuple[int, int] = SIZE, *, seed: int = 0
) -> torch.Tensor:
    """Return x_T and the states of the first steps of a run."""
    images, pixels = size
    draw = given_noise(LARGER[0], LARGER[1:], seed=seed)
    model = varied(shape=(pixels,), schedule=schedule)
    way = states(sampler, model, grid, lambda: draw()[:images, :pixels])
    return torch.stack([x.clone() for x in itertools.islice(way, len(LOG_SNR))])
