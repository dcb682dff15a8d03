from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from samplerzoo import (
    PARAMETRIZATIONS,
    VE,
    VP,
    Clip,
    Level,
    NetworkFacts,
    Parametrization,
    PathArchitecture,
    PathFacts,
    ZooError,
    karras,
)
from samplerzoo_plugins.architectures.configs import SchedulerConfig


class Consistency(PathArchitecture):
    """Consistency models (Song et al. 2023): x0 is one possible image, the end of the flow from x, and no mean.

    They end at sigma_min, from which the path is measured here: x = f + sqrt(sigma^2 - sigma_min^2) eps.
    """

    reads: ClassVar[tuple[str, ...]] = ("CMStochasticIterativeScheduler",)

    def path(self, config: Any, network: NetworkFacts) -> PathFacts:
        config = SchedulerConfig.read(config)
        if network.time != "positional":
            raise ZooError(
                f"time_embedding_type {network.time!r} of the network: consistency models are known with 'positional'"
            )
        if config.get("s_noise", 1.0) != 1.0:
            raise ZooError(f"s_noise {config['s_noise']}: noise of another size than the model's own is not known")
        path = FromSigmaMin(
            config.get("sigma_min", 0.002), config.get("sigma_max", 80.0), config.get("rho", 7.0),
            int(config.get("num_train_timesteps", 40)),
        )  # fmt: skip
        clip = Clip("static", 1.0) if config.get("clip_denoised", True) else Clip("off")
        return PathFacts(path, _ending_at(path.end, float(config.get("sigma_data", 0.5))), averages=False, clip=clip)


class FromSigmaMin(VE):
    """VE path whose clean end is sigma_min, with the grid of diffusers' scheduler: every k-th of its Karras levels."""

    def __init__(self, end: float, high: float, rho: float, count: int) -> None:
        if not 0 < end < high:
            raise ZooError(f"a consistency model needs 0 < sigma_min < sigma_max, not {end:g} and {high:g}")
        self.end = end
        self._levels = [float(sigma) for sigma in karras(high, end, count, rho)]
        super().__init__(self.tau(self._levels[-2]) if count > 2 else end, self.tau(high), own=self._every)
        self.prior_std = high  # as diffusers draws it

    def timestep(self, tau: float) -> float:
        """Return sigma."""
        return math.hypot(tau, self.end)

    def tau(self, timestep: float) -> float:
        return math.sqrt(max(timestep**2 - self.end**2, 0.0))

    def _every(self, steps: int) -> Sequence[float]:
        if steps > len(self._levels):
            raise ZooError(f"the model's scheduler has {len(self._levels)} levels: take fewer steps, or give --spacing")
        chosen = self._levels[:: len(self._levels) // steps][1:steps]
        return [self.T, *map(self.tau, chosen)]


def _ending_at(end: float, std: float) -> Parametrization:
    """Return the parametrization of Karras et al. 2022 that is the identity at sigma_min (Song et al. 2023, eq. 5)."""

    def sigma(t: Level) -> float:
        return math.hypot(t.sigma, end)

    return Parametrization(
        "consistency",
        c_skip=lambda t: std**2 / ((sigma(t) - end) ** 2 + std**2),
        c_out=lambda t: (sigma(t) - end) * std / math.hypot(sigma(t), std),
        c_in=lambda t: 1 / math.hypot(sigma(t), std),
        c_noise=lambda t: 250 * math.log(sigma(t)),
    )


LCM_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
"""Betas of an LCMScheduler where its config leaves them out."""


class LatentConsistency(PathArchitecture):
    """Models that are distilled as latent consistency models (Luo et al. 2023), on a path with betas.

    Near the clean end their x0 goes over to x itself.
    """

    reads: ClassVar[tuple[str, ...]] = ("LCMScheduler",)

    def path(self, config: Any, network: NetworkFacts) -> PathFacts:
        config = SchedulerConfig.read(config)
        kind = config.get("prediction_type") or "epsilon"
        if kind not in ("epsilon", "sample", "v_prediction"):
            raise ZooError(f"prediction_type {kind!r} of an LCMScheduler; known: epsilon, sample and v_prediction")
        if config.get("clip_sample") or config.get("thresholding"):
            raise ZooError("clip_sample or thresholding of an LCMScheduler: it clips before x0 goes over to x")
        if network.time == "fourier":
            raise ZooError("time_embedding_type 'fourier' of the network, on a path with betas")
        vp = VP.from_config({**LCM_BETAS, **config})
        vp.own = LCMGrid(int(vp.T), int(config.get("original_inference_steps", 50)))
        inner, scaling = PARAMETRIZATIONS[kind], float(config.get("timestep_scaling", 10.0))

        def skip(t: Level) -> float:
            return 0.25 / ((scaling * (t.tau - 1)) ** 2 + 0.25)

        def out(t: Level) -> float:
            time = scaling * (t.tau - 1)
            return time / math.sqrt(time**2 + 0.25)

        told = dataclasses.replace(
            inner,
            name="consistency",
            c_skip=lambda t: skip(t) + out(t) * inner.c_skip(t),
            c_out=lambda t: out(t) * inner.c_out(t),
            c_noise=lambda t: t.tau - 1,
        )
        return PathFacts(vp, told, averages=False, clip=Clip("off"))


@dataclasses.dataclass(frozen=True)
class LCMGrid:
    """Grid of the LCMScheduler: some of the timesteps at which the model was distilled."""

    T: int
    distilled: int

    def __call__(self, steps: int) -> Sequence[float]:
        """Return the decreasing times tau of a run."""
        if steps > self.distilled:
            raise ZooError(f"the model was distilled at {self.distilled} levels: take fewer steps, or give --spacing")
        known = (np.arange(1, self.distilled + 1) * (self.T // self.distilled))[::-1]
        chosen = np.floor(np.linspace(0, len(known), num=steps, endpoint=False)).astype(int)
        return [float(tau) for tau in known[chosen]]
