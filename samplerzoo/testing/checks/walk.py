"""Checks of a walk: any grid, one state per step, nothing changed in place, no unused draw or answer."""

from __future__ import annotations

import math

import numpy as np
import torch

from samplerzoo.core.exact import draws
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.testing.checks.answers import BOUND_OF_ORDER_0, MEAN, POINTS, STD, distance, off_the_point
from samplerzoo.testing.fixtures import (
    ON_VP,
    Path,
    bimodal,
    farthest,
    given_noise,
    last,
    made_for,
    normal,
    states,
)
from samplerzoo.testing.moments import Impulses, run


def check_one_state_a_step(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a walk yields one state of the shape of x_T for every step of its grid, also on a grid of one step."""
    schedule = path.schedule
    for grid in (*(grid_of(sampler, schedule, n) for n in (1, 2, 7)), path.uneven):
        found = list(states(sampler, bimodal(schedule=schedule), grid, given_noise(3, (2,))))[1:]
        for number, x in enumerate(found, 1):
            assert x.shape == (3, 2), f"state {number} of {len(grid)} has the shape {tuple(x.shape)}, and x_T (3, 2)"
            assert torch.isfinite(x).all(), f"state {number} of {len(grid)} is NaN or infinite"


MANY_CALLS = 210_000
"""Steps in one process: more than a 16-bit counter holds, and more than an evaluation with runs of 1000 steps has."""


def check_many_calls(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a run is the same after hundreds of thousands of steps in the same process."""
    model, grid = normal(schedule=path.schedule), grid_of(sampler, path.schedule, 50)
    first = last(sampler, model, grid, given_noise(1, (1,)))
    for run_number in range(2, -(-MANY_CALLS // len(grid)) + 1):
        again = last(sampler, model, grid, given_noise(1, (1,)))
        assert torch.equal(again, first), (
            f"the image differs by {farthest(again, first):.2g} in run {run_number} of {_steps(grid)} in one process: "
            "what a run keeps belongs in local variables of walk"
        )


def check_nothing_is_changed_in_place(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that x_T, draws, predictions, yielded states and the grid are not changed in place."""
    for grid in (grid_of(sampler, path.schedule, 1), path.some):
        levels = grid.levels
        for what, now, before in _handed_over(sampler, grid, path.schedule):
            assert torch.equal(now, before), f"{what} was changed in place, in a run of {_steps(grid)}"
        assert grid.levels == levels, f"the grid was changed in place, in a run of {_steps(grid)}"


@torch.no_grad()
def _handed_over(sampler: Sampler, grid: Grid, schedule: Schedule) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return every tensor that is passed to or from a sampler in a run, with a name and a copy from that time."""
    kept: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    model, draw = bimodal(schedule=schedule), given_noise(3, (2,))

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

    x = schedule.prior_std * noise()
    keep("x_T", x)
    for number, state in enumerate(walk_from(sampler, x, grid, Denoiser(predict, schedule), noise), 1):
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
        "300 steps, which do not divide T": _without_jumps(grid_of(sampler, schedule, 300), schedule),
    }
    for name, grid in grids.items():
        off, allowed = distance(sampler, grid, path), BOUND if sampler.order else BOUND_OF_ORDER_0
        assert off < allowed, (
            f"on {name}, mean and standard deviation are off by {off:.3f}, where {allowed:g} is allowed"
        )
    model = normal(POINTS, 0.0, shape=(len(POINTS),), schedule=schedule)
    off = off_the_point(sampler, model, path.uneven)
    assert off < 1e-9, f"on fractions of timesteps it misses a single point by {off:.2g}"


BOUND = 0.032
"""Allowed distance on these grids: more than that of first-order methods with the most noise."""

JUMP = 0.2
"""Size of a step in lambda above which a correct method may have a large error."""


def _without_jumps(grid: Grid, schedule: Schedule) -> Grid:
    """Split steps that are long in lambda into shorter ones, as at the top of a flow with even times."""
    levels = [grid.levels[0]]
    for t, s in grid.pairs():
        parts = 1 if s.clean else math.ceil((s.lam - t.lam) / JUMP)
        between = (t.log_snr + (s.log_snr - t.log_snr) * n / parts for n in range(1, parts))
        levels += [*(schedule.at_log_snr(value) for value in between), s]
    return Grid(tuple(levels))


ODD_STD = 0.37
"""Standard deviation of data for which no step of a plain method cancels its state by chance."""


def check_draws_are_used(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that every draw has an effect on the image, and that without draws the image depends only on x_T."""
    schedule = path.schedule
    for grid in (grid_of(sampler, schedule, 5), path.uneven):
        drawn = draws(sampler, grid, schedule)
        model = made_for(sampler, MEAN, ODD_STD, schedule)
        images = run(model, sampler, grid, Impulses(1 + drawn, (1,)))
        again = run(model, sampler, grid, Impulses(1 + drawn, (1,)))
        assert drawn or torch.equal(images, again), (
            f"it draws no noise in {_steps(grid)}, and two runs from one x_T differ by {farthest(images, again):.2g}: "
            "take random numbers from noise()"
        )
        for number in range(2, drawn + 2):
            assert not torch.equal(images[number], images[0]), (
                f"draw {number - 1} of {drawn} after x_T, in {_steps(grid)}, leaves no trace in the image: do not "
                "draw what is not used"
            )


TOLD_OFF = 1.0
"""Change of one answer of the network, in eps."""


def check_answers_are_used(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that every answer of the network has an effect on the result of its step, since every call costs time.

    This also finds a step that uses an old answer instead of a new one, if its order is too low to show it.
    """
    for grid in (grid_of(sampler, path.schedule, 5), path.uneven):
        asked, _ = _with_one_answer_off(sampler, path, grid, 0)
        again, traced = _with_one_answer_off(sampler, path, grid, len(asked))
        for (step, tau, number), trace in zip(again, traced[1:], strict=False):
            assert trace, (
                f"answer {number} of the network in step {step} of {len(grid)}, at tau {tau:g}, leaves no trace: it is "
                "paid for, and not used"
            )


BENT = 1e-9
"""Relative difference from a straight line that counts as rounding."""

FAR_OFF = (0.0, 1.0, 1e3, -1e3)
"""Changes of all answers of a network, in eps, for the rows of a batch."""


@torch.no_grad()
def check_answers_are_taken_as_they_are(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a change of the answers a thousand times as large changes states a thousand times as much.

    A sampler must not bound x0 or eps, not even far beyond the values of pictures. Bounds belong to the user's clip.
    """
    model = made_for(sampler, MEAN, STD, path.schedule)
    moves = torch.tensor(FAR_OFF, dtype=torch.float64)[:, None]
    for grid in (grid_of(sampler, path.schedule, 5), path.some):
        draw = given_noise(1, (1,))

        def predict(x: torch.Tensor, level: Level) -> Prediction:
            return model.denoise(x, level).moved(moves)

        def noise() -> torch.Tensor:
            return draw().repeat(len(moves), 1)  # noqa: B023

        x = path.schedule.prior_std * noise()
        walk = walk_from(sampler, x, grid, Denoiser(predict, path.schedule), noise)
        for number, state in enumerate(walk, 1):
            moved = (state - state[:1])[:, 0]
            off = (moved[2:] - moves[2:, 0] * moved[1]).abs() / (1e3 * moved[1].abs()).clamp(min=1.0)
            assert off.max() <= BENT, (
                f"where every eps of the network is off by 1, the state of step {number} of {len(grid)} moves by "
                f"{moved[1]:.6g}, where it is off by 1000 by {moved[2]:.6g}, and by {moved[3]:.6g} where by -1000: "
                "bounds on a prediction belong to the clip"
            )


@torch.no_grad()
def _with_one_answer_off(
    sampler: Sampler, path: Path, grid: Grid, questions: int
) -> tuple[list[tuple[int, float, int]], list[bool]]:
    """Make the same image in every row, except that in row k the answer to question k is changed.

    If a question is asked again, the answer is changed again.

    Returns:
        Step, tau and place in the step of every question; and for every row, whether a state or an input of the network
        differs.
    """
    rows, step, number = 1 + questions, 1, 0
    model, draw = made_for(sampler, MEAN, STD, path.schedule), given_noise(1, (1,))
    asked: dict[tuple[float, float], tuple[int, float, int]] = {}
    traced = torch.zeros(rows, 1, dtype=torch.bool)

    def predict(x: torch.Tensor, level: Level) -> Prediction:
        nonlocal number
        number += 1
        traced.logical_or_(x != x[:1])
        question = (level.tau, float(x[0]))
        asked.setdefault(question, (step, level.tau, number))
        off, row = torch.zeros_like(x), 1 + [*asked].index(question)
        off[row : row + 1] = TOLD_OFF
        return model.denoise(x, level).moved(off)

    def noise() -> torch.Tensor:
        return draw().repeat(rows, 1)

    x = path.schedule.prior_std * noise()
    for state in walk_from(sampler, x, grid, Denoiser(predict, path.schedule), noise):
        traced.logical_or_(state != state[:1])
        step, number = step + 1, 0
    return [*asked.values()], traced[:, 0].tolist()


def _steps(grid: Grid) -> str:
    return f"{len(grid)} step" + "s" * (len(grid) > 1)
