"""Traces that runs leave in a process, which runs show that share with earlier ones all but one thing.

Something that is kept under a key that is too short, as step lengths by the number of steps and the ends, is taken by
the next run that has this key. To run the same again shows nothing, since the first run's is kept for good.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import torch

from samplerzoo.core.level import Grid
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import ON_VP, Path, given_noise, states, varied
from samplerzoo.testing.settings import neighbours

LOG_SNR = (-3.13, -2.21, -1.79, -0.93, -0.516, 0.31)
"""Log-SNR of the first levels of the run that is looked at: between whole timesteps, where beta jumps."""

LAST = 2.03
"""Log-SNR of its last noisy level."""

OTHERS = (
    (-3.13, -2.86, -1.27, -1.08, -0.12, 0.31),
    (-3.13, -2.21, -1.34, -0.93, -0.516, 0.31),
    (-3.13, -2.21, -1.79, -0.93, -0.24, 0.31),
    (-3.61, -2.95, -2.16, -1.79, -0.41, 0.17),
)
"""First levels of runs that come before it: with the same ends, with all levels the same but one, and with none."""

STEPS, FEWER, MORE = 139, 137, 141
"""Steps of all these runs, and of those that share nothing with them: numbers that no other check takes."""

SHARED = "runs with the same number of steps, ends, times or some levels, or all of them and other noise"

OPTIONS_FROM, OPTIONS_STEPS = -0.08, 10
"""Log-SNR and steps by which the runs differ after which other options are tried: what is kept is that of the first."""

SIZE, SMALLER, LARGER = (6, 5), (5, 4), (7, 6)
"""Images and pixels of these, in the same way: shapes that no other check takes."""

NUDGE = 1e-3
"""Change in log-SNR of levels that are shared with no run, over which states are nearly straight."""

STRAIGHT = 1e-5
"""Relative difference of a state from the mean of those of nudged levels which is allowed."""

ROUNDING = 1e-10
"""Relative rounding of float64."""


def check_nothing_is_shared(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a run is not changed by others before it which share the number of steps, levels or shape with it.

    It is compared with runs of other numbers of steps and other shapes by fresh objects, which have the same first
    levels and so begin alike, and with runs of levels that are a little off. A method that looks at the number of
    steps, or at the shape, does not begin alike in two of those, and is compared with the latter alone.
    """
    with contextlib.suppress(UsageError):  # of so many steps
        _run_other_grids(sampler, path)
        _check_as_fresh(sampler, path.schedule, LOG_SNR, STEPS, SHARED)
    around = [*neighbours(sampler)]
    if around:
        levels, steps = [level + OPTIONS_FROM for level in LOG_SNR], STEPS + OPTIONS_STEPS
        with contextlib.suppress(UsageError):
            for other in around:
                with contextlib.suppress(UsageError):  # of the option
                    _begun(other, path.schedule, _grid(path.schedule, levels, steps))
            _check_as_fresh(sampler, path.schedule, levels, steps, "runs of the same grid with other options")


def _run_other_grids(sampler: Sampler, path: Path) -> None:
    """Begin runs of other noise: on the same grid, on others with its ends or levels, and on schedules with its times.

    They come in an order in which each of them is the first of something that is kept.
    """
    times = [level.tau for level in _grid(path.schedule, LOG_SNR, STEPS).levels]
    for schedule in path.schedules.values():
        if schedule.at(times[0]) == path.schedule.at(times[0]):
            continue  # it has the same levels
        with contextlib.suppress(UsageError):  # of the schedule
            _begun(sampler, schedule, Grid(tuple(map(schedule.at, times))), seed=1)
    for before in (*OTHERS, LOG_SNR):
        _begun(sampler, path.schedule, _grid(path.schedule, before, STEPS), seed=1)


def _check_as_fresh(sampler: Sampler, schedule: Schedule, first: Sequence[float], steps: int, after: str) -> None:
    """Check that a run is one of a fresh object with other steps and another shape, and one of levels that are off."""
    found = _begun(sampler, schedule, _grid(schedule, first, steps))
    fewer = _begun(_fresh(sampler), schedule, _grid(schedule, first, steps + FEWER - STEPS), SMALLER)
    more = _begun(_fresh(sampler), schedule, _grid(schedule, first, steps + MORE - STEPS), LARGER)
    if _off(more, fewer).max() <= ROUNDING:
        _check_same(found, more, ROUNDING, after)
    around, *others = _around(sampler, schedule, first, steps)
    if all(_off(around, other).max() <= STRAIGHT for other in others):
        _check_same(found, around, STRAIGHT, after)


def _around(sampler: Sampler, schedule: Schedule, first: Sequence[float], steps: int) -> list[torch.Tensor]:
    """Return the states as those on levels that are moved have them: as means of both sides, and from either side.

    These are alike where states are straight. A method that rounds, or that asks where beta jumps, is not, and is
    judged by other checks.
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
    """Return the largest relative difference of each state, from the same images and pixels of a larger batch."""
    _, images, pixels = x.shape
    y = larger[:, :images, :pixels]
    return (x - y).abs().amax((1, 2)) / y.abs().amax((1, 2)).clamp(min=1.0)


def _fresh(sampler: Sampler) -> Sampler:
    return type(sampler).model_validate_json(sampler.model_dump_json())


def _grid(schedule: Schedule, first: Sequence[float], steps: int, *, nudge: float = 0.0) -> Grid:
    """Lay a grid of levels of given log-SNR and of even steps after them, all of which a nudge moves."""
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
