"""A scheduler of diffusers behind the sampler protocol."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from samplerzoo import VP, Denoiser, Grid, Level, Sampler, Schedule, UsageError, ZooError, reason

if TYPE_CHECKING:
    import torch

SPACINGS = ("trailing", "leading", "linspace")
"""Values of `timestep_spacing` in diffusers. In some schedulers linspace is another grid than samplerzoo's."""

OWN_SPACING = "linspace"
"""Spacing of schedulers that do not have this parameter; for other spacings they take timesteps."""

SAME_LEVEL = 0.01
"""Distance in tau up to which the level of a scheduler's float32 sigma is taken for that of its timestep."""

RUNGE_KUTTA = 4
"""Number of evaluations in one of PNDM's first steps."""


@dataclass(frozen=True)
class SchedulerGrid(Grid):
    """Levels that a scheduler of diffusers visits, with the request: it may make more steps than were asked for."""

    steps: int
    spacing: str


class SchedulerSampler(Sampler):
    """Sampler that runs a fresh scheduler object on the model's betas, with samplerzoo's noise and without clipping."""

    scheduler: ClassVar[Any]
    of_step: ClassVar[dict[str, str]]
    """Field -> keyword, for fields that go to the scheduler's `step`; the others go to its constructor."""

    @property
    def order(self) -> int:
        """Order as diffusers has it: the option solver_order, or the number of evaluations per step."""
        return int(getattr(self, "solver_order", self.scheduler.order))

    def grid(self, schedule: Schedule, steps: int, spacing: str) -> Grid:
        """Return the scheduler's own grid, whatever it makes of the spacing.

        Raises:
            UsageError: it has no grid of so many steps, or it does not have the spacing.
        """
        schedule = self._with_betas(schedule)
        if "timestep_spacing" not in _parameters(self.scheduler) and spacing != OWN_SPACING:
            grid = schedule.grid(steps, spacing)
            self._on(grid, schedule)  # may refuse it
            return grid
        scheduler = self._spaced(schedule, steps, spacing)
        try:
            return SchedulerGrid(_levels(scheduler, schedule), steps, spacing)
        except UsageError as error:  # at T steps some visit a timestep twice, or one beyond the last
            raise UsageError(f"{self._title} has no grid of {steps} steps, {spacing}: {error}") from error

    def walk(
        self, x: torch.Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        from samplerzoo_plugins.diffusers_schedulers.noise import drawing

        scheduler = self._visiting(grid, self._with_betas(denoise.schedule))
        starts = {*_starts(scheduler)}
        module = sys.modules[self.scheduler.step.__module__]
        keywords = {
            keyword: value for name, keyword in self.of_step.items() if (value := getattr(self, name)) is not None
        }
        scheduler.timesteps = scheduler.timesteps.to(x.device)
        for k, t in enumerate(scheduler.timesteps):
            if k == 0:  # theirs may be x / alpha, which is scaled to x before the network sees it
                state = x / float(scheduler.scale_model_input(x.new_ones(()), t))
            scaled = scheduler.scale_model_input(state, t)
            if k and k in starts:
                yield scaled
            p = denoise(scaled, denoise.schedule.at(float(t) + 1.0))
            output = p.v if scheduler.config.prediction_type == "v_prediction" else p.eps
            try:
                with drawing(module, noise):
                    state = scheduler.step(output, t, state, **keywords).prev_sample
            except ZooError:
                raise
            except Exception as error:  # theirs may fail in any way
                raise ZooError(f"{self._title} fails at timestep {float(t):g}: {reason(error)}") from error
        yield state

    def _with_betas(self, schedule: Schedule) -> VP:
        """Refuse a path without betas, which diffusers' schedulers are given here."""
        if isinstance(schedule, VP):
            return schedule
        raise UsageError(
            f"{self._title} is given the betas of a model, and a {schedule.kind} path has none: take a sampler of "
            "samplerzoo; probability-flow is Euler's method on every path"
        )

    @property
    def _title(self) -> str:
        return f"diffusers:{self.scheduler.__name__}"

    def _visiting(self, grid: Grid, schedule: VP) -> Any:
        """Make a scheduler that visits this grid.

        Raises:
            UsageError: no spacing of diffusers gives these levels, and the scheduler takes no timesteps.
        """
        if isinstance(grid, SchedulerGrid):
            return self._spaced(schedule, grid.steps, grid.spacing)
        return self._on(grid, schedule)

    def _spaced(self, schedule: VP, steps: int, spacing: str) -> Any:
        if spacing not in SPACINGS:
            own = [name for name in type(self).model_fields if name == f"use_{spacing}_sigmas"]
            hint = f", and --{own[0].replace('_', '-')} of its own" if own else ""
            raise UsageError(f"{self._title} has no spacing {spacing!r}: diffusers has {', '.join(SPACINGS)}{hint}")
        scheduler = self._made(schedule, timestep_spacing=spacing)
        self._set_timesteps(scheduler, num_inference_steps=steps)
        return scheduler

    def _on(self, grid: Grid, schedule: VP) -> Any:
        """Make a scheduler with the timesteps of a grid, if it takes any."""
        timesteps = schedule.timesteps(grid)
        if not all(t.is_integer() for t in timesteps):
            raise UsageError(f"{self._title} visits whole timesteps, not {next(t for t in timesteps if t % 1):g}")
        if "timesteps" not in inspect.signature(self.scheduler.set_timesteps).parameters:
            return self._of_some_spacing(grid, schedule)
        scheduler = self._made(schedule)
        self._set_timesteps(scheduler, timesteps=[int(t) for t in timesteps])
        return scheduler

    def _of_some_spacing(self, grid: Grid, schedule: VP) -> Any:
        for spacing in SPACINGS:
            scheduler = self._spaced(schedule, len(grid), spacing)
            if [float(scheduler.timesteps[k]) for k in _starts(scheduler)] == schedule.timesteps(grid):
                return scheduler
        raise UsageError(f"{self._title} takes no timesteps of ours: give --steps and --spacing {'|'.join(SPACINGS)}")

    def _made(self, schedule: VP, **more: Any) -> Any:
        """Make the scheduler object on the model's betas. At zero terminal SNR it gets v: eps does not determine x0."""
        own = {
            "num_train_timesteps": schedule.T,
            "trained_betas": _betas(schedule),
            "prediction_type": "v_prediction" if schedule.ends_in_noise else "epsilon",
            "clip_sample": False,
            "thresholding": False,
            **more,
        }
        known = _parameters(self.scheduler)
        chosen = {name: _plain(value) for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        options = {name: value for name, value in {**chosen, **own}.items() if name in known}
        try:
            scheduler = self.scheduler(**options)
        except Exception as error:  # a combination of options, a package that is missing
            raise UsageError(f"{self._title} refuses its options: {reason(error)}") from error
        theirs = getattr(scheduler, "alphas_cumprod", None)
        if theirs is None or not np.allclose(theirs, schedule.alphas[1:] ** 2, rtol=1e-3, atol=1e-7):
            raise UsageError(f"{self._title} does not keep to the betas of the model, so its levels are others")
        return scheduler

    def _set_timesteps(self, scheduler: Any, **how: Any) -> None:
        try:
            scheduler.set_timesteps(**how)
        except Exception as error:
            words = ", ".join(f"{name} {value}" for name, value in how.items())
            raise UsageError(f"{self._title} refuses {words}: {reason(error)}") from error


def _levels(scheduler: Any, schedule: Schedule) -> tuple[Level, ...]:
    """Return the level at the beginning of every step, and the clean level."""
    return (*(_level(scheduler, schedule, k) for k in _starts(scheduler)), schedule.at(0.0))


def _level(scheduler: Any, schedule: Schedule, k: int) -> Level:
    """Return the level of timestep k, by its sigma if that is another one: with Karras sigmas timesteps are rounded."""
    level = schedule.at(float(scheduler.timesteps[k]) + 1.0)
    if not hasattr(scheduler, "sigmas"):
        return level
    log_snr = max(-2 * math.log(float(scheduler.sigmas[k])), schedule.at(schedule.T).log_snr)
    tau = schedule.at_log_snr(log_snr).tau
    return level if abs(tau - level.tau) < SAME_LEVEL else schedule.at(round(tau, 3))


def _starts(scheduler: Any) -> Sequence[int]:
    """Return which timesteps begin a step; the others are further evaluations of a step."""
    count = len(scheduler.timesteps)
    if not hasattr(scheduler, "prk_timesteps"):
        return range(0, count, scheduler.order)
    runge_kutta = len(scheduler.prk_timesteps)  # PNDM begins so, or with two evaluations in its first step
    if runge_kutta:
        return [*range(0, runge_kutta, RUNGE_KUTTA), *range(runge_kutta, count)]
    return [0, *range(2, count)]


@functools.cache
def _parameters(scheduler: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(scheduler.__init__).parameters)


def _betas(schedule: VP) -> list[float]:
    return list(1.0 - (schedule.alphas[1:] / schedule.alphas[:-1]) ** 2)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
