"""Check that no unit of states is built in: alpha and sigma twice as large make states twice as large.

x0 and eps are what they are in any unit, and so are lambda, sigma / alpha and the drift; a score has one over the unit,
and g^2 its square. A formula that is none in this sense has a factor that is 1 on one kind of path, such as
alpha^2 + sigma^2, or a power of sigma too many.
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
    """Path whose alpha and sigma are so many times those of another one. It is of no kind that has formulas of its own.

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
    """Check that on a path whose alpha and sigma are twice as large the states are twice as large, and else the same.

    A sampler that refuses such a path, or a kind of path, has formulas of its kind, which may be.
    """
    if not unit_is_free(sampler, path):
        raise SkipTest("it refuses a path whose alpha and sigma are twice as large")


def unit_is_free(sampler: Sampler, path: Path) -> bool:
    """Check it, and say whether the sampler takes such a path at all."""
    try:
        runs = [_run(sampler, InUnits(path.schedule, unit), path.some) for unit in (1.0, 2.0)]
    except UsageError:
        return False
    noisy = [[*way][:-1] for way in runs]  # the image is x0, which is the same in any unit
    for number, (x, y) in enumerate(zip(*noisy, strict=True)):
        off = farthest(2 * x, y) / max(1.0, float(y.abs().max()))
        assert off <= ROUNDING, (
            f"where alpha and sigma are twice as large, the state of step {number} is off by {off:.2g} from twice the "
            "state: a unit is built in, as by a factor that is 1 on this path alone, a wrong power of sigma, or a bound"
        )
    return True


def _run(sampler: Sampler, schedule: Schedule, some: Grid) -> list[torch.Tensor]:
    grid = Grid(tuple(schedule.at(level.tau) for level in some.levels))
    return list(states(sampler, made_for(sampler, MEANS, STDS, schedule), grid, given_noise(4, (3,))))
