"""Forward process in training: random levels on a noise path, and noisy images with their targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samplerzoo.core.level import Level
from samplerzoo.core.parametrization import EXACT, Parametrization
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError

LEVELS = {"VP": ("uniform",), "flow": ("uniform", "logit-normal"), "VE": ("log-normal",)}
"""Possible distributions of levels for each kind of path, the usual one first."""

MOMENTS = {"uniform": (0.0, 1.0), "logit-normal": (0.0, 1.0), "log-normal": (-1.2, 1.2)}
"""Mean and standard deviation of the normal variable behind a distribution: Esser et al. 2024, section 3.1, and
Karras et al. 2022, table 1."""


@dataclass(frozen=True)
class LevelDistribution:
    """Distribution of the levels that a network is trained at.

    Attributes:
        kind: "uniform" over whole timesteps, or over sigma on a straight path; "logit-normal", where the logit of sigma
            is normal (Esser et al. 2024, eq. 19); or "log-normal", where its logarithm is (Karras et al. 2022, sec. 5).
        mean, std: of that normal variable.
    """

    schedule: Schedule
    kind: str
    mean: float
    std: float

    @classmethod
    def of(
        cls, schedule: Schedule, kind: str | None = None, mean: float | None = None, std: float | None = None
    ) -> LevelDistribution:
        """Make the usual distribution of a path, unless another is named."""
        if schedule.kind not in LEVELS:
            raise UsageError(
                f"at which levels of a {schedule.kind} path to train is not known: {', '.join(LEVELS)} are"
            )
        kind = kind or LEVELS[schedule.kind][0]
        usual = MOMENTS[kind]
        return cls(schedule, kind, usual[0] if mean is None else mean, usual[1] if std is None else std)

    def draw(self, count: int, rng: torch.Generator) -> Level:
        """Draw the levels of a batch, spread evenly over the distribution (Kingma et al. 2021, appendix I.1).

        A batch that covers all noise levels has a gradient of lower variance than independent draws.
        """
        spread = torch.arange(count, dtype=torch.float64) / count
        offset = torch.rand((), generator=rng, dtype=torch.float64)
        return self.schedule.levels(self._quantile((offset + spread) % 1.0))

    def _quantile(self, u: Tensor) -> Tensor:
        """Return the quantiles of the distribution: times tau below which a share u of the levels lies."""
        whole, low, T = self.schedule.whole, self.schedule.low, self.schedule.T
        if whole is not None:
            return (u * whole).long().clamp_(max=whole - 1) + 1
        normal = self.mean + self.std * math.sqrt(2) * torch.erfinv(2 * u - 1).clamp(-6, 6)
        match self.kind:
            case "logit-normal":
                tau = normal.sigmoid()
            case "log-normal":
                tau = normal.exp()
            case _:
                tau = u * T
        return tau.clamp(low, T)


def noised(x0: Tensor, level: Level, noise: Tensor) -> Tensor:
    """Return the states (N, C, H, W) of a batch at its levels, with this noise."""
    return as_factor(level.alpha, x0) * x0 + as_factor(level.sigma, x0) * noise


def target(parametrization: Parametrization, x0: Tensor, noise: Tensor, level: Level) -> Tensor:
    """Return the output of a perfect network for each state of a batch, in float32."""
    of_x0, of_eps = (as_factor(_rounded(weight), x0) for weight in parametrization.target_weights(level))
    return of_x0 * x0 + of_eps * noise


def loss_weight(parametrization: Parametrization, level: Level, gamma: float | None) -> Tensor:
    """Return Min-SNR weights of the squared error (Hang et al. 2023, eq. 7), as float32 (N,).

    The weight of the squared error of x0 is min(SNR, gamma), and the squared error of x0 is c_out^2 times that of the
    output. Without gamma all weights are 1, which for EDM are those of Karras et al. 2022, table 1.
    """
    alpha: Any = level.alpha
    if gamma is None:
        return torch.ones(len(alpha), device=alpha.device)
    snr: Any = (level.alpha / level.sigma) ** 2
    return (snr.clamp(max=gamma) * parametrization.c_out(level) ** 2).float()


def as_factor(value: Any, like: Tensor) -> Tensor:
    """Turn a coefficient of a batch, a number or float64 (N,), into a float32 tensor that multiplies images."""
    tensor = torch.as_tensor(value, dtype=torch.float64).expand(len(like))
    return tensor.float().reshape(-1, *[1] * (like.ndim - 1)).to(like.device)  # not every device has float64


def _rounded(weight: Any) -> Tensor:
    """Replace values that are 0 up to float64 rounding by 0, such as the share of x0 in eps."""
    tensor = torch.as_tensor(weight, dtype=torch.float64)
    return torch.where(tensor.abs() < EXACT, torch.zeros_like(tensor), tensor)
