"""Checks of what a sampler makes of a learned variance and of a mean shift."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from samplerzoo.core.exact import draws, is_stochastic
from samplerzoo.core.level import Grid, Level, posterior_std, transition_variance
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.errors import UsageError
from samplerzoo.testing.checks.answers import MEAN, STD
from samplerzoo.testing.checks.digits import ROUNDING, size
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
        assert any(noise) or is_stochastic(sampler, schedule=schedule), (
            "it declares takes_shift, and draws no noise whose variance a shift could be multiplied by"
        )
        _check_shifts_of_pixels(sampler, schedule, grid, noise)
    else:
        assert not any(moved), "a mean shift moves its states, and it does not declare takes_shift"
    ends = [_responses(sampler, schedule, grid, weight)[0] for weight in (0.0, 1.0)]
    if ends[0] == ends[1]:
        return
    for number, ((t, s), low, found, high) in enumerate(zip(grid.pairs(), ends[0], noise, ends[1], strict=False), 1):
        if low == found == high == 0.0:
            continue  # it draws none here, as one that is stochastic between some levels of noise
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


LENGTHS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 25, 30, 50, 100, 250)
"""Numbers of steps of runs in whose every step a weight and a shift of its own are to be heeded."""

FEW = (3, 10, 25, 30)
"""Some of them, at settings of which there are many, and on other schedules."""

CHOSEN = 12
"""Steps of a run that are looked at: at its beginning, at its end, and between."""

EARLY = 0.9
"""Factor of weight and shift in answers about the level of a later step."""

OWN = 1e-7
"""Relative difference of what two rows of a run show that is rounding."""

MEANS = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
STDS = torch.tensor([0.5, 0.2, 1.0], dtype=torch.float64)
"""Data of three pixels."""


def check_every_step_heeds_its_own_answer(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check in runs of many lengths that a step goes by the learned variance and the shift that it is told itself.

    They are others at every level and pixel, so that what is kept from another step is seen, what is taken from an
    answer inside the step, and a run that does not look at them. A sampler that asks for the answer of a step in the
    one before is left out.
    """
    for schedule in path.schedules.values():
        _check_runs(sampler, path, schedule, LENGTHS if schedule is path.schedule else FEW)


def check_runs_heed_their_answers(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check it in runs of a few lengths."""
    for schedule in path.schedules.values():
        _check_runs(sampler, path, schedule, FEW if schedule is path.schedule else FEW[1:3])


def _always(step: int) -> bool:
    return True


def _never(step: int) -> bool:
    return False


AT_TIMES = (lambda step: step % 2 == 1, lambda step: step % 3 == 0)
"""Steps that are told a shift, where others are told none: not the first one, and the first one."""


def _check_runs(sampler: Sampler, path: Path, schedule: Schedule, lengths: Sequence[int]) -> None:
    heeds, ignores = 0, 0  # steps of runs with noise that go by a learned variance, and that do not
    ways = itertools.cycle(zip(path.spacings, AT_TIMES, strict=True))
    for steps, (spacing, shifted) in zip(lengths, ways, strict=False):
        run = functools.partial(_Run, sampler, schedule, grid_of(sampler, schedule, steps, spacing))
        told = run(learned=True, shifted=_never)
        if not told.asks_where_steps_begin:
            return
        try:
            plain = run(learned=False, shifted=_never)
        except UsageError:  # it takes networks alone that have learned a variance
            plain = None
        if sampler.takes_shift:
            _check_own_shift(run(told.silent, learned=True, shifted=_always))
            if plain is not None:
                _check_own_shift(run(plain.silent, learned=False, shifted=shifted))
        else:
            _check_unmoved(told, run(learned=True, shifted=_always))
        if plain is None or not all(map(torch.equal, plain.states, told.states)):
            _check_own_variance(run(told.silent, learned=True, shifted=_never))
            heeds = steps
        elif any(draw is not None for _, draw in told.silent):
            ignores = steps
        assert not (heeds and ignores), (
            f"a learned variance moves states in runs of {heeds} steps, and none in runs of {ignores} steps, whose "
            "noise would have another variance, too"
        )


class _Run:
    """Run in which every level and pixel has a weight and a shift of its own, with rows that lack one thing each.

    Args:
        silent: of every row but the first one, the step and the number of its draw that is zero there, or None where it
            is the shift of that step.
        shifted: says of each step whether it is told a shift: in an interval of levels alone, a guidance does so.

    Attributes:
        states: x_T and the states of all steps, (rows, pixels) each.
        asks_where_steps_begin: True if the network was asked about the level of every step before it ended, in this
            step or at the end of the one before.
        own: steps that ask about their level themselves. An answer from before, about another state, is another one.
        silent: rows to look at in a run on this grid.
    """

    @torch.no_grad()
    def __init__(
        self,
        sampler: Sampler,
        schedule: Schedule,
        grid: Grid,
        silent: Sequence[tuple[int, int | None]] = (),
        *,
        learned: bool,
        shifted: Callable[[int], bool],
    ) -> None:
        self.grid, self.rows, self.learned, self._shifted = grid, silent, learned, shifted
        model, draw = made_for(sampler, MEANS, STDS, schedule), given_noise(1, (len(MEANS),))
        step, drawn, asked = 0, [0] * len(grid), set[float]()
        begins = {level.tau: number for number, level in enumerate(grid.levels)}
        self.asks_where_steps_begin = True
        self.own = set[int]()

        def without(number: int, what: int | None) -> list[int]:
            return [row for row, lacks in enumerate(silent, 1) if lacks == (number, what)]

        def predict(x: torch.Tensor, level: Level) -> Prediction:
            asked.add(level.tau)
            number = begins.get(level.tau, step)
            if number == step:
                self.own.add(step)
            told = 1.0 if number <= step else EARLY
            shifts = told * self.shift_of(number, level).repeat(len(x), 1)
            shifts[without(number, None)] = 0.0
            weights = told * weight_at(level).expand(len(x), -1) if learned and model.averages else None
            p = model.denoise(x, level)
            return dataclasses.replace(p, variance=weights, shift=shifts if shifted(number) else None)

        def noise() -> torch.Tensor:
            z = draw().sign().repeat(1 + len(silent), 1)
            z[without(step, drawn[step])] = 0.0
            drawn[step] += 1
            return z

        x = schedule.prior_std * draw().repeat(1 + len(silent), 1)
        self.states = [x]
        for state in walk_from(sampler, x, grid, Denoiser(predict, schedule), noise):
            self.asks_where_steps_begin &= grid.levels[step].tau in asked
            self.states.append(state.clone())
            step = min(step + 1, len(grid) - 1)
        chosen = sorted({round(place) for place in np.linspace(0, len(grid) - 1, CHOSEN)})
        self.silent = [(step, lacks) for step in chosen for lacks in (None, *range(drawn[step]))]

    def shift_of(self, step: int, level: Level) -> torch.Tensor:
        """Return the shift of every pixel that is told at a level of a step."""
        return shift_at(level) if self._shifted(step) else torch.zeros(len(MEANS), dtype=torch.float64)

    def share(self, step: int) -> float:
        """Return the factor of weight and shift in the answer that a step has to go by."""
        return 1.0 if step in self.own else EARLY

    def without(self, step: int, *, shift: bool, after: int = 0) -> torch.Tensor:
        """Return by how much the state of a step, or of one after it, moves without each draw or the shift of it."""
        rows = [row for row, lacks in enumerate(self.rows, 1) if lacks[0] == step and (lacks[1] is None) == shift]
        state = self.states[step + 1 + after]
        return state[:1] - state[rows]

    def variance(self, step: int) -> torch.Tensor:
        """Return the variance of the fresh noise of a step, (pixels,)."""
        return self.without(step, shift=False).square().sum(0)

    def rounding(self, step: int) -> float:
        """Return how far a difference of states is off by rounding."""
        return ROUNDING * 1e-2 * size(self.states[step + 1])

    @property
    def steps(self) -> list[int]:
        """Steps that are looked at, from 0."""
        return sorted({step for step, _ in self.rows})

    def told(self, step: int) -> str:
        variance = "with" if self.learned else "without"
        return f"step {step + 1} of {len(self.grid)}, {variance} a learned variance"


def weight_at(level: Level) -> torch.Tensor:
    """Return the weight of every pixel at a level, from .05 to .95."""
    return 0.5 + 0.45 * torch.sin(7.0 * level.lam + 2.0 * torch.arange(3, dtype=torch.float64))


def shift_at(level: Level) -> torch.Tensor:
    """Return the shift of every pixel at a level, of the size of a score."""
    return torch.cos(11.0 * level.lam + 2.0 * torch.arange(3, dtype=torch.float64)) / level.sigma


def _check_own_variance(run: _Run) -> None:
    """Check that the fresh noise of every step has the variance that its own weight asks for."""
    pairs = list(run.grid.pairs())
    for step in run.steps:
        if not len(run.without(step, shift=False)):
            continue  # it draws none here
        small, large = posterior_std(*pairs[step]) ** 2, transition_variance(*pairs[step])
        asked = [small ** (1 - w) * large**w for w in (run.share(n) * weight_at(t) for n, (t, _) in enumerate(pairs))]
        found = run.variance(step)
        off = [_off(found.sqrt(), of_step.sqrt(), run.rounding(step)) for of_step in asked]
        if off[step] is not None:
            like = [n for n, pixel in enumerate(off, 1) if pixel is None]
            raise AssertionError(
                f"the fresh noise of step {step + 1} of {len(run.grid)} has the variance {found[off[step]]:.6g} in a "
                f"pixel where that of the learned variance at this level is {asked[step][off[step]]:.6g}"
                + (f"\ncause: it is that of the learned variance of step {like[0]}" if like else "")
            )


def _check_own_shift(run: _Run) -> None:
    """Check that the shift of every step moves its state by itself times the variance of the noise, and no other.

    In the step to the clean level, which has no noise, it moves nothing, or the variance is that of the level.
    """
    for step in run.steps:
        t, s = run.grid.levels[step : step + 2]
        moved, shift = run.without(step, shift=True)[0], run.share(step) * run.shift_of(step, t)
        variance = run.variance(step)
        if s.clean and moved.abs().max() > run.rounding(step):
            variance = torch.full_like(variance, transition_variance(t, s))
        pixel = _off(moved, variance * shift, run.rounding(step) * (1 + 2 * variance.sqrt() * shift.abs()))
        assert pixel is None, (
            f"a shift of {shift[pixel]:.6g} in {run.told(step)}, moves the state by {moved[pixel]:.6g}, where shift "
            f"times variance of the {'level' if s.clean else 'fresh noise'} is {(variance * shift)[pixel]:.6g}"
            + "\ncause: the shift that this step is told leaves no trace in its state"
            * (not moved.any())
        )
        noise = run.without(step, shift=False)
        draw = next((row for row, z in enumerate(noise) if z.all()), None)
        if step + 2 < len(run.grid) and (draw is not None or not moved.any()):
            after = run.without(step, shift=True, after=1)[0]
            carried = allowed = torch.zeros_like(after)
            if draw is not None:
                carried = run.without(step, shift=False, after=1)[draw] / noise[draw] * moved
                allowed = (moved / noise[draw]).abs()
            pixel = _off(after, carried, run.rounding(step + 1) * (1 + allowed))
            assert pixel is None, (
                f"a shift in {run.told(step)}, moves the state of the next step by {after[pixel]:.6g}, where "
                f"{carried[pixel]:.6g} would follow from that of its own: a step goes by the shift that it is told "
                "itself"
            )


def _check_unmoved(plain: _Run, shifted: _Run) -> None:
    """Check that a sampler which takes no shift does so in no run."""
    for number, (x, y) in enumerate(zip(plain.states, shifted.states, strict=True)):
        assert torch.equal(x, y), (
            f"a mean shift moves the state of step {number} of {len(plain.grid)} by {float((x - y).abs().max()):.2g}, "
            "and it does not declare takes_shift"
        )


def _off(found: torch.Tensor, expected: torch.Tensor, rounding: torch.Tensor | float) -> int | None:
    """Return the pixel that is farthest off, if any is by more than rounding."""
    off = (found - expected).abs() - OWN * expected.abs() - rounding
    return int(off.argmax()) if (off > 0).any() else None
