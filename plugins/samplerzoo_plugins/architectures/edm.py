from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from samplerzoo import VE, VP, NetworkFacts, PathArchitecture, PathFacts, ZooError, edm, karras
from samplerzoo_plugins.architectures.betas import clip_of, is_continuous
from samplerzoo_plugins.architectures.configs import SchedulerConfig


class EDM(PathArchitecture):
    """Preconditioned networks on a VE path (Karras et al. 2022), which are told log(sigma) / 4.

    These are the EDM schedulers of diffusers, and its EulerDiscreteScheduler with continuous timesteps and
    v_prediction, which is the same for data of standard deviation 1. With another prediction type its timesteps are
    those of betas.
    """

    reads: ClassVar[tuple[str, ...]] = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")

    def claims(self, config: Any) -> bool:
        name = config.get("_class_name")
        return name in self.reads or (name == "EulerDiscreteScheduler" and is_continuous(config))

    def path(self, config: Any, network: NetworkFacts) -> PathFacts:
        config = SchedulerConfig.read(config)
        if network.time != "positional":
            raise ZooError(f"time_embedding_type {network.time!r} of the network: EDM is known with 'positional'")
        if config["_class_name"] in self.reads:
            low, high = config.get("sigma_min", 0.002), config.get("sigma_max", 80.0)
            kind, std = config.get("prediction_type") or "epsilon", float(config.get("sigma_data", 0.5))
            if kind not in ("epsilon", "v_prediction"):
                raise ZooError(f"prediction_type {kind!r} of an EDM scheduler; known: epsilon and v_prediction")
            # diffusers turns the sign of the output for what it calls v_prediction
            parametrization = edm(std, sign=1.0 if kind == "epsilon" else -1.0)
            grid = EDMGrid(low, high, float(config.get("rho", 7.0)), config.get("sigma_schedule", "karras"))
        else:
            low, high = _bounds(config)
            parametrization, grid = edm(1.0, sign=-1.0), EDMGrid(low, high)
        if not grid.rho > 0:
            raise ZooError(f"rho {grid.rho:g} of the scheduler's grid: it has to be above 0")
        schedule = VE(low, high, own=None if grid == EDMGrid(low, high) else grid)
        return PathFacts(schedule, parametrization, clip=clip_of(config))


@dataclasses.dataclass(frozen=True)
class EDMGrid:
    """Grid of an EDM scheduler (Karras et al. 2022, eq. 5), or one that is even in log sigma."""

    low: float
    high: float
    rho: float = 7.0
    spread: str = "karras"

    def __call__(self, steps: int) -> Sequence[float]:
        """Return the decreasing sigmas of a run."""
        if self.spread == "karras":
            sigma = karras(self.high, self.low, steps, self.rho)
        else:
            sigma = np.exp(np.linspace(math.log(self.high), math.log(self.low), steps))
        inner = map(float, sigma[1:-1])
        return [self.high, *inner, self.low] if steps > 1 else [self.high]


def _bounds(config: Any) -> tuple[float, float]:
    """Return the ends of continuous timesteps: those of the betas, unless the config has others and uses them."""
    betas = VP.from_config(config)
    ends = [level.sigma / level.alpha for level in (betas.at(1), betas.at(betas.T))]
    if any(config.get(f"use_{name}_sigmas") for name in ("karras", "exponential", "beta")):
        ends = [config.get(name) or end for name, end in zip(("sigma_min", "sigma_max"), ends, strict=True)]
    return ends[0], ends[1]
