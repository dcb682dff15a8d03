"""Beta schedules: the variances of the forward chain, by their names in diffusers' scheduler configs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplerzoo.errors import ZooError
from samplerzoo.trust.limits import MOST_TIMESTEPS


def betas_of(config: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the betas (T,) of a diffusers scheduler config."""
    if config.get("trained_betas") is not None:
        betas = np.asarray(config["trained_betas"], dtype=np.float64)
        if len(betas) != config.get("num_train_timesteps", len(betas)):
            raise ZooError(f"{len(betas)} trained_betas, and num_train_timesteps is {config['num_train_timesteps']}")
        return betas
    name = config.get("beta_schedule", "linear")
    if name not in BETA_SCHEDULES:
        raise ZooError(f"unknown beta_schedule {name!r}; known: {', '.join(BETA_SCHEDULES)}")
    T = int(config.get("num_train_timesteps", 1000))
    if not 0 < T <= MOST_TIMESTEPS:
        raise ZooError(f"num_train_timesteps {T}: a schedule has 1 to {MOST_TIMESTEPS}")
    return BETA_SCHEDULES[name](T, float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02)))


def _linear(T: int, start: float, end: float) -> NDArray[np.float64]:
    """Return betas that are linear in time (Ho, Jain, Abbeel 2020)."""
    return np.linspace(start, end, T)


def _scaled_linear(T: int, start: float, end: float) -> NDArray[np.float64]:
    """Return betas that are linear in their square root (Rombach et al. 2022)."""
    return np.linspace(math.sqrt(start), math.sqrt(end), T) ** 2


def _squaredcos_cap_v2(T: int, start: float, end: float) -> NDArray[np.float64]:
    """Return betas of the cosine schedule (Nichol and Dhariwal 2021, eq. 17). `start` and `end` are not used."""
    return _of_abar(np.cos((np.linspace(0, 1, T + 1) + 0.008) / 1.008 * math.pi / 2) ** 2)


def _laplace(T: int, start: float, end: float) -> NDArray[np.float64]:
    """Return betas whose log-SNR is Laplace distributed (Hang et al. 2024). `start` and `end` are not used.

    diffusers takes the square root of sigmoid(log-SNR) for abar, and starts from its value at time 0.
    """
    u = np.linspace(0, 1, T + 1)
    log_snr = -0.5 * np.copysign(1.0, 0.5 - u) * np.log(1 - 2 * np.abs(0.5 - u) + 1e-6)
    return _of_abar(np.sqrt(1 / (1 + np.exp(-log_snr))))


def _exp(T: int, start: float, end: float) -> NDArray[np.float64]:
    """Return betas with abar = exp(-12 t), as in networks of k-diffusion. `start` and `end` are not used."""
    return _of_abar(np.exp(-12.0 * np.linspace(0, 1, T + 1)))


def _of_abar(abar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the betas that lead from each value of abar to the next, at most 0.999."""
    return np.minimum(1 - abar[1:] / abar[:-1], 0.999)


def _sigmoid(T: int, start: float, end: float) -> NDArray[np.float64]:
    """Return betas on a sigmoid curve (GeoDiff, Xu et al. 2022)."""
    return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, T)))


BETA_SCHEDULES: dict[str, Callable[[int, float, float], NDArray[np.float64]]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _squaredcos_cap_v2,
    "laplace": _laplace,
    "exp": _exp,
    "sigmoid": _sigmoid,
}
"""Functions from (T, start, end) to betas (T,), by their names in diffusers."""
