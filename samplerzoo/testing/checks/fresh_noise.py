"""Checks of how a sampler uses a learned variance and a mean shift."""

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
    """Check how a sampler uses a learned variance and a mean shift, if it uses them.

    The weight of a learned variance is 0 for log beta-tilde and 1 for log beta (Nichol and Dhariwal 2021, eq. 15). A
    shift moves the state by itself times the variance of the fresh noise (Dhariwal and Nichol 2021, algorithm 1).
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
            continue  # this step draws no noise, as in a sampler that is stochastic only at some levels
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
    """Return for every noisy step the variance of its fresh noise, and how far a mean shift of 1 moves its state.

    Both are measured in the first step of a grid that begins there, so that memory of earlier steps has no influence.
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
"""Numbers of steps of runs in which every step has its own weight and shift to obey."""

FEW = (3, 10, 25, 30)
"""Fewer numbers of steps, for other schedules and for many settings."""

CHOSEN = 12
"""Number of steps of a run that are examined, from its beginning to its end."""

EARLY = 0.9
"""Factor on weight and shift in answers about the level of a later step, to recognise such answers."""

OWN = 1e-7
"""Relative difference between two rows of a run that counts as rounding."""

MEANS = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
STDS = torch.tensor([0.5, 0.2, 1.0], dtype=torch.float64)
"""Data of three pixels."""


def check_every_step_heeds_its_own_answer(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check in runs of many lengths that every step uses its own learned variance and shift.

    They differ at every level and pixel. So the check notices values from another step, values from a call inside the
    step, and runs that ignore them. A sampler that does not call the network at the level of every step is left out.
    """
    for schedule in path.schedules.values():
        _check_runs(sampler, path, schedule, LENGTHS if schedule is path.schedule else FEW)


def check_runs_heed_their_answers(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check in runs of a few lengths what `check_every_step_heeds_its_own_answer` checks."""
    for schedule in path.schedules.values():
        _check_runs(sampler, path, schedule, FEW if schedule is path.schedule else FEW[1:3])


def _always(step: int) -> bool:
    return True


def _never(step: int) -> bool:
    return False


AT_TIMES = (lambda step: step % 2 == 1, lambda step: step % 3 == 0)
"""Choices of the steps that get a shift, while others get none: without the first step, and with it."""


def _check_runs(sampler: Sampler, path: Path, schedule: Schedule, lengths: Sequence[int]) -> None:
    heeds, ignores = 0, 0  # number of steps of a noisy run that uses a learned variance, and of one that ignores it
    ways = itertools.cycle(zip(path.spacings, AT_TIMES, strict=True))
    for steps, (spacing, shifted) in zip(lengths, ways, strict=False):
        run = functools.partial(_Run, sampler, schedule, grid_of(sampler, schedule, steps, spacing))
        told = run(learned=True, shifted=_never)
        if not told.asks_where_steps_begin:
            return
        try:
            plain = run(learned=False, shifted=_never)
        except UsageError:  # it only takes networks with a learned variance
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
    """Run with a different weight and shift at every level and pixel.

    Row 0 is complete. Each other row lacks one draw of noise, or the shift of one step, and its difference from row 0
    shows the effect of that.

    Args:
        silent: what each row after row 0 lacks, as (step, number of the draw), or (step, None) for the shift.
        shifted: function from a step to whether it gets a shift. Guidances give shifts in an interval of levels only.

    Attributes:
        states: x_T and the states of all steps, (rows, pixels) each.
        asks_where_steps_begin: True if, before the end of every step, the network was called at the level where the
            step begins, in this step or in an earlier one.
        own: steps that call the network at the level where they begin. Other steps use an answer from an earlier step,
            about another state.
        silent: rows for a second run on this grid, which show all draws and shifts of some steps.
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
        """Return the shift of every pixel in answers at a level of a step."""
        return shift_at(level) if self._shifted(step) else torch.zeros(len(MEANS), dtype=torch.float64)

    def share(self, step: int) -> float:
        """Return the factor on weight and shift in the answer that a step has to use."""
        return 1.0 if step in self.own else EARLY

    def without(self, step: int, *, shift: bool, after: int = 0) -> torch.Tensor:
        """Return the changes of a state due to the shift of a step, or to each of its draws.

        Args:
            after: number of steps from that step to the state.
        """
        rows = [row for row, lacks in enumerate(self.rows, 1) if lacks[0] == step and (lacks[1] is None) == shift]
        state = self.states[step + 1 + after]
        return state[:1] - state[rows]

    def variance(self, step: int) -> torch.Tensor:
        """Return the variance of the fresh noise of a step, (pixels,)."""
        return self.without(step, shift=False).square().sum(0)

    def rounding(self, step: int) -> float:
        """Return the rounding error of a difference of states."""
        return ROUNDING * 1e-2 * size(self.states[step + 1])

    @property
    def steps(self) -> list[int]:
        """Steps that are examined, from 0."""
        return sorted({step for step, _ in self.rows})

    def told(self, step: int) -> str:
        variance = "with" if self.learned else "without"
        return f"step {step + 1} of {len(self.grid)}, {variance} a learned variance"


def weight_at(level: Level) -> torch.Tensor:
    """Return the weight of every pixel at a level, from -0.15 to 1.15, as networks may give it."""
    return 0.5 + 0.65 * torch.sin(7.0 * level.lam + 2.0 * torch.arange(3, dtype=torch.float64))


def shift_at(level: Level) -> torch.Tensor:
    """Return the shift of every pixel at a level, of the size of a score."""
    return torch.cos(11.0 * level.lam + 2.0 * torch.arange(3, dtype=torch.float64)) / level.sigma


def _check_own_variance(run: _Run) -> None:
    """Check that the fresh noise of every step has the variance that its own weight requires."""
    pairs = list(run.grid.pairs())
    for step in run.steps:
        if not len(run.without(step, shift=False)):
            continue  # this step draws no noise
        small, large = posterior_std(*pairs[step]) ** 2, transition_variance(*pairs[step])
        weights = [run.share(n) * weight_at(t) for n, (t, _) in enumerate(pairs)]
        asked = [small ** (1 - w) * large**w for w in weights]
        found = run.variance(step)
        off = [_off(found.sqrt(), of_step.sqrt(), run.rounding(step)) for of_step in asked]
        if off[step] is not None:
            like = [n for n, pixel in enumerate(off, 1) if pixel is None]
            w = weights[step].clamp(0, 1)
            cut = _off(found.sqrt(), (small ** (1 - w) * large**w).sqrt(), run.rounding(step)) is None
            raise AssertionError(
                f"the fresh noise of step {step + 1} of {len(run.grid)} has the variance {found[off[step]]:.6g} in a "
                f"pixel where that of the learned variance at this level is {asked[step][off[step]]:.6g}"
                + (f"\ncause: it is that of the learned variance of step {like[0]}" if like else "")
                + "\ncause: the weight is cut at 0 or 1" * cut
            )


def _check_own_shift(run: _Run) -> None:
    """Check that the shift of every step moves its own state by itself times the variance of the noise.

    In the step to the clean level, which has no noise, the shift has no effect, or the variance is that of the level.
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
    """Check that a sampler that declares to take no shift ignores shifts in every run."""
    for number, (x, y) in enumerate(zip(plain.states, shifted.states, strict=True)):
        assert torch.equal(x, y), (
            f"a mean shift moves the state of step {number} of {len(plain.grid)} by {float((x - y).abs().max()):.2g}, "
            "and it does not declare takes_shift"
        )


def _off(found: torch.Tensor, expected: torch.Tensor, rounding: torch.Tensor | float) -> int | None:
    """Return the pixel with the largest error, if it is larger than rounding."""
    off = (found - expected).abs() - OWN * expected.abs() - rounding
    return int(off.argmax()) if (off > 0).any() else None
