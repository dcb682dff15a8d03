"""Check of every single step on exact data: is each x at the level that the network is told, each state at its own?

It is the most powerful check. It reports errors with the step, the levels, and the terms of the state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress

import torch
from torch import Tensor

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import LEAST_ALPHA, Schedule
from samplerzoo.errors import UsageError
from samplerzoo.testing.convergence import smooth_schedule
from samplerzoo.testing.fixtures import ON_VP, Path
from samplerzoo.testing.steps import (
    MEANS,
    SAME,
    STDS,
    Laws,
    Point,
    coarse_grids,
    fine_grids,
    log_snr_of,
    points,
    whole_grid,
)

SECOND_ORDER = 2.0
"""Allowed error of a step over its squared size: twice that of Euler's method where a path is steepest."""

BIAS_AT_THE_END = 0.02
"""Allowed error of mean and deviation in the last state of a sampler of order 0, whose images do not converge."""
BIAS_OF_ORDER_0 = 0.12
"""Allowed error of a step's deviation for order 0, as a share of the fresh noise: as if noise were a tenth smaller."""

SMALL = 0.1
"""Size of a step in lambda below which its fresh noise must not exceed the noise of its level."""

COARSE = 1.0
"""Size of a step above which a correct method may have a large error."""

LONG_RUNS = {"VP": 1000, "VE": 600, "flow": 400}
"""Steps of a long run on each kind of path."""

LONGEST = 3000
"""Steps of the longest run, which is made only if the checks are thorough."""

ROUNDING, ROUNDING_OF_MANY = 1e-9, 1e-7
"""Error on data that is a single point, in deviations of the level, that counts as rounding: for small steps, and any.

The second is larger, since in runs of hundreds of steps with fresh noise the measured factor of a state loses digits.
"""

MATCH = 1e-6
"""Relative distance within which numbers are recognised as those of a known mistake."""


def check_every_step(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check every step of long and short runs on exact data: the inputs of the network, and the states.

    If a step from t calls the network with the state that it begins with, the level must be t. Every input of the
    network, and every yielded state, must have the mean and the deviation of the data at its level, but for an error of
    second order. Grids have alternately long and short steps, on all schedules of the path, with the same times on
    each, so that values cached for one schedule show on another.

    A long step may have a large error. But if x0 and eps do not change along a step, as on data that is a single point,
    a formula that is exact for small steps must be exact for long ones, too.
    """
    for name, schedule in path.schedules.items():
        if schedule is not path.schedule:
            exact = check_steps(sampler, schedule, fine_grids(schedule), name)
            check_steps(sampler, schedule, coarse_grids(sampler, schedule, path.spacings), name, exact=exact)
            continue
        exact = check_steps(sampler, schedule, fine_grids(schedule) | whole_grid(schedule), name)
        with suppress(UsageError):  # if the sampler only takes networks with a learned variance
            check_steps(sampler, schedule, fine_grids(schedule), name, learned=False)
        long = coarse_grids(sampler, schedule, path.spacings) | {"a few uneven steps": path.uneven}
        check_steps(sampler, schedule, long, name, exact=exact)


def check_long_runs(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check every step of a run of hundreds of steps, as `check_every_step` does; see `LONG_RUNS`."""
    steps = LONG_RUNS[path.kind]
    grid = grid_of(sampler, path.schedule, steps)
    check_steps(sampler, path.schedule, {f"{steps} {path.spacings[0]} steps": grid}, path.kind)


def check_longest_runs(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check every step of a run of thousands of steps, as `check_every_step` does."""
    schedule = smooth_schedule(path.kind)  # with a thousand timesteps, several steps would share one beta
    check_steps(
        sampler, schedule, {f"{LONGEST} logsnr steps": grid_of(sampler, schedule, LONGEST, "logsnr")}, path.kind
    )


def check_steps(
    sampler: Sampler,
    schedule: Schedule,
    grids: Mapping[str, Grid],
    name: str,
    *,
    exact: bool = False,
    learned: bool = True,
) -> bool:
    """Check every step of runs on these grids. The first error is reported in full.

    Args:
        name: name of the schedule, for messages.
        exact: True if the sampler is known to be exact on data that is a single point.
        learned: True if the network has a learned variance.

    Returns:
        True if it is exact on such data, in all of these runs.
    """
    every = True
    for what, grid in grids.items():
        levels = grid.levels
        found, laws = points(sampler, schedule, grid, learned=learned)
        where = f"a run of {what} on the {name} schedule" + ", by a network without a learned variance" * (not learned)
        assert grid.levels == levels, f"it changes the grid that it is handed, in {where}"
        last = {(point.number, point.level.tau): point for point in found if point.asked}
        judged = zip(found, _right(laws, sampler).tolist(), laws.off_on_a_point[:, 0].tolist(), strict=True)
        for row, (point, right, off) in enumerate(judged):
            if point.asked:
                _check_level(point, found, schedule, f"step {point.number} of {len(grid)}, in {where}")
            guess = point.asked and last[point.number, point.level.tau] is not point  # an iterative method asks again
            if not guess and not right:
                step = f"step {point.number} of {len(grid)}, in {where}"
                details = _details(point, laws[row], drawn=bool((laws.fresh > 0).any()), steps=len(grid))
                raise AssertionError("\n".join([f"{_verdict(point)}: {step}", *details]))
            if not (point.asked or point.level.clean or off <= ROUNDING):
                every = False
                if exact and not off <= ROUNDING_OF_MANY:
                    step = f"step {point.number} of {len(grid)}, in {where}"
                    long = f"a long step misses its level, where x0 and eps do not change along it: {step}"
                    raise AssertionError("\n".join([long, *_details(point, laws[row], drawn=False, steps=len(grid))]))
    return every


def _check_level(point: Point, found: list[Point], schedule: Schedule, where: str) -> None:
    """Check that a level is on the schedule, and that the state of a step is given to the network at its own level."""
    level = point.level
    at = schedule.at(level.tau)
    assert (at.alpha, at.sigma) == (level.alpha, level.sigma), (
        f"it denoises at tau {level.tau:g} with alpha {level.alpha:.6f}, sigma {level.sigma:.6f}, where the "
        f"schedule has {at.alpha:.6f} and {at.sigma:.6f}: {where}\n{_origin(point)}"
    )
    if point.as_begun and not _same(level.lam, point.t.lam):
        other = [
            one for one in found if one.number == point.number and one.as_begun and _same(one.level.lam, one.t.lam)
        ]
        assert other, (
            f"the network is asked about the state at one level as if it were at another: {where}\n"
            f"the state is at {told(point.t)}\nthe network is told {told(level)}"
            + "\ncause: the level is the one that the step leads to"
            * _same(level.lam, point.s.lam)
        )


def _origin(point: Point) -> str:
    """Say where a level that is not on the schedule comes from."""
    if point.level in (point.t, point.s):
        return "it is a level of the run's grid, which belongs to another schedule"
    return "take levels from denoise.schedule.at or .at_log_snr"


def _right(laws: Laws, sampler: Sampler) -> Tensor:
    """Tell for every tensor whether its mean and deviation are right, (points,)."""
    return torch.where(laws.sigma > 0, _right_at_noise(laws, sampler), _right_at_the_end(laws, sampler))[:, 0]


def _right_at_the_end(laws: Laws, sampler: Sampler) -> Tensor:
    """Judge last states. E[x0 | x] has less variance than the data, by about the square of the remaining noise."""
    allowed = 4.0 * (laws.t_sigma / laws.t_alpha) ** 2 + SAME
    if sampler.order == 0:
        allowed = allowed + BIAS_AT_THE_END
    right = (laws.mean_error.abs() <= allowed) & (laws.std_error.abs() <= allowed)
    return right[:, STDS >= 0.5].all(1, keepdim=True)


def _right_at_noise(laws: Laws, sampler: Sampler) -> Tensor:
    """Judge tensors at noisy levels. They may have an error of second order in the size of the step."""
    mean, std = laws.mean_error.abs(), laws.std_error.abs()
    kept = torch.where(laws.t_alpha <= 2 * LEAST_ALPHA, 2 * LEAST_ALPHA, 0.0)  # alpha has a kink there
    # fresh noise adds to the allowed error, except on an exact consistency model, and at order 0, where the noise of a
    # step does not become smaller with the step
    size = laws.size if sampler.needs_mean and sampler.order else laws.span.expm1()
    allowed = SECOND_ORDER * size**2 + laws.jump * laws.span + SAME  # a method in time assumes that beta is smooth
    # a plain method for x / sigma has an error proportional to x0, which is many deviations at low noise
    signal = (laws.alpha * MEANS.abs() / laws.expected).clamp(min=1.0)
    if sampler.order == 0 and sampler.needs_mean:
        allowed = allowed + BIAS_OF_ORDER_0 * laws.fresh_share
    near = (mean <= allowed * signal + kept) & (std <= allowed + 4 * kept**2)
    small = (laws.span <= SMALL) & (kept == 0.0)
    near &= ~small | (laws.fresh_share <= 1.0 + SAME)  # no more noise than the level has
    coarse = (size > COARSE) & ~small
    return torch.where(coarse, mean.isfinite() & std.isfinite(), near).all(1, keepdim=True)


def _verdict(point: Point) -> str:
    if point.asked:
        return "the network is asked about an x that is not at the level that it is told"
    return "the last step does not end in the data" if point.level.clean else "a step misses its level"


def _details(point: Point, law: Laws, *, drawn: bool, steps: int) -> Iterator[str]:
    """Describe a wrong step: its levels, what was expected and found, wrong terms, and the cause if it is certain.

    Args:
        drawn: True if steps of the run draw noise.
        steps: number of steps of the run.
    """
    causes = [*_causes(point, law, steps)]
    yield f"the step goes from {told(point.t)} to {told(point.s)}"
    if point.asked:
        yield f"the network is told {told(point.level)}"
    terms = [] if point.level.clean else [*_terms(point, law, drawn=drawn and not causes)]
    if terms:
        yield (
            f"on data that is a single point the {_what(point)} holds {law.x0_share:.6g} of x0, where alpha is "
            f"{point.level.alpha:.6g}, and noise of deviation {law.noise_share:.6g}, where sigma is "
            f"{point.level.sigma:.6g}"
        )
        yield from terms
    else:
        first = 2 if point.level.clean else 1
        n = first + int((law.mean_error.abs() + law.std_error.abs()).nan_to_num(nan=math.inf)[first:].argmax())
        yield (
            f"on data N({float(MEANS[n]):g}, {float(STDS[n]):g}^2) the {_what(point)} has the mean "
            f"{float(law.mean[n]):.6g}, expected {point.level.alpha * float(MEANS[n]):.6g}, and the deviation "
            f"{float(law.std[n]):.6g}, expected {float(law.expected[n]):.6g}"
        )
    yield from (f"cause: {cause}" for cause in causes)


def _what(point: Point) -> str:
    return "x" if point.asked else "state"


def _terms(point: Point, law: Laws, *, drawn: bool) -> Iterator[str]:
    """Describe the wrong terms of a state of a single point."""
    if not abs(float(law.mean_error[0])) <= SECOND_ORDER * law.size**2:
        yield f"the term of x0 is off by {law.x0_share - point.level.alpha:+.3g}"
    if not abs(float(law.std_error[0])) <= SECOND_ORDER * law.size**2:
        fresh, rest = float(law.fresh[0]), max(law.noise_share**2 - float(law.fresh[0]) ** 2, 0.0)
        needed = point.level.sigma**2 - rest
        if needed > 0 and (fresh or drawn):
            has = f"its fresh noise has the deviation {fresh:.6g}" if fresh else "this step has drawn no noise so far"
            yield f"{has}; with the other terms as they are, {math.sqrt(needed):.6g} would be right"
        else:
            yield f"the term of eps is off by {law.noise_share - point.level.sigma:+.3g}"


def _causes(point: Point, law: Laws, steps: int) -> Iterator[str]:
    """Name known mistakes that give exactly these numbers."""
    t, s, level = point.t, point.s, point.level
    x0, noise, lam = law.x0_share, law.noise_share, log_snr_of(law) / 2
    if point.asked:
        if _same(level.lam, lam):
            ratio = x0 / level.alpha
            if not _same(ratio, 1.0):
                yield f"x is {ratio:.6g} times what it is at this level: the network is given a state as it is"
        elif _same(level.log_snr, lam):
            yield f"at_log_snr was given the lambda {lam:.6g} of x, and takes log-SNR, which is 2 lambda"
        elif _same(level.lam, 2 * lam):
            yield f"the level is that of twice the log-SNR of x, {2 * lam:.6g}; log-SNR is 2 lambda"
        elif _same(lam, t.lam):
            yield "x is still at the level that the step begins at"
        elif _same(lam, s.lam):
            yield "x is already at the level that the step leads to"
        return
    if s.clean:
        return
    h = s.lam - t.lam
    twice_in_x0 = s.sigma / t.sigma * t.alpha - s.alpha * math.expm1(-2 * h)
    twice_in_eps = s.alpha / t.alpha * t.sigma - s.sigma * math.expm1(2 * h)
    if (_same(x0, twice_in_x0) and _same(noise, s.sigma)) or (_same(x0, s.alpha) and _same(noise, abs(twice_in_eps))):
        yield f"log-SNR is taken for lambda: h is {h:.6g}, the difference of log(alpha / sigma), and not {2 * h:.6g}"
    elif _same(x0, t.alpha) and _same(noise, t.sigma):
        yield "the state is still at the level that the step begins at: nothing was done, or an old state is yielded"
    elif noise < MATCH and abs(x0 - 1) < MATCH and point.number + 1 < steps:  # else it may be one level too far on
        yield "the state is x0: the prediction is yielded in place of the state"


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= MATCH * max(abs(a), abs(b))


def told(level: Level) -> str:
    """Describe a level by all numbers that it may be known by."""
    if level.clean:
        return "the clean level"
    return (
        f"tau {level.tau:.6g} (alpha {level.alpha:.6g}, sigma {level.sigma:.6g}, lambda {level.lam:.6g}, "
        f"log-SNR {level.log_snr:.6g})"
    )
