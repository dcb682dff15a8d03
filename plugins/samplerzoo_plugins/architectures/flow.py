from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from samplerzoo import (
    PARAMETRIZATIONS,
    NetworkFacts,
    PathArchitecture,
    PathFacts,
    RectifiedFlow,
    UsageError,
    ZooError,
    karras,
)
from samplerzoo_plugins.architectures.betas import clip_of
from samplerzoo_plugins.architectures.configs import SchedulerConfig

MULTISTEP = (
    "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "SASolverScheduler",
    "UniPCMultistepScheduler",
)  # fmt: skip
"""Schedulers that are of a flow if their config says use_flow_sigmas."""
MOST_SHIFT = 1e6
"""Largest shift of a grid, whose levels are still told apart, and one over the smallest."""


class Flow(PathArchitecture):
    """Schedulers of flow matching: x = (1 - sigma) x0 + sigma eps, and the network's v = eps - x0.

    The network is told sigma times num_train_timesteps. The scheduler's shift is a grid and no path: it moves the
    levels that are visited, once. diffusers shifts the ends of its grid twice.
    """

    reads: ClassVar[tuple[str, ...]] = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")

    def claims(self, config: Any) -> bool:
        name = config.get("_class_name")
        return name in self.reads or (name in MULTISTEP and bool(config.get("use_flow_sigmas")))

    def path(self, config: Any, network: NetworkFacts) -> PathFacts:
        config = SchedulerConfig.read(config)
        if network.time != "positional":
            raise ZooError(f"time_embedding_type {network.time!r} of the network: a flow is known with 'positional'")
        if config.get("invert_sigmas"):
            raise ZooError("invert_sigmas: its time runs the other way, and what the network is told is not known")
        if config.get("use_flow_sigmas") and config.get("prediction_type") != "flow_prediction":
            raise ZooError(
                f"use_flow_sigmas with prediction_type {config.get('prediction_type')!r}; known: flow_prediction"
            )
        T = int(config.get("num_train_timesteps", 1000))
        grid = ShiftedGrid.of(config, network)
        schedule = RectifiedFlow(T, own=grid, shifted=grid.shifted, shift=grid.shift)
        told = dataclasses.replace(PARAMETRIZATIONS["flow"], c_noise=lambda t: t.tau * T)
        return PathFacts(schedule, told, clip=clip_of(config), guesses=grid.guesses)


@dataclasses.dataclass(frozen=True)
class ShiftedGrid:
    """Grid of a flow scheduler: even in sigma, then shifted towards the noise, once.

    Attributes:
        shift: static shift s, in s sigma / (1 + (s - 1) sigma); a dynamic one comes to such a number, too.
        terminal: sigma that the last level is stretched to, above 0; None to leave it.
        spread: how the shifted levels are spread between their ends: "even", "karras" or "exponential".
        multistep: lay it as the multistep schedulers do, which end a step before the cleanest level.
    """

    low: float
    shift: float
    terminal: float | None
    spread: str
    multistep: bool
    guesses: tuple[str, ...]

    @classmethod
    def of(cls, config: Any, network: NetworkFacts) -> ShiftedGrid:
        shift, key = float(config.get("shift", config.get("flow_shift", 1.0)) or 1.0), "shift"
        guesses: tuple[str, ...] = ()
        if config.get("use_dynamic_shifting"):
            tokens = math.prod(side // network.tokens for side in (network.shape or (0, 0, 0))[1:])
            mu = dynamic_mu(config, tokens)
            linear, key = config.get("time_shift_type", "exponential") == "linear", "base_shift and max_shift"
            shift = mu if linear else math.exp(min(mu, 2 * math.log(MOST_SHIFT)))
            guesses = (f"dynamic shift {shift:.4g}, of images of {tokens} tokens",)
        if not 1 / MOST_SHIFT <= shift <= MOST_SHIFT:
            raise ZooError(f"{key}: the shift of its grid is {shift:g}, and has to lie between 1e-6 and 1e6")
        spread = [name for name in ("karras", "exponential", "beta") if config.get(f"use_{name}_sigmas")]
        return cls(
            1 / int(config.get("num_train_timesteps", 1000)), shift, float(config.get("shift_terminal") or 0.0) or None,
            spread[0] if spread else "even", config.get("_class_name") in MULTISTEP, guesses,
        )  # fmt: skip

    def __call__(self, steps: int) -> Sequence[float]:
        """Return the decreasing sigmas of a run."""
        if self.low == 1 and steps > 1:
            raise UsageError(
                "num_train_timesteps of the scheduler is 1, so that its own grid has one level: give --spacing trailing"
            )
        if self.multistep and self.spread != "even":
            raise UsageError(f"the scheduler's own grid, use_{self.spread}_sigmas, is not known here: give --spacing")
        even = np.linspace(1.0, self.low, steps + 1)[:-1] if self.multistep else np.linspace(1.0, self.low, steps)
        return [1.0, *self.shifted([*map(float, even)])[1:]]

    def shifted(self, sigmas: Sequence[float]) -> Sequence[float]:
        """Return what the scheduler makes of sigmas, such as those that a pipeline of diffusers gives it."""
        sigma, steps = np.asarray(sigmas, dtype=np.float64), len(sigmas)
        sigma = self.shift * sigma / (1 + (self.shift - 1) * sigma)
        if self.terminal is not None and steps > 1:
            sigma = 1 - (1 - sigma) * (1 - self.terminal) / (1 - sigma[-1])
        match self.spread:
            case "karras":
                sigma = karras(sigma[0], sigma[-1], steps)
            case "exponential":
                sigma = np.exp(np.linspace(math.log(sigma[0]), math.log(sigma[-1]), steps))
            case "beta":
                raise UsageError("the scheduler's own grid, use_beta_sigmas, is not known here: give --spacing")
        return [*map(float, np.minimum(sigma, 1.0))]  # the power of a root of 1 may be rounded above it


def dynamic_mu(config: Any, tokens: int) -> float:
    """Return mu, which is linear in the length of an image in tokens."""
    base, most = float(config.get("base_shift", 0.5)), float(config.get("max_shift", 1.15))
    short, long = int(config.get("base_image_seq_len", 256)), int(config.get("max_image_seq_len", 4096))
    return base + (most - base) * (tokens - short) / (long - short)
