"""Check that formulas have consistent units: if alpha and sigma are twice as large, states must be twice as large.

x0, eps, lambda, sigma / alpha and the drift do not depend on the unit of states; a score is proportional to one over
the unit, and g^2 to its square. A formula with inconsistent units has a factor that is 1 on one kind of path only, such
as alpha^2 + sigma^2, or a wrong power of sigma.
"""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import ON_VP, Path, farthest, given_noise, made_for, states

MEANS = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
STDS = torch.tensor([0.5, 0.1, 1.5], dtype=torch.float64)

ROUNDING = 1e-9
"""Relative rounding of float64 over a few steps."""


class InUnits(Schedule):
    """Path whose alpha and sigma are those of another path times a factor. Its kind is unknown to all samplers.

    Attributes:
        unit: the factor.
    """

    kind = "path in another unit"
    usual = "logsnr"
    ends_in_noise = True

    def __init__(self, path: Schedule, unit: float) -> None:
        self._path, self.unit = path, unit
        self.T, self.low, self.prior_std = path.T, path.low, unit * path.prior_std

    def at(self, tau: float) -> Level:
        return self._scaled(self._path.at(tau))

    def at_log_snr(self, log_snr: float) -> Level:
        return self._scaled(self._path.at_log_snr(log_snr))

    def levels(self, tau: torch.Tensor) -> Level:
        return self._scaled(self._path.levels(tau))

    def _scaled(self, level: Level) -> Level:
        parts = {name: self.unit * getattr(level, name) for name in ("alpha", "sigma", "dalpha", "dsigma")}
        return dataclasses.replace(level, **parts)


def check_unit_is_free(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that on a path whose alpha and sigma are twice as large, states are exactly twice as large.

    A sampler may refuse such a path, or a kind of path, if its formulas are for other kinds.
    """
    if not unit_is_free(sampler, path):
        raise SkipTest("it refuses a path whose alpha and sigma are twice as large")


def unit_is_free(sampler: Sampler, path: Path) -> bool:
    """Check what `check_unit_is_free` checks. Return False if the sampler refuses such a path."""
    try:
        runs = [_run(sampler, InUnits(path.schedule, unit), path.some) for unit in (1.0, 2.0)]
    except UsageError:
        return False
    noisy = [[*way][:-1] for way in runs]  # without the image: it is x0, which does not depend on the unit
    for number, (x, y) in enumerate(zip(*noisy, strict=True)):
        off = farthest(2 * x, y) / max(1.0, float(y.abs().max()))
        assert off <= ROUNDING, (
            f"where alpha and sigma are twice as large, the state of step {number} is off by {off:.2g} from twice the "
            "state: a unit is built in, as by a factor that is 1 on this path alone, a wrong power of sigma, a bound, "
            "or what is kept of another path"
        )
    return True


def _run(sampler: Sampler, schedule: Schedule, some: Grid) -> list[torch.Tensor]:
    grid = Grid(tuple(schedule.at(level.tau) for level in some.levels))
    return list(states(sampler, made_for(sampler, MEANS, STDS, schedule), grid, given_noise(4, (3,))))
