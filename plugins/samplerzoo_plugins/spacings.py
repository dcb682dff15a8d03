"""Spacings: ways to spread the steps of a run over a noise path."""

import math
from typing import ClassVar

import numpy as np

from samplerzoo import Field, Spacing, UsageError, karras

SPAN = 0.8
"""Share of the timesteps that the quadratic grid covers (Song, Meng, Ermon 2021, appendix D.2)."""


class Trailing(Spacing):
    """Evenly spaced times that start at T for any number of steps (Lin et al. 2024, table 2).

    On a flow they have the shift of the model's own scheduler.
    """

    rounds: ClassVar[bool] = True

    def taus(self, schedule, steps):
        taus = schedule.T - np.arange(steps) * (schedule.T / steps)
        return shifted(schedule, taus) if schedule.whole is None else np.round(taus)


class Leading(Spacing):
    """The timesteps 0, r, 2r, ... with r = T // steps (Lin et al. 2024, table 2).

    Depending on the steps they may start far below T.
    """

    needs_timesteps: ClassVar[bool] = True
    rounds: ClassVar[bool] = True
    starts_at_top: ClassVar[bool] = False

    def taus(self, schedule, steps):
        return [schedule.tau(k * (schedule.T // steps)) for k in reversed(range(steps))]


class Linspace(Spacing):
    """Evenly spaced times from T to the cleanest level that a network knows (Lin et al. 2024, table 2).

    They are whole timesteps, if the path has such. On a flow they have the shift of the model's own scheduler.
    """

    rounds: ClassVar[bool] = True

    def taus(self, schedule, steps):
        if schedule.whole is None:
            return shifted(schedule, np.linspace(schedule.T, schedule.low, steps))
        return [schedule.tau(float(t)) for t in np.round(np.linspace(schedule.T - 1, 0, steps))]


class Quadratic(Spacing):
    """A quadratic grid (Song, Meng, Ermon 2021, appendix D.2), unrounded so that no timesteps coincide."""

    needs_timesteps: ClassVar[bool] = True
    starts_at_top: ClassVar[bool] = False

    def taus(self, schedule, steps):
        top = min(SPAN * schedule.T, schedule.T - 1)  # below T = 5 the span would leave the schedule
        inner = np.linspace(math.sqrt(top), 0, steps)[1:] ** 2
        return [schedule.tau(top), *(schedule.tau(float(t)) for t in inner)]


class Karras(Spacing):
    """The grid of Karras et al. 2022, eq. 5, in sigma / alpha, from T to the cleanest level that a network knows."""

    rho: float = Field(7.0, ge=1, le=100, description="1 is even in sigma / alpha; the larger, the more clean levels")

    def taus(self, schedule, steps):
        top, low = (math.exp(-schedule.at(tau).log_snr / 2) for tau in (schedule.T, schedule.low))
        return through_log_snr(schedule, -2 * np.log(karras(top, low, steps, self.rho)))


class LogSNR(Spacing):
    """Evenly spaced in log-SNR, from T to the cleanest level that a network knows (Lu et al. 2022)."""

    def taus(self, schedule, steps):
        top, low = (schedule.at(tau).log_snr for tau in (schedule.T, schedule.low))
        return through_log_snr(schedule, np.linspace(top, low, steps))


class Scheduler(Spacing):
    """The grid of the scheduler that the model's folder holds, as diffusers lays it."""

    has_one_step: ClassVar[bool] = True
    starts_at_top: ClassVar[bool] = False

    def taus(self, schedule, steps):
        if schedule.own is None:
            raise UsageError(
                f"this model's scheduler has no grid of its own; the usual spacing of a {schedule.kind} path is "
                f"--spacing {schedule.usual}"
            )
        taus = schedule.own(steps)
        if len(taus) != steps:
            raise UsageError(f"the scheduler's own grid of {steps} steps has {len(taus)} levels: give --spacing")
        return taus


def shifted(schedule, taus):
    """Return even times as the scheduler of a flow shifts them (Esser et al. 2024, eq. 23)."""
    s = schedule.shift
    return s * taus / (1 + (s - 1) * taus)


def through_log_snr(schedule, log_snr):
    """Return the times tau of these log-SNRs. The ends are exact, since a look-up would round them."""
    inner = (schedule.at_log_snr(float(value)).tau for value in log_snr[1:-1])
    return [schedule.T, *inner, schedule.low]
