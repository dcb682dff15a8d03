from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from samplerzoo import PARAMETRIZATIONS, VP, Clip, NetworkFacts, PathArchitecture, PathFacts, ZooError
from samplerzoo_plugins.architectures.configs import SchedulerConfig

VARIANCES = {
    "fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large", "fixed_large_log": "large",
    "learned_range": "learned",
}  # fmt: skip
"""Variances of the ancestral step by their names in diffusers."""

K_DIFFUSION = (
    "DPMSolverSDEScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
)  # fmt: skip
K_DIFFUSION_BETAS = {"beta_start": 0.00085, "beta_end": 0.012}
"""Betas of these schedulers where their config leaves them out."""


class Betas(PathArchitecture):
    """Schedulers of diffusers with betas: a variance-preserving path, whose timesteps the network is told.

    Which of them it is does not matter, since the steps are the sampler's. Those that read the network's output in a
    way of their own are not here.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler",
        "DEISMultistepScheduler", "DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
        "LMSDiscreteScheduler", "PNDMScheduler", "RePaintScheduler", "SASolverScheduler", "UniPCMultistepScheduler",
    )  # fmt: skip

    def claims(self, config: Any) -> bool:
        name = config.get("_class_name")
        if name is None:  # as the first diffusers saved them
            return "beta_schedule" in config or config.get("trained_betas") is not None
        return name in self.reads and not (config.get("use_flow_sigmas") or is_continuous(config))

    def path(self, config: Any, network: NetworkFacts) -> PathFacts:
        config = SchedulerConfig.read(config)
        if network.time == "fourier":
            raise ZooError("the network divides its output by the noise level (time_embedding_type 'fourier'), as only "
                           "those of a VE path do")  # fmt: skip
        kind = config.get("prediction_type") or "epsilon"
        if kind not in ("epsilon", "sample", "v_prediction"):
            raise ZooError(
                f"prediction_type {kind!r} of a scheduler with betas; known: epsilon, sample and v_prediction"
            )
        usual = K_DIFFUSION_BETAS if config.get("_class_name") in K_DIFFUSION else {}
        schedule = VP.from_config({**usual, **config})
        if network.times is not None and network.times < schedule.T:
            raise ZooError(f"{schedule.T} timesteps, and the network's table of times has {network.times} rows")
        return PathFacts(
            schedule,
            dataclasses.replace(PARAMETRIZATIONS[kind], c_noise=lambda t: t.tau - 1),
            clip=clip_of(config),
            variance=variance_of(config, network),
        )


def clip_of(config: Any) -> Clip | None:
    """Return the bound on x0 that a config asks for, if it says anything of one."""
    most, ratio = config.get("sample_max_value", 1.0), config.get("dynamic_thresholding_ratio", 0.995)
    if config.get("thresholding"):
        # the bound is the quantile, at least 1 and at most sample_max_value
        return Clip("static", 1.0) if most == 1 else Clip.parse(f"dynamic:{ratio}:{most}")
    clipped = config.get("clip_sample")
    if clipped is None:
        return None
    return Clip.parse(f"static:{config.get('clip_sample_range', 1.0)}") if clipped else Clip("off")


def variance_of(config: Any, network: NetworkFacts) -> str | None:
    """Return the variance of the ancestral step that the network was trained for."""
    kind = config.get("variance_type")
    if kind == "learned":
        raise ZooError("variance_type 'learned' means different things to different programs; use learned_range")
    if network.learns_variance:
        return "learned"
    if kind == "learned_range":
        raise ZooError("variance_type 'learned_range', and the network has no output for a variance")
    return VARIANCES.get(kind or "")


def is_continuous(config: Any) -> bool:
    """Tell whether a network is told log(sigma) / 4 in place of a timestep, as diffusers decides it."""
    return config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction"
